//! Schemas of types, in the forms of both versions of OpenAPI.

use std::collections::{BTreeMap, BTreeSet};

use object::{Value, value};
use schema::{Field, FieldType, ListType, PatchStrategy, ResourceDef, Shape, TypeDef, TypeRef};

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
}

impl Version {
    /// The section of a document with its definitions.
    pub(super) fn reference(self, ty: &str) -> Value {
        let prefix = if self == Version::V2 { "#/definitions/" } else { "#/components/schemas/" };
        value!({"$ref": format!("{prefix}{ty}")})
    }
}

const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const APIEXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// A type of a custom resource.
#[derive(Clone, Copy)]
pub(super) enum Custom<'a> {
    /// Its objects.
    Object(&'a ResourceDef),
    /// Lists of them.
    List(&'a ResourceDef),
}

/// The name of the type of lists.
pub(super) fn list_name(def: &ResourceDef) -> String {
    let name = &def.ty.name;
    let package = name.rsplit_once('.').map_or("", |(package, _)| package);
    format!("{package}.{}", def.list_kind)
}

/// Writes the definitions of types, and of all types that they contain.
pub(super) struct Definitions<'a> {
    pub(super) version: Version,
    pub(super) texts: &'a openapi::Descriptions,
    /// The served group versions, which options and events of watches belong to.
    group_versions: &'a [(&'a str, &'a str)],
    kinds: BTreeMap<&'static str, Vec<(&'static str, &'static str, &'static str)>>,
    custom: BTreeMap<String, Custom<'a>>,
    done: BTreeMap<String, Value>,
    wanted: BTreeSet<String>,
}

