//! Annotations with a meaning for pods.

use std::collections::{HashMap, HashSet};

use object::Value;
use object::field::Errors;
use object::quote;

use super::each::each_container;
use super::paths::descending_path;
use crate::validation::field::Field;

/// Marks the server's copy of a pod that a node runs from a file.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
pub(super) const APP_ARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(super) const SECCOMP_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Checks the annotations of a pod or of a template.
pub(super) fn validate_pod_annotations(
    errors: &mut Errors,
    annotations: &Field<'_, '_>,
    spec: &Field<'_, '_>,
) {
    let mut containers = None;
    for (key, annotation) in annotations.entries() {
        let text = annotation.text();
        match key {
            MIRROR if spec.child("nodeName").is_empty() => {
                annotation.invalid(errors, "must set spec.nodeName if mirror pod annotation is set");
            }
            DELETION_COST if !is_cost(text) => annotation.invalid(errors, "must be a 32bit integer"),
            _ => {}
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP_PREFIX) {
            validate_seccomp_profile(errors, &annotation.named(annotations.path.child(key)));
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR_PREFIX) {
            let containers = containers.get_or_insert_with(|| container_names(spec.value));
            if !containers.contains(container) {
                errors.invalid(&annotation.path, container, "container not found");
            }
            let known =
                matches!(text, "" | "runtime/default" | "unconfined") || text.starts_with("localhost/");
            if !known {
                annotation.invalid(errors, format!("invalid AppArmor profile name: {}", quote(text)));
            }
        }
    }
}

/// The names of all containers of a pod spec.
fn container_names(spec: &Value) -> HashSet<&str> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    lists.iter().flat_map(|list| spec.get(list).items()).map(|container| container.str_at("name")).collect()
}

/// The annotations that have a prefix before a container's name, by these names.
pub(super) fn of_containers<'a>(annotations: &'a Value, prefix: &str) -> HashMap<&'a str, &'a str> {
    let entries = annotations.entries();
    entries.filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value.as_str()?))).collect()
}

/// A number as Go writes it: without a plus sign or leading zeros.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|cost| cost.to_string() == text)
}

fn validate_seccomp_profile(errors: &mut Errors, profile: &Field<'_, '_>) {
    match profile.text() {
        "runtime/default" | "docker/default" | "unconfined" => {}
        text => match text.strip_prefix("localhost/") {
            Some(path) => {
                let path = Value::from(path);
                descending_path(errors, &profile.with(&path));
            }
            None => profile.invalid(errors, "must be a valid seccomp profile"),
        },
    }
}

/// Checks that AppArmor annotations, which older clients set, agree with the fields.
pub(super) fn validate_app_armor_matches(errors: &mut Errors, annotations: &Value, spec: &Field<'_, '_>) {
    if spec.value.str_at("os.name") == "windows" {
        return;
    }
    let of_pod = spec.value.at("securityContext.appArmorProfile");
    let profiles = of_containers(annotations, APP_ARMOR_PREFIX);
    each_container(spec, |container| {
        let Some(&annotation) = profiles.get(container.child("name").text()) else { return };
        let context = container.child("securityContext");
        let field = context.child("appArmorProfile");
        let profile = if field.is_set() { field.value } else { of_pod };
        let matches = match profile.str_at("type") {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => annotation == "runtime/default",
            "Localhost" => annotation.starts_with("localhost/"),
            _ => return,
        };
        let local = annotation.strip_prefix("localhost/");
        if !matches {
            field.child("type").forbidden(errors, "apparmor type in annotation and field must match");
        } else if local.is_some_and(|path| path != profile.str_at("localhostProfile")) {
            let why = "apparmor profile in annotation and field must match";
            field.child("localhostProfile").forbidden(errors, why);
        }
    });
}
