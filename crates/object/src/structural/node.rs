//! From an OpenAPI v3 schema to a tree of rules, which validation walks along with the object.

use regex::Regex;
use schema::ListType;

use super::format::Format;
use super::pattern::Patterns;
use super::problem::{CompileError, Problem, flag};
use crate::Value;
use crate::field::Path;

/// The rules of the members of an object, by their names and in that order.
type Properties = Box<[(Box<str>, Node)]>;

/// The rules of one value.
pub(super) struct Node {
    pub(super) types: Types,
    pub(super) nullable: bool,
    /// The format as the definition writes it, if it is one of the value's type.
    pub(super) format: Option<Box<str>>,
    pub(super) string_format: Option<Format>,
    pub(super) numbers: Option<Box<Numbers>>,
    pub(super) text: Option<Box<Text>>,
    pub(super) items_count: Count,
    pub(super) members_count: Count,
    /// The allowed values; empty where all are.
    pub(super) allowed: Box<[Value]>,
    pub(super) required: Box<[Box<str>]>,
    /// In the order of their names.
    pub(super) properties: Properties,
    pub(super) additional: Additional,
    pub(super) items: Option<Box<Node>>,
    pub(super) junctors: Option<Box<Junctors>>,
    pub(super) list_type: ListType,
    pub(super) keys: Box<[Box<str>]>,
    pub(super) embedded: bool,
}

/// The types that a value may have; none: any type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    names: &'static [&'static str],
}

impl Types {
    pub(super) fn is_any(self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// As messages show them.
    pub(super) fn shown(self) -> String {
        self.names.join(",")
    }

    /// The type, if there is only one.
    pub(super) fn single(self) -> Option<&'static str> {
        match self.names {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// Rules of numbers.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) minimum: Option<Limit>,
    pub(super) maximum: Option<Limit>,
    pub(super) multiple_of: Option<f64>,
}

/// A bound of a number.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) value: f64,
    pub(super) exclusive: bool,
}

/// Rules of strings.
pub(super) struct Text {
    pub(super) length: Count,
    pub(super) pattern: Option<(Box<str>, Regex)>,
}

/// Bounds of a number of things, both inclusive.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

/// The members of an object that are not among its properties.
pub(super) enum Additional {
    Any,
    None,
    Of(Box<Node>),
}

/// Schemas of the same value, combined.
pub(super) struct Junctors {
    pub(super) all: Box<[Node]>,
    pub(super) any: Box<[Node]>,
    pub(super) one: Box<[Node]>,
    pub(super) not: Option<Node>,
}

/// Compiles the schema of a value.
///
/// # Errors
/// A pattern that is not a regular expression of limited size.
pub(super) fn compile(
    schema: &Value,
    patterns: &mut Patterns,
    path: &Path<'_>,
) -> Result<Node, CompileError> {
    let types = types_of(schema);
    let format = schema.get("format").as_str().filter(|format| is_known_format(format, types));
    let strings = |name: &str| -> Box<[Box<str>]> {
        schema.get(name).items().filter_map(Value::as_str).map(Box::from).collect()
    };
    Ok(Node {
        types,
        nullable: flag(schema, "nullable"),
        format: format.map(Box::from),
        string_format: format.and_then(Format::named).filter(|_| types.is_any() || types.has("string")),
        numbers: numbers(schema),
        text: text(schema, patterns, path)?,
        items_count: count(schema, "minItems", "maxItems"),
        members_count: count(schema, "minProperties", "maxProperties"),
        allowed: schema.get("enum").items().cloned().collect(),
        required: strings("required"),
        properties: properties(schema, patterns, path)?,
        additional: match schema.get("additionalProperties") {
            Value::Bool(false) => Additional::None,
            members @ Value::Map(_) => {
                Additional::Of(Box::new(compile(members, patterns, &path.child("additionalProperties"))?))
            }
            _ => Additional::Any,
        },
        items: match schema.get("items") {
            items @ Value::Map(_) => Some(Box::new(compile(items, patterns, &path.child("items"))?)),
            _ => None,
        },
        junctors: junctors(schema, patterns, path)?,
        list_type: list_type(schema),
        keys: strings("x-kubernetes-list-map-keys"),
        embedded: flag(schema, "x-kubernetes-embedded-resource"),
    })
}

/// How the items of a list are told apart.
pub(super) fn list_type(schema: &Value) -> ListType {
    match schema.str_at("x-kubernetes-list-type") {
        "set" => ListType::Set,
        "map" => ListType::Map,
        _ => ListType::Atomic,
    }
}

fn types_of(schema: &Value) -> Types {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Types { names: &["integer", "string"] };
    }
    let names: &[&str] = match schema.str_at("type") {
        "array" => &["array"],
        "boolean" => &["boolean"],
        "integer" => &["integer"],
        "number" => &["number"],
        "object" => &["object"],
        "string" => &["string"],
        _ => &[],
    };
    Types { names }
}

