//! The certificates of a server's own parts, which it issues itself: kept in files, and renewed before they end.

use std::future::ready;
use std::sync::Arc;

use apiserver::pki::{KeyedCertificate, Pki, PkiError, Wanted};
use clock::Clock;
use tls::Identity;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::credential::{Credential, CredentialError, keep_renewed};

/// What keeps certificates until it is to stop.
pub struct OwnCertificates<'t> {
    /// Issues them.
    pub pki: &'t Arc<Pki>,
    /// Time and randomness.
    pub clock: &'t Clock,
    /// Ends the tasks.
    pub stop: &'t CancellationToken,
    /// Where the renewals run.
    pub tasks: &'t mut JoinSet<()>,
}

impl OwnCertificates<'_> {
    /// Shows a certificate, always one that holds.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn show(&mut self, wanted: Wanted) -> anyhow::Result<Arc<Identity>> {
        let kept = self.pki.kept(&wanted)?;
        let identity = Identity::from_pem(&kept.certificate, &kept.key)?;
        self.keep(wanted, kept, Arc::clone(&identity), |_| ())?;
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
        let first = Credential::new(kept.certificate, kept.key).ok_or(CredentialError::Unfit)?;
        let (pki, clock, stop) = (Arc::clone(self.pki), self.clock.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let renew = || ready(renew(&pki, &wanted, &clock));
            let renewing = keep_renewed(&clock, wanted.file, first, &identity, renew, renewed);
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
