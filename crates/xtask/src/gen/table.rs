//! Turns Go declarations and proto numbers into facts: which types are reachable, and what their fields are.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::go::{Body, GoType, Member};
use super::sources::{Sources, TypeName};

/// All facts, ready to be written.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The types by their OpenAPI name.
    pub(crate) types: BTreeMap<String, Type>,
    /// Group, version and kind, and the OpenAPI name of the type.
    pub(crate) kinds: BTreeMap<(String, String, String), String>,
}

/// One type.
#[derive(Debug)]
pub(crate) struct Type {
    /// The Go package.
    pub(crate) package: String,
    /// The Go name.
    pub(crate) name: String,
    pub(crate) atomic: bool,
    pub(crate) fields: Vec<Fact>,
}

/// One field.
#[derive(Debug, Default)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) shape: Shape,
    pub(crate) ty: Value,
    pub(crate) pointer: bool,
    pub(crate) always_in_json: bool,
    pub(crate) required: bool,
    pub(crate) inline: bool,
    pub(crate) atomic: bool,
    pub(crate) granular: bool,
    pub(crate) list: List,
    pub(crate) merge: bool,
    pub(crate) replace: bool,
    pub(crate) retain_keys: bool,
    pub(crate) merge_key: String,
    pub(crate) default: Option<String>,
}

/// How many values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Shape {
    #[default]
    Single,
    List,
    Map,
}

/// How server-side apply merges a list.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum List {
    #[default]
    Atomic,
    Set,
    Keys(Vec<String>),
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A variant of `FieldType` without content.
    Plain(&'static str),
    /// A variant of `FieldType` over a type.
    Over(&'static str, TypeName),
}

impl Default for Value {
    fn default() -> Value {
        Value::Plain("String")
    }
}

const META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1";
const EXTENSIONS: &str = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1";

/// Types that are not kinds and that no kind refers to, but that servers and clients exchange.
const EXTRA_ROOTS: &[(&str, &str)] = &[(META, "WatchEvent"), ("k8s.io/apimachinery/pkg/version", "Info")];

/// Types with a special JSON form: package, name, variant of `FieldType`, underlying type of the variant.
const SPECIAL: &[(&str, &str, &str, &str)] = &[
    (META, "Time", "Time", ""),
    (META, "MicroTime", "MicroTime", ""),
    (META, "Duration", "Duration", ""),
    (META, "FieldsV1", "FieldsV1", ""),
    ("k8s.io/apimachinery/pkg/api/resource", "Quantity", "Quantity", ""),
    ("k8s.io/apimachinery/pkg/util/intstr", "IntOrString", "IntOrString", ""),
    ("k8s.io/apimachinery/pkg/runtime", "RawExtension", "RawExtension", ""),
    (EXTENSIONS, "JSON", "Json", ""),
    (EXTENSIONS, "JSONSchemaPropsOrArray", "JsonSchemaOrArray", "JSONSchemaProps"),
    (EXTENSIONS, "JSONSchemaPropsOrBool", "JsonSchemaOrBool", "JSONSchemaProps"),
    (EXTENSIONS, "JSONSchemaPropsOrStringArray", "JsonSchemaOrStringArray", "JSONSchemaProps"),
];

/// Builds the table of everything that is reachable from the kinds of `packages`.
pub(crate) fn build(sources: &Sources, packages: &[String]) -> Result<Table> {
    let mut builder = Builder { sources, table: Table::default(), pending: BTreeSet::new() };
    for path in packages {
        builder.add_kinds(path)?;
    }
    for (package, name) in EXTRA_ROOTS {
        builder.pending.insert(TypeName { package: (*package).into(), name: (*name).into() });
    }
    while let Some(name) = builder.pending.pop_first() {
        if !builder.table.types.contains_key(&name.open_api()) {
            let ty = builder.describe(&name).with_context(|| name.open_api())?;
            builder.table.types.insert(name.open_api(), ty);
        }
    }
    Ok(builder.table)
}

struct Builder<'a> {
    sources: &'a Sources,
    table: Table,
    pending: BTreeSet<TypeName>,
}

