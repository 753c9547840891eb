//! Certificates and tokens of the tests, good ones and bad ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::security::SecurityOptions;

const HOUR: Duration = Duration::from_secs(3_600);

/// A folder with all of them.
pub(super) struct Files {
    folder: PathBuf,
}

type Authority = Issuer<'static, KeyPair>;

impl Files {
    pub(super) fn make(folder: &Path) -> Self {
        let files = Self { folder: folder.join("certificates") };
        fs::create_dir(&files.folder).unwrap();
        let ours = files.authority("ca");
        let other = files.authority("other-ca");
        let now = SystemTime::now();
        let (past, valid) = ((now - 2 * HOUR, now - HOUR), (now - HOUR, now + HOUR));
        let future = (now + HOUR, now + 2 * HOUR);
        files.client("actor", &ours, "spiffe://tributary/run/grid/actor/a", valid);
        files.client("control", &ours, "spiffe://tributary/run/grid/control/c", valid);
        files.client("expired", &ours, "spiffe://tributary/control/c", past);
        files.client("early", &ours, "spiffe://tributary/control/c", future);
        files.client("stranger", &other, "spiffe://tributary/control/c", valid);
        files.client("elsewhere", &ours, "spiffe://tributary/run/words/control/c", valid);
        files.client("nameless", &ours, "spiffe://example/control/c", valid);
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(hosts).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        files.sign("learner", &ours, params);
        for name in ["actor", "control", "wrong"] {
            fs::write(files.path(&format!("{name}.token")), format!("{name}-{name}-{name}-token"))
                .unwrap();
        }
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn token(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.token"))).unwrap()
    }

    /// The learner's options.
    pub(super) fn learner(&self) -> SecurityOptions {
        SecurityOptions {
            tls_cert: Some(self.path("learner.pem")),
            tls_key: Some(self.path("learner-key.pem")),
            client_ca: Some(self.path("ca.pem")),
            actor_token_file: Some(self.path("actor.token")),
            control_token_file: Some(self.path("control.token")),
            credentials: None,
        }
    }

    fn authority(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Both call themselves the same: only the signature tells them apart.
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        Issuer::new(params, key)
    }

    fn client(&self, name: &str, by: &Authority, uri: &str, valid: (SystemTime, SystemTime)) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (valid.0.into(), valid.1.into());
        self.sign(name, by, params);
    }

    fn sign(&self, name: &str, by: &Authority, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, by).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }
}

/// A client's side of TLS for pages.
pub(super) fn client_config(files: &Files, certificate: Option<&str>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.path("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::from_pem_file(files.path(&format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(files.path(&format!("{name}-key.pem"))).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    })
}
