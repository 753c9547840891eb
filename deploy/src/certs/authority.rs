//! The authority that signs: its own key, the certificates, the tokens.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tributary_common::token::Token;
use tributary_proto::access::CertifiedName;

use crate::error::CommandError;

/// Certificates count from so long ago: clocks differ.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The authority outlives the certificates, so that new ones can be made.
const AUTHORITY_DAYS: u32 = 3650;

/// A key that signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    days: u16,
}

impl Authority {
    /// The one in the directory, or a new one.
    pub(super) fn open(directory: &Path, days: u16) -> Result<Self, CommandError> {
        let (key_path, path) = (directory.join("ca-key.pem"), directory.join("ca.pem"));
        if !key_path.exists() && path.exists() {
            let reason = format!(
                "{} is there and its key ca-key.pem is not: put it back, or give another directory",
                path.display()
            );
            return Err(CommandError::Folder(reason));
        }
        if !key_path.exists() {
            let key = KeyPair::generate().map_err(failed)?;
            let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
            params.distinguished_name.push(DnType::CommonName, "Tributary authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            set_time(&mut params, AUTHORITY_DAYS);
            let certificate = params.self_signed(&key).map_err(failed)?;
            write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
            write(&path, certificate.pem().as_bytes(), 0o644)?;
        }
        let certificate = read(&path)?;
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(failed)?;
        Ok(Self { issuer, certificate, days })
    }

    /// A certificate of the learner for these names and addresses.
    pub(super) fn certify_learner(
        &self,
        folder: &Path,
        hosts: &[String],
    ) -> Result<(), CommandError> {
        let mut params = CertificateParams::new(hosts).map_err(|error| {
            CommandError::Folder(format!("--host: {error}; give a DNS name or an IP address"))
        })?;
        params.distinguished_name.push(DnType::CommonName, "Tributary learner");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(folder, params)
    }

    /// A certificate of who calls the learner.
    pub(super) fn certify_client(
        &self,
        folder: &Path,
        name: &CertifiedName,
    ) -> Result<(), CommandError> {
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        let uri = Ia5String::try_from(name.to_uri()).map_err(failed)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.distinguished_name.push(DnType::CommonName, name.name.clone());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(folder, params)
    }

    fn sign(&self, folder: &Path, mut params: CertificateParams) -> Result<(), CommandError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_time(&mut params, self.days.into());
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        write(&folder.join("key.pem"), key.serialize_pem().as_bytes(), 0o600)?;
        write(&folder.join("cert.pem"), certificate.pem().as_bytes(), 0o644)?;
        write(&folder.join("ca.pem"), self.certificate.as_bytes(), 0o644)
    }
}

fn set_time(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
}

/// The token in a file, or a new one, which is then there.
pub(super) fn write_token(path: &Path) -> Result<Token, CommandError> {
    if path.exists() {
        return Ok(Token::read(path)?);
    }
    let mut bytes = [0; 32];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(CommandError::system("read random numbers"))?;
    let token = Token::of_bytes(bytes);
    write_secret(path, &token)?;
    Ok(token)
}

/// Writes a token that only this user can read.
pub(super) fn write_secret(path: &Path, token: &Token) -> Result<(), CommandError> {
    write(path, format!("{}\n", token.reveal()).as_bytes(), 0o600)
}

/// Replaces a file; it never has other rights than these.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CommandError> {
    let written = || {
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let _ = fs::remove_file(&beside);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(CommandError::system(format!("write {}", path.display())))
}

fn read(path: &Path) -> Result<String, CommandError> {
    let unreadable = |source| CommandError::Unreadable { path: path.to_owned(), source };
    fs::read_to_string(path).map_err(unreadable)
}

fn failed(error: rcgen::Error) -> CommandError {
    CommandError::Folder(format!("the certificates cannot be made: {error}"))
}
