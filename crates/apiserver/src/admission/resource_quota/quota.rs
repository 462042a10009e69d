//! A quota as it was stored.

use object::{Uid, Value, Versioned};
use semantics::View;
use semantics::quota::{Measure, ResourceList, Scope, scopes};

/// A quota of some version.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) version: u64,
    /// The limits in force: those in its status.
    pub(super) hard: ResourceList,
    /// What is used of them.
    pub(super) used: ResourceList,
    pub(super) scopes: Vec<Scope>,
    /// The whole object.
    object: Value,
}

impl Quota {
    /// Reads a version.
    pub(super) fn read(version: &Versioned) -> Quota {
        Quota::of(version.value())
    }

    /// Reads an object with its version.
    pub(super) fn of(object: Value) -> Quota {
        let list = |path: &str| ResourceList::read(object.at(path).as_field());
        Quota {
            name: object.str_at("metadata.name").to_owned(),
            uid: object.str_at("metadata.uid").into(),
            version: object.str_at("metadata.resourceVersion").parse().unwrap_or_default(),
            hard: list("status.hard"),
            used: list("status.used"),
            scopes: scopes(&object),
            object,
        }
    }

    /// Whether a stored quota limits something that objects of this kind use.
    pub(super) fn limits(version: &Versioned, measure: Measure<'_>) -> bool {
        version.tree().at("status.hard").entries().any(|(name, _)| measure.measures(name))
    }

    /// Whether it limits something that the object uses, and is for such objects.
    pub(super) fn covers(&self, measure: Measure<'_>, object: &Value) -> bool {
        self.hard.names().any(|name| measure.measures(name))
            && self.scopes.iter().all(|scope| measure.is_in(scope, object))
    }

    /// The object, with the current `used`.
    pub(super) fn to_value(&self) -> Value {
        let mut used = Value::map();
        for (name, amount) in self.used.iter() {
            used.set(name.to_owned(), amount.to_string());
        }
        let mut object = self.object.clone();
        object.entry("status").set("used", used);
        object
    }
}
