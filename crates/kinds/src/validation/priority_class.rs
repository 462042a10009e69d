//! PriorityClasses (`pkg/apis/scheduling/validation`).

use object::Value;
use object::field::Errors;

use super::field::Field;

const CLASS: &str = "io.k8s.api.scheduling.v1.PriorityClass";
/// The highest priority that people can give.
const USER_MAX: i64 = 1_000_000_000;
/// What names of the system's own classes begin with.
const SYSTEM: &str = "system-";
/// The system's own classes.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// Checks a PriorityClass, its metadata aside.
pub fn validate_priority_class(class: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    let value = root.child("value");
    let metadata = root.child("metadata");
    let name = metadata.child("name");
    if name.text().starts_with(SYSTEM) {
        if let Err(why) = check_system(class, name.text()) {
            let reserved = "priority class names with 'system-' prefix are reserved for system use only";
            name.forbidden(&mut errors, format!("{reserved}. error: {why}"));
        }
    } else if value.number() > USER_MAX {
        let why = format!("maximum allowed value of a user defined priority is {USER_MAX}");
        value.forbidden(&mut errors, why);
    }
    let policy = root.child("preemptionPolicy");
    if policy.is_set() {
        policy.check_one_of(&mut errors, &["PreemptLowerPriority", "Never"]);
    }
    errors
}

/// A class of the system is just as the system makes it.
fn check_system(class: &Value, name: &str) -> Result<(), String> {
    let Some((_, value)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) else {
        return Err(format!("{name} is not a known system priority class"));
    };
    if class.get("value").as_i64().unwrap_or_default() != *value {
        return Err(format!("value of {name} PriorityClass must be {value}"));
    }
    if class.get("globalDefault").as_bool() == Some(true) {
        return Err(format!("globalDefault of {name} PriorityClass must be false"));
    }
    Ok(())
}

/// Checks a change of a PriorityClass, its metadata aside: what pods got from it stays true.
pub fn validate_priority_class_update(class: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    let value = root.child("value");
    if value.number() != old.get("value").as_i64().unwrap_or_default() {
        value.forbidden(&mut errors, "may not be changed in an update.");
    }
    root.child("preemptionPolicy").check_immutable(&mut errors, old.get("preemptionPolicy"));
    errors
}
