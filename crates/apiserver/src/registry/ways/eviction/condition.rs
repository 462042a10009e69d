//! Conditions of objects of any kind.

use object::Value;

/// Sets a condition of an object. The time of its last transition stays while its status does.
pub(super) fn set_condition(object: &mut Value, mut condition: Value) {
    let conditions = object.entry("status").entry("conditions");
    let is_it = |other: &Value| other.str_at("type") == condition.str_at("type");
    let position = conditions.items().position(is_it);
    let old = position.and_then(|at| conditions.items().nth(at)).cloned().unwrap_or_default();
    if old.str_at("status") == condition.str_at("status") && !old.get("lastTransitionTime").is_null() {
        condition.set("lastTransitionTime", old.get("lastTransitionTime").clone());
    }
    match (conditions.as_list_mut(), position) {
        (Some(list), Some(position)) => list[position] = condition,
        (Some(list), None) => list.push(condition),
        (None, _) => *conditions = Value::from(vec![condition]),
    }
}
