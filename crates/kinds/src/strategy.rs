//! The strategy trait: the differences between kinds.

use clock::Clock;
use object::{FieldValues, Value, field, value};

use crate::table::Column;

/// The additions of one kind to the generic path of the API server.
///
/// The order of a write is: decode, [`Strategy::default`], mutating admission, [`Strategy::default`], `prepare_*`,
/// `set_times`, hooks, `validate*`, validating admission, store. Every method has a default that suits a kind without
/// special behaviour, so that a strategy contains only the differences. Methods are pure: they use only their
/// arguments.
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

    /// Readies an update of `status`: restores everything else. The default keeps `spec` and all other members except
    /// `metadata` and `status`.
    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
    }

    /// The fields other than `spec` that an update of `status` does not change.
    fn kept_by_status(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// Fills in the times that the kind keeps of its own state. Runs after `prepare_*`; `old` is null for a
    /// new object.
    fn set_times(&self, _object: &mut Value, _old: &Value, _clock: &Clock) {}

    /// Validates a new object, except its metadata.
    fn validate(&self, _object: &Value) -> field::Errors {
        field::Errors::default()
    }

    /// Validates a change, except metadata. The default validates only the new object.
    fn validate_update(&self, object: &Value, _old: &Value) -> field::Errors {
        self.validate(object)
    }

    /// Validates a change of `status`.
    fn validate_status_update(&self, _object: &Value, _old: &Value) -> field::Errors {
        field::Errors::default()
    }

    /// Validates a change of `status` that is valid apart from the present time.
    fn validate_status_now(&self, _object: &Value, _old: &Value, _clock: &Clock) -> field::Errors {
        field::Errors::default()
    }

    /// Validates a change of a part with its own subresource (`resize`, `finalize`). The default applies the rules of
    /// an update.
    fn validate_part_update(&self, _subresource: &str, object: &Value, old: &Value) -> field::Errors {
        self.validate_update(object, old)
    }

    /// Whether `validate*` may take long for an object, because it compiles what is written in it.
    fn takes_long(&self, _object: &Value) -> bool {
        false
    }

    /// Checks the rules that a definition has for its objects, after everything else has been validated with these errors;
    /// `old` is none for a new object. `None` if that costs more than `cost_max`; without it, there is always an answer.
    fn validate_rules(
        &self,
        _object: &Value,
        _old: Option<&Value>,
        _errors: &field::Errors,
        _cost_max: Option<u64>,
    ) -> Option<field::Errors> {
        Some(field::Errors::default())
    }

    /// The rule for the kind's names and for the fixed part of `generateName`.
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

    /// Whether an update without a resource version is accepted.
    fn updates_unconditionally(&self) -> bool {
        true
    }

    /// The selectable fields other than `metadata.name` and `metadata.namespace`, with the object's values.
    fn selectable_fields(&self, _object: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The names of [`Strategy::selectable_fields`], for selectors on an empty collection.
    fn selectable_field_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// [`Strategy::selectable_fields`] as the cache keeps them. Custom resources, whose fields are known only at run
    /// time, implement only this.
    fn field_values(&self, object: &Value) -> FieldValues {
        self.selectable_fields(object).into_iter().collect()
    }

    /// Whether a field other than `metadata.name` and `metadata.namespace` is selectable.
    fn is_selectable(&self, field: &str) -> bool {
        self.selectable_field_names().contains(&field)
    }

    /// How long a deletion waits for the object's agent, in seconds; `None` removes it at once. `requested` is the
    /// client's value.
    fn deletion_grace_seconds(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// Whether something other than `metadata.finalizers` still delays a deletion (a namespace's own finalizers).
    fn blocks_deletion(&self, _object: &Value) -> bool {
        false
    }

    /// Readies an object for the time in which its deletion is held up.
    fn prepare_deletion(&self, _object: &mut Value) {}

    /// Whether a deletion without `propagationPolicy` keeps the dependents.
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

    /// [`Strategy::columns`] as tables show them. Custom resources, whose columns are known only at run time, implement
    /// only this.
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

    /// An object's state in a table in addition to its cells (`conditions` of a row); null for none.
    fn row_conditions(&self, _object: &Value) -> Value {
        Value::Null
    }

    /// The warning in the response to every request for the kind, because it is deprecated.
    fn deprecation(&self) -> Option<&str> {
        None
    }

    /// Where the objects keep what their `scale` shows; `None` where workloads do.
    fn scale_paths(&self) -> Option<&ScalePaths> {
        None
    }

    /// Warnings that the client shows to its user.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }
}

/// Where the objects of a custom resource keep what their `scale` shows. Paths are the names of nested members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// The wanted number of replicas.
    pub spec_replicas: Vec<String>,
    /// The present number of replicas.
    pub status_replicas: Vec<String>,
    /// The label selector, as text.
    pub selector: Option<Vec<String>>,
}

impl ScalePaths {
    /// The names of a path such as `.spec.replicas`.
    pub fn names(path: &str) -> Vec<String> {
        path.trim_start_matches('.').split('.').map(str::to_owned).collect()
    }

    /// The value at a path.
    pub fn find<'v>(object: &'v Value, path: &[String]) -> &'v Value {
        path.iter().fold(object, |value, name| value.get(name))
    }
}

/// The valid names of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS subdomain of at most 253 characters (most kinds).
    Subdomain,
    /// A DNS label of at most 63 characters (namespaces).
    Label,
    /// A DNS label that starts with a letter (RFC 1035).
    Label1035,
    /// Anything that can be a path segment (RBAC kinds).
    PathSegment,
    /// An IP address in its canonical form (IPAddress).
    Ip,
}

impl NameRule {
    /// The errors of a name, in upstream's words; none if it is valid. A `prefix` is the fixed part of a generated
    /// name, which may end in a dash.
    pub fn check(self, name: &str, prefix: bool) -> Vec<String> {
        let masked;
        let before_dash = name.strip_suffix('-').filter(|rest| prefix && !rest.is_empty());
        let name = match before_dash.and_then(|rest| rest.char_indices().next_back()) {
            // As upstream: the dash and the character before it become a letter.
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

/// Restores a member of `object` from `old`.
pub fn restore(object: &mut Value, old: &Value, member: &'static str) {
    restore_into(object, old, member);
}

/// Restores everything except `metadata` and `status` from `old`.
pub(crate) fn keep_spec(object: &mut Value, old: &Value) {
    let mut kept = old.clone();
    kept.set("metadata", object.get("metadata").clone());
    restore_into(&mut kept, object, "status");
    *object = kept;
}

/// Restores the user-settable metadata from `old` (`metav1.ResetObjectMetaForStatus`).
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
