//! The versions of a definition: schemas, subresources, columns and selectable fields.

use std::collections::{BTreeSet, HashMap};

use object::field::{Error, Errors, Path};
use object::{Value, names, structural};

/// How many fields of a version may be selectable.
const SELECTABLE_MAX: usize = 8;
/// How long the warning about a deprecated version may be, in bytes.
const WARNING_BYTES_MAX: usize = 256;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// The keywords that the root of a schema may have if the status is a subresource, and upstream's names of them.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Checks all versions. What is the same in all of them is checked once, at the level of the spec.
pub(super) fn check(versions: &Value, old: &Value, spec: &Path<'_>, errors: &mut Errors) {
    let Some(first) = versions.items().next() else { return };
    let is_shared = |member: &str| versions.items().all(|version| version.get(member) == first.get(member));
    let shares = |member: &str| is_shared(member) && !first.get(member).is_null();
    let (schema, subresources, columns, selectable) = (
        shares("schema"),
        shares("subresources"),
        shares("additionalPrinterColumns"),
        shares("selectableFields"),
    );
    let at = spec.child("versions");
    let has_status = |version: &Value| !version.at("subresources.status").is_null();
    let before: HashMap<&str, &Value> =
        old.items().map(|old| (old.str_at("name"), old.get("schema"))).collect();
    let is_unchanged = |version: &Value| {
        before.get(version.str_at("name")).is_some_and(|schema| *schema == version.get("schema"))
    };
    for (index, version) in versions.items().enumerate() {
        let at = at.index(index);
        let wrong = names::is_dns1035_label(version.str_at("name"));
        if !wrong.is_empty() {
            errors.invalid(&at.child("name"), version.str_at("name"), wrong.join(","));
        }
        deprecation(version, &at.child("deprecationWarning"), errors);
        if !schema {
            let schema = Schema { has_status: has_status(version), is_unchanged: is_unchanged(version) };
            schema.check(version.get("schema"), &at.child("schema"), errors);
        }
        if !subresources {
            check_scale(version.at("subresources.scale"), &at.child("subresources"), errors);
        }
        if !columns {
            check_columns(version, &at.child("additionalPrinterColumns"), errors);
        }
        if !selectable {
            check_selectable(version, &at.child("selectableFields"), errors);
        }
    }
    if schema {
        let is_unchanged = versions.items().all(is_unchanged);
        let schema = Schema { has_status: versions.items().any(has_status), is_unchanged };
        schema.check(first.get("schema"), &spec.child("validation"), errors);
    }
    if subresources {
        check_scale(first.at("subresources.scale"), &spec.child("subresources"), errors);
    }
    if columns {
        check_columns(first, &spec.child("additionalPrinterColumns"), errors);
    }
    if selectable {
        check_selectable(first, &spec.child("selectableFields"), errors);
    }
}

fn deprecation(version: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(warning) = version.get("deprecationWarning").as_str() else { return };
    if version.get("deprecated").as_bool() != Some(true) {
        return errors.invalid(path, warning, "can only be set for deprecated versions");
    }
    if warning.len() > WARNING_BYTES_MAX {
        errors.invalid(path, warning, "must be <= 256 characters long");
    }
    if warning.is_empty() {
        errors.invalid(path, warning, "must not be an empty string");
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, character)| character.is_control()) {
        let why = format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        );
        errors.invalid(path, warning, why);
    }
}

/// What is known of a version's schema.
struct Schema {
    has_status: bool,
    /// Whether the stored definition has the same.
    is_unchanged: bool,
}

impl Schema {
    fn check(&self, validation: &Value, path: &Path<'_>, errors: &mut Errors) {
        let schema = validation.get("openAPIV3Schema");
        if schema.is_null() {
            return;
        }
        let at = path.child("openAPIV3Schema");
        if self.has_status {
            let is_more = |(keyword, value): &(&str, &Value)| {
                !AT_ROOT.iter().any(|(known, _)| known == keyword) && !value.is_empty()
            };
            if schema.str_at("type") != "object" {
                let why = r#"only "object" is allowed as the type at the root of the schema if the status subresource is enabled"#;
                errors.invalid(&path.child("openAPIV3Schema.type"), schema.str_at("type"), why);
            } else if schema.entries().any(|entry| is_more(&entry)) {
                let known: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
                let why = format!(
                    "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                    known.join(" ")
                );
                errors.invalid(&at, schema.clone(), why);
            }
        }
        if schema.get("nullable").as_bool() == Some(true) {
            errors.forbidden(&path.child("openAPIV3Schema.nullable"), "nullable cannot be true at the root");
        }
        let found = structural::check(schema, &at);
        let is_structural = found.is_empty();
        errors.append(found);
        if is_structural {
            errors.append(rules::check(schema, self.is_unchanged, &at));
        }
    }
}

