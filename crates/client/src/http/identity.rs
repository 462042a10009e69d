//! Certificates that are renewed while connections' owners live.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};

use crate::ClientError;

/// A certificate and its key, as shown to peers: by a client, or by a server. Each new connection shows the one of
/// that moment.
#[derive(Debug)]
pub struct Identity(RwLock<Arc<CertifiedKey>>);

impl Identity {
    /// An identity from PEM texts: the certificate, with those that lead to its authority behind it, and the key.
    ///
    /// # Errors
    /// [`ClientError::Config`] where they cannot be read or do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Arc<Identity>, ClientError> {
        Ok(Arc::new(Identity(RwLock::new(certified(certificate, key)?))))
    }

    /// Shows another certificate from now on.
    ///
    /// # Errors
    /// As [`Identity::from_pem`]; the old one stays then.
    pub fn replace(&self, certificate: &str, key: &str) -> Result<(), ClientError> {
        *self.0.write() = certified(certificate, key)?;
        Ok(())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

fn certified(certificate: &str, key: &str) -> Result<Arc<CertifiedKey>, ClientError> {
    let wrong = |error: rustls::Error| ClientError::Config(error.into());
    let chain = certificates(certificate)?;
    let key =
        PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| ClientError::Config(error.into()))?;
    let provider = rustls::crypto::ring::default_provider();
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider).map_err(wrong)?))
}

/// The certificates of a PEM text, of which there must be one at least.
///
/// # Errors
/// [`ClientError::Config`] where there is none, or one is damaged.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| ClientError::Config(error.into()))?;
    if certificates.is_empty() {
        return Err(ClientError::Config("there is no certificate in the text".into()));
    }
    Ok(certificates)
}

/// The TLS of a client that believes servers with a certificate of this authority (PEM) and shows its own identity,
/// if it has one.
///
/// # Errors
/// [`ClientError::Config`] where the authority cannot be used.
pub fn client_tls(authority: &str, identity: Option<Arc<Identity>>) -> Result<ClientConfig, ClientError> {
    let wrong = |error: rustls::Error| ClientError::Config(error.into());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(wrong)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(wrong)?.with_root_certificates(roots);
    Ok(match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    })
}
