//! Warnings that several kinds share. The texts are upstream's, because clients show and compare them.

use object::{Value, names};

const SURPRISING: &str = "which can result in surprising behavior; a DNS label is recommended";

/// Warns about a pod whose name is not a DNS label: its host name will differ.
pub(crate) fn of_pod_name(object: &Value) -> Vec<String> {
    of_name(object, "the Pod's hostname")
}

/// Warns about an object after which pods are named and whose name is not a DNS label.
pub(crate) fn of_pod_name_base(object: &Value) -> Vec<String> {
    of_name(object, "Pod names and hostnames")
}

fn of_name(object: &Value, used: &str) -> Vec<String> {
    let messages = names::is_dns1123_label(object.str_at("metadata.name"));
    if messages.is_empty() {
        return Vec::new();
    }
    vec![format!("metadata.name: this is used in {used}, {SURPRISING}: [{}]", messages.join(" "))]
}
