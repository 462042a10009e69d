//! Every field of every kind is tried with a valid and with invalid values.
//!
//! `fields/GROUP.PLURAL.yaml` has valid objects of a resource which together set every field that the schema table has.
//! Each field is replaced by values that are hardly ever valid (nonsense, negative numbers, nothing at all), one at a
//! time, and `fields/rules.txt` says what comes of it: the first value that is refused and where, or that upstream, too,
//! accepts all of them (`free`). A new field has no entry in either, and a rule that is lost changes its line, so the test
//! fails for both.
//!
//! After a change, `IRONHULL_UPDATE=1 cargo test -p kinds --test fields` writes the files again. Each `free` in its
//! difference is a claim about upstream that has to be looked up.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use object::decode::DecodeError;
use object::field::Errors;
use object::{Value, value};
use schema::{Field, FieldType, ResourceDef, Shape, TypeDef, TypeRef, Verb};

#[path = "fields/updates.rs"]
mod updates;

/// Types that are tried in one resource only (a pod's spec not in each template). Elsewhere it is enough that something
/// in them is refused.
const ELSEWHERE: [(&str, &str); 3] = [
    ("io.k8s.api.core.v1.PodSpec", "core.v1.pods"),
    // Schemas of custom resources and metadata have tests of their own.
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", ""),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", ""),
];
/// Versions that have the rules of another one.
const UNCHECKED: [&str; 1] = ["autoscaling.v1."];
/// A type with more fields than this is tried at its first place in a resource only, others at each.
const SMALL: usize = 4;

/// One step from an object to a field, and the same within one particular object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    /// Any item of a list; a certain one.
    Item(usize),
    /// Any value of a map; that under a certain key.
    Entry(String),
    /// A key of a map itself.
    Key(String),
}

fn member(name: &str) -> Step {
    Step::Member(name.to_owned())
}

fn text(path: &[Step], exact: bool) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => write!(text, ".{name}").unwrap(),
            Step::Item(index) if exact => write!(text, "[{index}]").unwrap(),
            Step::Item(_) => text.push_str("[]"),
            Step::Entry(key) if exact => write!(text, "[{key}]").unwrap(),
            Step::Entry(_) => text.push_str("{}"),
            Step::Key(_) if exact => {}
            Step::Key(_) => text.push_str("{key}"),
        }
    }
    text
}

/// A field that has no fields of its own, or one whose type is tried elsewhere.
struct Leaf {
    path: Vec<Step>,
    field: &'static Field,
    elsewhere: Option<&'static TypeDef>,
}

/// Collects the fields of a resource's type.
struct Walk<'r> {
    resource: &'r str,
    /// The types that have been walked.
    done: BTreeSet<&'static str>,
    found: Vec<Leaf>,
}

impl Walk<'_> {
    fn leaves(&mut self, ty: &'static TypeDef, path: &[Step]) {
        ty.for_each_json_field(&mut |field| {
            if path.is_empty() && matches!(&*field.name, "apiVersion" | "kind" | "metadata") {
                return;
            }
            let mut path = path.to_vec();
            path.push(Step::Member(field.name.to_string()));
            match field.shape {
                Shape::Single => {}
                Shape::List => path.push(Step::Item(0)),
                Shape::Map => {
                    let key = [path.as_slice(), &[Step::Key(String::new())]].concat();
                    self.found.push(Leaf { path: key, field, elsewhere: None });
                    path.push(Step::Entry(String::new()));
                }
            }
            match &field.ty {
                FieldType::Message(TypeRef::Static(inner)) if !inner.fields.is_empty() => {
                    self.message(inner, field, path);
                }
                _ => self.found.push(Leaf { path, field, elsewhere: None }),
            }
        });
    }

    fn message(&mut self, ty: &'static TypeDef, field: &'static Field, path: Vec<Step>) {
        let own = ELSEWHERE.iter().find(|(name, _)| *name == ty.name);
        let is_known = self.done.contains(&*ty.name) && ty.fields.len() > SMALL;
        if is_known || own.is_some_and(|(_, resource)| *resource != self.resource) {
            return self.found.push(Leaf { path, field, elsewhere: Some(ty) });
        }
        if ty.fields.len() > SMALL {
            self.done.insert(&ty.name);
        }
        self.leaves(ty, &path);
    }
}

