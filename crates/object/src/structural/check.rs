//! What makes a schema one that a definition may have, in upstream's words: it is structural, uses only keywords that
//! the API knows, and its defaults satisfy it. Upstream: `apiextensions/validation`, `apiserver/schema/validation.go` and
//! `apiserver/schema/defaulting`.

use std::collections::BTreeSet;

use super::compile::message;
use super::pattern::Patterns;
use super::problem::flag;
use super::{completeness, node, validate};
use crate::field::{Error, Errors, Path};
use crate::{Value, decode, value};

/// The types of OpenAPI.
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Keywords of JSON Schema that definitions must not use, and why.
const FORBIDDEN: [(&str, &str); 6] = [
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
];

/// Checks the schema of a version of a definition; `path` leads to it.
pub fn check(schema: &Value, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    completeness::check(schema, path, &mut errors);
    if errors.is_empty() {
        defaults(schema, &mut Patterns::new(), path, &mut errors);
    }
    Checker { errors: &mut errors }.schema(schema, &Context { is_root: true, ..Context::default() }, path);
    if errors.is_empty()
        && let Err(error) = node::compile(schema, &mut Patterns::new(), path)
    {
        errors.push(Error::invalid(path, "", error.to_string()));
    }
    errors
}

/// What the client should know about a schema that is accepted, in a stable order.
pub fn warnings(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit(schema, &mut |schema| {
        if node::is_unrecognized_format(schema) {
            found.insert(format!("unrecognized format {:?}", schema.str_at("format")));
        }
        let items = schema.str_at("items.type");
        if schema.str_at("x-kubernetes-list-type") == "set" && matches!(items, "object" | "array") {
            found.insert(format!(
                "x-kubernetes-list-type: set for items of type {items:?} is not supported by server-side apply or CEL validation rules"
            ));
        }
    });
    found
}

/// Visits a schema and all schemas in it.
fn visit(schema: &Value, found: &mut dyn FnMut(&Value)) {
    if schema.as_map().is_none() {
        return;
    }
    found(schema);
    for member in ["items", "additionalProperties", "not"] {
        visit(schema.get(member), found);
    }
    for (_, property) in schema.get("properties").entries() {
        visit(property, found);
    }
    for junctor in completeness::JUNCTORS {
        schema.get(junctor).items().for_each(|schema| visit(schema, found));
    }
}

/// Where a schema stands.
#[derive(Clone, Default)]
struct Context {
    is_root: bool,
    inside_meta: bool,
    /// Why there may be no default.
    no_default: Option<String>,
}

struct Checker<'e> {
    errors: &'e mut Errors,
}

