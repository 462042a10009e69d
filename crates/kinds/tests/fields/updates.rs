//! Every field of a valid object is changed to another valid value by an update.
//!
//! `updates.txt` says what comes of it: the change is accepted (`changes`), refused with this error, or left out of what is
//! stored, because it is for another endpoint (`kept`). A field is in it only if another valid value was found among those
//! that a field of its type can have.

use std::collections::BTreeSet;

use object::decode::decode_value;
use object::{Value, value};
use schema::{FieldType, ResourceDef, TypeRef};

use super::*;

/// Other values that a field of this type may have, and those that other objects of the resource have there.
fn likely(leaf: &Leaf, valid: &Value, others: &[Value]) -> Vec<Value> {
    let number = valid.as_i64().unwrap_or(0);
    let mut values = match &leaf.field.ty {
        FieldType::String => texts(valid.as_str().unwrap_or_default()),
        FieldType::Bool => value!([(valid.as_bool() != Some(true))]),
        FieldType::Int32 | FieldType::Int64 => value!([(number + 1), (number - 1), (2 * number)]),
        FieldType::IntOrString => match valid.as_i64() {
            Some(number) => value!([(number + 1), "25%", "other"]),
            None => value!(["35%", "other", 1]),
        },
        FieldType::Quantity => value!(["3", "3Gi", "300m"]),
        FieldType::Time | FieldType::MicroTime => value!(["2031-02-03T04:05:06Z", "2001-02-03T04:05:06Z"]),
        FieldType::Duration => value!(["77s"]),
        FieldType::Bytes => value!(["b3RoZXI=", "AAAA"]),
        _ => value!([]),
    };
    let of_others =
        others.iter().filter_map(|object| Some(at_path(object, &find(object, &leaf.path)?).clone()));
    let mut all: Vec<Value> = of_others.chain(values.items_mut().map(Value::take)).collect();
    all.push(Value::Null);
    all.retain(|value| value != valid);
    all
}

/// Texts like this one.
fn texts(valid: &str) -> Value {
    let (longer, shorter) = (format!("{valid}x"), valid.get(1..).unwrap_or_default());
    let last = valid.char_indices().next_back().map_or(0, |(at, _)| at);
    let other_last = |c: char| format!("{}{c}", &valid[..last]);
    let front = format!("x{valid}");
    value!([longer, front, (other_last('7')), (other_last('f')), shorter, "other", "10.9.8.7", "10.9.0.0/16"])
}

/// The objects that are stored before and after an update of the part at `path`, and what is wrong with it.
fn update(
    def: &ResourceDef,
    valid: &Value,
    changed: &Value,
    path: &[Step],
) -> Option<(Value, Value, Errors)> {
    let strategy = kinds::strategy(&def.group, &def.plural);
    let decode = |object: &Value| Some(decode_value(object.clone(), &def.ty).ok()?.value);
    let (mut old, mut new) = (decode(valid)?, decode(changed)?);
    for object in [&mut old, &mut new] {
        strategy.default(object);
    }
    let errors = if path.first() == Some(&member("status")) && strategy.has_status() {
        strategy.prepare_status_update(&mut new, &old);
        strategy.validate_status_update(&new, &old)
    } else if path.get(1) == Some(&member("ephemeralContainers")) {
        strategy.validate_part_update("ephemeralcontainers", &new, &old)
    } else {
        strategy.prepare_update(&mut new, &old);
        strategy.validate_update(&new, &old)
    };
    Some((old, new, errors))
}

/// The line of a field; none if no other valid value is known for it.
fn line(def: &ResourceDef, leaf: &Leaf, objects: &[Value]) -> Option<String> {
    let place = text(&leaf.path, false);
    let (valid, at) = objects.iter().find_map(|object| Some((object, find(object, &leaf.path)?)))?;
    if matches!(at.last(), Some(Step::Key(_))) {
        return None;
    }
    for other in likely(leaf, at_path(valid, &at), objects) {
        let mut changed = valid.clone();
        put(&mut changed, &at, &other);
        // Valid, and not what there was.
        let is_valid = |object: &Value| {
            let part = if at.first() == Some(&member("status")) { &[][..] } else { &at };
            check(def, object, object, part).ok().filter(|(_, errors)| errors.is_empty())
        };
        let (Some((before, _)), Some((after, _))) = (is_valid(valid), is_valid(&changed)) else { continue };
        if before == after && at.first() != Some(&member("status")) {
            continue;
        }
        let Some((old, new, errors)) = update(def, valid, &changed, &at) else { continue };
        let Some(error) = errors.iter().next() else {
            return Some(format!("{place} {}", if old == new { "kept" } else { "changes" }));
        };
        let exact = text(&at, true);
        let elsewhere = if error.path == exact { String::new() } else { format!(" at {}", error.path) };
        let why: String = error.detail.chars().take(60).collect();
        return Some(format!("{place} {:?}{elsewhere}: {}", error.kind, why.replace('\n', " ")));
    }
    None
}

fn lines_of(def: &ResourceDef) -> Vec<String> {
    let (objects, TypeRef::Static(ty)) = (objects(def), &def.ty) else { return Vec::new() };
    let resource = name(def);
    let mut walk = Walk { resource: &resource, done: BTreeSet::new(), found: Vec::new() };
    walk.leaves(ty, &[]);
    let own = walk.found.iter().filter(|leaf| leaf.elsewhere.is_none());
    let mut lines: Vec<String> = own.filter_map(|leaf| line(def, leaf, &objects)).collect();
    // A template may be as large as a pod: one field stands for all.
    for leaf in walk.found.iter().filter(|leaf| leaf.elsewhere.is_some()) {
        let Some(at) = objects.iter().find_map(|object| find(object, &leaf.path)) else { continue };
        let mut within = Walk { resource: "", done: BTreeSet::new(), found: Vec::new() };
        within.leaves(leaf.elsewhere.expect("it is elsewhere"), &at);
        let first = within.found.iter().find_map(|leaf| line(def, leaf, &objects));
        lines.extend(first.map(|line| format!("{} as elsewhere: {line}", text(&leaf.path, false))));
    }
    lines
}

#[test]
fn every_field_changes_or_does_not() {
    let found = resources().map(|def| (name(def), lines_of(def)));
    let text: String = found.map(|(name, lines)| format!("{name}\n  {}\n", lines.join("\n  "))).collect();
    compare("updates.txt", &text);
}
