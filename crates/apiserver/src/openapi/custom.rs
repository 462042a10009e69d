//! Schemas of custom resources: as their definitions write them, with the metadata that every object has.

use object::{Value, value};
use schema::{ResourceDef, TypeDef};

use super::definitions::{Custom, Definitions, META, Version};
use crate::catalogue::SELECTABLE;

impl Definitions<'_> {
    pub(super) fn custom(&mut self, custom: Custom<'_>) -> Value {
        let (def, kind, mut definition) = match custom {
            Custom::Object(def) => (def, &def.kind, self.object_of(&def.ty)),
            Custom::List(def) => (def, &def.list_kind, self.list_of(def)),
        };
        let gvk = value!({"group": &*def.group, "kind": &**kind, "version": &*def.version});
        definition.set("x-kubernetes-group-version-kind", vec![gvk]);
        // An object that shows nothing of its schema, and a list, show them too.
        let selectable = selectable(&def.ty);
        if !selectable.is_null() {
            definition.set(SELECTABLE, selectable);
        }
        definition
    }

    fn list_of(&mut self, def: &ResourceDef) -> Value {
        let items = self.reference(&def.ty.name);
        let metadata = self.reference(&format!("{META}.ListMeta"));
        let mut properties = Value::map();
        for name in ["apiVersion", "kind"] {
            properties.set(name, self.described(name, value!({"type": "string"})));
        }
        properties.set("metadata", self.described("metadata", metadata));
        properties.set("items", value!({"type": "array", "items": items}));
        value!({
            "description": format!("{} is a list of {}", def.list_kind, def.kind),
            "type": "object", "required": ["items"], "properties": properties
        })
    }

    /// The schema of a definition, with the fields that every object has.
    fn object_of(&mut self, ty: &TypeDef) -> Value {
        let source = ty.source.as_deref().and_then(|text| object::json::parse(text.as_bytes()).ok());
        let Some(mut schema) = source else { return value!({"type": "object"}) };
        if self.version == Version::V2 {
            // Clients would take any property that is named here for the only one.
            if ty.preserves_unknown {
                return value!({"type": "object"});
            }
            for_version_2(&mut schema);
        }
        self.set_meta(&mut schema);
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_map_mut) {
            let own = |name: &str| !matches!(name, "apiVersion" | "kind" | "metadata");
            properties.iter_mut().filter(|(name, _)| own(name)).for_each(|(_, inner)| self.embedded(inner));
        }
        schema
    }

    fn set_meta(&mut self, schema: &mut Value) {
        let metadata = self.reference(&format!("{META}.ObjectMeta"));
        let properties = schema.entry("properties");
        if properties.as_map().is_none() {
            *properties = Value::map();
        }
        for name in ["apiVersion", "kind"] {
            properties.set(name, self.described(name, value!({"type": "string"})));
        }
        properties.set("metadata", self.described("metadata", metadata));
    }

    /// Adds the fields that every object has to objects inside of others.
    fn embedded(&mut self, schema: &mut Value) {
        if schema.as_map().is_none() {
            return;
        }
        for member in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get_mut(member) {
                self.embedded(inner);
            }
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_map_mut) {
            properties.iter_mut().for_each(|(_, inner)| self.embedded(inner));
        }
        let preserves = is_on(schema, "x-kubernetes-preserve-unknown-fields");
        if is_on(schema, "x-kubernetes-embedded-resource") && !(preserves && self.version == Version::V2) {
            self.set_meta(schema);
            let mut required = schema.get("required").as_list().unwrap_or_default().to_vec();
            for name in ["kind", "apiVersion"] {
                if !required.iter().any(|other| other.as_str() == Some(name)) {
                    required.push(name.into());
                }
            }
            schema.set("required", required);
        }
    }

    /// Something that every object has, with its text. In version 3 a reference with a text is wrapped.
    fn described(&self, name: &str, schema: Value) -> Value {
        let text = self.texts.of_field("io.k8s.api.core.v1.ConfigMap", name);
        let is_reference = !schema.get("$ref").is_null();
        let mut out =
            if is_reference && self.version == Version::V3 { value!({"allOf": [schema]}) } else { schema };
        if let Some(text) = text {
            out.set("description", text);
        }
        out
    }
}

/// The selectable fields of a resource, as its schema lists them; null if there are none.
fn selectable(ty: &TypeDef) -> Value {
    let source = ty.source.as_deref().filter(|text| text.contains(SELECTABLE));
    let schema = source.and_then(|text| object::json::parse(text.as_bytes()).ok()).unwrap_or_default();
    schema.get(SELECTABLE).clone()
}

fn is_on(schema: &Value, name: &str) -> bool {
    schema.get(name).as_bool() == Some(true)
}

/// Removes what version 2 cannot say, or what its clients would misunderstand, as upstream does
/// (`apiextensions-apiserver/pkg/controller/openapi/v2`).
fn for_version_2(schema: &mut Value) {
    if schema.as_map().is_none() {
        return;
    }
    for keyword in ["allOf", "anyOf", "oneOf", "not"] {
        schema.remove(keyword);
    }
    let preserves = is_on(schema, "x-kubernetes-preserve-unknown-fields");
    if is_on(schema, "nullable") {
        schema.remove("type");
    }
    if preserves || is_on(schema, "nullable") {
        schema.remove("items");
        schema.remove("properties");
    }
    schema.remove("nullable");
    let is_bare_list = schema.get("items").is_null() && schema.str_at("type") == "array";
    if is_bare_list || preserves && schema.str_at("type") == "object" {
        schema.remove("type");
    }
    require_no_nullable(schema);
    for member in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(member) {
            for_version_2(inner);
        }
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_map_mut) {
        properties.iter_mut().for_each(|(_, inner)| for_version_2(inner));
    }
}

/// What may be `null` is not required of clients that know no `null`.
fn require_no_nullable(schema: &mut Value) {
    let Some(required) = schema.get("required").as_list() else { return };
    let properties = schema.get("properties");
    let may_be_null = |name: &Value| is_on(properties.get(name.as_str().unwrap_or_default()), "nullable");
    let left: Vec<Value> = required.iter().filter(|name| !may_be_null(name)).cloned().collect();
    if left.is_empty() || is_on(schema.get("additionalProperties"), "nullable") {
        schema.remove("required");
    } else if left.len() < required.len() {
        schema.set("required", left);
    }
}
