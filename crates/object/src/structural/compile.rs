//! From an OpenAPI v3 schema to a type of the table.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use schema::{Count, Field, FieldType, Limit, ListType, PatchStrategy, Rules, Shape, TypeDef, TypeRef};

use super::Structural;
use crate::field::Path;
use crate::{Value, json};

/// How large a pattern may become when it is compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Keywords that are not implemented yet, and therefore refused.
const UNSUPPORTED: [&str; 5] = ["allOf", "anyOf", "not", "oneOf", "x-kubernetes-validations"];

/// Why a schema cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct CompileError {
    /// Where.
    pub path: String,
    /// What.
    pub problem: Problem,
}

/// Errors of a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Every value has a type, unless it may be an integer or a string, or anything.
    #[error("type must not be empty for specified object fields")]
    NoType,
    /// There is no such type.
    #[error("unknown type {0:?}")]
    UnknownType(String),
    /// A whole object is an object.
    #[error("must be object at the root")]
    RootType,
    /// A list states the type of its items.
    #[error("items must be specified for an array")]
    NoItems,
    /// An object has either members that are known or members that are all alike.
    #[error("additionalProperties and properties are mutual exclusive")]
    TwoKindsOfMembers,
    /// No regular expression, or one that is too large.
    #[error("pattern is not a regular expression of limited size: {0:?}")]
    Pattern(String),
    /// Something that is not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

pub(super) fn compile(name: &str, schema: &Value) -> Result<Structural, CompileError> {
    let path = Path::root("openAPIV3Schema");
    if schema.str_at("type") != "object" {
        return Err(refuse(&path, Problem::RootType));
    }
    let mut compiler = Compiler { patterns: HashMap::new() };
    let whole = compiler.message(name, schema, true, &path)?;
    Ok(Structural { ty: TypeRef::Shared(Arc::new(whole)), patterns: compiler.patterns })
}

fn refuse(path: &Path<'_>, problem: Problem) -> CompileError {
    CompileError { path: path.to_string(), problem }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).as_bool().unwrap_or(false)
}

fn text(schema: &Value, name: &str) -> Option<Box<str>> {
    schema.get(name).as_str().map(Box::from)
}

fn json_text(value: &Value) -> String {
    String::from_utf8_lossy(&json::to_vec(value)).into_owned()
}

struct Compiler {
    patterns: HashMap<Box<str>, Regex>,
}

