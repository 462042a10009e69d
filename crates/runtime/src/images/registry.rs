//! Talking to registries (OCI distribution, Docker registry v2).

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use futures::StreamExt;
use oci_client::Reference;
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol, SizedStream};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;

use super::error::PullFailure;
use super::manifest::{Descriptor, MANIFEST_BYTES_MAX, MANIFEST_TYPES};
use crate::digest::Digest;
use cri::{AuthConfig, PullErrorKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a registry may stay silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a transfer may break off before it counts as failed.
const ATTEMPTS_MAX: u32 = 5;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// A connection to the registry of one image.
pub(super) struct Registry {
    client: oci_client::Client,
    reference: Reference,
    auth: RegistryAuth,
}

impl Registry {
    /// Makes a client with these credentials. Registries of the loopback interface and those in `insecure`
    /// (`host` or `host:port`) are spoken to without TLS.
    pub(super) fn new(
        reference: &Reference,
        auth: Option<&AuthConfig>,
        insecure: &[String],
    ) -> Result<Registry, PullFailure> {
        // The process has one provider; if another caller installed it first, it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let protocol = if is_insecure(reference.resolve_registry(), insecure) {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("ironhull/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = oci_client::Client::try_from(config)
            .map_err(|error| PullFailure::new(PullErrorKind::Local, causes::chain(&error)))?;
        Ok(Registry { client, reference: reference.clone(), auth: registry_auth(auth)? })
    }

    /// Gets a token, if the registry requires one.
    pub(super) async fn log_in(&self, operation: oci_client::RegistryOperation) -> Result<(), PullFailure> {
        self.client
            .auth(&self.reference, &self.auth, operation)
            .await
            .map(drop)
            .map_err(|error| self.failure("failed to authorize", &error))
    }

    /// The manifest or index that the name refers to, and its digest.
    pub(super) async fn resolve(&self) -> Result<(Bytes, Digest), PullFailure> {
        self.manifest(&self.reference).await
    }

    /// The manifest that a descriptor points to.
    pub(super) async fn manifest_of(&self, descriptor: &Descriptor) -> Result<Bytes, PullFailure> {
        let reference = self.reference.clone_with_digest(descriptor.digest.to_string());
        Ok(self.manifest(&reference).await?.0)
    }

    async fn manifest(&self, reference: &Reference) -> Result<(Bytes, Digest), PullFailure> {
        let what = format!("failed to resolve reference {:?}", reference.whole());
        let mut attempt = 0;
        let (bytes, _) = loop {
            attempt += 1;
            match self.client.pull_manifest_raw(reference, &self.auth, &MANIFEST_TYPES).await {
                Ok(answer) => break answer,
                Err(error) if attempt < ATTEMPTS_MAX && is_temporary(&error) => wait(attempt).await,
                Err(error) => return Err(self.failure(&what, &error)),
            }
        };
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(PullFailure::corrupt(format!("{what}: the manifest is larger than allowed")));
        }
        let digest = Digest::of(&bytes);
        match reference.digest() {
            Some(expected) if expected != digest.as_str() => Err(PullFailure::corrupt(format!(
                "{what}: wrong digest of the manifest: expected {expected}, found {digest}"
            ))),
            _ => Ok((bytes, digest)),
        }
    }

    /// A small blob.
    pub(super) async fn small_blob(
        &self,
        descriptor: &Descriptor,
        bytes_max: u64,
    ) -> Result<Vec<u8>, PullFailure> {
        if descriptor.size > bytes_max {
            return Err(PullFailure::corrupt(format!("{} is larger than allowed", descriptor.digest)));
        }
        let mut content = Vec::new();
        self.blob(descriptor, &mut content, |_| {}).await?;
        Ok(content)
    }

    /// Copies a blob, verifying size and digest, and resumes after interruptions. `progress` gets the number of bytes
    /// received.
    pub(super) async fn blob(
        &self,
        descriptor: &Descriptor,
        output: &mut (impl tokio::io::AsyncWrite + Unpin),
        mut progress: impl FnMut(u64),
    ) -> Result<(), PullFailure> {
        let mut transfer = Transfer { descriptor, hasher: Sha256::new(), received: 0 };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let before = transfer.received;
            let result = match self.blob_stream(descriptor, before).await {
                Ok(stream) => transfer.copy(stream, output, &mut progress).await,
                Err(error) => Err(Broken {
                    temporary: is_temporary(&error),
                    failure: self.failure(&format!("failed to copy {}", descriptor.digest), &error),
                }),
            };
            match result {
                Ok(()) => break,
                // A transfer that moves on may break off as often as it likes.
                Err(broken) if broken.temporary && transfer.received > before => attempt = 0,
                Err(broken) if broken.temporary && attempt < ATTEMPTS_MAX => {}
                Err(broken) => return Err(broken.failure),
            }
            wait(attempt).await;
        }
        let found = Digest::finish(transfer.hasher);
        if found != descriptor.digest {
            return Err(PullFailure::corrupt(format!(
                "wrong digest: expected {}, found {found}",
                descriptor.digest
            )));
        }
        output.flush().await.map_err(local)
    }

    async fn blob_stream(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<SizedStream, OciDistributionError> {
        self.client.store_auth_if_needed(self.reference.resolve_registry(), &self.auth).await;
        let digest = descriptor.digest.as_str();
        if offset == 0 {
            return self.client.pull_blob_stream(&self.reference, digest).await;
        }
        match self.client.pull_blob_stream_partial(&self.reference, digest, offset, None).await? {
            BlobResponse::Partial(stream) => Ok(stream),
            BlobResponse::Full(mut full) => {
                full.stream = skip(full.stream, offset);
                Ok(full)
            }
        }
    }

    /// Uploads a blob, unless the registry has it.
    pub(super) async fn push_blob(&self, content: Bytes, digest: &Digest) -> Result<(), PullFailure> {
        self.client.store_auth_if_needed(self.reference.resolve_registry(), &self.auth).await;
        // If this check fails, the upload will report the problem.
        if self.client.blob_exists(&self.reference, digest.as_str()).await.unwrap_or(false) {
            return Ok(());
        }
        self.client
            .push_blob(&self.reference, content, digest.as_str())
            .await
            .map(drop)
            .map_err(|error| self.failure("failed to upload", &error))
    }

    /// Uploads a manifest or index under a name of the same repository.
    pub(super) async fn push_manifest(
        &self,
        name: &Reference,
        content: Vec<u8>,
        media_type: &str,
    ) -> Result<(), PullFailure> {
        let media_type = media_type
            .parse()
            .map_err(|_| PullFailure::corrupt("the media type is not a valid header value"))?;
        self.client
            .push_manifest_raw(name, content, media_type)
            .await
            .map(drop)
            .map_err(|error| self.failure("failed to upload the manifest", &error))
    }

    fn failure(&self, what: &str, error: &OciDistributionError) -> PullFailure {
        let kind = kind_of(error);
        let name = self.reference.whole();
        let reason = match kind {
            PullErrorKind::NotFound => format!("{what}: {name}: not found"),
            PullErrorKind::Unauthorized => format!(
                "{what}: pull access denied, repository does not exist or may require authorization: {}",
                causes::chain(error)
            ),
            _ => format!("{what}: {}", causes::chain(error)),
        };
        PullFailure { kind, reason }
    }
}

