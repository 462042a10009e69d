//! The certificates of a node: asked for by signing requests, kept in files, renewed before they end.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apiserver::pki::write_secret;
use client::{Client, ClientError, ResourceType, WatchEvent, WatchOptions, key_of};
use clock::Clock;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, SanType};
use sha2::{Digest, Sha256};
use tls::Identity;
use tokio::sync::watch;

use super::token::hex;

/// How long a request may wait for its certificate.
const ISSUED_WITHIN: Duration = Duration::from_secs(60);
/// How far the clocks of this machine and of the server may differ: certificates begin so long in the past.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);
/// The shortest and the longest pause after a renewal that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// The longest sleep at once: the machine's clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(600);

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
    /// Where the files are.
    pub directory: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The API server refuses the request, or cannot be asked.
    #[error("cannot ask for a certificate")]
    Api(#[from] ClientError),
    /// The request was denied.
    #[error("the server gives this machine no certificate ({reason}): {message}")]
    Denied {
        /// For programs.
        reason: String,
        /// For people.
        message: String,
    },
    /// Nobody approved or signed.
    #[error(
        "the server has not signed the request {name} within {} s: `kubectl describe csr {name}` tells its state, and \
         the server's controllers must run",
        ISSUED_WITHIN.as_secs()
    )]
    Late {
        /// The request.
        name: String,
    },
    /// The clocks differ.
    #[error(
        "this machine's clock and the server's differ by {} s, which is too much for certificates to hold: set them \
         right",
        .0.as_secs()
    )]
    Skew(SignedDuration),
    /// A key or a request cannot be made.
    #[error("cannot make a key or a signing request")]
    Key(#[from] rcgen::Error),
    /// TLS cannot use the certificate.
    #[error("cannot show a certificate")]
    Tls(#[from] rustls::Error),
    /// A file cannot be written.
    #[error("cannot keep a certificate")]
    File(#[from] apiserver::pki::PkiError),
    /// The directory cannot be made.
    #[error("cannot make the directory of certificates")]
    Directory(#[source] std::io::Error),
    /// The answer is no certificate.
    #[error("the server's answer does not contain a certificate that matches the key")]
    Unfit,
}

/// A certificate with its key (PEM).
#[derive(Clone)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// The key; a secret.
    pub key: String,
    /// When its life began: when it was issued, as far as that is known. Certificates themselves begin a little earlier,
    /// those of short lives too.
    begin: Timestamp,
    not_after: Timestamp,
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

    /// The certificate of the file, unless it is past its end, another node's, or there is none.
    pub fn load(&self, kind: Kind, now: Timestamp) -> Option<Credential> {
        let certificate = fs::read_to_string(self.path(kind, "crt")).ok()?;
        let key = fs::read_to_string(self.path(kind, "key")).ok()?;
        let credential = Credential::new(certificate, key)?;
        (credential.not_after > now && credential.fits(self, kind)).then_some(credential)
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

/// The certificate, or why there is none; `None` while that is open.
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

impl Credential {
    /// Reads a certificate; `None` where it cannot be used with the key.
    pub fn new(certificate: String, key: String) -> Option<Credential> {
        let pair = KeyPair::from_pem(&key).ok()?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).ok()?;
        let parsed = pem.parse_x509().ok()?;
        if parsed.public_key().raw != pair.subject_public_key_info() {
            return None;
        }
        let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let (begin, not_after) = (at(parsed.validity().not_before)?, at(parsed.validity().not_after)?);
        Some(Credential { certificate, key, begin, not_after })
    }

    /// As [`Credential::new`], of one that was issued just now.
    pub fn issued(certificate: String, key: String, clock: &Clock) -> Option<Credential> {
        let credential = Credential::new(certificate, key)?;
        let begin = clock.now().clamp(credential.begin, credential.not_after);
        Some(Credential { begin, ..credential })
    }

    /// Whether the certificate is of this machine: its name and, where it serves, its addresses.
    fn fits(&self, machine: &Machine, kind: Kind) -> bool {
        use x509_parser::extensions::GeneralName;
        let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(self.certificate.as_bytes()) else {
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

    /// When the certificate is to be renewed: after 70 % of its life, and so many thousandths of it later.
    fn end_of_use(&self, thousandths: u64) -> Timestamp {
        let life = self.not_after.duration_since(self.begin).as_secs();
        let share = 700 + i64::try_from(thousandths).unwrap_or(200).min(200);
        let used = SignedDuration::from_secs(life / 1000 * share + life % 1000 * share / 1000);
        self.begin.saturating_add(used).unwrap_or(self.not_after)
    }

    /// What is shown to peers.
    ///
    /// # Errors
    /// Where TLS cannot use it.
    pub fn identity(&self) -> Result<Arc<Identity>, rustls::Error> {
        Identity::from_pem(&self.certificate, &self.key)
    }

    /// Names the key: SHA-256 of its public half (SubjectPublicKeyInfo), in hexadecimal digits.
    ///
    /// # Errors
    /// Where the key cannot be read.
    pub fn key_digest(&self) -> Result<String, CredentialError> {
        Ok(hex(&Sha256::digest(KeyPair::from_pem(&self.key)?.subject_public_key_info())))
    }
}

/// Renews a certificate again and again, each time between 70 and 90 % of its life (upstream's jitter), and shows the
/// new one; at once, where what it is good for changes (`addresses`). `renew` asks for it; `renewed` is told after each
/// renewal. `name` is for the log.
pub async fn keep_renewed<R, F>(
    clock: &Clock,
    name: &str,
    mut credential: Credential,
    identity: &Identity,
    mut addresses: Option<watch::Receiver<Vec<IpAddr>>>,
    mut renew: R,
    renewed: impl Fn(&Credential),
) where
    R: FnMut() -> F,
    F: Future<Output = Result<Credential, CredentialError>>,
{
    loop {
        tokio::select! {
            () = sleep_until(clock, credential.end_of_use(clock.random_below(200))) => {}
            () = changed(&mut addresses) => {}
        }
        let mut pause = RETRY.0;
        credential = loop {
            let result = match renew().await {
                Ok(new) => identity.replace(&new.certificate, &new.key).map(|()| new).map_err(Into::into),
                Err(error) => Err(error),
            };
            match result {
                Ok(new) => break new,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(name, error, ends = %credential.not_after, "cannot renew a certificate yet");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY.1),
                () = changed(&mut addresses) => pause = RETRY.0,
            }
        };
        tracing::info!(name, ends = %credential.not_after, "a certificate was renewed");
        renewed(&credential);
        // Also where certificates hardly live: nobody is to be asked without a pause.
        tokio::time::sleep(RETRY.0).await;
    }
}

/// Waits for a change, for ever where there is none to come.
async fn changed(addresses: &mut Option<watch::Receiver<Vec<IpAddr>>>) {
    if let Some(addresses) = addresses
        && addresses.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn sleep_until(clock: &Clock, end: Timestamp) {
    loop {
        let left = Duration::try_from(end.duration_since(clock.now())).unwrap_or_default();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLEEP_MAX)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A certificate of its own for a key, from `now` on.
    fn issue(key: &KeyPair, now: Timestamp, seconds: i64) -> Credential {
        let at = |second| time::OffsetDateTime::from_unix_timestamp(second).unwrap();
        let mut params = CertificateParams::default();
        params.not_before = at(now.as_second());
        params.not_after = at(now.as_second() + seconds);
        let certificate = params.self_signed(key).unwrap().pem();
        Credential::new(certificate, key.serialize_pem()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_are_renewed_in_the_last_third_of_their_lives() {
        let clock = Clock::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap());
        let key = KeyPair::generate().unwrap();
        let first = issue(&key, clock.now(), 600);
        let identity = first.identity().unwrap();
        let newest = RefCell::new(first.clone());
        let (renewals, failures) = (Cell::new(0), Cell::new(0));
        let renew = || {
            let age = clock.now().duration_since(newest.borrow().begin).as_secs();
            // Certificates begin at whole seconds, and a try that fails is made again.
            assert!((419..=551).contains(&age), "renewed at the age of {age} s");
            // Every other try fails.
            failures.set(failures.get() + 1);
            let result = if failures.get() % 2 == 1 {
                Err(CredentialError::Late { name: "r".to_owned() })
            } else {
                *newest.borrow_mut() = issue(&key, clock.now(), 600);
                Ok(newest.borrow().clone())
            };
            async { result }
        };
        let renewed = |_: &Credential| renewals.set(renewals.get() + 1);
        let renewing = keep_renewed(&clock, "test", first, &identity, None, renew, renewed);
        assert!(tokio::time::timeout(Duration::from_secs(3600), renewing).await.is_err());
        assert!((6..=8).contains(&renewals.get()), "{} renewals in an hour", renewals.get());
        assert_eq!(failures.get() / 2, renewals.get());
    }

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
        // The key stays the machine's, with or without a certificate that holds.
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