impl Compiler {
    /// An object with declared members. `is_resource`: it has `apiVersion`, `kind` and `metadata`.
    fn message(
        &mut self,
        name: &str,
        schema: &Value,
        is_resource: bool,
        path: &Path<'_>,
    ) -> Result<TypeDef, CompileError> {
        let mut fields = Vec::new();
        let properties = path.child("properties");
        for (member, schema) in schema.get("properties").entries() {
            if is_resource && ["apiVersion", "kind", "metadata"].contains(&member) {
                continue;
            }
            fields.push(self.field(member, schema, &properties.key(member))?);
        }
        for required in schema.get("required").items().filter_map(Value::as_str) {
            if let Some(field) = fields.iter_mut().find(|field| field.name == required) {
                field.required = true;
            }
        }
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        if is_resource {
            fields.extend(of_resource(embedded));
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(TypeDef {
            name: Cow::Owned(name.to_owned()),
            fields: Cow::Owned(fields),
            preserves_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            atomic: schema.str_at("x-kubernetes-map-type") == "atomic",
            embedded,
            description: schema.get("description").as_str().map(Arc::from),
        })
    }

    /// A value with a name; items of lists and values of maps have an empty one.
    fn field(&mut self, name: &str, schema: &Value, path: &Path<'_>) -> Result<Field, CompileError> {
        let is_int_or_string = flag(schema, "x-kubernetes-int-or-string");
        for unsupported in UNSUPPORTED {
            // Every tool writes the two types of such a value out as well.
            let is_types = is_int_or_string && matches!(unsupported, "anyOf" | "allOf");
            if !schema.get(unsupported).is_null() && !is_types {
                return Err(refuse(path, Problem::Unsupported(unsupported)));
            }
        }
        let (shape, ty) = self.ty(schema, path)?;
        let default = Some(schema.get("default")).filter(|default| !default.is_null());
        let is_atomic = schema.str_at("x-kubernetes-map-type") == "atomic";
        let keys = schema.get("x-kubernetes-list-map-keys").items().filter_map(Value::as_str);
        Ok(Field {
            name: Cow::Owned(name.to_owned()),
            number: 0,
            shape,
            ty,
            pointer: true,
            always_in_json: false,
            required: false,
            inline: false,
            list_type: match schema.str_at("x-kubernetes-list-type") {
                "set" => ListType::Set,
                "map" => ListType::Map,
                _ => ListType::Atomic,
            },
            list_map_keys: keys.map(|key| Cow::Owned(key.to_owned())).collect(),
            atomic_map: is_atomic,
            granular: false,
            patch: PatchStrategy::DEFAULT,
            default: default.map(|default| Cow::Owned(json_text(default))),
            rules: self.rules(schema, path)?.map(Arc::new),
        })
    }

    fn ty(&mut self, schema: &Value, path: &Path<'_>) -> Result<(Shape, FieldType), CompileError> {
        if flag(schema, "x-kubernetes-int-or-string") {
            return Ok((Shape::Single, FieldType::IntOrString));
        }
        let single = match schema.str_at("type") {
            "boolean" => FieldType::Bool,
            "integer" if schema.str_at("format") == "int32" => FieldType::Int32,
            "integer" => FieldType::Int64,
            "number" => FieldType::Double,
            "string" => FieldType::String,
            "object" => return self.object(schema, path),
            "array" if schema.get("items").as_map().is_none() => return Err(refuse(path, Problem::NoItems)),
            "array" => return Ok((Shape::List, self.inner(schema.get("items"), &path.child("items"))?)),
            "" if flag(schema, "x-kubernetes-preserve-unknown-fields") => FieldType::Json,
            "" => return Err(refuse(path, Problem::NoType)),
            unknown => return Err(refuse(path, Problem::UnknownType(unknown.to_owned()))),
        };
        Ok((Shape::Single, single))
    }

    fn object(&mut self, schema: &Value, path: &Path<'_>) -> Result<(Shape, FieldType), CompileError> {
        let members = schema.get("additionalProperties");
        match members {
            Value::Map(_) if !schema.get("properties").is_empty() => {
                Err(refuse(path, Problem::TwoKindsOfMembers))
            }
            Value::Map(_) => Ok((Shape::Map, self.inner(members, &path.child("additionalProperties"))?)),
            Value::Bool(true) => Ok((Shape::Map, FieldType::Json)),
            _ => {
                let embedded = flag(schema, "x-kubernetes-embedded-resource");
                let message = self.message("", schema, embedded, path)?;
                Ok((Shape::Single, FieldType::Message(TypeRef::Shared(Arc::new(message)))))
            }
        }
    }

    /// The type of a list's items or a map's values.
    fn inner(&mut self, schema: &Value, path: &Path<'_>) -> Result<FieldType, CompileError> {
        let field = self.field("", schema, path)?;
        let is_plain = field.shape == Shape::Single && field.rules.is_none() && field.default.is_none();
        Ok(if is_plain { field.ty } else { FieldType::Nested(Arc::new(field)) })
    }

    fn rules(&mut self, schema: &Value, path: &Path<'_>) -> Result<Option<Rules>, CompileError> {
        let count = |min: &str, max: &str| {
            let number =
                |name: &str| schema.get(name).as_i64().and_then(|number| usize::try_from(number).ok());
            Count { min: number(min), max: number(max) }
        };
        let limit = |name: &str, exclusive: &str| {
            let value = schema.get(name).as_f64()?;
            Some(Limit { value, exclusive: flag(schema, exclusive) })
        };
        let rules = Rules {
            description: text(schema, "description").unwrap_or_default(),
            nullable: flag(schema, "nullable"),
            allowed: schema.get("enum").items().map(|value| json_text(value).into_boxed_str()).collect(),
            minimum: limit("minimum", "exclusiveMinimum"),
            maximum: limit("maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").as_f64(),
            pattern: text(schema, "pattern"),
            format: text(schema, "format"),
            length: count("minLength", "maxLength"),
            items: count("minItems", "maxItems"),
            members: count("minProperties", "maxProperties"),
        };
        if let Some(pattern) = rules.pattern.as_ref().filter(|pattern| !self.patterns.contains_key(*pattern))
        {
            let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            let compiled = compiled.map_err(|_| refuse(path, Problem::Pattern(pattern.to_string())))?;
            self.patterns.insert(pattern.clone(), compiled);
        }
        Ok(Some(rules).filter(|rules| *rules != Rules::default()))
    }
}

/// The fields of every object of the API.
fn of_resource(required: bool) -> impl Iterator<Item = Field> {
    let metadata = schema::type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let metadata = metadata.map_or(FieldType::Json, FieldType::Message);
    let members = [("apiVersion", FieldType::String), ("kind", FieldType::String), ("metadata", metadata)];
    members.into_iter().map(move |(name, ty)| Field {
        name: Cow::Borrowed(name),
        number: 0,
        shape: Shape::Single,
        ty,
        pointer: true,
        always_in_json: false,
        required: required && name != "metadata",
        inline: false,
        list_type: ListType::Atomic,
        list_map_keys: Cow::Borrowed(&[]),
        atomic_map: false,
        granular: false,
        patch: PatchStrategy::DEFAULT,
        default: None,
        rules: None,
    })
}
