//! What the learner's command line says of TLS and tokens, read and checked.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::ServerConfig;
use tributary_common::token::{Token, TokenError};

use crate::callers::Callers;
use crate::entropy;
use crate::listener::tls::{Protocol, server_config};

/// The control token's file in the run directory.
pub const TOKEN: &str = "token";

/// TLS and tokens. Without any of them the learner listens on loopback only, every actor on this
/// machine may take part, and commands need the token in RUN_DIR/token.
#[derive(Clone, Debug, Default, Args)]
pub struct SecurityOptions {
    /// The learner's certificate (PEM, with its chain): connections must speak TLS 1.3.
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub tls_key: Option<PathBuf>,
    /// The authority (PEM) that signed the certificates of actors and commands: they must show one.
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub client_ca: Option<PathBuf>,
    /// A file with the token that actors must show.
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub actor_token_file: Option<PathBuf>,
    /// A file with the token that commands and readers of /metrics must show [default: DIR/token of
    /// the run directory, made if there is none].
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub control_token_file: Option<PathBuf>,
    /// A folder made by `tributary certs`: cert.pem, key.pem, ca.pem, actor.token and control.token in
    /// it serve for those of the options above that are not given.
    #[arg(long, value_name = "DIR", help_heading = "Security")]
    pub credentials: Option<PathBuf>,
}

/// Why a learner does not start with these.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// Somebody else could reach this address.
    #[error(
        "{address} is not a loopback address: beyond this machine the learner listens only with TLS \
         and a token for actors; make them with `tributary certs` and give \
         --credentials DIR/learner (or --tls-cert, --tls-key and --actor-token-file), or use 127.0.0.1"
    )]
    Open {
        /// As given.
        address: SocketAddr,
    },
    /// The run's actors speak TLS.
    #[error(
        "this run's learner spoke TLS before, and its actors do: give its --credentials (or --tls-cert \
         and --tls-key) again"
    )]
    NoLongerTls,
    /// One option without another.
    #[error("{given} needs {missing} too")]
    Incomplete {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// A file that is no certificate, no key, or not the right one.
    #[error("{} cannot be used for TLS: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Both tokens are the same: an actor could end the run.
    #[error("the actors' token and the control token are the same; they must differ")]
    SameToken,
    /// A token's file.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The run directory's token cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was read; the control token may still have to be made.
#[derive(Debug)]
pub struct Secured {
    grpc: Option<Arc<ServerConfig>>,
    http: Option<Arc<ServerConfig>>,
    certificates: bool,
    actor: Option<Token>,
    control: Option<Token>,
}

/// Ready to serve.
#[derive(Clone, Debug)]
pub struct Security {
    /// TLS for gRPC.
    pub grpc: Option<Arc<ServerConfig>>,
    /// TLS for HTTP.
    pub http: Option<Arc<ServerConfig>>,
    /// Who may what.
    pub callers: Arc<Callers>,
}

impl SecurityOptions {
    /// Reads all files and looks whether they suffice for these addresses. Writes nothing.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn read(&self, addresses: &[SocketAddr]) -> Result<Secured, SecurityError> {
        let files = self.with_folder();
        let pair = match (&files.tls_cert, &files.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(incomplete("--tls-cert", "--tls-key")),
            (None, Some(_)) => return Err(incomplete("--tls-key", "--tls-cert")),
        };
        if pair.is_none() && files.client_ca.is_some() {
            return Err(incomplete("--client-ca", "--tls-cert and --tls-key"));
        }
        let is_closed = pair.is_some() && files.actor_token_file.is_some();
        let beyond = addresses.iter().find(|address| !address.ip().is_loopback());
        if let Some(address) = beyond.filter(|_| !is_closed) {
            return Err(SecurityError::Open { address: *address });
        }
        let ca = files.client_ca.as_deref();
        let tls = |protocol| {
            pair.map(|(certificate, key)| server_config(certificate, key, ca, protocol)).transpose()
        };
        let token = |path: &Option<PathBuf>| path.as_deref().map(Token::read).transpose();
        Ok(Secured {
            grpc: tls(Protocol::Grpc)?,
            http: tls(Protocol::Http)?,
            certificates: ca.is_some(),
            actor: token(&files.actor_token_file)?,
            control: token(&files.control_token_file)?,
        })
    }

    /// Files of the folder for options that are not given.
    fn with_folder(&self) -> Self {
        let Some(folder) = &self.credentials else { return self.clone() };
        let or = |given: &Option<PathBuf>, name: &str| {
            given.clone().or_else(|| Some(folder.join(name)).filter(|path| path.exists()))
        };
        Self {
            tls_cert: or(&self.tls_cert, "cert.pem"),
            tls_key: or(&self.tls_key, "key.pem"),
            client_ca: or(&self.client_ca, "ca.pem"),
            actor_token_file: or(&self.actor_token_file, "actor.token"),
            control_token_file: or(&self.control_token_file, "control.token"),
            credentials: None,
        }
    }
}