/// The path of the first value there is at a field.
fn find(value: &Value, path: &[Step]) -> Option<Vec<Step>> {
    let Some((step, rest)) = path.split_first() else {
        return (!value.is_null()).then(Vec::new);
    };
    let within = |step: Step, value: &Value| {
        find(value, rest).map(|mut found| {
            found.insert(0, step);
            found
        })
    };
    match step {
        Step::Member(name) => within(step.clone(), value.get(name)),
        Step::Item(_) => value.items().enumerate().find_map(|(i, item)| within(Step::Item(i), item)),
        Step::Entry(_) => value.entries().find_map(|(key, value)| within(Step::Entry(key.to_owned()), value)),
        Step::Key(_) => value.entries().next().map(|(key, _)| vec![Step::Key(key.to_owned())]),
    }
}

/// Puts a value at a path that exists; null removes what is there.
fn put(object: &mut Value, path: &[Step], new: &Value) {
    let (step, rest) = path.split_first().unwrap();
    match step {
        Step::Key(key) => {
            let value = object.remove(key).unwrap();
            object.set(new.as_str().unwrap().to_owned(), value);
        }
        Step::Member(key) | Step::Entry(key) if rest.is_empty() && new.is_null() => {
            object.remove(key);
        }
        Step::Member(key) | Step::Entry(key) if rest.is_empty() => object.set(key.clone(), new.clone()),
        Step::Item(index) if rest.is_empty() && new.is_null() => {
            object.as_list_mut().unwrap().remove(*index);
        }
        Step::Item(index) if rest.is_empty() => object.as_list_mut().unwrap()[*index] = new.clone(),
        Step::Member(key) | Step::Entry(key) => put(object.get_mut(key).unwrap(), rest, new),
        Step::Item(index) => put(&mut object.as_list_mut().unwrap()[*index], rest, new),
    }
}

/// Values that hardly any field of this type may have, the most telling first.
fn unlikely(leaf: &Leaf, valid: &Value) -> Vec<Value> {
    let texts = || {
        let sloppy = match valid.as_str().unwrap_or_default() {
            text if text.parse::<IpAddr>().is_ok() => "010.0.0.1",
            text if text.split_once('/').is_some_and(|(ip, _)| ip.parse::<IpAddr>().is_ok()) => "010.0.0.0/8",
            _ => "!no/such/ value",
        };
        value!([sloppy, "!no/such/ value", "../..", "a:b", "", " ", "a\nb", (".".repeat(33_000))])
    };
    if matches!(leaf.path.last(), Some(Step::Key(_))) {
        return ["!no/such/ key", "NoSuchKey", ""].map(Value::from).to_vec();
    }
    let mut values = match &leaf.field.ty {
        FieldType::String => texts(),
        FieldType::Bool => value!([(valid.as_bool() != Some(true))]),
        FieldType::Int32 => value!([(-1), 0, 100000, (i64::from(i32::MAX)), (i64::from(i32::MIN))]),
        FieldType::Int64 => value!([(-1), 0, 100000, (i64::MAX), (i64::MIN)]),
        FieldType::IntOrString => value!([(-1), "!no/such/ value", 0, 100000, "200%"]),
        FieldType::Quantity => value!(["-1", "0", "1500m", "nonsense"]),
        FieldType::Time | FieldType::MicroTime | FieldType::Duration => value!(["nonsense"]),
        FieldType::Bytes => value!(["", "IQ==", "!"]),
        _ => value!([]),
    };
    values.items_mut().map(Value::take).chain([Value::Null]).collect()
}

