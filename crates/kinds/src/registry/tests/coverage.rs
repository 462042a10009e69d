//! `coverage.txt` says of each resource which tests show its behaviour. These tests compare its lines with the code: a
//! resource without lines, and a cell that says `none upstream` about something that the strategy does, are found.

use std::collections::BTreeMap;

use object::{Value, value};
use schema::{FieldType, ResourceDef, Shape, TypeDef};

use crate::Strategy;
use crate::registry::strategy;

const TEXT: &str = include_str!("../../../coverage.txt");

/// The cells of each resource, by column.
fn rows() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut rows: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut resource = "";
    for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            None => {
                resource = line;
                assert!(rows.insert(line, BTreeMap::new()).is_none(), "{line} is listed twice");
            }
            Some(cell) => {
                let (column, cell) = cell.split_once(' ').expect("a column and its cell");
                rows.get_mut(resource).expect("cells follow their resource").insert(column, cell.trim());
            }
        }
    }
    rows
}

/// The name under which a resource is listed; with its version if there is another one.
fn listed(def: &ResourceDef) -> String {
    let versions =
        schema::resources().iter().filter(|other| (&other.group, &other.plural) == (&def.group, &def.plural));
    let version = if versions.count() > 1 { format!(".{}", def.version) } else { String::new() };
    let group = if def.group.is_empty() { String::new() } else { format!(".{}", def.group) };
    format!("{}{version}{group} ({})", def.plural, def.kind)
}

#[test]
fn every_resource_is_listed() {
    let mut listed: Vec<String> = schema::resources().iter().map(listed).collect();
    listed.sort();
    let mut rows: Vec<&str> = rows().into_keys().collect();
    rows.sort_unstable();
    assert_eq!(rows, listed);
}

/// No label and no entry can have this key.
const KEY: &str = "a b";

/// An object of a type with every field; `leaf` gives numbers and texts, or leaves them out. A type inside of itself, as
/// schemas have them, is left out.
fn sample(ty: &TypeDef, leaf: &dyn Fn(&FieldType) -> Value) -> Value {
    nested(ty, &mut Vec::new(), leaf)
}

fn nested<'t>(ty: &'t TypeDef, within: &mut Vec<&'t str>, leaf: &dyn Fn(&FieldType) -> Value) -> Value {
    let mut object = Value::map();
    within.push(&ty.name);
    ty.for_each_json_field(&mut |field| {
        let one = match field.message() {
            Some(ty) if within.contains(&&*ty.name) || field.name == "managedFields" => return,
            Some(ty) => nested(ty, within, leaf),
            None => leaf(&field.ty),
        };
        let value = match field.shape {
            _ if one.is_null() => return,
            Shape::Single => one,
            Shape::List => Value::from(vec![one]),
            Shape::Map => {
                let mut map = Value::map();
                map.set(KEY, one);
                map
            }
        };
        object.set(field.name.to_string(), value);
    });
    within.pop();
    object
}

/// A leaf for each type; two of different numbers differ.
fn filled(number: i64) -> impl Fn(&FieldType) -> Value {
    move |ty| match ty {
        FieldType::Bool => Value::from(number % 2 == 1),
        FieldType::Int32 | FieldType::Int64 | FieldType::Double | FieldType::IntOrString => {
            Value::from(number)
        }
        FieldType::Quantity => Value::from(number.to_string()),
        FieldType::Time | FieldType::MicroTime => Value::from(format!("2026-01-0{number}T00:00:00Z")),
        FieldType::Duration => Value::from(format!("{number}s")),
        FieldType::RawExtension | FieldType::FieldsV1 | FieldType::Json => value!({"a": number}),
        _ => Value::from(["", "a", "b"][usize::try_from(number).expect("small")]),
    }
}

