//! The cluster's certificate authorities, and the certificates that they issue.
//!
//! Everything is in one directory, readable only by its owner. Existing files are used unchanged, so that a cluster
//! keeps its identity; missing ones are created.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clock::Clock;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};

/// The lifetime of a CA certificate in seconds: ten years.
const AUTHORITY_SECONDS: i64 = 10 * 365 * 86_400;
/// The default lifetime of other certificates: a year.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Certificates begin a little in the past, for peers whose clocks are behind.
const BACKDATE_SECONDS: i64 = 300;

/// Errors of certificates and keys.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("cannot read or write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A key or certificate cannot be created, or a file does not contain one.
    #[error("cannot create or read {what}; move the file away to get a new one")]
    Certificate {
        /// Its purpose.
        what: String,
        /// The cause.
        source: rcgen::Error,
    },
}

impl PkiError {
    /// Whether the disk is full.
    pub fn is_of_space(&self) -> bool {
        matches!(self, PkiError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    }
}

/// A certificate and its key, both as PEM. The key is a secret.
#[derive(Clone)]
pub struct KeyedCertificate {
    /// The certificate, followed by its CA's if it is a server's.
    pub certificate: String,
    /// The private key (PKCS#8).
    pub key: String,
}

/// A certificate authority.
pub struct Authority {
    certificate: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The authorities and keys of a cluster.
pub struct Pki {
    directory: PathBuf,
    clock: Clock,
    /// Issues the certificates of servers.
    pub server: Authority,
    /// Issues the certificates of clients.
    pub client: Authority,
    /// Issues the certificates of node APIs. It is separate from the servers' own, so that no node can impersonate a
    /// server.
    pub kubelet_serving: Authority,
    /// Issues the certificate that identifies an aggregating proxy.
    pub front_proxy: Authority,
    /// Signs tokens of service accounts.
    pub service_account: ServiceAccountKey,
}

/// The EC key of service account tokens.
pub struct ServiceAccountKey {
    /// The private key (PKCS#8 PEM).
    pub private: String,
    /// The public key (PEM).
    pub public: String,
    /// The public key's point, uncompressed.
    pub point: Vec<u8>,
    /// The key's ID in tokens: a digest of the public key.
    pub id: String,
}

/// The subject of a certificate.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The common name: a user's name.
    pub common_name: String,
    /// The organizations: a user's groups.
    pub organizations: Vec<String>,
    /// The names of a server.
    pub names: Vec<String>,
    /// The addresses of a server.
    pub addresses: Vec<IpAddr>,
}

/// The purpose of a certificate, which determines the CA that issues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// An API server's own.
    Server,
    /// A node API's own.
    NodeServer,
    /// A client of one of them.
    Client,
}

/// A certificate of one of the cluster's own parts.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The name of its files, without an extension.
    pub file: &'static str,
    /// Its purpose.
    pub usage: Usage,
    /// Its subject.
    pub subject: Subject,
    /// Its lifetime.
    pub lifetime: SignedDuration,
}

impl Wanted {
    /// One that is valid for a [year](LIFETIME).
    pub fn new(file: &'static str, usage: Usage, subject: Subject) -> Wanted {
        Wanted { file, usage, subject, lifetime: LIFETIME }
    }
}

