//! Structural schemas: every field has a type outside of `allOf` and its like, which contain nothing but rules for the
//! values of such fields. Upstream: `apiserver/schema/{validation,complete}.go`.

use super::pattern::Patterns;
use super::problem::{RULES, flag};
use crate::Value;
use crate::field::{Errors, Path};

/// The keywords that combine lists of schemas.
pub(super) const JUNCTORS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Keywords that have no place below a junctor, and what they must be there.
const OUTSIDE: [(&str, &str); 12] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
];

/// Where a schema stands in the whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks that the schema of a whole object is structural.
pub(super) fn check(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut checker = Checker { errors, patterns: Patterns::new() };
    checker.schema(schema, Level::Root, path);
    checker.complete(schema, schema, path, path);
}

struct Checker<'e> {
    errors: &'e mut Errors,
    patterns: Patterns,
}

impl Checker<'_> {
    fn schema(&mut self, schema: &Value, level: Level, path: &Path<'_>) {
        let kind = schema.str_at("type");
        if kind == "array" && schema.get("items").is_null() {
            self.errors.required(&path.child("items"), "must be specified");
        }
        if schema.get("items").as_map().is_some() {
            self.schema(schema.get("items"), Level::Item, &path.child("items"));
        }
        for (name, property) in schema.get("properties").entries() {
            self.schema(property, Level::Field, &path.child("properties").key(name));
        }
        let members = schema.get("additionalProperties");
        if !members.is_null() && level == Level::Root {
            self.errors.forbidden(&path.child("additionalProperties"), "must not be used at the root");
        }
        if members.as_map().is_some() {
            self.schema(members, Level::Field, &path.child("additionalProperties"));
        }
        self.own_type(schema, level, path);
        self.meta(schema, level, path);
        self.rules(schema, true, path);
    }

    fn own_type(&mut self, schema: &Value, level: Level, path: &Path<'_>) {
        let is_set = |name: &str| flag(schema, name);
        let embedded = is_set("x-kubernetes-embedded-resource");
        let preserves = is_set("x-kubernetes-preserve-unknown-fields");
        let int_or_string = is_set("x-kubernetes-int-or-string");
        if int_or_string {
            for (extension, on) in [
                ("x-kubernetes-preserve-unknown-fields", preserves),
                ("x-kubernetes-embedded-resource", embedded),
            ] {
                if on {
                    let why = "must be false if x-kubernetes-int-or-string is true";
                    self.errors.invalid(&path.child(extension), true, why);
                }
            }
        }
        let at = path.child("type");
        match schema.str_at("type") {
            "object" => {}
            "" if embedded => {
                self.errors.required(&at, "must be object if x-kubernetes-embedded-resource is true");
            }
            kind if embedded => {
                let why = "must be object if x-kubernetes-embedded-resource is true";
                self.errors.invalid(&at, kind, why);
            }
            "" if !int_or_string && !preserves => self.errors.required(
                &at,
                match level {
                    Level::Root => "must not be empty at the root",
                    Level::Item => "must not be empty for specified array items",
                    Level::Field => "must not be empty for specified object fields",
                },
            ),
            "" => {}
            kind if level == Level::Root => self.errors.invalid(&at, kind, "must be object at the root"),
            _ => {}
        }
        if embedded && !schema.get("additionalProperties").is_null() {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            self.errors.forbidden(&path.child("additionalProperties"), why);
        }
        if embedded && !preserves && schema.get("properties").is_empty() {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.errors.required(&path.child("properties"), why);
        }
    }

    /// What a schema says about the fields that every object has.
    fn meta(&mut self, schema: &Value, level: Level, path: &Path<'_>) {
        if level != Level::Root && !flag(schema, "x-kubernetes-embedded-resource") {
            return;
        }
        let (properties, at) = (schema.get("properties"), path.child("properties"));
        for name in ["kind", "apiVersion"] {
            let property = properties.get(name);
            if !property.is_null() && property.str_at("type") != "string" {
                let found = property.str_at("type");
                self.errors.invalid(&at.key(name).child("type"), found, "must be string");
            }
        }
        let metadata = properties.get("metadata");
        if metadata.is_null() {
            return;
        }
        let at = at.key("metadata");
        if metadata.str_at("type") != "object" {
            self.errors.invalid(&at.child("type"), metadata.str_at("type"), "must be object");
        }
        let is_more = |(keyword, value): (&str, &Value)| match keyword {
            "type" | "default" | "description" => keyword == "description",
            "properties" => !value.entries().all(|(name, _)| matches!(name, "name" | "generateName")),
            _ => !value.is_empty(),
        };
        if level == Level::Root && metadata.entries().any(is_more) {
            let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.errors.forbidden(&at, why);
        }
    }

    /// The rules for a value, in which junctors may nest.
    fn rules(&mut self, schema: &Value, allows_types: bool, path: &Path<'_>) {
        for junctor in JUNCTORS {
            let list = path.child(junctor);
            if junctor == "anyOf" && allows_types && is_types(schema.get(junctor)) {
                continue;
            }
            for (index, inner) in schema.get(junctor).items().enumerate() {
                // An integer or a string may also say so in its words in the first of several schemas.
                self.nested(inner, allows_types && junctor == "allOf" && index == 0, &list.index(index));
            }
        }
        if schema.get("not").as_map().is_some() {
            self.nested(schema.get("not"), false, &path.child("not"));
        }
        let pattern = schema.str_at("pattern");
        if !pattern.is_empty()
            && let Err(why) = self.patterns.get(pattern)
        {
            let why = format!("must be a valid regular expression, but isn't: {why}");
            self.errors.invalid(&path.child("pattern"), pattern, why);
        }
    }

    /// A schema below a junctor.
    fn nested(&mut self, schema: &Value, allows_types: bool, path: &Path<'_>) {
        self.rules(schema, allows_types, path);
        if schema.get("items").as_map().is_some() {
            self.nested(schema.get("items"), false, &path.child("items"));
        }
        for (name, property) in schema.get("properties").entries() {
            self.nested(property, false, &path.child("properties").key(name));
        }
        for (keyword, why) in OUTSIDE {
            let value = schema.get(keyword);
            if !value.is_empty() && value.as_bool() != Some(false) {
                self.errors.forbidden(&path.child(keyword), why);
            }
        }
        if !schema.get(RULES).is_empty() {
            self.errors.forbidden(&path.child(RULES), "must be empty to be structural");
        }
        if !schema.get("properties").get("metadata").is_null() {
            let at = path.child("properties");
            self.errors.forbidden(&at.key("metadata"), "must not be specified in a nested context");
        }
    }

    /// Checks that the values that junctors speak of are defined outside of them.
    fn complete(&mut self, rules: &Value, schema: &Value, at: &Path<'_>, rules_at: &Path<'_>) {
        for junctor in JUNCTORS {
            let list = rules_at.child(junctor);
            for (index, inner) in rules.get(junctor).items().enumerate() {
                self.complete_nested(inner, schema, at, &list.index(index));
            }
        }
        if rules.get("not").as_map().is_some() {
            self.complete_nested(rules.get("not"), schema, at, &rules_at.child("not"));
        }
    }

    fn complete_nested(&mut self, rules: &Value, schema: &Value, at: &Path<'_>, rules_at: &Path<'_>) {
        if schema.as_map().is_none() {
            return self.errors.required(at, format!("because it is defined in {rules_at}"));
        }
        self.complete(rules, schema, at, rules_at);
        if rules.get("items").as_map().is_some() {
            let (inner, inner_at) = (schema.get("items"), at.child("items"));
            self.complete_nested(rules.get("items"), inner, &inner_at, &rules_at.child("items"));
        }
        for (name, property) in rules.get("properties").entries() {
            let (of_schema, of_rules) = (at.child("properties"), rules_at.child("properties"));
            let inner = schema.get("properties").get(name);
            self.complete_nested(property, inner, &of_schema.key(name), &of_rules.key(name));
        }
    }
}

/// Whether these alternatives are just the types `integer` and `string`.
fn is_types(alternatives: &Value) -> bool {
    let is_type = |schema: &Value, name: &str| {
        schema.as_map().is_some_and(|map| map.len() == 1) && schema.str_at("type") == name
    };
    match alternatives.as_list() {
        Some([first, second]) => is_type(first, "integer") && is_type(second, "string"),
        _ => false,
    }
}
