//! Probes and lifecycle hooks.

use object::Value;
use object::field::Errors;
use object::names;

use crate::validation::field::Field;

/// Checks the probes and hooks of a container that runs in parallel with others.
pub(super) fn validate_handlers(errors: &mut Errors, container: &Field<'_, '_>, grace_seconds: Option<i64>) {
    let lifecycle = container.child("lifecycle");
    for name in ["postStart", "preStop"] {
        let handler = lifecycle.child(name);
        if handler.is_set() {
            validate_handler(errors, &handler, true, grace_seconds);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.child(name);
        if probe.is_set() {
            validate_probe(errors, &probe, name == "readinessProbe");
        }
    }
}

fn validate_probe(errors: &mut Errors, probe: &Field<'_, '_>, readiness: bool) {
    validate_handler(errors, probe, false, None);
    for name in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        probe.child(name).check_not_negative(errors);
    }
    let grace = probe.child("terminationGracePeriodSeconds");
    if grace.is_set() && grace.number() <= 0 {
        grace.invalid(errors, "must be greater than 0");
    }
    let successes = probe.child("successThreshold");
    if readiness && grace.is_set() {
        grace.invalid(errors, "must not be set for readinessProbes");
    } else if !readiness && successes.number() != 1 {
        errors.invalid(&successes.path, successes.number(), "must be 1");
    }
}

/// Checks that there is one action, and that action. Hooks can sleep, probes can call gRPC.
fn validate_handler(errors: &mut Errors, handler: &Field<'_, '_>, hook: bool, grace_seconds: Option<i64>) {
    let last = if hook { "sleep" } else { "grpc" };
    let mut is_first = true;
    for name in ["exec", "httpGet", "tcpSocket", last] {
        let action = handler.child(name);
        if !action.is_set() {
            continue;
        }
        if !is_first {
            action.forbidden(errors, "may not specify more than 1 handler type");
            continue;
        }
        is_first = false;
        match name {
            "exec" => action.child("command").check_present(errors),
            "httpGet" => validate_http_get(errors, &action),
            "sleep" => validate_sleep(errors, &action, grace_seconds),
            _ => validate_port(errors, &action.child("port")),
        }
    }
    if is_first {
        handler.required(errors, "must specify a handler type");
    }
}

fn validate_http_get(errors: &mut Errors, action: &Field<'_, '_>) {
    action.child("path").check_present(errors);
    validate_port(errors, &action.child("port"));
    let scheme = action.child("scheme");
    if !matches!(scheme.text(), "HTTP" | "HTTPS") {
        scheme.not_supported(errors, &["HTTP", "HTTPS"]);
    }
    let headers = action.child("httpHeaders");
    for header in headers.items() {
        let name = header.child("name");
        errors.invalid_each(&headers.path, name.text(), names::is_http_header_name(name.text()));
    }
}

fn validate_sleep(errors: &mut Errors, action: &Field<'_, '_>, grace_seconds: Option<i64>) {
    let seconds = action.child("seconds").number();
    if let Some(grace) = grace_seconds.filter(|grace| !(0..=*grace).contains(&seconds)) {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid(&action.path, seconds, why);
    }
}

/// A port by number or by name.
pub(crate) fn validate_port(errors: &mut Errors, port: &Field<'_, '_>) {
    match port.value {
        Value::String(name) => errors.invalid_each(&port.path, &**name, names::is_valid_port_name(name)),
        _ => errors.invalid_each(&port.path, port.number(), names::is_valid_port_num(port.number())),
    }
}
