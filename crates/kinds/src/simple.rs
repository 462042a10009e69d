//! The strategy of kinds that differ only in data.

use clock::Clock;
use object::field::Errors;
use object::{Value, field};

use crate::strategy::{NameRule, Strategy, keep_metadata, keep_spec, restore};
use crate::table::{Column, Table};

/// A kind without special behaviour: the differences between such kinds are in the members.
///
/// Kinds are written with struct update syntax on [`Simple::PLAIN`] or [`Simple::WITH_STATUS`], so that each lists only
/// its differences.
#[derive(Clone, Copy)]
pub(crate) struct Simple {
    pub(crate) table: Table,
    pub(crate) has_status: bool,
    pub(crate) tracks_generation: bool,
    /// Whether a change of the status leaves all metadata alone (`ResetObjectMetaForStatus`).
    pub(crate) status_keeps_metadata: bool,
    pub(crate) creates_on_update: bool,
    pub(crate) updates_unconditionally: bool,
    pub(crate) returns_deleted: bool,
    /// The warning of a kind that should no longer be used.
    pub(crate) deprecation: Option<&'static str>,
    pub(crate) name_rule: NameRule,
    /// Paths of text members that field selectors may name.
    pub(crate) selectable: &'static [&'static str],
    pub(crate) default: fn(&mut Value),
    /// Completes an object that is created, or updated from the second one.
    pub(crate) prepare: fn(&mut Value, &Value),
    /// Fills in the times that the kind keeps of its own state.
    pub(crate) set_times: fn(&mut Value, &Value, &Clock),
    pub(crate) validate: fn(&Value) -> Errors,
    /// Whether that may take long.
    pub(crate) takes_long: fn(&Value) -> bool,
    /// `None` validates only the new object.
    pub(crate) validate_update: Option<fn(&Value, &Value) -> Errors>,
    pub(crate) validate_status_update: fn(&Value, &Value) -> Errors,
    /// Warnings about an object that is created, or updated from the second one.
    pub(crate) warnings: fn(&Value, Option<&Value>) -> Vec<String>,
}

impl Simple {
    /// A kind without status and generation.
    pub(crate) const PLAIN: Simple = Simple {
        table: Table::NAME_AND_CREATION,
        has_status: false,
        tracks_generation: false,
        status_keeps_metadata: false,
        creates_on_update: false,
        updates_unconditionally: true,
        returns_deleted: false,
        deprecation: None,
        name_rule: NameRule::Subdomain,
        selectable: &[],
        default: |_| (),
        prepare: |_, _| (),
        set_times: |_, _, _| (),
        validate: |_| Errors::new(),
        takes_long: |_| false,
        validate_update: None,
        validate_status_update: |_, _| Errors::new(),
        warnings: |_, _| Vec::new(),
    };

    /// A kind whose generation counts changes.
    pub(crate) const COUNTED: Simple = Simple { tracks_generation: true, ..Simple::PLAIN };

    /// A kind with a status, whose generation counts the changes of everything else.
    pub(crate) const WITH_STATUS: Simple = Simple { has_status: true, ..Simple::COUNTED };
}

impl Strategy for Simple {
    fn default(&self, object: &mut Value) {
        (self.default)(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.has_status {
            object.remove("status");
        }
        (self.prepare)(object, &Value::Null);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if self.has_status {
            restore(object, old, "status");
        }
        (self.prepare)(object, old);
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        (self.prepare)(object, old);
        if self.status_keeps_metadata {
            keep_metadata(object, old);
        }
    }

    fn kept_by_status(&self) -> &'static [&'static [&'static str]] {
        if self.status_keeps_metadata { &[&["metadata"]] } else { &[] }
    }

    fn set_times(&self, object: &mut Value, old: &Value, clock: &Clock) {
        (self.set_times)(object, old, clock);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        (self.validate)(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        match self.validate_update {
            Some(validate) => validate(object, old),
            None => (self.validate)(object),
        }
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        (self.validate_status_update)(object, old)
    }

    fn takes_long(&self, object: &Value) -> bool {
        (self.takes_long)(object)
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        (self.warnings)(object, old)
    }

    fn name_rule(&self) -> NameRule {
        self.name_rule
    }

    fn has_status(&self) -> bool {
        self.has_status
    }

    fn tracks_generation(&self) -> bool {
        self.tracks_generation
    }

    fn creates_on_update(&self) -> bool {
        self.creates_on_update
    }

    fn updates_unconditionally(&self) -> bool {
        self.updates_unconditionally
    }

    fn deprecation(&self) -> Option<&'static str> {
        self.deprecation
    }

    fn returns_deleted(&self) -> bool {
        self.returns_deleted
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        self.selectable.iter().map(|path| (*path, object.str_at(path).to_owned())).collect()
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        self.selectable
    }

    fn columns(&self) -> &'static [Column] {
        self.table.columns
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        (self.table.row)(object, clock)
    }
}
