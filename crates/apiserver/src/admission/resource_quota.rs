//! ResourceQuota: the objects of a namespace use no more than its quotas allow (upstream:
//! `k8s.io/apiserver/pkg/admission/plugin/resourcequota`).
//!
//! | module | contents |
//! | --- | --- |
//! | `quota` | a quota as it was stored, read |
//! | `configuration` | the plugin's configuration document |
//! | `limited` | what may be used only where a quota limits it |
//! | `decide` | what a request is charged, or why it is refused; pure |
//! | `ledger` | charges the quotas of one namespace, many requests at once |
//!
//! It is the last plugin, and not a hook (`registry/hooks.rs`): hooks begin before validation, and what validation
//! refuses would have used up a quota for a moment in which others are refused. What it charges is the `status.used` of
//! the stored quota, by a conditional write, so that two servers cannot both give away what is left. A write that fails
//! after that gives its charge back ([`Taking`]).
//!
//! Besides this plugin, the quota controller writes `status.used`: it counts what is stored. An object whose quota is
//! charged and that is not stored yet would be missing from its count. So a change of a quota's status by anybody else
//! than this server waits until no write is in between. The controller sends such a change as a dry run first, counts
//! then, and writes its count on the condition that the quota has not changed.
//!
//! Quotas come from the watch cache, by namespace; a namespace without any costs one look there. Upstream asks the server
//! where its informer knows of none, because that may be far behind. This cache is not, and a new quota is not in force
//! anyway before the controller has written its status.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use clock::Clock;
use object::{Status, Value};
use parking_lot::Mutex;
use schema::GroupResource;
use semantics::quota::Measure;
use tokio::sync::OwnedRwLockReadGuard;

use super::{Attributes, Operation, Plugin, Reader, Taking, Writer};
use crate::user::NAME_SERVER;

mod configuration;
mod decide;
mod ledger;
mod limited;
mod quota;
#[cfg(test)]
mod tests;

pub use configuration::Config;

use decide::Request;
use ledger::{Charge, Ledger, Refusal, Server};
use limited::Limited;
use quota::Quota;

const QUOTAS: GroupResource<'static> = GroupResource::new("", "resourcequotas");
const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");
const DEVICE_CLAIMS: GroupResource<'static> = GroupResource::new("resource.k8s.io", "resourceclaims");
const SERVICES: GroupResource<'static> = GroupResource::new("", "services");
/// How many ledgers are kept until those that nobody uses are dropped.
const LEDGERS_MIN: usize = 256;

/// The plugin.
pub struct ResourceQuota {
    clock: Clock,
    limited: Arc<[Limited]>,
    ledgers: Mutex<Ledgers>,
}

/// The ledgers of namespaces with quotas.
#[derive(Default)]
struct Ledgers {
    by_namespace: HashMap<String, Arc<Ledger>>,
    /// How many there may be until the unused ones are dropped.
    max: usize,
}

impl ResourceQuota {
    /// The plugin, with the time and its configuration.
    pub fn new(clock: Clock, config: Config) -> ResourceQuota {
        ResourceQuota { clock, limited: config.limited.into(), ledgers: Mutex::default() }
    }

    fn ledger(&self, namespace: &str) -> Arc<Ledger> {
        let mut ledgers = self.ledgers.lock();
        if let Some(ledger) = ledgers.by_namespace.get(namespace) {
            return Arc::clone(ledger);
        }
        if ledgers.by_namespace.len() >= ledgers.max.max(LEDGERS_MIN) {
            // One that nobody uses holds nothing that the cache does not know.
            ledgers.by_namespace.retain(|_, ledger| Arc::strong_count(ledger) > 1);
            ledgers.max = 2 * ledgers.by_namespace.len();
        }
        let ledger = Arc::new(Ledger::new(namespace));
        ledgers.by_namespace.insert(namespace.to_owned(), Arc::clone(&ledger));
        ledger
    }

    /// Waits until no write is between its charge and its end.
    async fn settle(&self, namespace: &str) {
        let ledger = self.ledgers.lock().by_namespace.get(namespace).cloned();
        if let Some(ledger) = ledger {
            ledger.settle().await;
        }
    }
}

#[async_trait]
impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        if what.operation == Operation::Update && what.is_part(QUOTAS, "status") {
            if what.user.name != NAME_SERVER {
                self.settle(what.namespace).await;
            }
            return Ok(());
        }
        let Some(measure) = measure(what, object, old) else { return Ok(()) };
        let quotas = what.reader.in_namespace(QUOTAS, what.namespace);
        let is_limited = self.limited.iter().any(|rule| rule.concerns(measure));
        if quotas.is_empty() && !is_limited {
            return Ok(());
        }
        let ledger = self.ledger(what.namespace);
        // Also without a charge: the quota may come into force before this write ends.
        let in_flight = ledger.begin().await;
        let mut charges = Vec::new();
        if is_limited || quotas.iter().any(|quota| Quota::limits(quota, measure)) {
            let request = Request {
                group: measure.group().to_owned(),
                plural: measure.plural().to_owned(),
                object: object.clone(),
                old: old.clone(),
                is_status: what.subresource == "status",
                limited: Arc::clone(&self.limited),
                now: self.clock.now(),
            };
            let server = Server { reader: what.reader, writer: what.writer };
            let charged = match what.dry_run {
                true => ledger.check(&request, &server).await.map(|()| Vec::new()),
                false => ledger.charge(request, &server).await,
            };
            charges = charged.map_err(|refusal| match refusal {
                Refusal::Forbidden(why) => what.forbidden(&why),
                Refusal::Failed(status) => status,
            })?;
        }
        what.takings.add(Charged { ledger, charges, _in_flight: in_flight });
        Ok(())
    }
}

/// How the object of a request is counted; `None` if the request cannot change what a quota counts.
fn measure<'a>(what: &Attributes<'a>, object: &Value, old: &Value) -> Option<Measure<'a>> {
    if what.namespace.is_empty() || what.is(GroupResource::NAMESPACES) {
        return None;
    }
    let counts = match (what.operation, what.subresource) {
        (Operation::Create, "") => true,
        (Operation::Update, "") => [SERVICES, CLAIMS, DEVICE_CLAIMS].into_iter().any(|of| what.is(of)),
        (Operation::Update, "resize") => what.is_part(GroupResource::PODS, "resize"),
        (Operation::Update, "status") => what.is_part(CLAIMS, "status") && changes_claim(object, old),
        _ => false,
    };
    counts.then(|| Measure::of(what.resource.group, what.resource.plural)).flatten()
}

/// Whether the status of a claim changes what the claim counts for.
fn changes_claim(claim: &Value, old: &Value) -> bool {
    let differs = |path: &str| claim.at(path) != old.at(path);
    differs("status.allocatedResources")
        || differs("status.currentVolumeAttributesClassName")
        || differs("status.modifyVolumeStatus.targetVolumeAttributesClassName")
}

/// A write that has been charged and has not ended.
struct Charged {
    ledger: Arc<Ledger>,
    charges: Vec<Charge>,
    _in_flight: OwnedRwLockReadGuard<()>,
}

#[async_trait]
impl Taking for Charged {
    async fn end(self: Box<Self>, is_stored: bool, reader: &dyn Reader, writer: &dyn Writer) {
        if !is_stored && !self.charges.is_empty() {
            self.ledger.give_back(&self.charges, &Server { reader, writer }).await;
        }
    }
}
