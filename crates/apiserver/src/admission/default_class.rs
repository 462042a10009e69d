//! The class that an annotation marks as the default one.

use std::cmp::Reverse;

use object::{Status, Value, Versioned};
use schema::GroupResource;

use super::Attributes;

/// The name of the default class, if there is one: one of these annotations is `true`. Of several defaults the newest
/// counts; of equally old ones, the first by name.
///
/// # Errors
/// The newest writes cannot be read.
pub(super) async fn default_class(
    what: &Attributes<'_>,
    classes: GroupResource<'_>,
    annotations: &[&str],
) -> Result<Option<String>, Status> {
    what.reader.catch_up().await?;
    let classes = what.reader.all(classes);
    let is_default = |class: &Value| {
        let given = class.at("metadata.annotations");
        annotations.iter().any(|name| given.get(name).as_str() == Some("true"))
    };
    let defaults = classes.values().map(Versioned::tree).filter(|class| is_default(class));
    let key = |class: &Value| {
        let text = |path: &str| class.str_at(path).to_owned();
        (Reverse(text("metadata.creationTimestamp")), text("metadata.name"))
    };
    let newest = defaults.min_by_key(|class| key(class));
    Ok(newest.map(|class| class.str_at("metadata.name").to_owned()))
}