impl<'a> Definitions<'a> {
    /// No definitions yet.
    pub(super) fn new(
        version: Version,
        texts: &'a openapi::Descriptions,
        group_versions: &'a [(&'a str, &'a str)],
    ) -> Definitions<'a> {
        let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for kind in schema::kinds() {
            kinds.entry(&*kind.ty.name).or_default().push((kind.group, kind.version, kind.kind));
        }
        Definitions {
            version,
            texts,
            group_versions,
            kinds,
            custom: BTreeMap::new(),
            done: BTreeMap::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// The same, knowing the types of custom resources too.
    pub(super) fn with_custom(mut self, resources: &[&'a ResourceDef]) -> Definitions<'a> {
        for def in resources.iter().filter(|def| matches!(def.ty, TypeRef::Shared(_))) {
            self.custom.insert(def.ty.name.to_string(), Custom::Object(def));
            self.custom.insert(list_name(def), Custom::List(def));
        }
        self
    }

    /// Requests a type by its name, and returns the reference to it.
    pub(super) fn reference(&mut self, ty: &str) -> Value {
        if !self.done.contains_key(ty) {
            self.wanted.insert(ty.to_owned());
        }
        self.version.reference(ty)
    }

    /// The definitions of all requested types, by name.
    pub(super) fn finish(mut self) -> Value {
        while let Some(name) = self.wanted.pop_first() {
            let custom = self.custom.get(&name).copied();
            let definition = match (custom, schema::type_by_name(&name)) {
                (Some(custom), _) => self.custom(custom),
                (None, Some(ty)) if !self.is_well_known(&name) => self.object(&ty),
                (None, _) => self.well_known(&name),
            };
            self.done.insert(name, definition);
        }
        let mut definitions = Value::map();
        for (name, definition) in self.done {
            definitions.set(name, definition);
        }
        definitions
    }

    fn is_well_known(&self, name: &str) -> bool {
        name.starts_with(APIEXTENSIONS) && name.contains("JSON") && !name.ends_with("JSONSchemaProps")
            || [INT_OR_STRING, QUANTITY, RAW_EXTENSION].contains(&name)
    }

    /// Types with a special JSON form.
    fn well_known(&self, name: &str) -> Value {
        let mut definition = match name.rsplit('.').next().unwrap_or_default() {
            "Time" | "MicroTime" => value!({"type": "string", "format": "date-time"}),
            "Duration" => value!({"type": "string"}),
            "FieldsV1" | "RawExtension" | "Patch" => value!({"type": "object"}),
            "Quantity" if self.version == Version::V3 => {
                value!({"oneOf": [{"type": "string"}, {"type": "number"}]})
            }
            "Quantity" => value!({"type": "string"}),
            "IntOrString" if self.version == Version::V3 => {
                value!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            "IntOrString" => value!({"type": "string", "format": "int-or-string"}),
            _ => Value::map(),
        };
        self.describe(&mut definition, self.texts.of_type(name));
        definition
    }

    fn describe(&self, definition: &mut Value, text: Option<&str>) {
        if let Some(text) = text {
            definition.set("description", text);
        }
    }

    fn object(&mut self, ty: &TypeDef) -> Value {
        let mut properties: BTreeMap<&str, Value> = BTreeMap::new();
        let mut required = Vec::new();
        ty.for_each_json_field(&mut |field| {
            let property = self.property(&ty.name, field);
            properties.insert(&field.name, property);
            if field.required {
                required.push(&*field.name);
            }
        });
        required.sort_unstable();
        let mut definition = Value::map();
        match self.texts.of_type(&ty.name) {
            Some(text) => definition.set("description", text),
            None if ty.name.ends_with("List") => {
                let kind = ty.name.rsplit('.').next().unwrap_or_default();
                let item = kind.trim_end_matches("List");
                definition.set("description", format!("{kind} is a list of objects of kind {item}."));
            }
            None => {}
        }
        if !required.is_empty() {
            definition.set("required", required.into_iter().map(Value::from).collect::<Vec<_>>());
        }
        definition.set("type", "object");
        if !properties.is_empty() {
            let map = definition.entry("properties");
            for (name, property) in properties {
                map.set(name.to_owned(), property);
            }
        }
        if ty.atomic {
            definition.set("x-kubernetes-map-type", "atomic");
        }
        if ty.preserves_unknown {
            definition.set("x-kubernetes-preserve-unknown-fields", true);
        }
        if let Some(kinds) = self.kinds_of(&ty.name) {
            definition.set("x-kubernetes-group-version-kind", kinds);
        }
        definition
    }

    /// `x-kubernetes-group-version-kind` of a type.
    fn kinds_of(&self, name: &str) -> Option<Vec<Value>> {
        let entry = |group: &str, version: &str, kind: &str| value!({"group": group, "kind": kind, "version": version});
        let meta = name.strip_prefix(META).and_then(|kind| kind.strip_prefix('.'));
        match meta {
            Some(kind @ ("DeleteOptions" | "WatchEvent")) => {
                Some(self.group_versions.iter().map(|(group, version)| entry(group, version, kind)).collect())
            }
            // They belong to no group, and upstream shows them in the core one.
            Some(kind @ ("Status" | "APIGroup" | "APIGroupList" | "APIResourceList" | "APIVersions")) => {
                Some(vec![entry("", "v1", kind)])
            }
            _ => {
                let kinds = self.kinds.get(name)?;
                Some(kinds.iter().map(|(group, version, kind)| entry(group, version, kind)).collect())
            }
        }
    }

    fn property(&mut self, ty: &str, field: &Field) -> Value {
        let text = self.texts.of_field(ty, &field.name);
        let mut property = match field.shape {
            Shape::Single => self.single(field, text),
            Shape::List => value!({"type": "array", "items": self.item(field)}),
            Shape::Map => value!({"type": "object", "additionalProperties": self.item(field)}),
        };
        self.describe(&mut property, text);
        if let Some(default) = &field.default
            && let Ok(default) = object::json::parse(default.as_bytes())
            && self.version == Version::V3
        {
            property.set("default", default);
        }
        extensions(field, &mut property);
        property
    }

    /// The schema of one value. In version 3, a reference with siblings is wrapped, and values that Go does not hold
    /// behind a pointer have their zero value as the default.
    fn single(&mut self, field: &Field, text: Option<&str>) -> Value {
        let mut schema = self.of_type(&field.ty);
        if self.version == Version::V3 {
            let is_object = matches!(field.ty, FieldType::Message(_));
            if !schema.get("$ref").is_null() && (text.is_some() || is_object && !field.pointer) {
                schema = value!({"allOf": [schema]});
            }
            if !field.pointer && field.always_in_json {
                set_zero(&mut schema, &field.ty);
            }
        }
        schema
    }

    /// The schema of a list's items or a map's values.
    fn item(&mut self, field: &Field) -> Value {
        let mut schema = self.of_type(&field.ty);
        if self.version == Version::V3 {
            if matches!(field.ty, FieldType::Message(_)) {
                schema = value!({"allOf": [schema]});
            }
            set_zero(&mut schema, &field.ty);
        }
        schema
    }

    fn of_type(&mut self, ty: &FieldType) -> Value {
        let meta = |name: &str| format!("{META}.{name}");
        let extension = |name: &str| format!("{APIEXTENSIONS}.{name}");
        match ty {
            FieldType::Bool => value!({"type": "boolean"}),
            FieldType::Int32 => value!({"type": "integer", "format": "int32"}),
            FieldType::Int64 => value!({"type": "integer", "format": "int64"}),
            FieldType::Double => value!({"type": "number", "format": "double"}),
            FieldType::String => value!({"type": "string"}),
            FieldType::Bytes => value!({"type": "string", "format": "byte"}),
            FieldType::StringList => value!({"type": "array", "items": {"type": "string"}}),
            FieldType::Message(ty) => self.reference(&ty.name),
            // Only types of custom resources have such values.
            FieldType::Nested(_) => Value::map(),
            FieldType::Time => self.reference(&meta("Time")),
            FieldType::MicroTime => self.reference(&meta("MicroTime")),
            FieldType::Duration => self.reference(&meta("Duration")),
            FieldType::FieldsV1 => self.reference(&meta("FieldsV1")),
            FieldType::Quantity => self.reference(QUANTITY),
            FieldType::IntOrString => self.reference(INT_OR_STRING),
            FieldType::RawExtension => self.reference(RAW_EXTENSION),
            FieldType::Json => self.reference(&extension("JSON")),
            FieldType::JsonSchemaOrArray(_) => self.reference(&extension("JSONSchemaPropsOrArray")),
            FieldType::JsonSchemaOrBool(_) => self.reference(&extension("JSONSchemaPropsOrBool")),
            FieldType::JsonSchemaOrStringArray(_) => {
                self.reference(&extension("JSONSchemaPropsOrStringArray"))
            }
        }
    }
}

fn set_zero(schema: &mut Value, ty: &FieldType) {
    let zero = match ty {
        FieldType::Bool => Value::from(false),
        FieldType::Int32 | FieldType::Int64 | FieldType::Double => Value::from(0i64),
        FieldType::String => Value::from(""),
        FieldType::Message(_) => Value::map(),
        _ => return,
    };
    schema.set("default", zero);
}

/// The facts about a field that patches and server-side apply need.
fn extensions(field: &Field, property: &mut Value) {
    if field.shape == Shape::List {
        let list_type = match field.list_type {
            ListType::Atomic => "atomic",
            ListType::Set => "set",
            ListType::Map => "map",
        };
        property.set("x-kubernetes-list-type", list_type);
        if field.list_type == ListType::Map {
            let keys: Vec<Value> = field.list_map_keys.iter().map(|key| Value::from(&**key)).collect();
            property.set("x-kubernetes-list-map-keys", keys);
        }
    }
    if field.atomic_map {
        property.set("x-kubernetes-map-type", "atomic");
    }
    if field.granular {
        property.set("x-kubernetes-map-type", "granular");
    }
    let PatchStrategy { merge, replace, retain_keys, merge_key } = &field.patch;
    let strategies = [("merge", *merge), ("replace", *replace), ("retainKeys", *retain_keys)];
    let strategies: Vec<&str> = strategies.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    if !strategies.is_empty() {
        property.set("x-kubernetes-patch-strategy", strategies.join(","));
    }
    if let Some(key) = merge_key {
        property.set("x-kubernetes-patch-merge-key", &**key);
    }
}
