//! A certificate with its key, and its renewal before it expires, independent of the issuer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};
use tls::Identity;
use tokio::sync::watch;

use crate::token::hex;

/// The shortest and the longest pause after a renewal that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// The longest sleep at once: the machine's clock may be set in the meantime.
const SLEEP_MAX: Duration = Duration::from_secs(600);

/// A certificate with its key (PEM).
#[derive(Clone)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// The key; a secret.
    pub key: String,
    /// When it was issued, as far as that is known. The validity begins a little earlier, even for short lifetimes.
    begin: Timestamp,
    not_after: Timestamp,
}

impl Credential {
    /// Reads a certificate; `None` if it cannot be used with the key.
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

    /// When to renew the certificate: after 70 % of its lifetime, plus a number of thousandths.
    pub(crate) fn end_of_use(&self, thousandths: u64) -> Timestamp {
        let life = self.not_after.duration_since(self.begin).as_secs();
        let share = 700 + i64::try_from(thousandths).unwrap_or(200).min(200);
        let used = SignedDuration::from_secs(life / 1000 * share + life % 1000 * share / 1000);
        self.begin.saturating_add(used).unwrap_or(self.not_after)
    }

    /// When the certificate expires.
    pub(crate) fn ends(&self) -> Timestamp {
        self.not_after
    }

    /// The identity presented to peers.
    ///
    /// # Errors
    /// Where TLS cannot use it.
    pub fn identity(&self) -> Result<Arc<Identity>, rustls::Error> {
        Identity::from_pem(&self.certificate, &self.key)
    }

    /// Identifies the key: SHA-256 of its public half (SubjectPublicKeyInfo), in hexadecimal digits.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn key_digest(&self) -> Result<String, rcgen::Error> {
        Ok(hex(&Sha256::digest(KeyPair::from_pem(&self.key)?.subject_public_key_info())))
    }
}

/// Renews a certificate repeatedly, each time between 70 and 90 % of its lifetime (upstream's jitter), and presents the
/// new one; at once, if the addresses that it is valid for change (`addresses`). `renew` requests it from the issuer;
/// `renewed` is called after each renewal. `name` is for the log.
pub async fn keep_renewed<R, F, E>(
    clock: &Clock,
    name: &str,
    mut credential: Credential,
    identity: &Identity,
    mut addresses: Option<watch::Receiver<Vec<IpAddr>>>,
    mut renew: R,
    renewed: impl Fn(&Credential),
) where
    R: FnMut() -> F,
    F: Future<Output = Result<Credential, E>>,
    E: std::error::Error + From<rustls::Error> + 'static,
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
        // Also for certificates with a very short lifetime: there must be a pause between requests.
        tokio::time::sleep(RETRY.0).await;
    }
}

/// Waits for a change, forever if there cannot be one.
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

    use rcgen::CertificateParams;

    use super::*;

    /// A self-signed certificate for a key, valid from `now`.
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
            // Certificates begin at whole seconds, and a failed attempt is retried.
            assert!((419..=551).contains(&age), "renewed at the age of {age} s");
            // Every other try fails.
            failures.set(failures.get() + 1);
            let result = if failures.get() % 2 == 1 {
                Err(rustls::Error::General("refused".to_owned()))
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
}