/// The objects that the strategies are tried on: without fields, with all that hold others, and with all.
fn probes(def: &ResourceDef) -> [Value; 3] {
    let named = |mut object: Value| {
        object.entry("metadata").set("name", "a");
        object
    };
    let (shells, all) = (sample(&def.ty, &|_| Value::Null), sample(&def.ty, &filled(1)));
    [Value::map(), shells, all].map(named)
}

/// The object without one of the members that it has somewhere.
fn without_one(object: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, member) in object.entries() {
        let mut without = object.clone();
        without.remove(name);
        all.push(without);
        let inner = match member {
            Value::List(list) => {
                list.iter().flat_map(without_one).map(|item| Value::from(vec![item])).collect()
            }
            member => without_one(member),
        };
        all.extend(inner.into_iter().map(|member| {
            let mut changed = object.clone();
            changed.set(name.to_owned(), member);
            changed
        }));
    }
    all
}

/// What the code does in a column, where that can be seen from outside.
fn acts(column: &str, def: &ResourceDef) -> Option<bool> {
    let strategy = strategy(&def.group, &def.plural);
    let probes = probes(def);
    Some(match column {
        "defaulting" => {
            let fills = |object: &Value| {
                let mut changed = object.clone();
                strategy.default(&mut changed);
                changed != *object
            };
            // Some fill in what depends on values that the probes do not have, or do so when they know the time.
            return (probes.iter().any(fills) || without_one(&probes[2]).iter().any(fills)).then_some(true);
        }
        // Those that are not stored are checked where they are answered.
        "validation" if !def.supports(schema::Verb::Get) && def.kind != "Binding" => return None,
        "validation" => probes.iter().any(|object| !strategy.validate(object).is_empty()),
        // Some say it in other words, or compare only objects that are valid.
        "immutable" => return has_constants(strategy, def).then_some(true),
        "status" => !def.subresources.is_empty(),
        "columns" => strategy.columns().iter().any(|column| !matches!(column.name, "Name" | "Created At")),
        "selectors" => !strategy.selectable_field_names().is_empty(),
        "warnings" => {
            let warns = probes.iter().any(|object| !strategy.warnings(object, None).is_empty());
            // Some are about values that the probes do not have.
            return (warns || strategy.deprecation().is_some()).then_some(true);
        }
        _ => return None,
    })
}

/// Whether a change of a member of the object, or of its `spec`, is refused because it never changes. Everything else is
/// left out, because there are only so many errors.
fn has_constants(strategy: &dyn Strategy, def: &ResourceDef) -> bool {
    let (one, two) = (sample(&def.ty, &filled(1)), sample(&def.ty, &filled(2)));
    let is_own = |name: &str| !matches!(name, "metadata" | "status" | "apiVersion" | "kind");
    let of_object = one.entries().map(|(name, _)| vec![name.to_owned()]).filter(|path| is_own(&path[0]));
    let of_spec = one.get("spec").entries().map(|(name, _)| vec!["spec".to_owned(), name.to_owned()]);
    of_object.chain(of_spec).any(|path| {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let alone = |full: &Value| {
            let value = full.at_path(&names).clone();
            let mut object = value!({"metadata": {"name": "a"}});
            let place = names.iter().fold(&mut object, |value, name| value.entry((*name).to_owned()));
            *place = value;
            object
        };
        let (old, new) = (alone(&one), alone(&two));
        let says =
            |word: &str| strategy.validate_update(&new, &old).iter().any(|error| error.detail.contains(word));
        ["immutable", "may not change", "other than", "may not be updated"].into_iter().any(says)
    })
}

/// Where the code has nothing, the line says so, and the other way round.
#[test]
fn lines_agree_with_the_code() {
    let rows = rows();
    let mut wrong = Vec::new();
    for def in schema::resources() {
        let name = listed(def);
        let cells = &rows[&*name];
        for (column, cell) in cells {
            let says = *cell != "none upstream" && !cell.starts_with("not yet: ");
            match acts(column, def) {
                Some(does) if does != says => {
                    wrong.push(format!("{name}: {column}: {cell} (the code acts: {does})"))
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