impl Pki {
    /// Opens the directory; creates it and missing files in it.
    ///
    /// # Errors
    /// If a file cannot be read, written or understood.
    pub fn open(directory: &Path, clock: &Clock) -> Result<Pki, PkiError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| PkiError::File { path: directory.to_owned(), source })?;
        let authority = |name: &str| Authority::open(directory, name, clock);
        Ok(Pki {
            server: authority("server-ca")?,
            client: authority("client-ca")?,
            kubelet_serving: authority("kubelet-serving-ca")?,
            front_proxy: authority("request-header-ca")?,
            service_account: ServiceAccountKey::open(&directory.join("service.key"))?,
            directory: directory.to_owned(),
            clock: clock.clone(),
        })
    }

    /// The certificate in the files, or a new one if that expires soon or lacks a name.
    ///
    /// # Errors
    /// If a file cannot be read, written or understood.
    pub fn kept(&self, wanted: &Wanted) -> Result<KeyedCertificate, PkiError> {
        let (certificate, key) = self.paths(wanted);
        if let (Ok(certificate), Ok(key)) = (fs::read_to_string(&certificate), fs::read_to_string(&key))
            && still_good(&certificate, self.authority(wanted.usage), &wanted.subject, self.clock.now())
        {
            return Ok(KeyedCertificate { certificate, key });
        }
        self.renewed(wanted)
    }

    /// A new certificate, which is stored in the files.
    ///
    /// # Errors
    /// If a file cannot be written, or the subject cannot stand in a certificate.
    pub fn renewed(&self, wanted: &Wanted) -> Result<KeyedCertificate, PkiError> {
        let (certificate, key) = self.paths(wanted);
        let made = self.authority(wanted.usage).issue(wanted, &self.clock)?;
        let written = write_secret(&key, made.key.as_bytes())
            .and_then(|()| write_secret(&certificate, made.certificate.as_bytes()));
        match written {
            // It is used until the next start creates a new one.
            Err(error) if error.is_of_space() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a certificate could not be stored");
            }
            written => written?,
        }
        Ok(made)
    }

    /// The file of the RSA key of service account tokens, which may not exist yet.
    pub fn rsa_key_file(&self) -> PathBuf {
        self.directory.join("service-rsa.key")
    }

    fn paths(&self, wanted: &Wanted) -> (PathBuf, PathBuf) {
        let path = |extension| self.directory.join(format!("{}.{extension}", wanted.file));
        (path("crt"), path("key"))
    }

    fn authority(&self, usage: Usage) -> &Authority {
        match usage {
            Usage::Server => &self.server,
            Usage::NodeServer => &self.kubelet_serving,
            Usage::Client => &self.client,
        }
    }
}

