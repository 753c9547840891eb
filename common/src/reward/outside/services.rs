//! `kind = "grpc"`: services that each actor calls.

use std::path::PathBuf;
use std::time::Duration;

use super::{Asking, Worth};
use crate::run_file::{Config, Keys};

/// Services that measure the same, at one or many addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Services {
    /// What they say that they measure; not looked at when empty.
    pub service: String,
    /// Their addresses.
    pub endpoints: Vec<String>,
    /// A file with an address in each line, read again whenever it changes.
    pub endpoints_file: Option<PathBuf>,
    /// Requests under way at each address.
    pub concurrency: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// The names of the raw values, which they must have too.
    pub outputs: Vec<String>,
    /// How they are asked.
    pub asking: Asking,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            service: String::new(),
            endpoints: Vec::new(),
            endpoints_file: None,
            concurrency: 1,
            connect_timeout: Duration::from_secs(10),
            outputs: Vec::new(),
            asking: Asking::default(),
        }
    }
}

/// Their keys in the run file, paths as they stand there.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) services: Services,
    pub(super) version: u32,
    pub(super) worth: Worth,
}

impl Default for Written {
    fn default() -> Self {
        Self { services: Services::default(), version: 1, worth: Worth::default() }
    }
}

impl Config for Written {
    fn about() -> &'static str {
        "services that measure: `RewardService` of Tributary's protocol, at one or many addresses"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        let service = "what is measured: the kind that each service must say it has";
        keys.key("service", &mut self.services.service, service).required();
        keys.key("version", &mut self.version, "of the services: another one measures anew");
        let endpoints = "addresses, such as \"http://node7:9000\"";
        keys.key("endpoints", &mut self.services.endpoints, endpoints);
        let file = "a file with an address in each line, relative to the run file; actors follow its \
                    changes";
        keys.key("endpoints_file", &mut self.services.endpoints_file, file);
        keys.need_one_of(&["endpoints", "endpoints_file"], "somebody has to be asked");
        keys.key(
            "concurrency",
            &mut self.services.concurrency,
            "requests under way at each address",
        )
        .at_least(1)
        .at_most(4_096);
        keys.key(
            "connect_timeout",
            &mut self.services.connect_timeout,
            "how long connecting may take",
        )
        .above(Duration::ZERO);
        self.services.asking.declare(keys);
        self.worth.declare(keys);
    }
}