fn check_scale(scale: &Value, path: &Path<'_>, errors: &mut Errors) {
    if scale.is_null() {
        return;
    }
    for (member, name, root) in [
        ("specReplicasPath", "scale.specReplicasPath", ".spec."),
        ("statusReplicasPath", "scale.statusReplicasPath", ".status."),
    ] {
        let at = path.child(name);
        let json_path = scale.str_at(member);
        if json_path.is_empty() {
            errors.required(&at, "");
        } else if is_simple(json_path, &at, errors) && !json_path.starts_with(root) {
            let below = root.trim_end_matches('.');
            errors.invalid(&at, json_path, format!("should be a json path under {below}"));
        }
    }
    let at = path.child("scale.labelSelectorPath");
    let json_path = scale.str_at("labelSelectorPath");
    if !json_path.is_empty()
        && is_simple(json_path, &at, errors)
        && !json_path.starts_with(".spec.")
        && !json_path.starts_with(".status.")
    {
        errors.invalid(&at, json_path, "should be a json path under either .spec or .status");
    }
}

fn is_simple(json_path: &str, path: &Path<'_>, errors: &mut Errors) -> bool {
    let is_simple = json_path.starts_with('.');
    if !is_simple {
        errors.invalid(path, json_path, "must be a simple json path starting with .");
    }
    is_simple
}

fn check_columns(version: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, column) in version.get("additionalPrinterColumns").items().enumerate() {
        let at = path.index(index);
        if column.str_at("name").is_empty() {
            errors.required(&at.child("name"), "");
        }
        let why = format!("must be one of {}", COLUMN_TYPES.join(","));
        match column.str_at("type") {
            "" => errors.required(&at.child("type"), why),
            known if COLUMN_TYPES.contains(&known) => {}
            other => errors.invalid(&at.child("type"), other, why),
        }
        let format = column.str_at("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.invalid(&at.child("format"), format, why);
        }
        let at = at.child("JSONPath");
        match column.str_at("jsonPath") {
            "" => errors.required(&at, ""),
            // Of paths that begin well but cannot be read, upstream makes no columns.
            json_path => {
                is_simple(json_path, &at, errors);
            }
        }
    }
}

fn check_selectable(version: &Value, path: &Path<'_>, errors: &mut Errors) {
    let fields = version.get("selectableFields");
    if fields.is_empty() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, field) in fields.items().enumerate() {
        let at = path.index(index);
        let (at, json_path) = (at.child("jsonPath"), field.str_at("jsonPath"));
        if json_path.is_empty() {
            errors.required(&at, "");
            continue;
        }
        let (root, kind) = match referred(json_path, version.at("schema.openAPIV3Schema")) {
            Ok(found) => found,
            Err(why) => {
                errors.invalid(&at, json_path, format!("is an invalid path: {why}"));
                continue;
            }
        };
        if root == "metadata" {
            errors.invalid(&at, json_path, "must not point to fields in metadata");
        }
        if !["string", "boolean", "integer"].contains(&kind) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.invalid(&at, json_path, why);
        }
        if !seen.insert(json_path) {
            errors.duplicate(&at, json_path);
        }
    }
    if seen.len() > SELECTABLE_MAX {
        errors.push(Error::too_many(path, seen.len(), SELECTABLE_MAX));
    }
}

/// The first member of a path, and the type of the field that it leads to.
fn referred<'a>(json_path: &'a str, schema: &'a Value) -> Result<(&'a str, &'a str), &'static str> {
    if json_path.contains('[') {
        return Err("array notation is not allowed");
    }
    let names = json_path.strip_prefix('.').ok_or("expected [ or . but got text")?;
    let mut here = schema;
    for name in names.split('.') {
        here = match (here.get("properties"), here.get("additionalProperties")) {
            (Value::Map(properties), _) => properties.get(name).ok_or("does not refer to a valid field")?,
            (_, members @ Value::Map(_)) => members,
            _ => return Err("does not refer to a valid field"),
        };
    }
    Ok((names.split('.').next().unwrap_or_default(), here.str_at("type")))
}