impl Checker<'_> {
    fn schema(&mut self, schema: &Value, context: &Context, path: &Path<'_>) {
        if schema.as_map().is_none() {
            return;
        }
        self.keywords(schema, context, path);
        if !schema.get("properties").is_empty()
            && matches!(schema.get("additionalProperties"), Value::Map(_) | Value::Bool(false))
        {
            let why = "additionalProperties and properties are mutual exclusive";
            self.errors.forbidden(&path.child("additionalProperties"), why);
        }
        self.children(schema, context, path);
        self.extensions(schema, path);
        self.list(schema, path);
    }

    fn keywords(&mut self, schema: &Value, context: &Context, path: &Path<'_>) {
        let kind = schema.str_at("type");
        if !kind.is_empty() && !TYPES.contains(&kind) {
            self.errors.not_supported(&path.child("type"), kind, &TYPES);
        }
        if kind == "null" {
            let why = "type cannot be set to null, use nullable as an alternative";
            self.errors.forbidden(&path.child("type"), why);
        }
        if let Some(why) = context.no_default.as_ref().filter(|_| !schema.get("default").is_null()) {
            self.errors.forbidden(&path.child("default"), format!("must not be set {why}"));
        }
        for (keyword, why) in FORBIDDEN {
            if !schema.get(keyword).is_empty() {
                self.errors.forbidden(&path.child(keyword), why);
            }
        }
        if schema.get("items").as_list().is_some() {
            let why = "items must be a schema object and not an array";
            self.errors.forbidden(&path.child("items"), why);
        }
        if context.inside_meta && flag(schema, "x-kubernetes-embedded-resource") {
            let why = "must not be used inside of resource meta";
            self.errors.forbidden(&path.child("x-kubernetes-embedded-resource"), why);
        }
        if flag(schema, "uniqueItems") {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors.forbidden(&path.child("uniqueItems"), why);
        }
    }

    fn children(&mut self, schema: &Value, context: &Context, path: &Path<'_>) {
        let inner = Context { is_root: false, ..context.clone() };
        let mut members = inner.clone();
        if context.inside_meta {
            members.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        self.schema(schema.get("additionalProperties"), &members, &path.child("additionalProperties"));
        let is_object = context.is_root || flag(schema, "x-kubernetes-embedded-resource");
        for (name, property) in schema.get("properties").entries() {
            let mut inner = inner.clone();
            if is_object && matches!(name, "metadata" | "kind" | "apiVersion") {
                inner.inside_meta = true;
                if context.is_root {
                    inner.no_default = Some(format!("in top-level {name}"));
                }
            }
            self.schema(property, &inner, &path.child("properties").key(name));
        }
        self.schema(schema.get("not"), &inner, &path.child("not"));
        self.schema(schema.get("items"), &inner, &path.child("items"));
        for junctor in completeness::JUNCTORS {
            let list = path.child(junctor);
            for (index, schema) in schema.get(junctor).items().enumerate() {
                self.schema(schema, &inner, &list.index(index));
            }
        }
    }

    fn extensions(&mut self, schema: &Value, path: &Path<'_>) {
        if schema.get("x-kubernetes-preserve-unknown-fields").as_bool() == Some(false) {
            let at = path.child("x-kubernetes-preserve-unknown-fields");
            self.errors.invalid(&at, false, "must be true or undefined");
        }
        let map_type = schema.get("x-kubernetes-map-type").as_str();
        let list_type = schema.get("x-kubernetes-list-type").as_str();
        self.type_of(schema, "object", "x-kubernetes-map-type", path);
        if let Some(other) = map_type.filter(|other| !["atomic", "granular"].contains(other)) {
            let at = path.child("x-kubernetes-map-type");
            self.errors.not_supported(&at, other, &["atomic", "granular"]);
        }
        if self.type_of(schema, "array", "x-kubernetes-list-type", path) && list_type == Some("set") {
            self.items_of_set(schema.get("items"), path);
        }
        if let Some(other) = list_type.filter(|other| !["atomic", "set", "map"].contains(other)) {
            let at = path.child("x-kubernetes-list-type");
            self.errors.not_supported(&at, other, &["atomic", "set", "map"]);
        }
    }

    /// Whether a schema with an extension has the type that the extension needs.
    fn type_of(&mut self, schema: &Value, needed: &str, extension: &str, path: &Path<'_>) -> bool {
        let kind = schema.str_at("type");
        if schema.get(extension).is_null() || kind == needed {
            return true;
        }
        let why = format!("must be {needed} if {extension} is specified");
        match kind {
            "" => self.errors.required(&path.child("type"), why),
            kind => self.errors.invalid(&path.child("type"), kind, why),
        }
        false
    }

    fn items_of_set(&mut self, items: &Value, path: &Path<'_>) {
        let list_type = items.get("x-kubernetes-list-type");
        let extension = match items.str_at("type") {
            "array" if !matches!(list_type.as_str(), None | Some("atomic")) => "x-kubernetes-list-type",
            "object" if items.str_at("x-kubernetes-map-type") != "atomic" => "x-kubernetes-map-type",
            _ => return,
        };
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        self.errors.invalid(&path.child("items").child(extension), list_type.clone(), why);
    }

    fn list(&mut self, schema: &Value, path: &Path<'_>) {
        let (list_type, keys) =
            (schema.get("x-kubernetes-list-type").as_str(), schema.get("x-kubernetes-list-map-keys"));
        if !keys.is_empty() && list_type != Some("map") {
            let why = "must be map if x-kubernetes-list-map-keys is non-empty";
            let at = path.child("x-kubernetes-list-type");
            match list_type {
                None => self.errors.required(&at, why),
                Some(other) => self.errors.invalid(&at, other, why),
            }
        }
        let items = schema.get("items");
        if matches!(list_type, Some("map" | "set")) && flag(items, "nullable") {
            let why =
                format!("cannot be nullable when x-kubernetes-list-type is {}", list_type.unwrap_or(""));
            self.errors.forbidden(&path.child("items").child("nullable"), why);
        }
        if list_type != Some("map") {
            return;
        }
        if keys.is_empty() {
            let why = "must not be empty if x-kubernetes-list-type is map";
            self.errors.required(&path.child("x-kubernetes-list-map-keys"), why);
        }
        match (items, items.str_at("type")) {
            (Value::Null, _) => {
                let why = "must have a schema if x-kubernetes-list-type is map";
                self.errors.required(&path.child("items"), why);
            }
            (_, "object") => self.keys(items, keys, path),
            (_, kind) => {
                let why = "must be object if parent array's x-kubernetes-list-type is map";
                self.errors.invalid(&path.child("items").child("type"), kind, why);
            }
        }
    }

    /// The keys of an associative list, which every item has.
    fn keys(&mut self, items: &Value, keys: &Value, path: &Path<'_>) {
        let (of_items, of_keys) = (path.child("items"), path.child("x-kubernetes-list-map-keys"));
        let properties = of_items.child("properties");
        let required: BTreeSet<&str> = items.get("required").items().filter_map(Value::as_str).collect();
        let mut seen = BTreeSet::new();
        for (index, key) in keys.items().filter_map(Value::as_str).enumerate() {
            if !seen.insert(key) {
                self.errors.duplicate(&of_keys.index(index), key);
                continue;
            }
            let (schema, at) = (items.get("properties").get(key), properties.key(key));
            if schema.is_null() {
                let why = "entries must all be names of item properties";
                self.errors.invalid(&of_keys.index(index), key, why);
                continue;
            }
            if matches!(schema.str_at("type"), "array" | "object") {
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                self.errors.invalid(&at.child("type"), items.str_at("type"), why);
            }
            if !required.contains(key) && schema.get("default").is_null() {
                let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                self.errors.required(&at.child("default"), why);
            }
            if flag(schema, "nullable") {
                let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                self.errors.forbidden(&at.child("nullable"), why);
            }
        }
    }
}

