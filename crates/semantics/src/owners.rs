//! Which object controls another.

use crate::{Field, View};

/// The content of a controller reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controller<'a> {
    /// The controller's group and version.
    pub api_version: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its name; it is in the namespace of the object, or in none.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

impl<'a> Controller<'a> {
    /// The controller's group; empty for the core group.
    pub fn group(&self) -> &'a str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// The controller of the object with this metadata, by the one owner reference that says so.
pub fn controller_of(metadata: &dyn View) -> Option<Controller<'_>> {
    let mut owners = metadata.field("ownerReferences").items();
    let owner: Field<'_> = owners.find(|owner| owner.field("controller").is_true())?;
    Some(Controller {
        api_version: owner.field("apiVersion").text(),
        kind: owner.field("kind").text(),
        name: owner.field("name").text(),
        uid: owner.field("uid").text(),
    })
}
