//! The certificates of a server's own parts, which it issues itself: kept in files, and renewed before they end.

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;

use apiserver::pki::{KeyedCertificate, Pki, PkiError, Wanted};
use clock::Clock;
use tls::Identity;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::NodeAddresses;
use crate::agent::credential::{Credential, CredentialError, keep_renewed};

/// What keeps certificates until it is to stop.
pub struct OwnCertificates<'t> {
    /// Issues them.
    pub pki: &'t Arc<Pki>,
    /// The addresses for which servers' certificates are good.
    pub addresses: &'t NodeAddresses,
    /// Time and randomness.
    pub clock: &'t Clock,
    /// Ends the tasks.
    pub stop: &'t CancellationToken,
    /// Where the renewals run.
    pub tasks: &'t mut JoinSet<()>,
}

impl OwnCertificates<'_> {
    /// Shows a server's certificate, always one that holds and is good for the addresses of the moment: `wanted` says which
    /// that is.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn show(
        &mut self,
        wanted: impl Fn() -> Wanted + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Identity>> {
        let changes = self.addresses.subscribe();
        let kept = self.pki.kept(&wanted())?;
        let identity = Identity::from_pem(&kept.certificate, &kept.key)?;
        self.spawn(wanted, Some(changes), kept, Arc::clone(&identity), |_| ())?;
        Ok(identity)
    }

    /// Renews a certificate that `identity` shows already; `renewed` is told each time.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn keep(
        &mut self,
        wanted: Wanted,
        kept: KeyedCertificate,
        identity: Arc<Identity>,
        renewed: impl Fn(&Credential) + Send + 'static,
    ) -> anyhow::Result<()> {
        self.spawn(move || wanted.clone(), None, kept, identity, renewed)
    }

    fn spawn(
        &mut self,
        wanted: impl Fn() -> Wanted + Send + Sync + 'static,
        changes: Option<watch::Receiver<Vec<IpAddr>>>,
        kept: KeyedCertificate,
        identity: Arc<Identity>,
        renewed: impl Fn(&Credential) + Send + 'static,
    ) -> anyhow::Result<()> {
        let first = Credential::new(kept.certificate, kept.key).ok_or(CredentialError::Unfit)?;
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

fn renew(pki: &Pki, wanted: &Wanted, clock: &Clock) -> Result<Credential, CredentialError> {
    let made: Result<KeyedCertificate, PkiError> = pki.renewed(wanted);
    let KeyedCertificate { certificate, key } = made?;
    Credential::issued(certificate, key, clock).ok_or(CredentialError::Unfit)
}
