//! The strategy trait: the differences between kinds.

use clock::Clock;
use object::{FieldValues, Key, Value, field, value};

use crate::table::Column;

/// What one built-in kind adds to the generic path of the API server.
///
/// The order of a write is: decode, [`Strategy::default`], mutating admission, [`Strategy::default`], `prepare_*`,
/// `set_times`, hooks, `validate*`, validating admission, store. Every method has a default that suits a kind without behaviour of its own, so
/// that a strategy says only what is special. Methods are pure: what they may use is in their arguments.
pub trait Strategy: Send + Sync + 'static {
    /// Fills in the defaults of unset fields. Runs on every object that comes from a client, before
    /// anything looks at it.
    fn default(&self, _object: &mut Value) {}

    /// Readies an object for creation: removes what clients may not set. The default removes `status`.
    fn prepare_create(&self, object: &mut Value) {
        if self.has_status() {
            object.remove("status");
        }
    }

    /// Readies an update: restores what this endpoint may not change. The default keeps the old `status`.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if self.has_status() {
            restore(object, old, "status");
        }
    }

    /// Readies an update of `status`: restores everything else. The default keeps `spec` and all other
    /// members but `metadata` and `status`.
    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
    }

    /// Fills in the times that the kind keeps of its own state. Runs after `prepare_*`; `old` is null for a
    /// new object.
    fn set_times(&self, _object: &mut Value, _old: &Value, _clock: &Clock) {}

    /// What is wrong with a new object, besides its metadata.
    fn validate(&self, _object: &Value) -> field::Errors {
        field::Errors::default()
    }

    /// What is wrong with a change, besides metadata. The default validates the new object alone.
    fn validate_update(&self, object: &Value, _old: &Value) -> field::Errors {
        self.validate(object)
    }

    /// What is wrong with a change of `status`.
    fn validate_status_update(&self, _object: &Value, _old: &Value) -> field::Errors {
        field::Errors::default()
    }

    /// What is wrong with a change of a part that has a subresource of its own (`resize`, `finalize`). The
    /// default has the rules of an update.
    fn validate_part_update(&self, _subresource: &str, object: &Value, old: &Value) -> field::Errors {
        self.validate_update(object, old)
    }

    /// How the kind's names look; names are checked with it, and so is the fixed part of `generateName`.
    fn name_rule(&self) -> NameRule {
        NameRule::Subdomain
    }

    /// Whether `status` is a subresource.
    fn has_status(&self) -> bool {
        false
    }

    /// Whether `metadata.generation` counts the changes of `spec` (of everything but metadata and status).
    fn tracks_generation(&self) -> bool {
        self.has_status()
    }

    /// Whether an update of an object that does not exist creates it.
    fn creates_on_update(&self) -> bool {
        false
    }

    /// Whether an update without a resource version is taken as it is.
    fn updates_unconditionally(&self) -> bool {
        true
    }

    /// The fields, besides `metadata.name` and `metadata.namespace`, that field selectors may name, with the
    /// object's values.
    fn selectable_fields(&self, _object: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The names of [`Strategy::selectable_fields`], for selectors on an empty collection.
    fn selectable_field_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// [`Strategy::selectable_fields`] as the cache keeps them. Custom resources, whose fields have names that come at run
    /// time, say these alone.
    fn field_values(&self, object: &Value) -> FieldValues {
        let fields = self.selectable_fields(object).into_iter();
        fields.map(|(name, value)| (Key::from(name), value.into_boxed_str())).collect()
    }

    /// Whether field selectors may name a field, besides `metadata.name` and `metadata.namespace`.
    fn is_selectable(&self, field: &str) -> bool {
        self.selectable_field_names().contains(&field)
    }

    /// How long a deletion waits for the object's agent, in seconds; `None` removes it at once.
    /// `requested` is what the client asked for.
    fn deletion_grace_seconds(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// Whether something besides `metadata.finalizers` still holds a deletion up (a namespace's own finalizers).
    fn blocks_deletion(&self, _object: &Value) -> bool {
        false
    }

    /// Readies an object for the time in which its deletion is held up.
    fn prepare_deletion(&self, _object: &mut Value) {}

    /// Whether a deletion without `propagationPolicy` leaves the dependents alone.
    fn orphans_by_default(&self) -> bool {
        false
    }

    /// Whether a deletion answers with the object instead of a Status.
    fn returns_deleted(&self) -> bool {
        false
    }

    /// The columns of `kubectl get`, after those that every kind has (`Name` first, `Age` is written out).
    fn columns(&self) -> &'static [Column] {
        crate::table::NAME_AND_CREATION
    }

    /// [`Strategy::columns`] as tables show them. Custom resources, whose columns come at run time, say these alone.
    fn column_definitions(&self) -> Vec<Value> {
        let definition = |column: &Column| {
            value!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority
            })
        };
        self.columns().iter().map(definition).collect()
    }

    /// The cells of one object, one for each column.
    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        crate::table::name_and_creation(object, clock)
    }

    /// What a table says of an object's state besides its cells (`conditions` of a row); null for nothing.
    fn row_conditions(&self, _object: &Value) -> Value {
        Value::Null
    }

    /// The warning that every request for the kind gets, because it is deprecated.
    fn deprecation(&self) -> Option<&'static str> {
        None
    }

    /// Warnings that the client shows to its user.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }
}

