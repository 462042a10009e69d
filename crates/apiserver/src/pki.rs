//! The cluster's own certificate authorities, and what they issue.
//!
//! Everything is in one directory, readable for its owner alone. Existing files are used as they are, so that
//! a cluster keeps its identity; what is missing is made.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clock::Clock;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};

/// How long an authority's certificate holds, in seconds: ten years.
const AUTHORITY_SECONDS: i64 = 10 * 365 * 86_400;
/// How long other certificates hold, in seconds: a year.
const LEAF_SECONDS: i64 = 365 * 86_400;
/// A certificate with less than this left is made anew at the next start, in seconds: ninety days.
const RENEW_BEFORE_SECONDS: i64 = 90 * 86_400;
/// Certificates begin a little in the past, for peers whose clocks are behind.
const BACKDATE_SECONDS: i64 = 300;

/// What can go wrong with certificates and keys.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key or certificate cannot be made, or a file does not hold one.
    #[error("{what}: {source}; move the file away to have a new one made")]
    Certificate {
        /// What it was to be.
        what: String,
        /// Why.
        source: rcgen::Error,
    },
}

/// A certificate and its key, both as PEM. The key is a secret.
#[derive(Clone)]
pub struct KeyedCertificate {
    /// The certificate, with its authority's behind it where it is a server's.
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
    /// Issues the certificates of node APIs. It is not the servers' own, so that no node can pass for a server.
    pub kubelet_serving: Authority,
    /// Issues the certificate by which an aggregating proxy is known.
    pub front_proxy: Authority,
    /// Signs tokens of service accounts.
    pub service_account: ServiceAccountKey,
}

/// The key of service account tokens.
pub struct ServiceAccountKey {
    /// The private key (PKCS#8 PEM).
    pub private: String,
    /// The public key (PEM).
    pub public: String,
    /// Names the key in tokens: a digest of the public half.
    pub id: String,
}

/// Whom a certificate is for.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The common name: a user's name.
    pub common_name: String,
    /// The organizations: a user's groups.
    pub organizations: Vec<String>,
    /// Names a server answers to.
    pub names: Vec<String>,
    /// Addresses a server answers at.
    pub addresses: Vec<IpAddr>,
}

impl Pki {
    /// Opens the directory; makes it and what is missing in it.
    ///
    /// # Errors
    /// Where a file cannot be read, written or understood.
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

    /// The certificate of a server under a file name, made anew when it nears its end or lacks a name.
    ///
    /// # Errors
    /// Where a file cannot be read, written or understood.
    pub fn server_certificate(&self, file: &str, subject: &Subject) -> Result<KeyedCertificate, PkiError> {
        self.kept(file, &self.server, subject, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The certificate of a node API under a file name, made anew when it nears its end or lacks a name.
    ///
    /// # Errors
    /// Where a file cannot be read, written or understood.
    pub fn kubelet_certificate(&self, file: &str, subject: &Subject) -> Result<KeyedCertificate, PkiError> {
        self.kept(file, &self.kubelet_serving, subject, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The certificate of a client under a file name, made anew when it nears its end.
    ///
    /// # Errors
    /// Where a file cannot be read, written or understood.
    pub fn client_certificate(&self, file: &str, subject: &Subject) -> Result<KeyedCertificate, PkiError> {
        self.kept(file, &self.client, subject, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn kept(
        &self,
        file: &str,
        authority: &Authority,
        subject: &Subject,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<KeyedCertificate, PkiError> {
        let (certificate, key) =
            (self.directory.join(format!("{file}.crt")), self.directory.join(format!("{file}.key")));
        if let (Ok(certificate), Ok(key)) = (fs::read_to_string(&certificate), fs::read_to_string(&key))
            && still_good(&certificate, authority, subject, self.clock.now())
        {
            return Ok(KeyedCertificate { certificate, key });
        }
        let made = authority.issue(subject, usage, &self.clock)?;
        write_secret(&key, made.key.as_bytes())?;
        write_secret(&certificate, made.certificate.as_bytes())?;
        Ok(made)
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
        // The time in the name tells two clusters' authorities apart in a trust store.
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
    ///
    /// # Errors
    /// [`PkiError::Certificate`] for names that cannot stand in one.
    pub fn issue(
        &self,
        subject: &Subject,
        usage: ExtendedKeyUsagePurpose,
        clock: &Clock,
    ) -> Result<KeyedCertificate, PkiError> {
        let fail = |source| PkiError::Certificate { what: subject.common_name.clone(), source };
        let pair = KeyPair::generate().map_err(fail)?;
        let mut params = CertificateParams::default();
        let mut name = common_name(&subject.common_name);
        for organization in &subject.organizations {
            name.push(DnType::OrganizationName, organization.as_str());
        }
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let is_server = usage == ExtendedKeyUsagePurpose::ServerAuth;
        params.extended_key_usages = vec![usage];
        for name in &subject.names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(fail)?));
        }
        params.subject_alt_names.extend(subject.addresses.iter().copied().map(SanType::IpAddress));
        set_validity(&mut params, clock, LEAF_SECONDS);
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
        Ok(ServiceAccountKey { private: pair.serialize_pem(), public: pair.public_key_pem(), id })
    }
}

/// Whether a certificate that was made before still serves.
fn still_good(pem: &str, authority: &Authority, subject: &Subject, now: Timestamp) -> bool {
    let Ok((_, parsed)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else { return false };
    let Ok(certificate) = parsed.parse_x509() else { return false };
    let Ok((_, issuer)) = x509_parser::pem::parse_x509_pem(authority.certificate.as_bytes()) else {
        return false;
    };
    let Ok(issuer) = issuer.parse_x509() else { return false };
    if certificate.issuer() != issuer.subject()
        || certificate.validity().not_after.timestamp() - now.as_second() < RENEW_BEFORE_SECONDS
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

/// The common name that a signing request (PEM) asks for; `None` where the text is no request.
pub fn request_common_name(pem: &[u8]) -> Option<String> {
    of_request(pem, |subject| {
        let name = subject.iter_common_name().last();
        name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
    })
}

/// The organizations that a signing request (PEM) asks for; `None` where the text is no request.
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

/// Writes a file that its owner alone can read, whole or not at all.
///
/// # Errors
/// [`PkiError::File`]
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let fail = |source| PkiError::File { path: path.to_owned(), source };
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(fail)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&partial, path).map_err(fail)
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
        let first = Pki::open(dir.path(), &clock).unwrap().server_certificate("serving", &subject).unwrap();
        let again = Pki::open(dir.path(), &clock).unwrap();
        assert_eq!(again.server_certificate("serving", &subject).unwrap().certificate, first.certificate);
        let more = Subject { names: vec!["other".into()], ..subject };
        assert_ne!(again.server_certificate("serving", &more).unwrap().certificate, first.certificate);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        }
    }
}
