//! How a client shows who it is: a certificate, a token, and the authority that it trusts itself.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tributary_common::token::{Token, TokenError};

use crate::limits::{self, InvalidAddress};

/// The header that carries the token.
const AUTHORIZATION: &str = "authorization";

/// Files that say who a client is; all may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The authority (PEM) that must have signed the learner's certificate.
    pub ca: Option<PathBuf>,
    /// The client's own certificate (PEM), with its chain.
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// Its token.
    pub token: Option<PathBuf>,
}

/// What was read from them.
#[derive(Clone, Default)]
pub struct Credentials {
    tls: Option<ClientTlsConfig>,
    has_certificate: bool,
    token: Option<Token>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tls, token) = (self.tls.is_some(), self.token.is_some());
        f.debug_struct("Credentials").field("tls", &tls).field("token", &token).finish()
    }
}

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The address cannot be a learner's.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The token's file.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate without its key, a key without its certificate, or either without an authority.
    #[error("{0} is missing: a client shows --cert and --key together, and needs --ca with them")]
    Incomplete(&'static str),
    /// An address with TLS and no authority to trust.
    #[error(
        "{0} speaks TLS: name the authority that signed the learner's certificate (--ca ca.pem)"
    )]
    NoAuthority(String),
    /// A token that everybody on the way could read.
    #[error(
        "{0} is beyond this machine and speaks no TLS: a token would travel in plain text; use \
         https://"
    )]
    PlainToken(String),
    /// Files that are no certificates or no key.
    #[error("the certificates cannot be used: {0}")]
    Tls(String),
}

impl Credentials {
    /// Reads them.
    ///
    /// # Errors
    /// A file that cannot be read or is missing beside another.
    pub fn read(files: &CredentialFiles) -> Result<Self, CredentialsError> {
        let CredentialFiles { ca, certificate, key, token } = files;
        let tls = match (ca, certificate, key) {
            (None, None, None) => None,
            (None, ..) => return Err(CredentialsError::Incomplete("--ca")),
            (Some(ca), None, None) => Some(trusting(ca)?),
            (Some(ca), Some(certificate), Some(key)) => {
                let identity = Identity::from_pem(read(certificate)?, read(key)?);
                Some(trusting(ca)?.identity(identity))
            }
            (Some(_), None, Some(_)) => return Err(CredentialsError::Incomplete("--cert")),
            (Some(_), Some(_), None) => return Err(CredentialsError::Incomplete("--key")),
        };
        let token = token.as_deref().map(Token::read).transpose()?;
        Ok(Self { tls, has_certificate: certificate.is_some(), token })
    }

    /// The same with this token, unless there is one already.
    #[must_use]
    pub fn or_token(self, token: Option<Token>) -> Self {
        Self { token: self.token.or(token), ..self }
    }

    /// The way to a learner's address.
    ///
    /// # Errors
    /// An address that cannot be one, or that these credentials do not fit.
    pub fn dialer(&self, address: &str) -> Result<Dialer, CredentialsError> {
        let mut endpoint = limits::endpoint(address)?;
        let is_tls = endpoint.uri().scheme_str() == Some("https");
        if is_tls {
            let tls = self.tls.clone();
            let tls = tls.ok_or_else(|| CredentialsError::NoAuthority(address.to_owned()))?;
            let tls = tls.timeout(limits::HANDSHAKE_TIMEOUT);
            endpoint =
                endpoint.tls_config(tls).map_err(|e| CredentialsError::Tls(explained(&e)))?;
        }
        let token = self.token.as_ref().map(|token| {
            if !is_tls && !is_loopback(&endpoint) {
                return Err(CredentialsError::PlainToken(address.to_owned()));
            }
            let value = format!("Bearer {}", token.reveal());
            // A token is visible ASCII, which a header may always hold.
            let mut value = MetadataValue::try_from(value)
                .map_err(|_| CredentialsError::Tls("the token fits into no header".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let shows_nothing = is_tls && !self.has_certificate;
        Ok(Dialer { endpoint, bearer: Bearer(token.transpose()?), shows_nothing })
    }
}

fn trusting(ca: &Path) -> Result<ClientTlsConfig, CredentialsError> {
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)))
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    std::fs::read(path).map_err(|source| CredentialsError::Read { path: path.to_owned(), source })
}

fn is_loopback(endpoint: &Endpoint) -> bool {
    let host = endpoint.uri().host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// A channel whose every call carries the client's token.
pub type Line = InterceptedService<Channel, Bearer>;

/// Connects to one learner, again and again.
#[derive(Clone, Debug)]
pub struct Dialer {
    endpoint: Endpoint,
    bearer: Bearer,
    /// It speaks TLS and has no certificate to show.
    shows_nothing: bool,
}

impl Dialer {
    /// An error of a connection or call with its causes, and what to do.
    pub fn explained(&self, error: &dyn Error) -> String {
        let text = explained(error);
        // A learner that wants a certificate ends the connection; the alert that says so can be lost.
        let was_cut = CUT.iter().any(|words| text.contains(words)) && advice(&text).is_none();
        match self.shows_nothing && was_cut {
            true => format!("{text}; perhaps {NO_CERTIFICATE}"),
            false => text,
        }
    }

    /// Where a connection goes, and how it is secured.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// A new connection.
    ///
    /// # Errors
    /// The transport's; [`explained`] says what it means.
    pub async fn connect(&self) -> Result<Line, tonic::transport::Error> {
        self.connect_by(|endpoint| async move { endpoint.connect().await }).await
    }

    /// The same by other means than the system's network.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_by<F: Future<Output = Result<Channel, tonic::transport::Error>>>(
        &self,
        connect: impl FnOnce(Endpoint) -> F,
    ) -> Result<Line, tonic::transport::Error> {
        let channel = connect(self.endpoint.clone()).await?;
        Ok(InterceptedService::new(channel, self.bearer.clone()))
    }
}

/// Adds the token to a call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request.metadata_mut().insert(AUTHORIZATION, bearer.clone());
        }
        Ok(request)
    }
}

