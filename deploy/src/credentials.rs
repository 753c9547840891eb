//! Options by which a command shows who it is, and the learner that its argument names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use tributary_common::token::Token;
use tributary_proto::credentials::{CredentialFiles, Credentials};

use crate::error::CommandError;

/// Certificates and tokens; only files, so that no other user sees them in a list of processes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CredentialOptions {
    /// The authority (PEM) that signed the learner's certificate; needed for https
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    ca: Option<PathBuf>,
    /// The certificate to show (PEM), where the learner asks for one
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    key: Option<PathBuf>,
    /// A file with the token to show
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    token_file: Option<PathBuf>,
    /// A folder made by `tributary certs`: ca.pem, cert.pem, key.pem and token in it serve for those of
    /// the options above that are not given
    #[arg(long, value_name = "DIR", help_heading = "Security")]
    credentials: Option<PathBuf>,
}

impl CredentialOptions {
    /// Those in a folder made by `tributary certs`.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        Self { credentials: Some(folder.to_owned()), ..Self::default() }
    }

    /// Reads the files.
    pub(crate) fn read(&self) -> Result<Credentials, CommandError> {
        if let Some(folder) = self.credentials.as_ref().filter(|folder| !folder.is_dir()) {
            let reason = format!("--credentials {}: there is no such folder", folder.display());
            return Err(CommandError::Folder(reason));
        }
        let or = |given: &Option<PathBuf>, name: &str| {
            let in_folder = || Some(self.credentials.as_ref()?.join(name)).filter(|p| p.exists());
            given.clone().or_else(in_folder)
        };
        let files = CredentialFiles {
            ca: or(&self.ca, "ca.pem"),
            certificate: or(&self.cert, "cert.pem"),
            key: or(&self.key, "key.pem"),
            token: or(&self.token_file, "token"),
        };
        Ok(Credentials::read(&files)?)
    }
}

/// A learner that a command asks.
#[derive(Args, Clone, Debug)]
pub(crate) struct LearnerOptions {
    /// The run directory, on the learner's machine: address and token are there. Or the learner's
    /// address, http://HOST:PORT or https://HOST:PORT, with --token-file
    #[arg(value_name = "RUN_DIR|URL")]
    learner: String,
    #[command(flatten)]
    credentials: CredentialOptions,
}

/// What `address.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Address {
    /// Where the learner listens.
    pub(crate) grpc: String,
    /// Where it shows its dashboard.
    #[serde(default)]
    pub(crate) http: String,
    /// Its process.
    pub(crate) pid: u32,
}

impl Address {
    /// The one in a run directory.
    pub(crate) fn read(run: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(run.join("address.json"))?)?)
    }
}

/// Where a learner is, and how to show that one may ask it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its address.
    pub(crate) address: String,
    /// What is shown.
    pub(crate) credentials: Credentials,
}

impl LearnerOptions {
    /// The run directory, if one is given rather than an address.
    pub(crate) fn run_directory(&self) -> Option<&Path> {
        (!self.learner.contains("://")).then(|| Path::new(&self.learner))
    }

    /// The learner that is meant.
    pub(crate) fn target(&self) -> Result<Target, CommandError> {
        let credentials = self.credentials.read()?;
        match self.run_directory() {
            Some(run) => Target::of_run(run, credentials),
            None => Ok(Target { address: self.learner.clone(), credentials }),
        }
    }
}

impl Target {
    /// The learner that runs in a run directory; its token serves where none is given.
    pub(crate) fn of_run(run: &Path, credentials: Credentials) -> Result<Self, CommandError> {
        let path = run.join("address.json");
        let text = fs::read_to_string(&path).map_err(|_| CommandError::RunDirectory {
            path: run.to_owned(),
            reason: "has no learner: there is no address.json in it; give the directory of a run \
                     that was started, or the learner's address (http://HOST:PORT)"
                .to_owned(),
        })?;
        let address: Address = serde_json::from_str(&text).map_err(|error| {
            let reason = format!("has an address.json that cannot be read: {error}");
            CommandError::RunDirectory { path: run.to_owned(), reason }
        })?;
        let token = run.join("token");
        let token = token.exists().then(|| Token::read(&token)).transpose();
        let credentials = credentials.or_token(token.map_err(CommandError::Token)?);
        Ok(Self { address: address.grpc, credentials })
    }
}
