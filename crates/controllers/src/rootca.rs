//! The root CA publisher: every namespace has a ConfigMap with the CA that signs the API server's certificate, which
//! pods mount along with their token.

use std::sync::Arc;

use client::{Informer, Selection};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use object::ObjectKey;

use crate::Config;
use crate::framework::{Action, Controller, Look, Plan, Wiring};

/// The name of the ConfigMap.
const NAME: &str = "kube-root-ca.crt";
/// The name of the certificate in it.
const ENTRY: &str = "ca.crt";
/// The description for users.
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "The CA certificates with which clients inside the cluster verify the API server. Do not rely on them \
        for anything else.",
);

pub(crate) struct RootCaPublisher {
    namespaces: Arc<Informer<Namespace>>,
    config_maps: Arc<Informer<ConfigMap>>,
    config: Arc<Config>,
}

/// The inputs of a decision about one namespace.
#[derive(Debug)]
pub(crate) struct Snapshot {
    namespace: Arc<Namespace>,
    present: Option<Arc<ConfigMap>>,
    root_ca: String,
}

impl Controller for RootCaPublisher {
    const NAME: &'static str = "root-ca-certificate-publisher";
    const ACCOUNT: &'static str = "root-ca-cert-publisher";
    const QUEUE: &'static str = "root_ca_cert_publisher";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> RootCaPublisher {
        let namespaces = wiring.informer::<Namespace>();
        let named = Selection::fields::<ConfigMap>(format!("metadata.name={NAME}"));
        let config_maps = wiring.selected::<ConfigMap>(named);
        wiring.wake_self(&namespaces);
        wiring.wake(&config_maps, |change| [ObjectKey::cluster(change.key.namespace())]);
        RootCaPublisher { namespaces, config_maps, config: Arc::clone(wiring.config()) }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let (Some(namespace), Some(root_ca)) = (self.namespaces.get(key), self.config.root_ca.clone()) else {
            return None;
        };
        let present = self.config_maps.get(&ObjectKey::namespaced(&*key.name, NAME));
        Some(Snapshot { namespace, present, root_ca })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if crate::namespace::is_ending(&snapshot.namespace) {
            return plan;
        }
        let mut wanted = snapshot.present.as_deref().cloned().unwrap_or_default();
        wanted.metadata.name = Some(NAME.into());
        wanted.metadata.namespace.clone_from(&snapshot.namespace.metadata.name);
        let (name, text) = DESCRIPTION;
        wanted.metadata.annotations.get_or_insert_default().insert(name.into(), text.into());
        wanted.data = Some([(ENTRY.to_owned(), snapshot.root_ca.clone())].into());
        match snapshot.present.as_deref() {
            None => plan.then(Action::create(wanted)),
            Some(present) if *present != wanted => plan.then(Action::update(wanted)),
            Some(_) => {}
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::tests::namespace;

    #[test]
    fn a_live_namespace_has_the_certificate() {
        let plan = |ending: bool, present: Option<ConfigMap>| {
            let snapshot = Snapshot {
                namespace: Arc::new(namespace(ending)),
                present: present.map(Arc::new),
                root_ca: "PEM".into(),
            };
            let plan = RootCaPublisher::plan(&snapshot, Timestamp::UNIX_EPOCH);
            plan.actions().first().and_then(|action| action.object::<ConfigMap>()).cloned()
        };
        let made = plan(false, None).unwrap();
        assert_eq!(
            (made.metadata.name.as_deref(), made.data.as_ref().unwrap()["ca.crt"].as_str()),
            (Some(NAME), "PEM")
        );
        assert_eq!(plan(false, Some(made.clone())), None);
        let mut tampered = made.clone();
        tampered.data.as_mut().unwrap().insert("ca.crt".into(), "evil".into());
        assert_eq!(plan(false, Some(tampered)), Some(made));
        assert_eq!(plan(true, None), None);
    }
}
