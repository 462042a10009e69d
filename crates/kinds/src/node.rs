//! Node

use std::collections::BTreeSet;

use clock::Clock;
use object::{Value, field};
use semantics::conditions;

use crate::strategy::{Strategy, restore};
use crate::table::{AGE, Column, NAME, age, cells, flag, join, name, or};
use crate::{defaults, validation};

/// Labels whose names end in a role.
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
/// The label whose value is a role.
const ROLE_LABEL: &str = "kubernetes.io/role";

/// The strategy of nodes (`pkg/registry/core/node/strategy.go`).
pub(crate) struct Nodes;

impl Strategy for Nodes {
    fn default(&self, object: &mut Value) {
        defaults::default_node(object);
    }

    /// A node is registered together with its status. Dynamic configuration was removed in 1.24.
    fn prepare_create(&self, object: &mut Value) {
        object.entry("spec").remove("configSource");
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, "status");
        if old.at("spec.configSource").is_null() {
            object.entry("spec").remove("configSource");
        }
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_node(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        let mut errors = validation::validate_node(object);
        errors.append(validation::validate_node_update(object, old));
        errors
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_node_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.unschedulable", flag(object, "spec.unschedulable").to_string())]
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        &["spec.unschedulable"]
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Status", "Whether the node is ready, and whether it takes new pods."),
                Column::text("Roles", "What the node is for, by its labels."),
                AGE,
                Column::text("Version", "The version of the node's agent."),
                Column::text("Internal-IP", "The first address inside the cluster.").wide(),
                Column::text("External-IP", "The first address outside the cluster.").wide(),
                Column::text("OS-Image", "The operating system.").wide(),
                Column::text("Kernel-Version", "The version of the kernel.").wide(),
                Column::text("Container-Runtime", "What runs the containers, with its version.").wide(),
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let info = object.at("status.nodeInfo");
        let known = |member: &str| or(info.str_at(member), "<unknown>").to_owned();
        cells![
            name(object),
            status(object),
            or(&roles(object), "<none>"),
            age(object, clock),
            info.str_at("kubeletVersion"),
            address(object, "InternalIP"),
            address(object, "ExternalIP"),
            known("osImage"),
            known("kernelVersion"),
            known("containerRuntimeVersion"),
        ]
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        let spec = object.get("spec");
        let gone = [
            (!spec.get("configSource").is_null(), "spec.configSource: the feature is removed"),
            (
                !spec.get("externalID").is_empty(),
                "spec.externalID: this field is deprecated, and is unused by Kubernetes",
            ),
        ];
        gone.iter().filter(|(is_set, _)| *is_set).map(|(_, warning)| (*warning).to_owned()).collect()
    }
}

fn status(node: &Value) -> String {
    let ready = match conditions::of(node, "Ready").field("status").as_text() {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let mark = if flag(node, "spec.unschedulable") { ",SchedulingDisabled" } else { "" };
    format!("{ready}{mark}")
}

fn roles(node: &Value) -> String {
    let roles: BTreeSet<&str> = node
        .at("metadata.labels")
        .entries()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None => (key == ROLE_LABEL).then(|| value.as_str().unwrap_or_default()),
        })
        .filter(|role| !role.is_empty())
        .collect();
    join(roles.into_iter(), ",")
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let mut addresses = node.at("status.addresses").items();
    addresses
        .find(|address| address.str_at("type") == kind)
        .map_or("<none>", |address| address.str_at("address"))
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn table() {
        let none = "<none> | <none> | <unknown> | <unknown> | <unknown>";
        let ready = |status: &str| value!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        check_row(&Nodes, &named("n", value!({})), &format!("n | Unknown | <none> | 3h |  | {none}"));
        check_row(&Nodes, &named("n", ready("Unknown")), &format!("n | NotReady | <none> | 3h |  | {none}"));
        let node = value!({
            "metadata": {"labels": {
                "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "true",
                "node-role.kubernetes.io/": "", "kubernetes.io/role": "edge"
            }},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.37.0", "osImage": "Linux", "kernelVersion": "6.1",
                    "containerRuntimeVersion": "ironhull://0.1"
                }
            }
        });
        let row = "n | Ready,SchedulingDisabled | control-plane,edge,worker | 3h | v1.37.0 | 10.0.0.1 | <none> | Linux | 6.1 | ironhull://0.1";
        check_row(&Nodes, &named("n", node), row);
    }

    #[test]
    fn a_node_is_registered_with_its_status() {
        let mut node =
            value!({"spec": {"configSource": {}, "podCIDR": "10.42.0.0/24"}, "status": {"phase": "x"}});
        Nodes.prepare_create(&mut node);
        assert_eq!(node, value!({"spec": {"podCIDR": "10.42.0.0/24"}, "status": {"phase": "x"}}));
        let mut update = value!({"spec": {}, "status": {"phase": "y"}});
        Nodes.prepare_update(&mut update, &node);
        assert_eq!(update.str_at("status.phase"), "x");
    }
}