/// Whether a format means something for values of these types; others are ignored.
pub(super) fn is_known_format(format: &str, types: Types) -> bool {
    match types.single() {
        None | Some("string") => Format::named(format).is_some(),
        Some("integer") => matches!(format, "int32" | "int64"),
        Some("number") => matches!(format, "float" | "double"),
        Some(_) => false,
    }
}

/// Whether a format of a schema has no meaning.
pub(super) fn is_unrecognized_format(schema: &Value) -> bool {
    let format = schema.str_at("format");
    !format.is_empty() && !is_known_format(format, types_of(schema))
}

fn count(schema: &Value, min: &str, max: &str) -> Count {
    Count { min: schema.get(min).as_i64(), max: schema.get(max).as_i64() }
}

fn numbers(schema: &Value) -> Option<Box<Numbers>> {
    let limit = |name: &str, exclusive: &str| {
        let value = schema.get(name).as_f64()?;
        Some(Limit { value, exclusive: flag(schema, exclusive) })
    };
    let numbers = Numbers {
        minimum: limit("minimum", "exclusiveMinimum"),
        maximum: limit("maximum", "exclusiveMaximum"),
        multiple_of: schema.get("multipleOf").as_f64(),
    };
    let is_set = numbers.minimum.is_some() || numbers.maximum.is_some() || numbers.multiple_of.is_some();
    is_set.then(|| Box::new(numbers))
}

fn text(schema: &Value, patterns: &mut Patterns, path: &Path<'_>) -> Result<Option<Box<Text>>, CompileError> {
    let length = count(schema, "minLength", "maxLength");
    let pattern = match schema.str_at("pattern") {
        "" => None,
        pattern => {
            let compiled = patterns.get(pattern).map_err(|why| CompileError {
                path: path.child("pattern").to_string(),
                problem: Problem::Pattern { pattern: pattern.to_owned(), why },
            })?;
            Some((pattern.into(), compiled))
        }
    };
    let is_set = pattern.is_some() || length.min.is_some() || length.max.is_some();
    Ok(is_set.then(|| Box::new(Text { length, pattern })))
}

fn properties(schema: &Value, patterns: &mut Patterns, path: &Path<'_>) -> Result<Properties, CompileError> {
    let members = path.child("properties");
    let mut properties: Vec<(Box<str>, Node)> = Vec::new();
    for (name, schema) in schema.get("properties").entries() {
        properties.push((Box::from(name), compile(schema, patterns, &members.key(name))?));
    }
    properties.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(properties.into())
}

fn junctors(
    schema: &Value,
    patterns: &mut Patterns,
    path: &Path<'_>,
) -> Result<Option<Box<Junctors>>, CompileError> {
    let mut each = |name: &str| -> Result<Box<[Node]>, CompileError> {
        let list = path.child(name);
        let schemas = schema.get(name).items().enumerate();
        schemas.map(|(index, schema)| compile(schema, patterns, &list.index(index))).collect()
    };
    let (all, any, one) = (each("allOf")?, each("anyOf")?, each("oneOf")?);
    let not = match schema.get("not") {
        not @ Value::Map(_) => Some(compile(not, patterns, &path.child("not"))?),
        _ => None,
    };
    let is_set = !all.is_empty() || !any.is_empty() || !one.is_empty() || not.is_some();
    Ok(is_set.then(|| Box::new(Junctors { all, any, one, not })))
}

impl Node {
    /// The rules of a property.
    pub(super) fn property(&self, name: &str) -> Option<&Node> {
        let at = self.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// The rules of a member: of a property, or of all members alike.
    pub(super) fn member(&self, name: &str) -> Option<&Node> {
        self.property(name).or(match &self.additional {
            Additional::Of(node) => Some(node),
            Additional::Any | Additional::None => None,
        })
    }
}