/// The object that a write of the part at `path` would store, and what is wrong with it.
fn check(
    def: &ResourceDef,
    valid: &Value,
    changed: &Value,
    path: &[Step],
) -> Result<(Value, Errors), DecodeError> {
    let strategy = kinds::strategy(&def.group, &def.plural);
    let decode =
        |object: &Value| object::decode::decode_value(object.clone(), &def.ty).map(|decoded| decoded.value);
    let ready = |mut object: Value| {
        strategy.default(&mut object);
        strategy.prepare_create(&mut object);
        object
    };
    if path.first() == Some(&member("status")) && strategy.has_status() {
        let (mut changed, mut old) = (decode(changed)?, decode(valid)?);
        strategy.default(&mut changed);
        strategy.default(&mut old);
        strategy.prepare_status_update(&mut changed, &old);
        let errors = strategy.validate_status_update(&changed, &old);
        return Ok((changed, errors));
    }
    let mut changed = ready(decode(changed)?);
    let debugging = changed.get_mut("spec").and_then(|spec| spec.remove("ephemeralContainers"));
    if path.get(1) != Some(&member("ephemeralContainers")) {
        let errors = strategy.validate(&changed);
        return Ok((changed, errors));
    }
    // These are never created with the pod.
    let old = changed.clone();
    changed.entry("spec").set("ephemeralContainers", debugging.unwrap_or_default());
    let errors = strategy.validate_part_update("ephemeralcontainers", &changed, &old);
    Ok((changed, errors))
}

/// The line of a field: its path, the first refused value, and the error; or that there is none.
fn line(def: &ResourceDef, leaf: &Leaf, valid: &Value, at: &[Step]) -> String {
    let place = text(&leaf.path, false);
    if let Some(ty) = leaf.elsewhere {
        let mut within = Walk { resource: "", done: BTreeSet::new(), found: Vec::new() };
        within.leaves(ty, at);
        let tried = within.found.iter().filter_map(|leaf| Some((leaf, find(valid, &leaf.path)?)));
        let mut lines = tried.map(|(leaf, at)| line(def, leaf, valid, &at));
        return match lines.find(|line| line.contains(" = ")) {
            Some(line) => format!("{place} as elsewhere: {line}"),
            None => format!("{place} free"),
        };
    }
    // Upstream takes it out of what clients send, as fields of features that are off.
    let is_kept = check(def, valid, valid, at).is_ok_and(|(stored, _)| find(&stored, at).is_some());
    let is_key = matches!(at.last(), Some(Step::Key(_)));
    if !is_kept && !is_key && !at_path(valid, at).is_empty() {
        return format!("{place} dropped");
    }
    for unlikely in unlikely(leaf, at_path(valid, at)) {
        let mut changed = valid.clone();
        put(&mut changed, at, &unlikely);
        let errors = match check(def, valid, &changed, at) {
            Ok((_, errors)) => errors,
            Err(_) => return format!("{place} = {unlikely:?}: malformed"),
        };
        let Some(error) = errors.iter().next() else { continue };
        let shown = match &unlikely {
            Value::Null => "missing".to_owned(),
            Value::String(text) if text.len() > 100 => "long".to_owned(),
            other => String::from_utf8(object::json::to_vec(other)).unwrap(),
        };
        let exact = text(at, true);
        let elsewhere = if error.path == exact { String::new() } else { format!(" at {}", error.path) };
        return format!("{place} = {shown}: {:?}{elsewhere}", error.kind);
    }
    format!("{place} {}", if is_kept { "free" } else { "dropped" })
}

/// The line of a field that no valid object has: its mere presence is refused.
fn never(def: &ResourceDef, leaf: &Leaf, objects: &[Value]) -> Option<String> {
    // The object that has most of the way to it.
    let depth = |object: &Value| (0..leaf.path.len()).rev().find_map(|n| find(object, &leaf.path[..n]));
    let best = objects.iter().max_by_key(|object| depth(object).map_or(0, |path| path.len()))?;
    let (exact, mut changed) = (depth(best)?, best.clone());
    let mut value = match &leaf.field.ty {
        FieldType::Bool => Value::from(true),
        FieldType::Int32 | FieldType::Int64 | FieldType::Double | FieldType::IntOrString => {
            Value::from(1_i64)
        }
        FieldType::Message(_) | FieldType::RawExtension => Value::map(),
        FieldType::Quantity => Value::from("1"),
        FieldType::Time | FieldType::MicroTime => Value::from("2026-01-02T03:04:05Z"),
        _ => Value::from("x"),
    };
    for step in leaf.path[exact.len() + 1..].iter().rev() {
        value = match step {
            Step::Member(name) => {
                let mut map = Value::map();
                map.set(name.clone(), value);
                map
            }
            Step::Item(_) => Value::from(vec![value]),
            Step::Entry(_) | Step::Key(_) => value!({"x": value}),
        };
    }
    put(&mut changed, &[exact, vec![leaf.path[depth(best)?.len()].clone()]].concat(), &value);
    let (_, errors) = check(def, best, &changed, &leaf.path).ok()?;
    let error = errors.iter().next()?;
    Some(format!("{} never: {:?} at {}", text(&leaf.path, false), error.kind, error.path))
}

