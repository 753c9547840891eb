//! A connection that never comes about, as behind a name server that does not answer, is tried again.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tributary_actor::surroundings::{Connect, Surroundings};
use tributary_actor::{ActorConfig, Shutdown, run_in};
use tributary_common::registry::Registry;
use tributary_proto::credentials::Credentials;
use turmoil::Builder;

use crate::network;

/// More than so many tries last.
const LONG: Duration = Duration::from_secs(120);
const TRIES: usize = 3;

#[test]
fn a_connection_that_never_comes_about_is_tried_again() -> turmoil::Result {
    let mut simulation = Builder::new().simulation_duration(LONG).build();
    simulation.client("actor", async {
        let shutdown = Shutdown::default();
        let (tries, drain) = (Arc::new(AtomicUsize::new(0)), shutdown.drain.clone());
        let counted = Arc::clone(&tries);
        let connect: Connect = Arc::new(move |_| {
            if counted.fetch_add(1, Relaxed) + 1 == TRIES {
                drain.cancel();
            }
            Box::pin(pending())
        });
        let config = ActorConfig {
            credentials: Credentials::default(),
            learner: network::address(),
            name: "actor".to_owned(),
            threads: None,
            cache: PathBuf::new(),
            spool: None,
            commands: None,
        };
        let surroundings = Surroundings { connect, ..Surroundings::default() };
        run_in(config, Registry::builtin(), shutdown, surroundings).await?;
        assert_eq!(tries.load(Relaxed), TRIES);
        Ok(())
    });
    simulation.run()
}
