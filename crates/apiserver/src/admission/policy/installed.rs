//! The policies of a cluster with their bindings, read again where they have changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object::{FieldValues, TypeMeta, Value, Versioned};
use parking_lot::Mutex;
use schema::GroupResource;

use super::super::manifest::{Loaded, Source};
use super::super::{Attributes, Gate, Objects, Reader, is_exempt_from_policies, is_question};
use super::definition::{Binding, Policy};

const GROUP: &str = "admissionregistration.k8s.io";

/// A policy that is bound, with its bindings in the order of their names.
pub(super) struct Bound {
    pub(super) policy: Arc<Policy>,
    pub(super) bindings: Vec<Arc<Binding>>,
}

/// The policies for a request, in their order: those from files come first.
pub(super) struct AllBound {
    manifests: Option<Arc<Vec<Bound>>>,
    installed: Option<Arc<Vec<Bound>>>,
}

impl AllBound {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.manifests.iter().chain(&self.installed).flat_map(|bound| bound.iter())
    }
}

/// The policies of a kind.
pub(super) struct Installed {
    manifests: Option<Arc<Source<Vec<Bound>>>>,
    gate: Arc<Gate>,
    policies: GroupResource<'static>,
    bindings: GroupResource<'static>,
    read_policy: fn(&Versioned) -> Policy,
    read: Mutex<Read>,
    /// Whether policies were read that may be gone now.
    has_read: AtomicBool,
}

#[derive(Default)]
struct Read {
    of_policies: Objects,
    of_bindings: Objects,
    bound: Arc<Vec<Bound>>,
    /// By UID and version, with what was compiled of them.
    policies: HashMap<(String, u64), Arc<Policy>>,
    bindings: HashMap<(String, u64), Arc<Binding>>,
}

impl Installed {
    /// Until the gate is open, only those from files are evaluated.
    pub(super) fn new(
        (policies, bindings): (&'static str, &'static str),
        read_policy: fn(&Versioned) -> Policy,
        manifests: Option<Arc<Source<Vec<Bound>>>>,
        gate: Arc<Gate>,
    ) -> Installed {
        Installed {
            manifests,
            gate,
            policies: GroupResource::new(GROUP, policies),
            bindings: GroupResource::new(GROUP, bindings),
            read_policy,
            read: Mutex::default(),
            has_read: AtomicBool::new(false),
        }
    }

    /// The policies for a request that are bound, in their order; `None` if there are none. Those of the API are not about
    /// policies themselves.
    pub(super) fn bound(&self, what: &Attributes<'_>) -> Option<AllBound> {
        if is_question(what) {
            return None;
        }
        let manifests =
            self.manifests.as_ref().map(|source| source.current()).filter(|bound| !bound.is_empty());
        let concerns = !is_exempt_from_policies(what) && self.gate.is_open();
        let installed = if concerns { self.installed(what.reader) } else { None };
        let bound = AllBound { manifests, installed };
        Some(bound).filter(|bound| bound.manifests.is_some() || bound.installed.is_some())
    }

    /// Those of the API, in the order of their names.
    fn installed(&self, reader: &dyn Reader) -> Option<Arc<Vec<Bound>>> {
        let of_bindings = reader.all(self.bindings);
        // The way of almost every request: nothing is locked.
        if of_bindings.is_empty() && !self.has_read.load(Ordering::Acquire) {
            return None;
        }
        let of_policies = reader.all(self.policies);
        let mut read = self.read.lock();
        if !read.of_policies.ptr_eq(&of_policies) || !read.of_bindings.ptr_eq(&of_bindings) {
            *read = self.read(of_policies, of_bindings, &read);
            self.has_read.store(!read.bound.is_empty(), Ordering::Release);
        }
        Some(Arc::clone(&read.bound)).filter(|bound| !bound.is_empty())
    }

    fn read(&self, of_policies: Objects, of_bindings: Objects, before: &Read) -> Read {
        let mut by_policy: HashMap<Box<str>, Vec<Arc<Binding>>> = HashMap::new();
        let mut all_bindings = HashMap::new();
        for object in of_bindings.values() {
            let known = before.bindings.get(&version(object)).cloned();
            let binding = known.unwrap_or_else(|| Arc::new(Binding::read(&object.tree())));
            by_policy.entry(binding.policy.clone()).or_default().push(Arc::clone(&binding));
            all_bindings.insert(version(object), binding);
        }
        let (mut policies, mut bound) = (HashMap::new(), Vec::new());
        for object in of_policies.values() {
            let Some(bindings) = by_policy.remove(object.name()) else { continue };
            let key = version(object);
            let known = before.policies.get(&key).cloned();
            let policy = known.unwrap_or_else(|| Arc::new((self.read_policy)(object)));
            policies.insert(key, Arc::clone(&policy));
            bound.push(Bound { policy, bindings });
        }
        Read { of_policies, of_bindings, bound: Arc::new(bound), policies, bindings: all_bindings }
    }
}

/// The policies of manifests that are bound.
pub(super) fn of_manifests(loaded: &Loaded, read_policy: fn(&Versioned) -> Policy) -> Vec<Bound> {
    let bindings: Vec<Arc<Binding>> =
        loaded.bindings.iter().map(|binding| Arc::new(Binding::read(binding))).collect();
    let bound = loaded.objects.iter().map(|policy| {
        let own = bindings.iter().filter(|binding| *binding.policy == *policy.str_at("metadata.name"));
        Bound { policy: Arc::new(read_policy(&versioned(policy))), bindings: own.cloned().collect() }
    });
    bound.filter(|bound| !bound.bindings.is_empty()).collect()
}

/// A policy of a manifest, which has no version.
fn versioned(policy: &Value) -> Versioned {
    let mut policy = policy.clone();
    policy.entry("metadata").remove("resourceVersion");
    let kind = TypeMeta::new(policy.str_at("apiVersion"), policy.str_at("kind"));
    Versioned::from_value(kind, &policy, FieldValues::default())
        .expect("only a resource version can be wrong, and there is none")
}

/// What tells a version of an object from all others.
fn version(object: &Versioned) -> (String, u64) {
    (object.uid().as_str().to_owned(), object.resource_version())
}
