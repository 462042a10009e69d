//! The managers of `scale`: those of one field of the object, which has another path there.

use crate::FieldSet;
use crate::element::Element;
use crate::managers::{Entry, Managers};

/// The version of the API in which a scale's fields are named.
const SCALE: &str = "autoscaling/v1";

fn path() -> [Element; 2] {
    [Element::field("spec"), Element::field("replicas")]
}

fn only(path: &[Element]) -> FieldSet {
    let mut set = FieldSet::default();
    set.insert(path);
    set
}

/// The managers of the number of replicas, as those of a scale. `replicas` is the path to it in the object.
pub fn to_scale(managers: &Managers, replicas: &[Element]) -> Managers {
    let of_replicas = managers.0.iter().filter(|entry| entry.fields.contains(replicas));
    let as_scale =
        |entry: &Entry| Entry { api_version: SCALE.to_owned(), fields: only(&path()), ..entry.clone() };
    Managers(of_replicas.map(as_scale).collect())
}

/// The managers of an object after those of its scale are these. New ones name the object's fields in `api_version`.
pub fn from_scale(managers: Managers, scale: Managers, replicas: &[Element], api_version: &str) -> Managers {
    let is_same = |a: &Entry, b: &Entry| {
        (&a.manager, a.operation, &a.subresource) == (&b.manager, b.operation, &b.subresource)
    };
    let mut scale = scale.0;
    let mut left = Vec::with_capacity(managers.0.len() + 1);
    for mut entry in managers.0 {
        if entry.fields.contains(replicas) {
            match scale.iter().position(|other| is_same(other, &entry)) {
                Some(at) => {
                    entry.time = scale.remove(at).time;
                }
                None => {
                    entry.fields = std::mem::take(&mut entry.fields).difference(&only(replicas));
                }
            }
        }
        left.push(entry);
    }
    let new = scale.into_iter().filter(|entry| entry.fields.contains(&path()));
    left.extend(new.map(|entry| Entry {
        api_version: api_version.to_owned(),
        fields: only(replicas),
        ..entry
    }));
    let mut managers = Managers(left);
    managers.settle();
    managers
}
