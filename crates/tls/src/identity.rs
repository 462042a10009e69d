//! Certificates that can be renewed while the program runs.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, SignatureScheme};

use crate::{certificates, private_key};

/// A certificate and its key, as shown to peers: by a client, or by a server. Each new connection presents the current
/// one.
#[derive(Debug)]
pub struct Identity(RwLock<Arc<CertifiedKey>>);

impl Identity {
    /// An identity from PEM texts: the certificate, followed by those that lead to its authority, and the key.
    ///
    /// # Errors
    /// If they cannot be read or do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Arc<Identity>, Error> {
        Ok(Arc::new(Identity(RwLock::new(certified(certificate, key)?))))
    }

    /// Shows another certificate from now on.
    ///
    /// # Errors
    /// As [`Identity::from_pem`]; the old one stays then.
    pub fn replace(&self, certificate: &str, key: &str) -> Result<(), Error> {
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

fn certified(certificate: &str, key: &str) -> Result<Arc<CertifiedKey>, Error> {
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(certificates(certificate)?, private_key(key)?, &provider)?;
    Ok(Arc::new(certified))
}