/// A blob on its way.
struct Transfer<'a> {
    descriptor: &'a Descriptor,
    hasher: Sha256,
    received: u64,
}

struct Broken {
    temporary: bool,
    failure: PullFailure,
}

impl Transfer<'_> {
    async fn copy(
        &mut self,
        mut stream: SizedStream,
        output: &mut (impl tokio::io::AsyncWrite + Unpin),
        progress: &mut impl FnMut(u64),
    ) -> Result<(), Broken> {
        let digest = &self.descriptor.digest;
        let broken = |temporary, kind, reason: String| {
            Err(Broken { temporary, failure: PullFailure::new(kind, reason) })
        };
        while let Some(chunk) = stream.stream.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(_) if self.received == self.descriptor.size => break,
                Err(error) => {
                    let reason = format!("failed to copy {digest}: {}", causes::chain(&error));
                    return broken(true, PullErrorKind::RegistryUnavailable, reason);
                }
            };
            if chunk.len() as u64 > self.descriptor.size - self.received {
                let reason = format!("{digest} is larger than its manifest says");
                return broken(false, PullErrorKind::Corrupt, reason);
            }
            self.received += chunk.len() as u64;
            self.hasher.update(&chunk);
            if let Err(error) = output.write_all(&chunk).await {
                return Err(Broken { temporary: false, failure: local(error) });
            }
            progress(chunk.len() as u64);
        }
        if self.received < self.descriptor.size {
            let reason = format!("{digest} ended after {} of {} bytes", self.received, self.descriptor.size);
            return broken(true, PullErrorKind::Corrupt, reason);
        }
        Ok(())
    }
}

type ByteStream = futures::stream::BoxStream<'static, Result<Bytes, std::io::Error>>;

/// The stream without its first bytes, for registries that do not know ranges.
fn skip(stream: ByteStream, mut count: u64) -> ByteStream {
    stream
        .filter_map(move |chunk| {
            let chunk = chunk.map(|mut chunk| {
                let cut = usize::try_from(count).unwrap_or(usize::MAX).min(chunk.len());
                count -= cut as u64;
                chunk.split_off(cut)
            });
            std::future::ready(Some(chunk))
        })
        .boxed()
}

async fn wait(attempt: u32) {
    tokio::time::sleep(RETRY_DELAY * 2_u32.saturating_pow(attempt.saturating_sub(1))).await;
}

