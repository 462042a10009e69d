//! The names of all fields in the table, as sets of fields (`fieldsV1`) show them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::types;

/// The name of a field in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// The name in JSON.
    pub name: &'static str,
    /// The name in a set of fields: `f:NAME`.
    pub tagged: &'static str,
}

/// By their names, the tagged ones.
static NAMES: LazyLock<HashMap<&'static str, Box<str>, RandomState>> = LazyLock::new(|| {
    let mut names = HashMap::default();
    for field in types().iter().flat_map(|ty| ty.fields.iter()).filter(|field| !field.inline) {
        if let Cow::Borrowed(name) = field.name {
            names.entry(name).or_insert_with(|| format!("f:{name}").into_boxed_str());
        }
    }
    names
});

/// The name of a field of any built-in type, so that objects can borrow it; `None` if no type has one with this name.
///
/// ```
/// assert_eq!(schema::field_name("replicas").unwrap().tagged, "f:replicas");
/// assert_eq!(schema::field_name("noSuchField"), None);
/// ```
pub fn field_name(name: &str) -> Option<FieldName> {
    NAMES.get_key_value(name).map(|(name, tagged)| FieldName { name, tagged })
}
