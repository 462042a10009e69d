//! The parameters of operations.

use std::borrow::Cow;

use schema::{FieldType, Shape, TypeDef};

/// The location of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Body,
}

/// One parameter.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: Cow<'static, str>,
    pub(super) place: Place,
    /// The JSON type; of a body the name of its definition.
    pub(super) ty: Cow<'static, str>,
    pub(super) required: bool,
    pub(super) description: Cow<'static, str>,
}

impl Parameter {
    /// A body with an object of this type.
    pub(super) fn body(ty: &str, required: bool) -> Parameter {
        Parameter {
            name: "body".into(),
            place: Place::Body,
            ty: ty.to_owned().into(),
            required,
            description: "".into(),
        }
    }

    /// A segment of the path.
    pub(super) fn path(name: &'static str, description: impl Into<Cow<'static, str>>) -> Parameter {
        Parameter {
            name: name.into(),
            place: Place::Path,
            ty: "string".into(),
            required: true,
            description: description.into(),
        }
    }

    /// A query parameter from the list of those that are known.
    pub(super) fn query(name: &str) -> Parameter {
        let (name, ty, description) = *QUERY
            .iter()
            .find(|(known, ..)| *known == name)
            .expect("only parameters of the list below are asked for");
        Parameter {
            name: name.into(),
            place: Place::Query,
            ty: ty.into(),
            required: false,
            description: description.into(),
        }
    }

    /// Query parameters from that list.
    pub(super) fn queries(names: &[&str]) -> Vec<Parameter> {
        names.iter().map(|name| Parameter::query(name)).collect()
    }
}

/// Parameters of lists and watches.
pub(super) const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
/// Parameters of the deletion of a collection, in addition to those of a deletion.
pub(super) const SELECT: &[&str] = &[
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];
/// Parameters of writes.
pub(super) const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
/// Parameters of patches.
pub(super) const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
/// Parameters of deletions.
pub(super) const DELETE: &[&str] = &[
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
];

/// Names, types and descriptions.
#[rustfmt::skip]
const QUERY: &[(&str, &str, &str)] = &[
    ("allowWatchBookmarks", "boolean", "Lets a watch send BOOKMARK events, which contain only the resource \
        version that the watch has reached."),
    ("continue", "string", "The token from the previous page, to continue a list that was cut by a limit."),
    ("dryRun", "string", "`All`: the request is processed completely, but nothing is stored."),
    ("fieldManager", "string", "The name under which changes to fields are recorded; required for \
        server-side apply."),
    ("fieldSelector", "string", "Only objects whose fields match."),
    ("fieldValidation", "string", "What to do with unknown and duplicate fields: `Ignore`, `Warn` (the default) or `Strict`."),
    ("force", "boolean", "Lets server-side apply take over fields that others manage."),
    ("gracePeriodSeconds", "integer", "The time that the object has to shut down, in seconds; 0 deletes it \
        at once."),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Deletes an object that cannot be read \
        from the store, without any of the usual checks."),
    ("labelSelector", "string", "Only objects whose labels match."),
    ("limit", "integer", "The maximum number of objects in an answer; get the rest with `continue`."),
    ("orphanDependents", "boolean", "Whether dependents are kept; deprecated, use `propagationPolicy`."),
    ("pretty", "string", "`true` indents the answer."),
    ("propagationPolicy", "string", "What happens to dependents: `Orphan`, `Background` or `Foreground`."),
    ("resourceVersion", "string", "The version that a read requires, or after which a watch starts."),
    ("resourceVersionMatch", "string", "How `resourceVersion` is applied: `NotOlderThan` or `Exact`."),
    ("sendInitialEvents", "boolean", "Starts a watch with all existing objects, followed by a bookmark."),
    ("timeoutSeconds", "integer", "Time limit of a list or watch, in seconds."),
    ("watch", "boolean", "Sends changes as they happen instead of a list."),
];

/// The query parameters for the fields of a stream's options (such as `PodExecOptions`).
pub(super) fn of_options(options: &TypeDef, texts: &openapi::Descriptions) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    options.for_each_json_field(&mut |field| {
        let ty = match field.ty {
            FieldType::Bool => "boolean",
            FieldType::Int32 | FieldType::Int64 => "integer",
            FieldType::String => "string",
            _ => return,
        };
        if field.shape == Shape::Map || matches!(&*field.name, "apiVersion" | "kind") {
            return;
        }
        // A list of strings is a parameter that may be repeated; numbers in a list are not repeated.
        let description = texts.of_field(&options.name, &field.name).unwrap_or_default().to_owned();
        parameters.push(Parameter {
            name: field.name.to_string().into(),
            place: Place::Query,
            ty: ty.into(),
            required: false,
            description: description.into(),
        });
    });
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    parameters
}
