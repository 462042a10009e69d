//! The ServiceAccount controller: every namespace has a service account `default`.

use std::sync::Arc;

use client::Informer;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use object::ObjectKey;

use crate::framework::{Action, Controller, Look, Plan, Wiring};

/// The name of the account that pods have unless they name another.
const DEFAULT: &str = "default";

pub(crate) struct ServiceAccountController {
    namespaces: Arc<Informer<Namespace>>,
    accounts: Arc<Informer<ServiceAccount>>,
}

/// The inputs of a decision about one namespace.
#[derive(Debug)]
pub(crate) struct Snapshot {
    namespace: Arc<Namespace>,
    account: Option<Arc<ServiceAccount>>,
}

impl Controller for ServiceAccountController {
    const NAME: &'static str = "service-account-controller";
    const ACCOUNT: &'static str = "service-account-controller";
    const QUEUE: &'static str = "serviceaccount";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> ServiceAccountController {
        let namespaces = wiring.informer::<Namespace>();
        let accounts = wiring.informer::<ServiceAccount>();
        wiring.wake_self(&namespaces);
        wiring.wake(&accounts, |change| {
            let gone = change.new.is_none() && &*change.key.name == DEFAULT;
            gone.then(|| ObjectKey::cluster(change.key.namespace()))
        });
        ServiceAccountController { namespaces, accounts }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let namespace = self.namespaces.get(key)?;
        let account = self.accounts.get(&ObjectKey::namespaced(&*key.name, DEFAULT));
        Some(Snapshot { namespace, account })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if snapshot.account.is_none() && !crate::namespace::is_ending(&snapshot.namespace) {
            let mut account = ServiceAccount::default();
            account.metadata.name = Some(DEFAULT.into());
            account.metadata.namespace.clone_from(&snapshot.namespace.metadata.name);
            plan.then(Action::create(account));
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::tests::namespace;

    #[test]
    fn a_live_namespace_has_its_account() {
        for (ending, there, creates) in [(false, false, true), (false, true, false), (true, false, false)] {
            let snapshot = Snapshot {
                namespace: Arc::new(namespace(ending)),
                account: there.then(|| Arc::new(ServiceAccount::default())),
            };
            let plan = ServiceAccountController::plan(&snapshot, Timestamp::UNIX_EPOCH);
            assert_eq!(!plan.is_empty(), creates);
            for action in plan.actions() {
                let meta = &action.object::<ServiceAccount>().unwrap().metadata;
                assert_eq!(
                    (meta.name.as_deref(), meta.namespace.as_deref()),
                    (Some("default"), Some("shop"))
                );
            }
        }
    }
}
