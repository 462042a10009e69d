//! Schemas of custom resources: types that are compiled at run time, each written inline as in its definition. They
//! refer only to the metadata that every object has.

use object::{Value, value};
use schema::{Count, Field, FieldType, ListType, ResourceDef, Rules, Shape, TypeDef, TypeRef};

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

    fn object_of(&mut self, ty: &TypeDef) -> Value {
        let mut out = value!({"type": "object"});
        if let Some(description) = &ty.description {
            out.set("description", &**description);
        }
        let required = ty.fields.iter().filter(|field| field.required);
        let required: Vec<Value> = required.map(|field| Value::from(&*field.name)).collect();
        if !required.is_empty() {
            out.set("required", required);
        }
        let mut properties = Value::map();
        for field in ty.fields.iter() {
            properties.set(field.name.to_string(), self.value_of(field));
        }
        if !properties.is_empty() {
            out.set("properties", properties);
        }
        for (is_set, name) in [
            (ty.preserves_unknown, "x-kubernetes-preserve-unknown-fields"),
            (ty.embedded, "x-kubernetes-embedded-resource"),
        ] {
            if is_set {
                out.set(name, true);
            }
        }
        if ty.atomic {
            out.set("x-kubernetes-map-type", "atomic");
        }
        out
    }

    fn value_of(&mut self, field: &Field) -> Value {
        let inner = match &field.ty {
            FieldType::Message(TypeRef::Static(ty)) => {
                let metadata = self.reference(&ty.name);
                self.described(&field.name, metadata)
            }
            FieldType::Message(ty) => self.object_of(ty),
            FieldType::Nested(inner) => self.value_of(inner),
            FieldType::Json => value!({"x-kubernetes-preserve-unknown-fields": true}),
            FieldType::IntOrString => value!({"x-kubernetes-int-or-string": true}),
            scalar => self.scalar(scalar, field),
        };
        let mut out = match field.shape {
            Shape::Single => inner,
            Shape::List => value!({"type": "array", "items": inner}),
            Shape::Map => value!({"type": "object", "additionalProperties": inner}),
        };
        if let Some(rules) = &field.rules {
            self.rules(rules, &mut out);
        }
        if let Some(default) =
            field.default.as_ref().and_then(|text| object::json::parse(text.as_bytes()).ok())
        {
            out.set("default", default);
        }
        if field.shape == Shape::List && field.list_type != ListType::Atomic {
            out.set("x-kubernetes-list-type", if field.list_type == ListType::Set { "set" } else { "map" });
            let keys: Vec<Value> = field.list_map_keys.iter().map(|key| Value::from(&**key)).collect();
            if !keys.is_empty() {
                out.set("x-kubernetes-list-map-keys", keys);
            }
        }
        if field.atomic_map {
            out.set("x-kubernetes-map-type", "atomic");
        }
        out
    }

    fn scalar(&mut self, ty: &FieldType, field: &Field) -> Value {
        let is_plain = field.rules.as_ref().is_none_or(|rules| rules.description.is_empty());
        let kind = match ty {
            FieldType::Bool => "boolean",
            FieldType::Int32 | FieldType::Int64 => "integer",
            FieldType::Double => "number",
            _ => "string",
        };
        let out = value!({"type": kind});
        let names_object = matches!(&*field.name, "apiVersion" | "kind");
        if names_object && is_plain { self.described(&field.name, out) } else { out }
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

    fn rules(&self, rules: &Rules, out: &mut Value) {
        if !rules.description.is_empty() {
            out.set("description", &*rules.description);
        }
        if rules.nullable && self.version == Version::V3 {
            out.set("nullable", true);
        }
        let allowed = rules.allowed.iter().filter_map(|text| object::json::parse(text.as_bytes()).ok());
        let allowed: Vec<Value> = allowed.collect();
        if !allowed.is_empty() {
            out.set("enum", allowed);
        }
        for (name, exclusive, limit) in
            [("minimum", "exclusiveMinimum", rules.minimum), ("maximum", "exclusiveMaximum", rules.maximum)]
        {
            if let Some(limit) = limit {
                out.set(name, number(limit.value));
                if limit.exclusive {
                    out.set(exclusive, true);
                }
            }
        }
        if let Some(factor) = rules.multiple_of {
            out.set("multipleOf", number(factor));
        }
        for (name, text) in [("pattern", &rules.pattern), ("format", &rules.format)] {
            if let Some(text) = text {
                out.set(name, &**text);
            }
        }
        for (names, Count { min, max }) in [
            (["minLength", "maxLength"], rules.length),
            (["minItems", "maxItems"], rules.items),
            (["minProperties", "maxProperties"], rules.members),
        ] {
            for (name, count) in names.into_iter().zip([min, max]) {
                if let Some(count) = count {
                    out.set(name, i64::try_from(count).unwrap_or(i64::MAX));
                }
            }
        }
    }
}

/// A number as people write it.
fn number(value: f64) -> Value {
    Value::Float(value).as_i64().map_or(Value::Float(value), Value::from)
}
