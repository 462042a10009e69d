//! Schemas of custom resources: as their definitions write them, with the metadata that every object has.

use object::{Value, value};
use schema::{ResourceDef, TypeDef};

use super::definitions::{Custom, Definitions, META, Version};

impl Definitions<'_> {
    pub(super) fn custom(&mut self, custom: Custom<'_>) -> Value {
        let (def, kind, mut definition) = match custom {
            Custom::Object(def) => (def, &def.kind, self.object_of(&def.ty)),
            Custom::List(def) => (def, &def.list_kind, self.list_of(def)),
        };
        let gvk = value!({"group": &*def.group, "kind": &**kind, "version": &*def.version});
        definition.set("x-kubernetes-group-version-kind", vec![gvk]);
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
        let mut out = source.unwrap_or_else(|| value!({"type": "object"}));
        if self.version == Version::V2 {
            // In that version, a property can only be described; what else exists in it is not known.
            if out.get("x-kubernetes-preserve-unknown-fields").as_bool() == Some(true) {
                out.remove("properties");
            }
            for_version_2(&mut out);
        }
        self.with_meta(&mut out);
        out
    }

    fn with_meta(&mut self, schema: &mut Value) {
        if schema.get("properties").is_null() && schema.get("x-kubernetes-preserve-unknown-fields").is_null()
        {
            schema.set("properties", Value::map());
        }
        if self.version == Version::V3 || !schema.get("properties").is_null() {
            let metadata = self.reference(&format!("{META}.ObjectMeta"));
            let properties = schema.entry("properties");
            if properties.as_map().is_none() {
                *properties = Value::map();
            }
            for name in ["apiVersion", "kind"] {
                properties.set(name, self.described(name, value!({"type": "string"})));
            }
            properties.set("metadata", self.described("metadata", metadata));
            let mut inner: Vec<&mut Value> = properties
                .as_map_mut()
                .into_iter()
                .flat_map(|map| map.iter_mut())
                .filter(|(name, _)| !matches!(*name, "apiVersion" | "kind" | "metadata"))
                .map(|(_, schema)| schema)
                .collect();
            inner.iter_mut().for_each(|schema| self.embedded(schema));
        }
    }

    /// Adds the fields that every object has to objects inside of others.
    fn embedded(&mut self, schema: &mut Value) {
        if schema.as_map().is_none() {
            return;
        }
        if schema.get("x-kubernetes-embedded-resource").as_bool() == Some(true) {
            return self.with_meta(schema);
        }
        for member in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get_mut(member) {
                self.embedded(inner);
            }
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_map_mut) {
            properties.iter_mut().for_each(|(_, inner)| self.embedded(inner));
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

/// Removes what version 2 cannot say, as upstream does (`controller/openapi/v2`): clients would misunderstand it. Where
/// `null` is allowed, or an integer or a string, or unknown fields, nothing is said about the type.
fn for_version_2(schema: &mut Value) {
    if schema.as_map().is_none() {
        return;
    }
    for keyword in ["allOf", "anyOf", "oneOf", "not"] {
        schema.remove(keyword);
    }
    let is_on = |schema: &Value, name: &str| schema.get(name).as_bool() == Some(true);
    if is_on(schema, "nullable") {
        for keyword in ["type", "nullable", "items", "properties"] {
            schema.remove(keyword);
        }
    } else if is_on(schema, "x-kubernetes-int-or-string") {
        schema.remove("type");
    } else if is_on(schema, "x-kubernetes-preserve-unknown-fields")
        && !is_on(schema, "x-kubernetes-embedded-resource")
        && schema.str_at("type") != "object"
    {
        for keyword in ["items", "properties", "type"] {
            schema.remove(keyword);
        }
    }
    if schema.get("items").as_map().is_none() && schema.str_at("type") == "array" {
        schema.remove("type");
    }
    schema.remove("nullable");
    for member in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(member) {
            for_version_2(inner);
        }
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_map_mut) {
        properties.iter_mut().for_each(|(_, inner)| for_version_2(inner));
    }
}
