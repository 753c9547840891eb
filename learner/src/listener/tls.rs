//! TLS of the listeners: version 1.3 only, and no resumption, which would skip the look at the peer's
//! certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tributary_proto::access::CertifiedName;

use crate::security::SecurityError;

/// The protocol that a listener speaks within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2.
    Grpc,
    /// HTTP/1.1.
    Http,
}

/// A server's side of TLS; with an authority for clients, they must show a certificate of it.
///
/// # Errors
/// Files that cannot be read, or that are no certificates or not this certificate's key.
pub fn server_config(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
    protocol: Protocol,
) -> Result<Arc<ServerConfig>, SecurityError> {
    let provider = Arc::new(default_provider());
    let clients: Arc<dyn ClientCertVerifier> = match client_ca {
        None => Arc::new(NoClientAuth),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| unusable(path, &error))?;
            }
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| unusable(path, &error))?
        }
    };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable(certificate, &error))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, private)
        .map_err(|error| unusable(certificate, &error))?;
    config.alpn_protocols = match protocol {
        Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::Http => vec![b"http/1.1".to_vec()],
    };
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = read.map_err(|error| unusable(path, &error))?;
    if all.is_empty() {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(all)
}

fn unusable(path: &Path, reason: &dyn ToString) -> SecurityError {
    SecurityError::Unusable { path: path.to_owned(), reason: reason.to_string() }
}

/// What the certificate says that the peer showed; its signature and its time were checked in the
/// handshake.
pub(super) fn certified_name(connection: &ServerConnection) -> Option<CertifiedName> {
    let certificate = connection.peer_certificates()?.first()?;
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_uri_names().find_map(CertifiedName::of_uri)
}