fn incomplete(given: &'static str, missing: &'static str) -> SecurityError {
    SecurityError::Incomplete { given, missing }
}

impl Secured {
    /// Whether clients must speak TLS.
    pub fn speaks_tls(&self) -> bool {
        self.grpc.is_some()
    }

    /// With the control token of a run directory: what was given is written there, so that commands on
    /// this machine find it; else what is there counts, else one is made.
    ///
    /// # Errors
    /// A file that cannot be read or written, or equal tokens.
    pub fn for_run(self, run: &str, directory: &Path) -> Result<Security, SecurityError> {
        let path = directory.join(TOKEN);
        let control = match self.control {
            Some(token) => {
                write_secret(&path, &token)?;
                token
            }
            None if path.exists() => Token::read(&path)?,
            None => {
                let made = entropy::token();
                let token =
                    made.map_err(|source| SecurityError::Write { path: path.clone(), source })?;
                write_secret(&path, &token)?;
                token
            }
        };
        if self.actor.as_ref().is_some_and(|actor| actor.reveal() == control.reveal()) {
            return Err(SecurityError::SameToken);
        }
        let Self { grpc, http, certificates, actor, .. } = self;
        let callers = Callers { run: run.to_owned(), certificates, actor, control };
        Ok(Security { grpc, http, callers: Arc::new(callers) })
    }
}

/// Writes a token that nobody but this user can read, at no moment; whole or not at all.
fn write_secret(path: &Path, token: &Token) -> Result<(), SecurityError> {
    let written = || {
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        // A file of that name may be there with other rights.
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        writeln!(file, "{}", token.reveal())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|source| SecurityError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_run_directory_keeps_a_token_that_only_its_user_reads() {
        let folder = tempfile::tempdir().unwrap();
        let start = |options: &SecurityOptions| {
            options.read(&[]).and_then(|secured| secured.for_run("grid", folder.path()))
        };
        let path = folder.path().join(TOKEN);
        let first = start(&SecurityOptions::default()).unwrap().callers.control.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(first.reveal().len(), 64);
        let again = start(&SecurityOptions::default()).unwrap().callers.control.clone();
        assert_eq!(first.reveal(), again.reveal(), "a restart keeps it");

        let given = folder.path().join("given");
        fs::write(&given, "a-token-that-was-given\n").unwrap();
        let mut options =
            SecurityOptions { control_token_file: Some(given.clone()), ..Default::default() };
        start(&options).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a-token-that-was-given\n");
        options.actor_token_file = Some(given);
        assert!(matches!(start(&options), Err(SecurityError::SameToken)));
    }

    #[test]
    fn beyond_this_machine_nothing_listens_without_tls_and_token() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "0123456789abcdef").unwrap();
        let open = SecurityOptions::default();
        let with_token =
            SecurityOptions { actor_token_file: Some(token), ..SecurityOptions::default() };
        for options in [open, with_token] {
            for address in ["0.0.0.0:0", "10.1.2.3:80", "[::]:1", "[2001:db8::1]:1"] {
                let error = options.read(&[address.parse().unwrap()]).unwrap_err();
                let text = error.to_string();
                assert!(text.contains("TLS") && text.contains("tributary certs"), "{text}");
            }
            for address in ["127.0.0.1:0", "[::1]:1", "127.9.9.9:1"] {
                assert!(options.read(&[address.parse().unwrap()]).is_ok(), "{address}");
            }
        }
        let half = SecurityOptions { tls_cert: Some("x".into()), ..SecurityOptions::default() };
        assert!(half.read(&[]).unwrap_err().to_string().contains("--tls-key"));
    }
}