impl Authority {
    fn open(directory: &Path, name: &str, clock: &Clock) -> Result<Authority, PkiError> {
        let fail = |source| PkiError::Certificate { what: format!("{}/{name}", directory.display()), source };
        let (certificate, key) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        if certificate.exists() && key.exists() {
            let certificate = read(&certificate)?;
            let key = read(&key)?;
            let pair = KeyPair::from_pem(&key).map_err(fail)?;
            let issuer = Issuer::from_ca_cert_pem(&certificate, pair).map_err(fail)?;
            return Ok(Authority { certificate, key, issuer });
        }
        let pair = KeyPair::generate().map_err(fail)?;
        let mut params = CertificateParams::default();
        // The time in the name distinguishes two clusters' authorities in a trust store.
        params.distinguished_name = common_name(&format!("ironhull-{name}@{}", clock.now().as_second()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        set_validity(&mut params, clock, AUTHORITY_SECONDS);
        let made = params.self_signed(&pair).map_err(fail)?.pem();
        let pem = pair.serialize_pem();
        write_secret(&key, pem.as_bytes())?;
        write_secret(&certificate, made.as_bytes())?;
        let issuer = Issuer::from_ca_cert_pem(&made, pair).map_err(fail)?;
        Ok(Authority { certificate: made, key: pem, issuer })
    }

    /// The authority's certificate, as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The authority's private key (PKCS#8 PEM), for the controller that signs; a secret.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Issues a certificate with a new key.
    fn issue(&self, wanted: &Wanted, clock: &Clock) -> Result<KeyedCertificate, PkiError> {
        let subject = &wanted.subject;
        let fail = |source| PkiError::Certificate { what: subject.common_name.clone(), source };
        let pair = KeyPair::generate().map_err(fail)?;
        let mut params = CertificateParams::default();
        let mut name = common_name(&subject.common_name);
        for organization in &subject.organizations {
            name.push(DnType::OrganizationName, organization.as_str());
        }
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let is_server = wanted.usage != Usage::Client;
        params.extended_key_usages = vec![match is_server {
            true => ExtendedKeyUsagePurpose::ServerAuth,
            false => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        for name in &subject.names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(fail)?));
        }
        params.subject_alt_names.extend(subject.addresses.iter().copied().map(SanType::IpAddress));
        set_validity(&mut params, clock, wanted.lifetime.as_secs());
        let mut serial = [0; 16];
        clock.fill_random(&mut serial);
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let mut certificate = params.signed_by(&pair, &self.issuer).map_err(fail)?.pem();
        if is_server {
            certificate.push_str(&self.certificate);
        }
        Ok(KeyedCertificate { certificate, key: pair.serialize_pem() })
    }
}

impl ServiceAccountKey {
    fn open(path: &Path) -> Result<ServiceAccountKey, PkiError> {
        let fail = |source| PkiError::Certificate { what: path.display().to_string(), source };
        let pair = if path.exists() {
            KeyPair::from_pem(&read(path)?).map_err(fail)?
        } else {
            let pair = KeyPair::generate().map_err(fail)?;
            write_secret(path, pair.serialize_pem().as_bytes())?;
            pair
        };
        let digest = Sha256::digest(pair.public_key_raw());
        let id = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let point = pair.public_key_raw().to_vec();
        Ok(ServiceAccountKey { private: pair.serialize_pem(), public: pair.public_key_pem(), point, id })
    }
}

/// Whether an existing certificate can still be used.
fn still_good(pem: &str, authority: &Authority, subject: &Subject, now: Timestamp) -> bool {
    let Ok((_, parsed)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else { return false };
    let Ok(certificate) = parsed.parse_x509() else { return false };
    let Ok((_, issuer)) = x509_parser::pem::parse_x509_pem(authority.certificate.as_bytes()) else {
        return false;
    };
    let Ok(issuer) = issuer.parse_x509() else { return false };
    // A quarter of its lifetime is left; for a year, about ninety days.
    let (begin, end) =
        (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    if certificate.issuer() != issuer.subject() || end - now.as_second() < (end - begin) / 4 {
        return false;
    }
    let named = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let groups = certificate.subject().iter_organization().filter_map(|group| group.as_str().ok());
    if !named.eq([subject.common_name.as_str()])
        || !groups.eq(subject.organizations.iter().map(String::as_str))
    {
        return false;
    }
    let sans = certificate.subject_alternative_name().ok().flatten();
    let sans: Vec<String> = sans
        .iter()
        .flat_map(|san| &san.value.general_names)
        .filter_map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
            x509_parser::extensions::GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
            _ => None,
        })
        .collect();
    subject
        .names
        .iter()
        .cloned()
        .chain(subject.addresses.iter().map(IpAddr::to_string))
        .all(|san| sans.contains(&san))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The common name in a signing request (PEM); `None` if the text is not a request.
pub fn request_common_name(pem: &[u8]) -> Option<String> {
    of_request(pem, |subject| {
        let name = subject.iter_common_name().last();
        name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
    })
}

/// The organizations in a signing request (PEM); `None` if the text is not a request.
pub fn request_organizations(pem: &[u8]) -> Option<Vec<String>> {
    of_request(pem, |subject| {
        subject.iter_organization().filter_map(|group| Some(group.as_str().ok()?.to_owned())).collect()
    })
}

fn of_request<T>(pem: &[u8], read: impl FnOnce(&x509_parser::x509::X509Name<'_>) -> T) -> Option<T> {
    use x509_parser::prelude::FromDer;
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    if block.label != "CERTIFICATE REQUEST" {
        return None;
    }
    let (_, request) =
        x509_parser::certification_request::X509CertificationRequest::from_der(&block.contents).ok()?;
    Some(read(&request.certification_request_info.subject))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, clock: &Clock, seconds: i64) {
    let now = clock.now().as_second();
    let at = |second| {
        time::OffsetDateTime::from_unix_timestamp(second).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    };
    params.not_before = at(now - BACKDATE_SECONDS);
    params.not_after = at(now + seconds);
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File { path: path.to_owned(), source })
}

fn write_secret(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    tls::write_secret(path, content)
        .map_err(|tls::SecretFileError { path, source }| PkiError::File { path, source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_kept_secret_and_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let subject = Subject {
            common_name: "kube-apiserver".into(),
            names: vec!["kubernetes.default.svc".into()],
            addresses: vec!["10.43.0.1".parse().unwrap()],
            ..Subject::default()
        };
        let wanted = Wanted::new("serving", Usage::Server, subject.clone());
        let first = Pki::open(dir.path(), &clock).unwrap().kept(&wanted).unwrap();
        let again = Pki::open(dir.path(), &clock).unwrap();
        assert_eq!(again.kept(&wanted).unwrap().certificate, first.certificate);
        let more = Wanted { subject: Subject { names: vec!["other".into()], ..subject }, ..wanted.clone() };
        assert_ne!(again.kept(&more).unwrap().certificate, first.certificate);
        let renewed = again.renewed(&more).unwrap().certificate;
        assert_eq!(again.kept(&more).unwrap().certificate, renewed);
        // A certificate that expires soon is not reused.
        let short = Wanted { file: "short", lifetime: SignedDuration::from_secs(60), ..more };
        assert_ne!(again.kept(&short).unwrap().certificate, again.kept(&short).unwrap().certificate);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        }
    }
}
