//! Controllers and what they own: a controller owns the objects whose controller reference names it, adopts orphans
//! that its selector matches, and releases objects that it no longer matches.

use std::sync::Arc;

use client::{Change, Form, Informer, Object, Patch, ResourceType, key_of, version_of};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::{ObjectKey, Selector};
use semantics::{View, controller_of};
use serde_json::{Value, json};

use super::{Action, Plan};

/// The key of an object's controller, if that is an `O`.
pub(crate) fn owner_key<O: Object>(meta: &dyn View) -> Option<ObjectKey> {
    let owner = controller_of(meta)?;
    (owner.kind == O::KIND && owner.group() == O::GROUP)
        .then(|| ObjectKey::namespaced(meta.field("namespace").text(), owner.name))
}

/// The keys that a change of an object wakes: its owner, before and after, if that is an `O`; for an orphan all objects
/// that could adopt it.
pub(crate) fn woken_by_owned<O: Object, K: Form>(
    owners: &Informer<O>,
    change: &Change<K>,
    selector: impl Fn(&O) -> Selector,
) -> Vec<ObjectKey> {
    let mut keys: Vec<_> = change.states().filter_map(|state| owner_key::<O>(state.meta())).collect();
    if let Some(orphan) = &change.new
        && controller_of(orphan.meta()).is_none()
        && !orphan.meta().field("labels").is_absent()
    {
        let candidates = owners.in_namespace(change.key.namespace());
        let adopting = candidates.iter().filter(|owner| selector(owner).matches(orphan.labels()));
        keys.extend(adopting.map(|owner| key_of(&**owner)));
    }
    keys
}

/// A reference that makes `owner` the controller of the object that contains it.
pub(crate) fn controller_reference<O: Object>(owner: &O) -> OwnerReference {
    let meta = owner.metadata();
    OwnerReference {
        api_version: O::API_VERSION.to_owned(),
        kind: O::KIND.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A controller's claim to the objects that its selector matches.
pub(crate) struct Claim<'a, O> {
    /// The controller.
    pub(crate) owner: &'a O,
    /// Its selector.
    pub(crate) selector: &'a Selector,
}

/// The result of a claim.
pub(crate) struct Claimed<K> {
    /// The objects that the controller owns and selects.
    pub(crate) owned: Vec<Arc<K>>,
    /// Adoptions and releases. If there are any, they are carried out before anything else is decided.
    pub(crate) changes: Plan,
}

impl<O: Object> Claim<'_, O> {
    /// Claims among `objects` of the owner's namespace. Of orphans only those that are `adoptable` are adopted.
    pub(crate) fn claim<K: Form>(&self, objects: &[Arc<K>], adoptable: impl Fn(&K) -> bool) -> Claimed<K> {
        self.take(objects, |_| true, adoptable, None)
    }

    /// Claims only objects that are `fitting` in addition to what the selector says; others are released.
    pub(crate) fn claim_if<K: Form>(
        &self,
        objects: &[Arc<K>],
        fitting: impl Fn(&K) -> bool,
        adoptable: impl Fn(&K) -> bool,
    ) -> Claimed<K> {
        self.take(objects, fitting, adoptable, None)
    }

    /// Claims as [`claim`](Self::claim) does; what is adopted gets this finalizer too, and what is released loses it.
    pub(crate) fn claim_with<K: Form>(
        &self,
        objects: &[Arc<K>],
        adoptable: impl Fn(&K) -> bool,
        finalizer: Option<&str>,
    ) -> Claimed<K> {
        self.take(objects, |_| true, adoptable, finalizer)
    }

    fn take<K: Form>(
        &self,
        objects: &[Arc<K>],
        fitting: impl Fn(&K) -> bool,
        adoptable: impl Fn(&K) -> bool,
        finalizer: Option<&str>,
    ) -> Claimed<K> {
        let mine = self.owner.metadata();
        let dying = mine.deletion_timestamp.is_some();
        let (mut owned, mut adopted, mut released) = (Vec::new(), Vec::new(), Vec::new());
        for object in objects {
            let selected = self.selector.matches(object.labels()) && fitting(object);
            match controller_of(object.meta()) {
                Some(owner) if Some(owner.uid) != mine.uid.as_deref() => {}
                Some(_) if selected => owned.push(Arc::clone(object)),
                Some(_) if !dying => released.push(self.release(&**object, finalizer)),
                None if selected && !dying && !object.is_deleting() && adoptable(object) => {
                    adopted.push(self.adopt(&**object, finalizer));
                }
                Some(_) | None => {}
            }
        }
        let mut changes = Plan::default();
        changes.together(released);
        if !adopted.is_empty() {
            changes.then(self.verify());
            changes.together(adopted);
        }
        Claimed { owned, changes }
    }

    /// The cache may be stale, and an owner that is being deleted must not adopt.
    fn verify(&self) -> Action {
        Action::Verify {
            resource: ResourceType::of::<O>(),
            key: key_of(self.owner),
            uid: self.owner.metadata().uid.clone().unwrap_or_default(),
        }
    }

    fn adopt<K: Form>(&self, object: &K, finalizer: Option<&str>) -> Action {
        let mut owners = object.owners().to_vec();
        owners.push(controller_reference(self.owner));
        match finalizer {
            Some(finalizer) => merge(object, json!({"ownerReferences": owners, "finalizers": [finalizer]})),
            None => set_owners(object, &owners),
        }
    }

    fn release<K: Form>(&self, object: &K, finalizer: Option<&str>) -> Action {
        let uid = self.owner.metadata().uid.as_ref();
        if let Some(finalizer) = finalizer {
            let removed = json!({
                "ownerReferences": [{"$patch": "delete", "uid": uid}],
                "$deleteFromPrimitiveList/finalizers": [finalizer],
            });
            return merge(object, removed);
        }
        let mut owners = object.owners().to_vec();
        owners.retain(|owner| Some(&owner.uid) != uid);
        set_owners(object, &owners)
    }
}

/// Replaces an object's owners, unless it has changed since it was read or has been replaced.
fn set_owners<K: Form>(object: &K, owners: &[OwnerReference]) -> Action {
    patch(
        object,
        Patch::Merge(json!({"metadata": {
            "uid": object.uid(), "resourceVersion": version_of(object), "ownerReferences": owners,
        }})),
    )
}

/// Changes parts of lists in an object's metadata under the same conditions.
fn merge<K: Form>(object: &K, mut changes: Value) -> Action {
    changes["uid"] = json!(object.uid());
    changes["resourceVersion"] = json!(version_of(object));
    patch(object, Patch::Strategic(json!({"metadata": changes})))
}

fn patch<K: Form>(object: &K, patch: Patch) -> Action {
    Action::Patch { resource: ResourceType::of::<K>(), key: key_of(object), subresource: "", patch }
}
