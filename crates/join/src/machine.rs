//! The certificates of a node: requested with CertificateSigningRequests, and stored in files.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Client, ClientError, ResourceType, WatchEvent, WatchOptions, key_of};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use tls::{SecretFileError, write_secret};

use crate::credential::Credential;

/// How long a request may wait for its certificate.
const ISSUED_WITHIN: Duration = Duration::from_secs(60);
/// How far the clocks of this machine and of the server may differ: certificates begin this long in the past.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);

/// Which of a node's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The node as a client of the API server.
    Node,
    /// The node's network parts as a client of the API server.
    Network,
    /// The node's own API.
    Serving,
}

/// Whose certificates they are.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, once they are known.
    pub node_ips: Vec<IpAddr>,
    /// The directory of the files.
    pub directory: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The API server refuses the request, or cannot be asked.
    #[error("cannot request a certificate")]
    Api(#[from] ClientError),
    /// The request was denied.
    #[error("the server refused this machine a certificate ({reason}): {message}")]
    Denied {
        /// For programs.
        reason: String,
        /// The message for users.
        message: String,
    },
    /// The request was not approved or signed in time.
    #[error(
        "the server has not signed the request {name} within {} s: `kubectl describe csr {name}` shows its \
            state; the server's controllers must be running",
        ISSUED_WITHIN.as_secs()
    )]
    Late {
        /// The request.
        name: String,
    },
    /// The clocks differ.
    #[error(
        "this machine's clock and the server's differ by {} s, which is too much for certificates to be \
            valid: correct them",
        .0.as_secs()
    )]
    Skew(SignedDuration),
    /// A key or a request cannot be made.
    #[error("cannot create a key or a signing request")]
    Key(#[from] rcgen::Error),
    /// TLS cannot use the certificate.
    #[error("cannot use a certificate")]
    Tls(#[from] rustls::Error),
    /// A file cannot be written.
    #[error("cannot store a certificate")]
    File(#[from] SecretFileError),
    /// The directory cannot be made.
    #[error("cannot create the directory of certificates")]
    Directory(#[source] std::io::Error),
    /// The answer is not a certificate.
    #[error("the server's answer does not contain a certificate that matches the key")]
    Unfit,
}

impl Kind {
    /// The name of its files, without an extension.
    pub fn file(self) -> &'static str {
        match self {
            Kind::Node => "client-kubelet",
            Kind::Network => "client-network",
            Kind::Serving => "serving-kubelet",
        }
    }

    fn signer(self) -> &'static str {
        match self {
            Kind::Node => "kubernetes.io/kube-apiserver-client-kubelet",
            Kind::Network => "ironhull.io/network-client",
            Kind::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    fn usages(self) -> Vec<String> {
        let own = if self == Kind::Serving { "server auth" } else { "client auth" };
        ["digital signature", own].map(str::to_owned).into()
    }

    /// The request (PEM) for a key.
    fn request(self, machine: &Machine, key: &KeyPair) -> Result<String, rcgen::Error> {
        let (user, group) = match self {
            Kind::Node | Kind::Serving => ("system:node:", "system:nodes"),
            Kind::Network => ("ironhull:network:", "ironhull:networks"),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.distinguished_name.push(DnType::CommonName, format!("{user}{}", machine.node_name));
        if self == Kind::Serving {
            // A name that is an address cannot stand among the names.
            if machine.node_name.parse::<IpAddr>().is_err() {
                let name = machine.node_name.as_str().try_into()?;
                params.subject_alt_names.push(SanType::DnsName(name));
            }
            params.subject_alt_names.extend(machine.node_ips.iter().copied().map(SanType::IpAddress));
        }
        params.serialize_request(key)?.pem()
    }
}

impl Machine {
    fn path(&self, kind: Kind, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", kind.file()))
    }

    /// The certificate in the file, unless it has expired or belongs to another node.
    pub fn load(&self, kind: Kind, now: Timestamp) -> Option<Credential> {
        let certificate = fs::read_to_string(self.path(kind, "crt")).ok()?;
        let key = fs::read_to_string(self.path(kind, "key")).ok()?;
        let credential = Credential::new(certificate, key)?;
        (credential.ends() > now && is_of(&credential, self, kind)).then_some(credential)
    }

    /// The key of the file, or a new one that is not written yet.
    pub fn key(&self, kind: Kind) -> Result<KeyPair, CredentialError> {
        match fs::read_to_string(self.path(kind, "key")).ok().and_then(|pem| KeyPair::from_pem(&pem).ok()) {
            Some(key) => Ok(key),
            None => Ok(KeyPair::generate()?),
        }
    }

    /// Writes a certificate and its key.
    pub fn save(&self, kind: Kind, credential: &Credential) -> Result<(), CredentialError> {
        make_directory(&self.directory)?;
        write_secret(&self.path(kind, "key"), credential.key.as_bytes())?;
        Ok(write_secret(&self.path(kind, "crt"), credential.certificate.as_bytes())?)
    }

    /// Asks for a certificate and waits for it. Nothing is written.
    pub async fn request(&self, client: &Client, kind: Kind) -> Result<Credential, CredentialError> {
        let key = self.key(kind)?;
        let request = CertificateSigningRequest {
            metadata: ObjectMeta { generate_name: Some("node-csr-".to_owned()), ..ObjectMeta::default() },
            spec: CertificateSigningRequestSpec {
                request: ByteString(kind.request(self, &key)?.into_bytes()),
                signer_name: kind.signer().to_owned(),
                usages: Some(kind.usages()),
                ..CertificateSigningRequestSpec::default()
            },
            ..CertificateSigningRequest::default()
        };
        let made = client.create(&request).await?;
        if let Some(at) = &made.metadata.creation_timestamp {
            let skew = client.clock().now().duration_since(at.0).abs();
            if skew > SKEW_MAX {
                return Err(CredentialError::Skew(skew));
            }
        }
        let name = made.metadata.name.clone().unwrap_or_default();
        let certificate = tokio::time::timeout(ISSUED_WITHIN, issued(client, made));
        let certificate = certificate.await.map_err(|_| CredentialError::Late { name })??;
        Credential::issued(certificate, key.serialize_pem(), client.clock()).ok_or(CredentialError::Unfit)
    }

    /// The certificate of the file, or else a new one, which is written.
    pub async fn obtain(
        &self,
        client: &Client,
        kind: Kind,
        now: Timestamp,
    ) -> Result<Credential, CredentialError> {
        if let Some(kept) = self.load(kind, now).filter(|kept| now < kept.end_of_use(0)) {
            return Ok(kept);
        }
        let credential = self.request(client, kind).await?;
        self.save(kind, &credential)?;
        Ok(credential)
    }
}

/// Makes the directory of certificates and keys.
pub fn make_directory(path: &Path) -> Result<(), CredentialError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(CredentialError::Directory)
}

/// Waits until a request has its certificate.
async fn issued(client: &Client, mut request: CertificateSigningRequest) -> Result<String, CredentialError> {
    loop {
        if let Some(decided) = decided(&request) {
            return decided;
        }
        let options = WatchOptions {
            field_selector: format!("metadata.name={}", key_of(&request).name),
            resource_version: request.metadata.resource_version.clone().unwrap_or_default(),
            ..WatchOptions::default()
        };
        let resource = ResourceType::of::<CertificateSigningRequest>();
        let mut events = client.watch(&resource, "", &options).await?;
        while let Some(event) = events.next().await {
            if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event? {
                let newest = object.typed::<CertificateSigningRequest>();
                request =
                    (*newest.map_err(|error| ClientError::decode("the signing request", error))?).clone();
                if let Some(decided) = decided(&request) {
                    return decided;
                }
            }
        }
    }
}

/// The certificate, or why there is none; `None` while the request is pending.
fn decided(request: &CertificateSigningRequest) -> Option<Result<String, CredentialError>> {
    let status = request.status.as_ref()?;
    if let Some(certificate) = status.certificate.as_ref().filter(|pem| !pem.0.is_empty()) {
        return Some(String::from_utf8(certificate.0.clone()).map_err(|_| CredentialError::Unfit));
    }
    let mut conditions = status.conditions.iter().flatten();
    let against = conditions.find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"))?;
    Some(Err(CredentialError::Denied {
        reason: against.reason.clone().unwrap_or_default(),
        message: against.message.clone().unwrap_or_default(),
    }))
}

/// Whether a certificate belongs to this machine: its name and, for a server's, its addresses.
fn is_of(credential: &Credential, machine: &Machine, kind: Kind) -> bool {
    use x509_parser::extensions::GeneralName;
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(credential.certificate.as_bytes()) else {
        return false;
    };
    let Ok(parsed) = pem.parse_x509() else { return false };
    let name = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok());
    let is_of_node = name.is_some_and(|name| name.ends_with(&format!(":{}", machine.node_name)));
    if kind != Kind::Serving {
        return is_of_node;
    }
    let names = parsed.subject_alternative_name().ok().flatten();
    let has = |ip: &IpAddr| {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .any(|name| matches!(name, GeneralName::IPAddress(bytes) if *bytes == octets.as_slice()))
    };
    is_of_node && machine.node_ips.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_serves_its_own_machine() {
        let directory = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let machine = |name: &str| Machine {
            node_name: name.to_owned(),
            node_ips: Vec::new(),
            directory: directory.path().join("agent"),
        };
        let key = machine("a").key(Kind::Node).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "system:node:a");
        params.not_before = time::OffsetDateTime::from_unix_timestamp(now.as_second()).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(now.as_second() + 600).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let credential = Credential::new(certificate.clone(), key.serialize_pem()).unwrap();
        machine("a").save(Kind::Node, &credential).unwrap();
        assert!(machine("a").load(Kind::Node, now).is_some());
        assert!(machine("b").load(Kind::Node, now).is_none());
        let later = now.saturating_add(SignedDuration::from_secs(600)).unwrap();
        assert!(machine("a").load(Kind::Node, later).is_none());
        // The machine keeps its key, with or without a valid certificate.
        let kept = machine("a").key(Kind::Node).unwrap();
        assert_eq!(kept.serialize_pem(), key.serialize_pem());
        let other = KeyPair::generate().unwrap().serialize_pem();
        assert!(Credential::new(certificate, other).is_none());
        use std::os::unix::fs::PermissionsExt;
        for entry in fs::read_dir(directory.path().join("agent")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
        }
    }
}
