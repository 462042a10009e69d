//! The certificates of a server's own components, which it issues itself: stored in files, and renewed before they
//! expire.

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;

use apiserver::pki::{KeyedCertificate, Pki, PkiError, Wanted};
use clock::Clock;
use join::{Credential, keep_renewed};
use network::NodeAddresses;
use tls::Identity;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why a certificate cannot be kept or renewed.
#[derive(Debug, thiserror::Error)]
pub enum OwnCertificateError {
    /// It cannot be issued, or its files cannot be used.
    #[error(transparent)]
    Issue(#[from] PkiError),
    /// TLS cannot use it.
    #[error("cannot use a certificate")]
    Tls(#[from] rustls::Error),
    /// The files contain no certificate that matches the key.
    #[error("the certificate does not match its key")]
    Unfit,
}

/// The tasks that renew certificates, until they are stopped.
pub struct OwnCertificates<'t> {
    /// The issuer.
    pub pki: &'t Arc<Pki>,
    /// The addresses for which servers' certificates are valid.
    pub addresses: &'t NodeAddresses,
    /// Time and randomness.
    pub clock: &'t Clock,
    /// Stops the tasks.
    pub stop: &'t CancellationToken,
    /// The tracker of the renewal tasks.
    pub tasks: &'t mut JoinSet<()>,
}

impl OwnCertificates<'_> {
    /// Presents a server's certificate that is always valid for the current addresses, which `wanted` returns.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn show(
        &mut self,
        wanted: impl Fn() -> Wanted + Send + Sync + 'static,
    ) -> Result<Arc<Identity>, OwnCertificateError> {
        let changes = self.addresses.subscribe();
        let kept = self.pki.kept(&wanted())?;
        let identity = Identity::from_pem(&kept.certificate, &kept.key)?;
        self.spawn(wanted, Some(changes), kept, Arc::clone(&identity), |_| ())?;
        Ok(identity)
    }

    /// Renews a certificate that `identity` already presents; `renewed` is called each time.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn keep(
        &mut self,
        wanted: Wanted,
        kept: KeyedCertificate,
        identity: Arc<Identity>,
        renewed: impl Fn(&Credential) + Send + 'static,
    ) -> Result<(), OwnCertificateError> {
        self.spawn(move || wanted.clone(), None, kept, identity, renewed)
    }

    fn spawn(
        &mut self,
        wanted: impl Fn() -> Wanted + Send + Sync + 'static,
        changes: Option<watch::Receiver<Vec<IpAddr>>>,
        kept: KeyedCertificate,
        identity: Arc<Identity>,
        renewed: impl Fn(&Credential) + Send + 'static,
    ) -> Result<(), OwnCertificateError> {
        let first = Credential::new(kept.certificate, kept.key).ok_or(OwnCertificateError::Unfit)?;
        let (pki, clock, stop) = (Arc::clone(self.pki), self.clock.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let name = wanted().file;
            let renew = || ready(renew(&pki, &wanted(), &clock));
            let renewing = keep_renewed(&clock, name, first, &identity, changes, renew, renewed);
            stop.run_until_cancelled(renewing).await;
        });
        Ok(())
    }
}

fn renew(pki: &Pki, wanted: &Wanted, clock: &Clock) -> Result<Credential, OwnCertificateError> {
    let KeyedCertificate { certificate, key } = pki.renewed(wanted)?;
    Credential::issued(certificate, key, clock).ok_or(OwnCertificateError::Unfit)
}
