//! How many pods there should be: the sum of the scales of the controllers whose pods a budget selects.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Discovered, Informer, LeanPod, Object, ResourceType};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use object::ObjectKey;
use semantics::Controller as Owner;

use crate::framework::{Live, controller_of};

/// The sum of scales, or the first reason why it cannot be known.
pub(crate) type Expected = Result<Sum, String>;

/// The scales of all controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(super) pods: i32,
    /// Whether some of the selected pods have no controller.
    pub(super) leaves_out_unmanaged: bool,
}

/// The scale of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scale {
    uid: String,
    replicas: i32,
}

/// The controllers whose scales are known without asking.
pub(super) struct Scales {
    pub(super) replication_controllers: Arc<Informer<ReplicationController>>,
    pub(super) deployments: Arc<Informer<Deployment>>,
    pub(super) replica_sets: Arc<Informer<ReplicaSet>>,
    pub(super) stateful_sets: Arc<Informer<StatefulSet>>,
}

impl Scales {
    /// Adds up the scales of the controllers of `pods`; `None` while the server is asked for some of them.
    pub(super) fn sum(&self, pods: &[Arc<LeanPod>], live: &mut Live) -> Option<Expected> {
        let mut found: BTreeMap<String, i32> = BTreeMap::new();
        let mut sum = Sum::default();
        let mut owners: Vec<(&LeanPod, Owner<'_>)> = Vec::new();
        for pod in pods {
            match controller_of(&pod.metadata) {
                None => sum.leaves_out_unmanaged = true,
                Some(owner) if owners.iter().any(|(_, known)| known.uid == owner.uid) => {}
                Some(owner) => owners.push((pod, owner)),
            }
        }
        // All questions are asked at once.
        let scales: Vec<_> =
            owners.iter().map(|(pod, owner)| self.find(owner, pod.metadata.namespace(), live)).collect();
        for ((pod, _), scale) in owners.iter().zip(scales) {
            match scale? {
                Ok(Some(scale)) => drop(found.insert(scale.uid, scale.replicas)),
                Ok(None) => {
                    return Some(Err(format!("found no controllers for pod {:?}", pod.metadata.name())));
                }
                Err(why) => return Some(Err(why)),
            }
        }
        sum.pods = found.values().fold(0, |sum, replicas| sum.saturating_add(*replicas));
        Some(Ok(sum))
    }

    /// The scale of one controller; the innermost `None` means that it does not exist (any more).
    fn find(
        &self,
        owner: &Owner<'_>,
        namespace: &str,
        live: &mut Live,
    ) -> Option<Result<Option<Scale>, String>> {
        let key = ObjectKey::namespaced(namespace, owner.name);
        match self.cached(owner, &key) {
            Some(scale) => Some(Ok(Some(scale))),
            None => self.asked(owner, &key, live),
        }
    }

    /// The scale of a controller of a built-in kind, by the informers.
    fn cached(&self, owner: &Owner<'_>, key: &ObjectKey) -> Option<Scale> {
        match (owner.group(), owner.kind) {
            ("", "ReplicationController") => {
                let controller = known(&self.replication_controllers, key, owner.uid)?;
                Some(scale(&*controller, controller.spec.as_ref()?.replicas))
            }
            ("apps" | "extensions", "ReplicaSet") => {
                let replica_set = known(&self.replica_sets, key, owner.uid)?;
                match controller_of(&replica_set.metadata) {
                    Some(owner) if owner.kind == "Deployment" => {
                        let key = ObjectKey::namespaced(key.namespace(), owner.name);
                        let deployment = known(&self.deployments, &key, owner.uid)?;
                        Some(scale(&*deployment, deployment.spec.replicas))
                    }
                    _ => Some(scale(&*replica_set, replica_set.spec.replicas)),
                }
            }
            ("apps", "StatefulSet") => {
                let stateful_set = known(&self.stateful_sets, key, owner.uid)?;
                Some(scale(&*stateful_set, stateful_set.spec.replicas))
            }
            _ => None,
        }
    }

    /// The scale of any other controller, by its subresource `scale`.
    fn asked(
        &self,
        owner: &Owner<'_>,
        key: &ObjectKey,
        live: &mut Live,
    ) -> Option<Result<Option<Scale>, String>> {
        let served = live.served()?;
        let resource = match scaled_resource(owner, &served) {
            Ok(resource) => resource,
            Err(why) => return Some(Err(why)),
        };
        let Some(resource) = resource else { return Some(Ok(None)) };
        Some(match live.scale(&resource, key)? {
            Ok(scale) if scale.metadata.uid.as_deref() == Some(owner.uid) => {
                let replicas = scale.spec.as_ref().and_then(|spec| spec.replicas);
                Ok(Some(Scale { uid: owner.uid.to_owned(), replicas: replicas.unwrap_or(0) }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.is_missing => Ok(None),
            Err(error) => Err(error.why),
        })
    }
}

/// The object of this key, if it is still the one of this UID.
fn known<K: Object>(informer: &Informer<K>, key: &ObjectKey, uid: &str) -> Option<Arc<K>> {
    informer.get(key).filter(|object| object.metadata().uid.as_deref() == Some(uid))
}

fn scale<K: Object>(of: &K, replicas: Option<i32>) -> Scale {
    // What the API server stores has a default.
    Scale { uid: of.metadata().uid.clone().unwrap_or_default(), replicas: replicas.unwrap_or(1) }
}

/// The resource of a controller, if its objects have scales; `None` if none of them can be in a pod's namespace.
fn scaled_resource(owner: &Owner<'_>, served: &Discovered) -> Result<Option<ResourceType>, String> {
    let version = owner.api_version.rsplit('/').next().unwrap_or_default();
    let found = served.resources.iter().find(|served| {
        served.resource.kind == owner.kind
            && served.resource.group == owner.group()
            && served.versions.iter().any(|served| served == version)
    });
    let Some(found) = found else {
        return Err(format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version));
    };
    let ResourceType { group, plural, .. } = &found.resource;
    if !found.has_scale {
        let name = if group.is_empty() { plural.to_string() } else { format!("{plural}.{group}") };
        return Err(format!("{name} does not implement the scale subresource"));
    }
    Ok(found.namespaced.then(|| found.resource.clone()))
}

#[cfg(test)]
mod tests {
    use client::ServedResource;

    use super::*;

    fn served(
        group: &'static str,
        plural: &'static str,
        kind: &'static str,
        has_scale: bool,
    ) -> ServedResource {
        ServedResource {
            resource: ResourceType {
                group: group.into(),
                version: "v1".into(),
                plural: plural.into(),
                kind: kind.into(),
            },
            namespaced: kind != "Planet",
            verbs: vec!["get".to_owned()],
            versions: vec!["v1".to_owned(), "v1beta1".to_owned()],
            has_scale,
        }
    }

    #[test]
    fn only_resources_with_scales_count() {
        let resources = vec![
            served("batch", "jobs", "Job", false),
            served("", "nodes", "Node", false),
            served("example.com", "fleets", "Fleet", true),
            served("example.com", "planets", "Planet", true),
        ];
        let discovered = Discovered { resources, stale: Vec::new() };
        for (api_version, kind, expected) in [
            ("batch/v1", "Job", Err("jobs.batch does not implement the scale subresource")),
            ("v1", "Node", Err("nodes does not implement the scale subresource")),
            ("example.com/v1", "Fleet", Ok(Some("fleets"))),
            ("example.com/v1beta1", "Fleet", Ok(Some("fleets"))),
            ("example.com/v1", "Planet", Ok(None)),
            ("example.com/v2", "Fleet", Err("no matches for kind \"Fleet\" in version \"example.com/v2\"")),
            ("example.org/v1", "Fleet", Err("no matches for kind \"Fleet\" in version \"example.org/v1\"")),
        ] {
            let owner = Owner { api_version, kind, name: "x", uid: "u" };
            let found = scaled_resource(&owner, &discovered);
            let found = found.map(|resource| resource.map(|resource| resource.plural.to_string()));
            let expected = expected.map(|plural| plural.map(str::to_owned)).map_err(str::to_owned);
            assert_eq!(found, expected, "{api_version} {kind}");
        }
    }
}