/// An error with its causes (tonic's own says only "transport error"), and what to do where the
/// certificates are to blame.
pub fn explained(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    match advice(&text) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

/// What to do without a certificate.
const NO_CERTIFICATE: &str = "the learner wants a certificate: give --cert and --key as well";

/// How a connection ends that the other side has cut.
const CUT: [&str; 3] = ["broken pipe", "reset by peer", "closed"];

/// As rustls words what is wrong, as an error of its own or as an alert of the other side.
const ADVICE: [(&[&str], &str); 6] = [
    (
        &["CertificateExpired", "certificate expired", "Expired", "NotValidYet", "not valid yet"],
        "a certificate is not valid at this time: compare the clocks of both machines (`date -u`), or \
         make new certificates with `tributary certs`",
    ),
    (&["CertificateRequired"], NO_CERTIFICATE),
    (
        &["UnknownIssuer", "UnknownCA", "BadSignature", "DecryptError"],
        "the two sides have certificates of different authorities: give the --ca that signed the \
         learner's certificate, and a certificate that the learner's --client-ca signed",
    ),
    (
        &["NotValidForName", "not valid for name"],
        "the learner's certificate is for other names: use one of them, or make a certificate with \
         `tributary certs --host NAME`",
    ),
    (
        &["InvalidContentType", "corrupt message"],
        "one side speaks TLS and the other does not: compare http:// and https://",
    ),
    (
        &["BadCertificate", "certificate unknown", "UnsupportedCertificate"],
        "the certificate was not accepted; the learner's log says why",
    ),
];

fn advice(text: &str) -> Option<&'static str> {
    let fits = |words: &[&str]| words.iter().any(|word| text.contains(word));
    ADVICE.iter().find(|(words, _)| fits(words)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn credentials_that_cannot_work_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let token = file("token", "0123456789abcdef\n");
        let some = file("some.pem", "");
        let none = CredentialFiles::default();
        let error = |files: CredentialFiles, address: &str| {
            let dialer = Credentials::read(&files).and_then(|all| all.dialer(address));
            dialer.unwrap_err().to_string()
        };
        let https = "https://127.0.0.1:1";
        assert!(error(none.clone(), https).contains("--ca ca.pem"));
        let files =
            CredentialFiles { certificate: some.clone(), key: some.clone(), ..none.clone() };
        assert!(error(files, https).starts_with("--ca is missing"));
        let files = CredentialFiles { ca: some.clone(), certificate: some, ..none.clone() };
        assert!(error(files, https).starts_with("--key is missing"));
        let files = CredentialFiles { token: token.clone(), ..none.clone() };
        assert!(error(files.clone(), "http://10.0.0.1:1").contains("plain text"));
        let missing = CredentialFiles { token: Some(folder.path().join("no")), ..none };
        assert!(error(missing, https).contains("cannot read"));

        let credentials = Credentials::read(&files).unwrap();
        let dialer = credentials.dialer("http://127.0.0.1:1").unwrap();
        let shown = format!("{credentials:?} {dialer:?} {:?}", dialer.bearer);
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }
}