fn local(error: std::io::Error) -> PullFailure {
    PullFailure::new(PullErrorKind::Local, format!("failed to write the download: {error}"))
}

fn is_insecure(registry: &str, insecure: &[String]) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
        || insecure.iter().any(|name| name == registry || name == host)
}

fn registry_auth(auth: Option<&AuthConfig>) -> Result<RegistryAuth, PullFailure> {
    let Some(auth) = auth else { return Ok(RegistryAuth::Anonymous) };
    let unauthorized = |reason: &str| PullFailure::new(PullErrorKind::Unauthorized, reason);
    if !auth.registry_token.is_empty() {
        return Ok(RegistryAuth::Bearer(auth.registry_token.clone()));
    }
    if !auth.identity_token.is_empty() {
        return Err(unauthorized("credentials in the form of an identity token are not supported"));
    }
    if !auth.username.is_empty() {
        return Ok(RegistryAuth::Basic(auth.username.clone(), auth.password.clone()));
    }
    if auth.auth.is_empty() {
        return Ok(RegistryAuth::Anonymous);
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(&auth.auth)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((user, password)) => {
            Ok(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned()))
        }
        None => Err(unauthorized("the credentials are not base64 of user:password")),
    }
}

fn is_temporary(error: &OciDistributionError) -> bool {
    match error {
        // Connection refused, or no such host: that does not change within seconds.
        OciDistributionError::RequestError(error) => !error.is_connect() && !error.is_builder(),
        OciDistributionError::ServerError { code, .. } => *code >= 500,
        OciDistributionError::IoError(_) => true,
        _ => false,
    }
}

fn kind_of(error: &OciDistributionError) -> PullErrorKind {
    use OciDistributionError as E;
    match error {
        E::RegistryError { envelope, .. } => {
            envelope.errors.first().map_or(PullErrorKind::Corrupt, |error| match error.code {
                OciErrorCode::BlobUnknown
                | OciErrorCode::ManifestUnknown
                | OciErrorCode::NameUnknown
                | OciErrorCode::NotFound => PullErrorKind::NotFound,
                OciErrorCode::Unauthorized | OciErrorCode::Denied => PullErrorKind::Unauthorized,
                OciErrorCode::Toomanyrequests => PullErrorKind::TooManyRequests,
                OciErrorCode::NameInvalid => PullErrorKind::InvalidName,
                _ => PullErrorKind::Corrupt,
            })
        }
        E::ImageManifestNotFoundError(_) => PullErrorKind::NotFound,
        E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => PullErrorKind::Unauthorized,
        E::ServerError { code, .. } => match code {
            404 => PullErrorKind::NotFound,
            401 | 403 => PullErrorKind::Unauthorized,
            429 => PullErrorKind::TooManyRequests,
            _ => PullErrorKind::RegistryUnavailable,
        },
        E::RequestError(_) | E::IoError(_) => PullErrorKind::RegistryUnavailable,
        _ => PullErrorKind::Corrupt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_left_out_for_loopback_and_listed_registries_only() {
        let insecure = ["registry.lan:5000".to_owned(), "plain.lan".to_owned()];
        for registry in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000"] {
            assert!(is_insecure(registry, &insecure), "{registry}");
        }
        for registry in ["registry.lan:5000", "plain.lan", "plain.lan:80"] {
            assert!(is_insecure(registry, &insecure), "{registry}");
        }
        for registry in ["registry.lan", "index.docker.io", "128.0.0.1:5000", "localhost.evil.org", "[::2]:1"]
        {
            assert!(!is_insecure(registry, &insecure), "{registry}");
        }
    }

    #[test]
    fn credentials_take_many_forms() {
        let auth = |auth: AuthConfig| registry_auth(Some(&auth));
        let basic = RegistryAuth::Basic("me".to_owned(), "pass:word".to_owned());
        let encoded = base64::engine::general_purpose::STANDARD.encode("me:pass:word\0");
        assert_eq!(auth(AuthConfig { auth: encoded, ..AuthConfig::default() }).unwrap(), basic);
        let plain = AuthConfig {
            username: "me".to_owned(),
            password: "pass:word".to_owned(),
            ..AuthConfig::default()
        };
        assert_eq!(auth(plain).unwrap(), basic);
        assert_eq!(auth(AuthConfig::default()).unwrap(), RegistryAuth::Anonymous);
        let broken = AuthConfig { auth: "!".to_owned(), ..AuthConfig::default() };
        assert_eq!(auth(broken).unwrap_err().kind, PullErrorKind::Unauthorized);
    }

    #[tokio::test]
    async fn skips_what_it_has() {
        let chunks = ["abc", "def", "g"].map(|text| Ok(Bytes::from_static(text.as_bytes())));
        let rest: Vec<_> = skip(futures::stream::iter(chunks).boxed(), 4).collect().await;
        let rest: Vec<u8> = rest.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
        assert_eq!(rest, b"efg");
    }
}
