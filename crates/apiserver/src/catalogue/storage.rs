//! The keys of objects in the store: upstream's layout below `/registry/`, so that each program can read an etcd that
//! the other has written.

use schema::{ResourceDef, Verb};

/// How a resource is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The path below `/registry/`.
    pub path: &'static str,
    /// The group of the stored objects.
    pub group: &'static str,
    /// Their version.
    pub version: &'static str,
    /// Their resource.
    pub plural: &'static str,
}

/// How a resource is stored; `None` if it is not.
pub fn storage_of(def: &'static ResourceDef) -> Option<Storage> {
    let stored = def.verbs.contains(&Verb::List) && def.verbs.contains(&Verb::Create);
    let own = Storage { path: &def.plural, group: &def.group, version: &def.version, plural: &def.plural };
    let storage = match (&*def.group, &*def.plural) {
        ("", "services") => Storage { path: "services/specs", ..own },
        ("", "endpoints") => Storage { path: "services/endpoints", ..own },
        ("", "nodes") => Storage { path: "minions", ..own },
        ("", "replicationcontrollers") => Storage { path: "controllers", ..own },
        // Events are served twice over one collection, and so are autoscalers.
        ("events.k8s.io", "events") => Storage { group: "", version: "v1", ..own },
        ("autoscaling", "horizontalpodautoscalers") => Storage { version: "v2", ..own },
        ("networking.k8s.io", "ingresses") => Storage { path: "ingress", ..own },
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            Storage { path: "apiextensions.k8s.io/customresourcedefinitions", ..own }
        }
        ("apiregistration.k8s.io", "apiservices") => {
            Storage { path: "apiregistration.k8s.io/apiservices", ..own }
        }
        _ => own,
    };
    stored.then_some(storage)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn no_two_kinds_share_a_place() {
        let mut seen: HashMap<&str, Storage> = HashMap::new();
        for def in schema::resources() {
            let Some(storage) = storage_of(def) else { continue };
            let first = *seen.entry(storage.path).or_insert(storage);
            assert_eq!(first, storage, "{}/{}", def.group, def.plural);
            // A list of one prefix must not include objects of another.
            let is_below = |other: &&str| other.starts_with(&format!("{}/", storage.path));
            assert_eq!(seen.keys().find(|other| is_below(other)), None, "{}", storage.path);
        }
    }
}