impl<'a> Builder<'a> {
    /// Registers every type of the package that carries `apiVersion` and `kind`.
    fn add_kinds(&mut self, path: &str) -> Result<()> {
        let package = self.sources.package(path)?;
        let version = path.rsplit('/').next().unwrap_or_default();
        for (kind, decl) in &package.types {
            let mut name = TypeName { package: path.to_owned(), name: kind.clone() };
            if let Body::Named(GoType::Name { package, name: other }) = &decl.body {
                if self.sources.package(package).is_err() {
                    continue;
                }
                name = TypeName { package: package.clone(), name: other.clone() };
            }
            if self.members(&name).is_ok_and(|members| members.iter().any(is_type_meta)) {
                let key = (package.group().to_owned(), version.to_owned(), kind.clone());
                self.table.kinds.insert(key, name.open_api());
                self.pending.insert(name);
            }
        }
        Ok(())
    }

    fn members(&self, name: &TypeName) -> Result<&'a [Member]> {
        let sources: &'a Sources = self.sources;
        match &sources.decl(name)?.body {
            Body::Struct(members) => Ok(members),
            Body::Named(_) => bail!("{} is no struct", name.open_api()),
        }
    }

    fn describe(&mut self, name: &TypeName) -> Result<Type> {
        let mut fields = Vec::new();
        for member in self.members(name)? {
            if is_type_meta(member) {
                fields
                    .extend(["apiVersion", "kind"].map(|name| Fact { name: name.into(), ..Fact::default() }));
            } else if member.json().0 != "-" {
                fields.push(self.fact(name, member).with_context(|| member.name.clone())?);
            }
        }
        fields.sort_by(|a, b| (a.number == 0, a.number, &a.name).cmp(&(b.number == 0, b.number, &b.name)));
        let atomic = self.sources.decl(name)?.markers.iter().any(|marker| marker == "structType=atomic");
        Ok(Type { package: name.package.clone(), name: name.name.clone(), atomic, fields })
    }

    fn fact(&mut self, owner: &TypeName, member: &Member) -> Result<Fact> {
        let (json, omits) = member.json();
        let inline = member.embedded && json.is_empty();
        let (shape, ty, pointer) = self.resolve(&member.ty)?;
        if let Value::Over(_, name) = &ty {
            self.pending.insert(name.clone());
        }
        let has = |marker: &str| member.markers.iter().any(|other| other == marker);
        let strategy = member.tags.get("patchStrategy").map_or("", String::as_str);
        Ok(Fact {
            name: if inline { lower_first(&member.name) } else { json.to_owned() },
            number: self.number(owner, member)?,
            // Go leaves a value struct out only by `omitzero`.
            always_in_json: !inline && !omits.contains(&"omitzero") && {
                !omits.contains(&"omitempty") || (shape == Shape::Single && !pointer && is_struct(&ty))
            },
            required: !inline && (has("required") || !(has("optional") || omits.contains(&"omitempty"))),
            inline,
            atomic: has("mapType=atomic") || has("structType=atomic"),
            granular: has("structType=granular"),
            list: list_type(&member.markers)?,
            merge: strategy.split(',').any(|word| word == "merge"),
            replace: strategy == "replace",
            retain_keys: strategy.split(',').any(|word| word == "retainKeys"),
            merge_key: member.tags.get("patchMergeKey").cloned().unwrap_or_default(),
            default: self.default_of(owner, member)?,
            shape,
            ty,
            pointer,
        })
    }

    /// The number from the proto file; 0 for types and fields that have no protobuf form.
    fn number(&self, owner: &TypeName, member: &Member) -> Result<u32> {
        let tag = member.tags.get("protobuf").map_or("", String::as_str);
        let tagged = member.tagged_number();
        let name = match tag.split(',').find_map(|part| part.strip_prefix("name=")) {
            Some(name) => name.to_owned(),
            None if member.embedded => lower_first(&member.name),
            None => member.json().0.to_owned(),
        };
        let Some(message) = self.sources.message(owner) else { return Ok(0) };
        let number = message.get(&name).copied().unwrap_or(0);
        if tagged != 0 && tagged != number {
            bail!("the Go tag says number {tagged}, the proto file {number}");
        }
        Ok(number)
    }

    /// Shape, type of the value, and whether Go can distinguish absence from zero.
    fn resolve(&self, ty: &GoType) -> Result<(Shape, Value, bool)> {
        Ok(match ty {
            GoType::Any => (Shape::Single, Value::Plain("Json"), true),
            GoType::Pointer(inner) => {
                let (shape, value, _) = self.resolve(inner)?;
                (shape, value, true)
            }
            GoType::Slice(inner) if is_byte(inner) => (Shape::Single, Value::Plain("Bytes"), true),
            GoType::Slice(inner) => (Shape::List, self.single(inner)?, false),
            GoType::Map(inner) => (Shape::Map, self.single(inner)?, false),
            GoType::Name { package, name } if package.is_empty() => {
                (Shape::Single, Value::Plain(builtin(name)?), false)
            }
            GoType::Name { package, name } => {
                self.resolve_name(&TypeName { package: package.clone(), name: name.clone() })?
            }
        })
    }

    fn resolve_name(&self, name: &TypeName) -> Result<(Shape, Value, bool)> {
        for (package, special, variant, over) in SPECIAL {
            if name.package == *package && name.name == *special {
                let value = match *over {
                    "" => Value::Plain(variant),
                    over => Value::Over(variant, TypeName { name: over.into(), ..name.clone() }),
                };
                return Ok((Shape::Single, value, false));
            }
        }
        match &self.sources.decl(name)?.body {
            Body::Struct(_) => Ok((Shape::Single, Value::Over("Message", name.clone()), false)),
            // A named list with its own message; Go omits it when it is nil.
            Body::Named(GoType::Slice(_)) if self.sources.message(name).is_some() => {
                Ok((Shape::Single, Value::Plain("StringList"), true))
            }
            Body::Named(inner) => self.resolve(inner),
        }
    }

    /// The type of an item of a list or a value of a map.
    fn single(&self, ty: &GoType) -> Result<Value> {
        match self.resolve(ty)? {
            (Shape::Single, value, _) => Ok(value),
            _ => bail!("a list or map directly in a list or map"),
        }
    }

    fn default_of(&self, owner: &TypeName, member: &Member) -> Result<Option<String>> {
        let Some(text) = member.markers.iter().find_map(|marker| marker.strip_prefix("default=")) else {
            return Ok(None);
        };
        let Some(name) = text.strip_prefix("ref(").and_then(|rest| rest.strip_suffix(')')) else {
            return Ok(Some(text.to_owned()));
        };
        let value = self.sources.package(&owner.package)?.constants.get(name);
        Ok(Some(format!("\"{}\"", value.with_context(|| format!("no constant {name}"))?)))
    }
}

