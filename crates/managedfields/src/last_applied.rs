//! The way from client-side apply to server-side apply.
//!
//! Client-side apply keeps the last configuration in an annotation. Who goes over to server-side apply with the same
//! program is in no conflict with what that program wrote before; and as long as the annotation is there, it is kept up to
//! date, so that the way back is open.

use object::{Map, Value, json};
use schema::TypeDef;

use crate::compare::Comparison;
use crate::conflict::Conflicts;
use crate::fields::fields_of;

/// The program whose annotation it is.
pub(crate) const PROGRAM: &str = "kubectl";
/// The annotation.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How large all annotations of an object may be together, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn annotation(object: &Value) -> &str {
    object.at("metadata.annotations").get(ANNOTATION).as_str().unwrap_or_default()
}

/// The conflicts about fields that the last client-side apply did not set, or that have changed since.
pub(crate) fn remaining(conflicts: Conflicts, live: &Value, def: &TypeDef) -> Conflicts {
    let Ok(last) = json::parse(annotation(live).as_bytes()) else { return conflicts };
    if last.str_at("apiVersion") != live.str_at("apiVersion") {
        return conflicts;
    }
    let Comparison { removed, modified, added } = Comparison::new(&last, live, def);
    let own = fields_of(&last, def).difference(&modified).difference(&added).difference(&removed);
    conflicts.without(&own)
}

/// Sets the annotation of an object that has it to a configuration.
pub(crate) fn keep_up(object: &mut Value, config: &Value) {
    if annotation(object).is_empty() {
        return;
    }
    let mut config = sorted(config);
    if let Some(annotations) = config.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"))
    {
        annotations.remove(ANNOTATION);
        if annotations.is_empty() {
            config.entry("metadata").remove("annotations");
        }
    }
    let mut text = String::from_utf8(json::to_vec(&config)).expect("JSON is UTF-8");
    text.push('\n');
    let annotations = object.entry("metadata").entry("annotations");
    annotations.set(ANNOTATION, text);
    let bytes: usize =
        annotations.entries().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    }
}

/// The value with all members in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(sorted).collect()),
        Value::Map(map) => {
            let mut members: Vec<(&str, &Value)> = map.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let members = members.into_iter().map(|(name, member)| (name.to_owned(), sorted(member)));
            Value::Map(members.collect::<Map>())
        }
        scalar => scalar.clone(),
    }
}
