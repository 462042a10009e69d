//! Leader election: one of several candidates at a time leads, by holding a Lease.
//!
//! The protocol is client-go's `tools/leaderelection`, so that candidates of both kinds can share a Lease.
//! Time is measured locally: a Lease counts as abandoned when this candidate has seen it unchanged for its
//! duration, whatever its timestamps say.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use object::ObjectKey;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Client, ClientError};

/// A candidate.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The Lease that candidates compete for.
    pub lease: ObjectKey,
    /// This candidate's name, unlike all others': often the host's name and a UID.
    pub identity: String,
    /// The times.
    pub timing: Timing,
}

/// The times of an election.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long the others wait for a leader that has gone silent.
    pub lease_duration: Duration,
    /// How long a leader tries to renew before it gives up; shorter than the lease.
    pub renew_deadline: Duration,
    /// The pause between two tries.
    pub retry_period: Duration,
}

impl Default for Timing {
    /// The values of upstream's components: 15, 10 and 2 seconds.
    fn default() -> Timing {
        Timing {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// How a candidacy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was cancelled; the Lease is released.
    Cancelled,
    /// The Lease could not be renewed in time: another may lead by now. Upstream's components exit.
    Lost,
    /// The leader's work is finished; the Lease is released.
    Finished,
}

/// The last seen state of the Lease, and its time.
struct Observed {
    lease: Option<Lease>,
    since: Instant,
}

impl Candidate {
    /// Waits for the Lease, then runs `lead` and renews the Lease until it returns, the Lease is lost or `cancel` is
    /// cancelled. `lead` gets a token that is cancelled when it must stop; this waits for it to do so.
    pub async fn run<F>(
        &self,
        client: &Client,
        cancel: CancellationToken,
        lead: impl FnOnce(CancellationToken) -> F,
    ) -> Outcome
    where
        F: Future<Output = ()>,
    {
        let mut observed = Observed { lease: None, since: Instant::now() };
        if cancel.run_until_cancelled(self.acquire(client, &mut observed)).await.is_none() {
            return Outcome::Cancelled;
        }
        tracing::info!(lease = %self.lease, identity = self.identity, "became leader");
        let working = cancel.child_token();
        let mut work = std::pin::pin!(lead(working.clone()));
        let outcome = tokio::select! {
            // The work is notified too and may end at once: the cause comes before its effect.
            biased;
            () = cancel.cancelled() => Outcome::Cancelled,
            () = self.renew(client, &mut observed) => Outcome::Lost,
            () = &mut work => Outcome::Finished,
        };
        if outcome != Outcome::Finished {
            working.cancel();
            work.await;
        }
        match outcome {
            Outcome::Lost => tracing::error!(lease = %self.lease, "leader election lost"),
            _ => self.release(client, &mut observed).await,
        }
        outcome
    }

    /// Returns when this candidate holds the Lease.
    async fn acquire(&self, client: &Client, observed: &mut Observed) {
        loop {
            match self.try_hold(client, observed).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => report(&self.lease, &error),
            }
            tokio::time::sleep(self.jittered_retry(client)).await;
        }
    }

    /// Returns when the Lease was not renewed for the renew deadline, or another holds it.
    async fn renew(&self, client: &Client, observed: &mut Observed) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.retry_period).await;
            match tokio::time::timeout_at(
                renewed + self.timing.renew_deadline,
                self.try_hold(client, observed),
            )
            .await
            {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => report(&self.lease, &error),
                Err(_) => return,
            }
            if renewed.elapsed() >= self.timing.renew_deadline {
                return;
            }
        }
    }

    /// Takes or renews the Lease if it is free, abandoned or this candidate's.
    async fn try_hold(&self, client: &Client, observed: &mut Observed) -> Result<bool, ClientError> {
        let now = client.clock().now();
        let Some(mut lease) = client.find::<Lease>(&self.lease).await? else {
            let mut lease = Lease::default();
            lease.metadata.name = Some(self.lease.name.to_string());
            lease.metadata.namespace = self.lease.namespace.as_ref().map(ToString::to_string);
            self.claim(&mut lease, now, 0);
            return match client.create(&lease).await {
                Ok(lease) => {
                    observed.see(lease);
                    Ok(true)
                }
                Err(error) if error.is_already_exists() => Ok(false),
                Err(error) => Err(error),
            };
        };
        observed.see(lease.clone());
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let duration =
            spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        let expired = observed.since.elapsed() >= Duration::from_secs(duration);
        if !holder.is_empty() && holder != self.identity && !expired {
            return Ok(false);
        }
        if holder == self.identity {
            let acquired = spec.acquire_time;
            self.claim(&mut lease, now, spec.lease_transitions.unwrap_or(0));
            lease.spec.get_or_insert_default().acquire_time = acquired;
        } else {
            self.claim(&mut lease, now, spec.lease_transitions.unwrap_or(0) + 1);
        }
        match client.update(&lease).await {
            Ok(lease) => {
                observed.see(lease);
                Ok(true)
            }
            // Another candidate was faster; the next try will show which.
            Err(error) if error.is_conflict() => self.still_held(observed),
            Err(error) => Err(error),
        }
    }

    /// After a conflict: a leader continues until its deadline, because the next attempt decides.
    fn still_held(&self, observed: &Observed) -> Result<bool, ClientError> {
        let holder =
            observed.lease.as_ref().and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        if holder == Some(&self.identity) {
            return Err(ClientError::transport("renew the lease", "it was changed at the same time"));
        }
        Ok(false)
    }

    fn claim(&self, lease: &mut Lease, now: Timestamp, transitions: i32) {
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(self.timing.lease_duration.as_secs() as i32);
        spec.acquire_time = Some(MicroTime(now));
        spec.renew_time = Some(MicroTime(now));
        spec.lease_transitions = Some(transitions);
    }

    /// Releases the Lease, so that the next candidate need not wait.
    async fn release(&self, client: &Client, observed: &mut Observed) {
        let Some(mut lease) = observed.lease.take() else { return };
        let now = client.clock().now();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.acquire_time = Some(MicroTime(now));
        spec.renew_time = Some(MicroTime(now));
        // Without an answer the Lease simply expires.
        if let Ok(Err(error)) = tokio::time::timeout(self.timing.retry_period, client.update(&lease)).await {
            report(&self.lease, &error);
        }
    }

    /// The retry period, or up to 1.2 times longer on top, so that candidates do not meet.
    fn jittered_retry(&self, client: &Client) -> Duration {
        let spread = self.timing.retry_period.as_millis() as u64 * 12 / 10;
        self.timing.retry_period + Duration::from_millis(client.clock().random_below(spread))
    }
}

impl Observed {
    fn see(&mut self, lease: Lease) {
        if self.lease.as_ref().is_none_or(|old| old.spec != lease.spec) {
            self.since = Instant::now();
        }
        self.lease = Some(lease);
    }
}

fn report(lease: &ObjectKey, error: &ClientError) {
    tracing::warn!(%lease, error = error as &dyn std::error::Error, "cannot acquire or renew the lease");
}