fn at_path<'v>(value: &'v Value, path: &[Step]) -> &'v Value {
    path.iter().fold(value, |value, step| match step {
        Step::Member(key) | Step::Entry(key) => value.get(key),
        Step::Item(index) => &value.as_list().unwrap()[*index],
        Step::Key(_) => value,
    })
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fields"))
}

fn name(def: &ResourceDef) -> String {
    let group = if def.group.is_empty() { "core" } else { &def.group };
    format!("{group}.{}.{}", def.version, def.plural)
}

/// The valid objects of a resource.
fn objects(def: &ResourceDef) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join(format!("{}.yaml", name(def)))).unwrap_or_default();
    let documents = text.split("\n---\n").filter(|document| !document.trim().is_empty());
    documents
        .map(|text| {
            object::yaml::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", name(def)))
        })
        .collect()
}

/// The resources whose fields have rules: those that are stored.
fn resources() -> impl Iterator<Item = &'static ResourceDef> {
    schema::resources()
        .iter()
        .filter(|def| def.supports(Verb::Create) && def.supports(Verb::List))
        .filter(|def| !UNCHECKED.iter().any(|unchecked| name(def).starts_with(unchecked)))
}

/// What is wrong with the valid objects of a resource: nothing.
fn invalid(def: &ResourceDef, objects: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let parts: [&[Step]; 3] =
            [&[], &[member("spec"), member("ephemeralContainers")], &[member("status")]];
        for part in parts {
            let errors: Vec<String> = match check(def, object, object, part) {
                Ok((_, errors)) => errors.iter().map(ToString::to_string).collect(),
                Err(error) => vec![error.to_string()],
            };
            wrong.extend(errors.iter().map(|error| format!("{}, object {index}: {error}", name(def))));
        }
    }
    wrong
}

fn lines_of(def: &ResourceDef, wrong: &mut Vec<String>) -> Vec<String> {
    let objects = objects(def);
    wrong.extend(invalid(def, &objects));
    if !wrong.is_empty() {
        return Vec::new();
    }
    let TypeRef::Static(ty) = &def.ty else { return Vec::new() };
    let resource = name(def);
    let mut walk = Walk { resource: &resource, done: BTreeSet::new(), found: Vec::new() };
    walk.leaves(ty, &[]);
    let mut lines = Vec::new();
    for leaf in walk.found {
        let found = objects.iter().find_map(|object| Some((object, find(object, &leaf.path)?)));
        match found {
            Some((object, at)) => lines.push(line(def, &leaf, object, &at)),
            None => match never(def, &leaf, &objects) {
                Some(line) => lines.push(line),
                None => wrong.push(format!("{resource}: no object has {}", text(&leaf.path, false))),
            },
        }
    }
    lines
}

#[test]
fn every_field_has_its_rule() {
    let (mut wrong, mut found) = (Vec::new(), BTreeMap::new());
    for def in resources() {
        found.insert(name(def), lines_of(def, &mut wrong));
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let text: String =
        found.iter().map(|(name, lines)| format!("{name}\n  {}\n", lines.join("\n  "))).collect();
    compare("rules.txt", &text);
}

/// Compares what was found with what is known, which is written anew if `IRONHULL_UPDATE` says so.
fn compare(file: &str, text: &str) {
    let path = folder().join(file);
    if std::env::var_os("IRONHULL_UPDATE").is_some_and(|text| !text.is_empty()) {
        std::fs::write(&path, text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let (new, old): (BTreeSet<&str>, BTreeSet<&str>) = (text.lines().collect(), known.lines().collect());
    let gone = old.difference(&new).map(|line| format!("-{line}"));
    let differences: Vec<String> = gone.chain(new.difference(&old).map(|line| format!("+{line}"))).collect();
    assert!(text == known, "{file} differs:\n{}", differences.join("\n"));
}
