//! Events, of the core group and of `events.k8s.io`.
//!
//! Both groups serve the same objects under different field names; errors use the names of the core group,
//! as upstream's do.

use object::field::{Errors, Path};
use object::{Value, names};

use super::field::{Field, IMMUTABLE, same};

const EVENT: &str = "io.k8s.api.core.v1.Event";
const SHORT_TEXT_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// Checks a new Event of the core group's form. `strict` adds the additional rules of `events.k8s.io`; the caller must
/// then check the metadata.
pub fn validate_event(event: &Value, strict: bool) -> Errors {
    let mut errors = validate_any(event);
    if !strict {
        return errors;
    }
    let root = Field::root(event, EVENT);
    validate_series(&mut errors, &root);
    let (time, kind) = (root.child("eventTime"), root.child("type"));
    if !time.is_set() {
        time.required(&mut errors, "");
    }
    if !matches!(kind.text(), "Normal" | "Warning") {
        errors.invalid(&kind.path, "", format!("has invalid value: {}", kind.text()));
    }
    for name in ["firstTimestamp", "lastTimestamp", "count"] {
        let field = root.child(name);
        if !field.is_empty() {
            errors.invalid(&field.path, "", "needs to be unset");
        }
    }
    let source = root.child("source");
    if !source.child("component").is_empty() || !source.child("host").is_empty() {
        errors.invalid(&source.path, "", "needs to be unset");
    }
    errors
}

/// Checks a change of an Event, like [`validate_event`].
pub fn validate_event_update(event: &Value, old: &Value, strict: bool) -> Errors {
    let mut errors = validate_any(event);
    if !strict {
        return errors;
    }
    let root = Field::root(event, EVENT);
    if !same(event.get("series"), old.get("series")) {
        validate_series(&mut errors, &root);
    }
    const FIXED: [&str; 14] = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ];
    for name in FIXED {
        let field = root.child(name);
        let shown = if name == "reportingComponent" { "reportingController" } else { name };
        if !same(field.value, old.get(name)) {
            errors.invalid(&Path::root(shown), field.value.clone(), IMMUTABLE);
        }
    }
    errors
}

fn validate_series(errors: &mut Errors, event: &Field<'_, '_>) {
    let series = event.child("series");
    if !series.is_set() {
        return;
    }
    let (count, last) = (series.child("count"), series.child("lastObservedTime"));
    if count.number() < 2 {
        errors.invalid(&count.path, "", "should be at least 2");
    }
    if !last.is_set() {
        last.required(errors, "");
    }
}

fn validate_any(event: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(event, EVENT);
    let own = event.str_at("metadata.namespace");
    let involved = root.child("involvedObject");
    let namespace = involved.child("namespace");
    let about = namespace.text();
    let old_form = !root.child("eventTime").is_set();
    let fits = match (old_form, about) {
        (true, "") => matches!(own, "" | "default"),
        (true, about) => own == about,
        // Events about objects without a namespace are in one of these.
        (false, "") => matches!(own, "default" | "kube-system"),
        (false, _) => true,
    };
    if !fits {
        errors.invalid(&namespace.path, about, "does not match event.namespace");
    }
    if !old_form {
        validate_new_form(&mut errors, &root);
    }
    errors.invalid_each(&Path::root("namespace"), own, names::is_dns1123_subdomain(own));
    errors
}

/// Checks an event that states its time with microseconds, as recorders do since 1.9.
fn validate_new_form(errors: &mut Errors, event: &Field<'_, '_>) {
    let component = event.child("reportingComponent");
    let component = component.named(event.path.child("reportingController"));
    component.check_present(errors);
    component.check(errors, names::is_qualified_name);
    for name in ["reportingInstance", "action", "reason"] {
        let field = event.child(name);
        field.check_present(errors);
        validate_length(errors, &field, SHORT_TEXT_MAX);
    }
    validate_length(errors, &event.child("message"), NOTE_MAX);
}

fn validate_length(errors: &mut Errors, field: &Field<'_, '_>, max: usize) {
    if field.text().len() > max {
        errors.invalid(&field.path, "", format!("can have at most {max} characters"));
    }
}