/// Checks the defaults in a structural schema: each has no field that its schema does not have, and satisfies it.
fn defaults(schema: &Value, patterns: &mut Patterns, path: &Path<'_>, errors: &mut Errors) {
    if schema.as_map().is_none() {
        return;
    }
    if !schema.get("default").is_null() {
        default(schema, patterns, path, errors);
    }
    defaults(schema.get("items"), patterns, &path.child("items"), errors);
    for (name, property) in schema.get("properties").entries() {
        defaults(property, patterns, &path.child("properties").key(name), errors);
    }
}

fn default(schema: &Value, patterns: &mut Patterns, path: &Path<'_>, errors: &mut Errors) {
    let default = schema.get("default");
    let at = path.child("default");
    let around = value!({"type": "object", "properties": {"v": schema.clone()}});
    // Errors of the schema itself are reported where it is compiled.
    let (Ok(ty), Ok(node)) = (message("", &around, false, path), node::compile(schema, patterns, path))
    else {
        return;
    };
    let ty = schema::TypeRef::Shared(std::sync::Arc::new(ty));
    let is_pruned = decode::decode_value(value!({"v": default.clone()}), &ty)
        .is_ok_and(|decoded| decoded.strict_errors.is_empty());
    if !is_pruned {
        errors.invalid(&at, default.clone(), "must not have unknown fields");
    }
    errors.append(validate::value(&node, default, None, &at.to_string()));
}