fn is_type_meta(member: &Member) -> bool {
    member.embedded && member.name == "TypeMeta" && !member.tags.contains_key("protobuf")
}

fn is_byte(ty: &GoType) -> bool {
    matches!(ty, GoType::Name { package, name } if package.is_empty() && (name == "byte" || name == "uint8"))
}

fn is_struct(ty: &Value) -> bool {
    !matches!(ty, Value::Plain("Bool" | "Int32" | "Int64" | "Double" | "String" | "Bytes" | "StringList"))
}

fn builtin(name: &str) -> Result<&'static str> {
    Ok(match name {
        "bool" => "Bool",
        "string" => "String",
        "int32" => "Int32",
        "int64" | "int" => "Int64",
        "float64" => "Double",
        _ => bail!("builtin type {name}"),
    })
}

fn list_type(markers: &[String]) -> Result<List> {
    let list_type = markers.iter().find_map(|marker| marker.strip_prefix("listType="));
    Ok(match list_type {
        None | Some("atomic") => List::Atomic,
        Some("set") => List::Set,
        Some("map") => List::Keys(
            markers
                .iter()
                .filter_map(|marker| marker.strip_prefix("listMapKey="))
                .map(|key| key.trim_matches('"').to_owned())
                .collect(),
        ),
        Some(other) => bail!("list type {other}"),
    })
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
