//! From a CustomResourceDefinition to a definition of the catalogue.

use kinds::ScalePaths;
use kinds::custom::{JsonPath, PrinterColumn};
use object::Value;
use schema::Scope;

use super::conversion::{Way, converter};
use crate::catalogue::{Definition, Version};

/// The definition of what is served; its names are those that were accepted.
///
/// # Errors
/// What is wrong with a path in it. Validation has refused that, unless the definition came into the store another way.
pub(super) fn definition(object: &Value, way: &Way) -> Result<Definition, String> {
    let spec = object.get("spec");
    let names = object.at("status.acceptedNames");
    let versions = spec.get("versions");
    let stored = versions.items().find(|version| version.get("storage").as_bool() == Some(true));
    let kind = names.str_at("kind");
    Ok(Definition {
        group: spec.str_at("group").to_owned(),
        plural: names.str_at("plural").to_owned(),
        singular: names.str_at("singular").to_owned(),
        kind: kind.to_owned(),
        list_kind: names.str_at("listKind").to_owned(),
        short_names: texts(names.get("shortNames")),
        categories: texts(names.get("categories")),
        scope: if spec.str_at("scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        versions: versions
            .items()
            .map(|one| version(one, spec.str_at("group"), kind))
            .collect::<Result<_, _>>()?,
        stored_version: stored.map(|version| version.str_at("name").to_owned()).unwrap_or_default(),
        conversion: converter(object, way),
        terminating: !object.at("metadata.deletionTimestamp").is_null(),
    })
}

fn texts(list: &Value) -> Vec<String> {
    list.items().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The columns of a version. Those before one whose path cannot be read, as upstream shows them.
pub(super) fn columns(version: &Value) -> Vec<PrinterColumn> {
    let column = |column: &Value| {
        let json_path = column.str_at("jsonPath");
        let description = match column.str_at("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {json_path}"),
            text => text.to_owned(),
        };
        Some(PrinterColumn {
            name: column.str_at("name").to_owned(),
            kind: column.str_at("type").to_owned(),
            format: column.str_at("format").to_owned(),
            description,
            priority: column
                .get("priority")
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .unwrap_or(0),
            path: JsonPath::parse(json_path).ok()?,
        })
    };
    version.get("additionalPrinterColumns").items().map_while(column).collect()
}

fn version(version: &Value, group: &str, kind: &str) -> Result<Version, String> {
    let is_on = |member: &str| version.get(member).as_bool() == Some(true);
    let path = |text: &str| JsonPath::parse(text).map_err(|error| error.to_string());
    let name = version.str_at("name");
    let selectable = version.get("selectableFields").items();
    let deprecation = is_on("deprecated").then(|| match version.get("deprecationWarning").as_str() {
        Some(warning) => warning.to_owned(),
        None => format!("{group}/{name} {kind} is deprecated"),
    });
    Ok(Version {
        name: name.to_owned(),
        served: is_on("served"),
        schema: version.at("schema.openAPIV3Schema").clone(),
        has_status: !version.at("subresources.status").is_null(),
        columns: columns(version),
        selectable: selectable.map(|field| path(field.str_at("jsonPath"))).collect::<Result<_, _>>()?,
        scale: scale(version.at("subresources.scale")),
        deprecation,
    })
}

fn scale(scale: &Value) -> Option<ScalePaths> {
    let selector = scale.str_at("labelSelectorPath");
    (!scale.is_null()).then(|| ScalePaths {
        spec_replicas: ScalePaths::names(scale.str_at("specReplicasPath")),
        status_replicas: ScalePaths::names(scale.str_at("statusReplicasPath")),
        selector: (!selector.is_empty()).then(|| ScalePaths::names(selector)),
    })
}
