//! Event, in both of its versions: core `v1`, in which events are stored, and `events.k8s.io/v1`, which has different
//! names for some fields.

use clock::Clock;
use object::{Value, field};

use crate::strategy::{NameRule, Strategy};
use crate::table::{Column, NAME, cells, name, number, or, since};
use crate::validation;

#[cfg(test)]
mod tests;

/// Events of core `v1`.
pub(crate) struct CoreEvents;

/// Events of `events.k8s.io/v1`.
pub(crate) struct Events;

/// The fields of core events, and those of the other version that mean the same.
const FIELDS: [(&str, &str); 11] = [
    ("involvedObject.kind", "regarding.kind"),
    ("involvedObject.namespace", "regarding.namespace"),
    ("involvedObject.name", "regarding.name"),
    ("involvedObject.uid", "regarding.uid"),
    ("involvedObject.apiVersion", "regarding.apiVersion"),
    ("involvedObject.resourceVersion", "regarding.resourceVersion"),
    ("involvedObject.fieldPath", "regarding.fieldPath"),
    ("reason", "reason"),
    ("reportingComponent", "reportingController"),
    ("source", "source"),
    ("type", "type"),
];

const CORE_NAMES: &[&str] = &names(false);
const NAMES: &[&str] = &names(true);

const fn names(of_events_group: bool) -> [&'static str; FIELDS.len()] {
    let mut names = [""; FIELDS.len()];
    let mut index = 0;
    while index < FIELDS.len() {
        names[index] = if of_events_group { FIELDS[index].1 } else { FIELDS[index].0 };
        index += 1;
    }
    names
}

const COLUMNS: &[Column] = &[
    Column::text("Last Seen", "The time since the event happened last."),
    Column::text("Type", "Normal or Warning."),
    Column::text("Reason", "What happened, in one word."),
    Column::text("Object", "What it happened to."),
    Column::text("Subobject", "The part of the object that it happened to.").wide(),
    Column::text("Source", "Who tells.").wide(),
    Column::text("Message", "What happened."),
    Column::text("First Seen", "The time since the event happened first.").wide(),
    Column::text("Count", "How often it happened.").wide(),
    NAME.wide(),
];

impl Strategy for CoreEvents {
    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_event(object, false)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_event_update(object, old, false)
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    /// Both versions' fields, because events of both are selected from one store.
    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let component = object.str_at("reportingComponent");
        let value = |path: &str| match path {
            "source" => or(object.str_at("source.component"), component).to_owned(),
            path => object.str_at(path).to_owned(),
        };
        let mut fields = Vec::with_capacity(2 * FIELDS.len());
        for (core, other) in FIELDS {
            fields.push((core, value(core)));
            if other != core {
                fields.push((other, value(core)));
            }
        }
        fields
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        CORE_NAMES
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        row(object, clock)
    }
}

impl Strategy for Events {
    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_event(&core_form(object), true)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_event_update(&core_form(object), &core_form(old), true)
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        NAMES
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        row(object, clock)
    }
}

/// Members of core events, and their names in the other version.
const MEMBERS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// An event of either version with the names of core `v1`, which the paths of errors have in both.
fn core_form(event: &Value) -> Value {
    let mut event = event.clone();
    for (core, other) in MEMBERS {
        if let Some(value) = event.remove(other) {
            event.set(core, value);
        }
    }
    event
}

/// The member under either of its names.
fn either<'a>(event: &'a Value, core: &str) -> &'a Value {
    let other = MEMBERS.iter().find(|(name, _)| *name == core).map_or(core, |(_, other)| other);
    match event.get(core) {
        Value::Null => event.get(other),
        value => value,
    }
}

fn row(event: &Value, clock: &Clock) -> Vec<Value> {
    let about = either(event, "involvedObject");
    let (kind, target) = (about.str_at("kind").to_lowercase(), about.str_at("name"));
    let first = match either(event, "firstTimestamp") {
        Value::Null => since(event.get("eventTime"), clock),
        time => since(time, clock),
    };
    let series = event.get("series");
    let last = match either(event, "lastTimestamp") {
        _ if !series.is_null() => since(series.get("lastObservedTime"), clock),
        Value::Null => first.clone(),
        time => since(time, clock),
    };
    // Events of the newer form that happened once have no count.
    let count = match series {
        Value::Null => either(event, "count").as_i64().unwrap_or(0).max(1),
        series => number(series, "count"),
    };
    cells![
        last,
        event.str_at("type"),
        event.str_at("reason"),
        if target.is_empty() { kind } else { format!("{kind}/{target}") },
        about.str_at("fieldPath"),
        source(event),
        either(event, "message").as_str().unwrap_or_default().trim(),
        first,
        count,
        name(event),
    ]
}

/// The reporting component, and its host.
fn source(event: &Value) -> String {
    let source = either(event, "source");
    let reporting = either(event, "reportingComponent").as_str().unwrap_or_default();
    let component = or(source.str_at("component"), reporting);
    match or(source.str_at("host"), event.str_at("reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}
