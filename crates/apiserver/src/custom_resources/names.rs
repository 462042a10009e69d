//! The names of resources within a group: each belongs to one definition, the first that asked for it.

use std::collections::HashSet;

use kinds::custom_resource_definition::set_condition;
use object::{Value, value};

use super::is_true;

/// The names that the definitions of a group have been given.
struct Taken<'a> {
    resources: HashSet<&'a str>,
    kinds: HashSet<&'a str>,
}

impl<'a> Taken<'a> {
    fn by(others: &'a [Value]) -> Taken<'a> {
        let mut taken = Taken { resources: HashSet::new(), kinds: HashSet::new() };
        for names in others.iter().map(|other| other.at("status.acceptedNames")) {
            taken.resources.extend([names.str_at("plural"), names.str_at("singular")]);
            taken.resources.extend(names.get("shortNames").items().filter_map(Value::as_str));
            taken.kinds.extend([names.str_at("kind"), names.str_at("listKind")]);
        }
        taken
    }
}

/// Gives a definition the names that it asks for, as far as none of the `others` has them; whether its status has
/// changed.
pub(super) fn accept(definition: &mut Value, others: &[Value], time: &str) -> bool {
    let (wanted, accepted) = (definition.at("spec.names"), definition.at("status.acceptedNames"));
    if wanted == accepted {
        return false;
    }
    let before = definition.get("status").clone();
    let mut names = accepted.clone();
    if names.as_map().is_none() {
        names = Value::map();
    }
    let mut refused = None;
    let taken = Taken::by(others);
    for (member, among, reason) in [
        ("plural", &taken.resources, "PluralConflict"),
        ("singular", &taken.resources, "SingularConflict"),
        ("shortNames", &taken.resources, "ShortNamesConflict"),
        ("kind", &taken.kinds, "KindConflict"),
        ("listKind", &taken.kinds, "ListKindConflict"),
    ] {
        let message = match wanted.get(member) {
            Value::String(name) => conflict([&**name], accepted.str_at(member), among),
            list => {
                let own: HashSet<&str> = accepted.get(member).items().filter_map(Value::as_str).collect();
                let new = list.items().filter_map(Value::as_str).filter(|name| !own.contains(name));
                conflict(new, "", among)
            }
        };
        match message {
            Some(message) => refused = Some((reason, message)),
            None => set_or_remove(&mut names, member, wanted.get(member)),
        }
    }
    set_or_remove(&mut names, "categories", wanted.get("categories"));
    let is_accepted = refused.is_none();
    let (status, reason, message) = match refused {
        Some((reason, message)) => ("False", reason, message),
        None => ("True", "NoConflicts", "no conflicts found".to_owned()),
    };
    definition.entry("status").set("acceptedNames", names);
    let condition = value!({"type": "NamesAccepted", "status": status, "reason": reason, "message": message});
    set_condition(definition, condition, time.into());
    installing(definition, is_accepted, time);
    definition.get("status") != &before
}

fn set_or_remove(names: &mut Value, member: &'static str, value: &Value) {
    if value.is_null() {
        names.remove(member);
    } else {
        names.set(member, value.clone());
    }
}

/// What is wrong with names that somebody else has; `None` if they are free, or the one that is `accepted` already.
fn conflict<'n>(
    names: impl IntoIterator<Item = &'n str>,
    accepted: &str,
    taken: &HashSet<&str>,
) -> Option<String> {
    let used = names.into_iter().filter(|name| *name != accepted && taken.contains(name));
    let messages: Vec<String> = used.map(|name| format!("{name:?} is already in use")).collect();
    match messages.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// A definition that is not established says why; one that is stays so.
fn installing(definition: &mut Value, is_accepted: bool, time: &str) {
    if is_true(definition, "Established") {
        return;
    }
    let is_new =
        !definition.at("status.conditions").items().any(|other| other.str_at("type") == "Established");
    let (reason, message) = match is_accepted {
        true => ("Installing", "the initial names have been accepted"),
        false if is_new => ("NotAccepted", "not all names are accepted"),
        false => return,
    };
    let condition = value!({"type": "Established", "status": "False", "reason": reason, "message": message});
    set_condition(definition, condition, time.into());
}

/// Says that a definition is not served because the webhook of its conversion cannot be recognized, if that is so.
pub(super) fn distrust(definition: &mut Value, time: &str) {
    if !is_true(definition, "NamesAccepted") || kinds::validation::conversion_can_be_trusted(definition) {
        return;
    }
    let condition = value!({
        "type": "Established", "status": "False", "reason": "InvalidCABundle",
        "message": "The conversion webhook CABundle is invalid"
    });
    set_condition(definition, condition, time.into());
}

/// Says that a definition is served.
pub(super) fn establish(definition: &mut Value, time: &str) {
    if !is_true(definition, "Established") && is_true(definition, "NamesAccepted") {
        let condition = value!({
            "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted"
        });
        set_condition(definition, condition, time.into());
    }
}