/// What names of a kind may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS subdomain of at most 253 characters (most kinds).
    Subdomain,
    /// A DNS label of at most 63 characters (namespaces).
    Label,
    /// A DNS label that starts with a letter (RFC 1035).
    Label1035,
    /// Anything that can stand in a path (RBAC kinds).
    PathSegment,
    /// An IP address in its canonical form (IPAddress).
    Ip,
}

impl NameRule {
    /// What is wrong with a name, in upstream's words; nothing where it is good. A `prefix` is the fixed part
    /// of a generated name, which may end in a dash.
    pub fn check(self, name: &str, prefix: bool) -> Vec<String> {
        let masked;
        let before_dash = name.strip_suffix('-').filter(|rest| prefix && !rest.is_empty());
        let name = match before_dash.and_then(|rest| rest.char_indices().next_back()) {
            // As upstream: the dash and what is before it become a letter.
            Some((last, _)) => {
                masked = format!("{}a", &name[..last]);
                masked.as_str()
            }
            None => name,
        };
        match self {
            NameRule::Subdomain => object::names::is_dns1123_subdomain(name),
            NameRule::Label => object::names::is_dns1123_label(name),
            NameRule::Label1035 => object::names::is_dns1035_label(name),
            NameRule::PathSegment if prefix => object::names::is_path_segment_prefix(name),
            NameRule::PathSegment => object::names::is_path_segment_name(name),
            NameRule::Ip => {
                let errors = object::names::is_valid_ip(&field::Path::root(""), name);
                errors.iter().map(|error| error.detail.clone()).collect()
            }
        }
    }
}

/// Makes `object`'s member what it was in `old`.
pub fn restore(object: &mut Value, old: &Value, member: &'static str) {
    restore_into(object, old, member);
}

/// Makes everything but `metadata` and `status` what it was in `old`.
pub(crate) fn keep_spec(object: &mut Value, old: &Value) {
    let mut kept = old.clone();
    kept.set("metadata", object.get("metadata").clone());
    restore_into(&mut kept, object, "status");
    *object = kept;
}

/// Makes the metadata that people write what it was in `old` (`metav1.ResetObjectMetaForStatus`).
pub(crate) fn keep_metadata(object: &mut Value, old: &Value) {
    let metadata = object.entry("metadata");
    for member in ["labels", "annotations", "finalizers", "ownerReferences"] {
        restore(metadata, old.get("metadata"), member);
    }
}

/// Counts a change that the generic path does not see.
pub(crate) fn bump_generation(object: &mut Value, old: &Value) {
    let generation = old.at("metadata.generation").as_i64().unwrap_or(0);
    object.entry("metadata").set("generation", generation + 1);
}

fn restore_into(target: &mut Value, source: &Value, member: &'static str) {
    match source.get(member) {
        Value::Null => {
            target.remove(member);
        }
        value => target.set(member, value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_part_of_a_generated_name_may_end_in_a_dash() {
        assert!(NameRule::Subdomain.check("web-", true).is_empty());
        assert!(!NameRule::Subdomain.check("web-", false).is_empty());
        // Cut between characters, not between bytes.
        assert!(NameRule::Subdomain.check("\u{e4}-", true).is_empty());
        assert!(!NameRule::Subdomain.check("\u{e4}b-", true).is_empty());
    }
}
