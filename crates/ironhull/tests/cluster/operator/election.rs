//! Leader election by a Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::program::{Failure, Place};

/// How long a leader that is gone is waited for.
const LEASE_SECONDS: i32 = 6;
/// How often the leader renews, and the others look.
const EVERY: Duration = Duration::from_secs(1);

/// Held by the leader.
pub struct Leadership {
    leases: Api<Lease>,
    lease: Lease,
}

fn leases(client: &Client, place: &Place) -> Api<Lease> {
    Api::namespaced(client.clone(), &place.namespace)
}

fn now() -> MicroTime {
    #[expect(clippy::disallowed_methods, reason = "it runs in a pod, by the machine's clock")]
    let now = std::time::SystemTime::now();
    MicroTime(Timestamp::try_from(now).expect("the clock shows a year that has four digits"))
}

fn is_free(spec: &LeaseSpec) -> bool {
    let duration = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    let is_over = |renewed: &MicroTime| now().0.as_second() - renewed.0.as_second() > duration;
    spec.holder_identity.as_deref().unwrap_or_default().is_empty()
        || spec.renew_time.as_ref().is_none_or(is_over)
}

/// Waits until this pod leads.
pub async fn acquire(client: &Client, place: &Place) -> Result<Leadership, Failure> {
    let leases = leases(client, place);
    loop {
        let taken = match leases.get_opt(&place.name).await? {
            None => {
                let lease = Lease {
                    metadata: ObjectMeta { name: Some(place.name.clone()), ..ObjectMeta::default() },
                    spec: Some(taken(
                        LeaseSpec { lease_transitions: Some(-1), ..LeaseSpec::default() },
                        place,
                    )),
                };
                leases.create(&PostParams::default(), &lease).await
            }
            Some(mut lease) => {
                let spec = lease.spec.take().unwrap_or_default();
                if !is_free(&spec) {
                    tokio::time::sleep(EVERY).await;
                    continue;
                }
                lease.spec = Some(taken(spec, place));
                leases.replace(&place.name, &PostParams::default(), &lease).await
            }
        };
        match taken {
            Ok(lease) => return Ok(Leadership { leases, lease }),
            // Another one was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn taken(spec: LeaseSpec, place: &Place) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(place.pod.clone()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        acquire_time: Some(now()),
        renew_time: Some(now()),
        lease_transitions: Some(spec.lease_transitions.unwrap_or_default() + 1),
        ..spec
    }
}

impl Leadership {
    /// Keeps the Lease, and returns an error once it is lost.
    pub async fn renew(mut self) -> Result<(), Failure> {
        loop {
            tokio::time::sleep(EVERY).await;
            let name = self.lease.metadata.name.clone().unwrap_or_default();
            self.lease.spec.get_or_insert_default().renew_time = Some(now());
            self.lease = self.leases.replace(&name, &PostParams::default(), &self.lease).await?;
        }
    }
}

/// Gives the Lease up, if this pod holds it, so that the next leader need not wait.
pub async fn release(client: &Client, place: &Place) -> Result<(), Failure> {
    let leases = leases(client, place);
    let Some(mut lease) = leases.get_opt(&place.name).await? else { return Ok(()) };
    if let Some(spec) = &mut lease.spec
        && spec.holder_identity.as_deref() == Some(&place.pod)
    {
        spec.holder_identity = Some(String::new());
        leases.replace(&place.name, &PostParams::default(), &lease).await?;
        println!("gave the lease up");
    }
    Ok(())
}
