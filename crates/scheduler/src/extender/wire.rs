//! The bodies of requests and responses: upstream's `extender/v1`, whose members have the names of Go's fields. As Go, a
//! reader does not mind the case of names.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde::Serialize;
use serde_json::Value;

/// `ExtenderArgs`
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Args<'a> {
    pub(super) pod: &'a Pod,
    /// Unless the extender knows the nodes.
    pub(super) nodes: Option<Nodes<'a>>,
    pub(super) node_names: Option<Vec<&'a str>>,
}

/// `NodeList`
#[derive(Serialize)]
pub(super) struct Nodes<'a> {
    pub(super) metadata: Empty,
    pub(super) items: Vec<&'a Node>,
}

/// `{}`
#[derive(Serialize)]
pub(super) struct Empty {}

/// `ExtenderPreemptionArgs`
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PreemptionArgs<'a> {
    pub(super) pod: &'a Pod,
    pub(super) node_name_to_victims: Option<BTreeMap<&'a str, Victims<&'a Pod>>>,
    pub(super) node_name_to_meta_victims: Option<BTreeMap<&'a str, Victims<MetaPod<'a>>>>,
}

/// `Victims` and `MetaVictims`
#[derive(Serialize)]
pub(super) struct Victims<P> {
    #[serde(rename = "Pods")]
    pub(super) pods: Vec<P>,
    #[serde(rename = "NumPDBViolations")]
    pub(super) violations: usize,
}

/// `MetaPod`
#[derive(Serialize)]
pub(super) struct MetaPod<'a> {
    #[serde(rename = "UID")]
    pub(super) uid: &'a str,
}

/// `ExtenderBindingArgs`
#[derive(Serialize)]
pub(super) struct BindingArgs<'a> {
    #[serde(rename = "PodName")]
    pub(super) name: &'a str,
    #[serde(rename = "PodNamespace")]
    pub(super) namespace: &'a str,
    #[serde(rename = "PodUID")]
    pub(super) uid: &'a str,
    #[serde(rename = "Node")]
    pub(super) node: &'a str,
}

/// The member of a JSON object, in any case; null if there is none.
pub(super) fn member<'a>(object: &'a Value, name: &str) -> &'a Value {
    let Some(members) = object.as_object() else { return &Value::Null };
    let found = members.get(name);
    let in_other_case =
        || members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    found.or_else(in_other_case).unwrap_or(&Value::Null)
}

/// The error that a result reports.
pub(super) fn error(result: &Value) -> Option<&str> {
    member(result, "Error").as_str().filter(|error| !error.is_empty())
}

/// The nodes that passed, by name.
pub(super) fn passed(result: &Value, knows_nodes: bool) -> Vec<String> {
    let names = member(result, "NodeNames");
    if knows_nodes && let Some(names) = names.as_array() {
        return names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let items = member(member(result, "Nodes"), "items").as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |node: &Value| Some(member(member(node, "metadata"), "name").as_str()?.to_owned());
    items.iter().filter_map(name).collect()
}

/// The nodes that failed with their messages: `FailedNodes` or `FailedAndUnresolvableNodes`.
pub(super) fn failed<'a>(result: &'a Value, name: &str) -> BTreeMap<&'a str, &'a str> {
    let all = member(result, name).as_object().into_iter().flatten();
    all.filter_map(|(node, why)| Some((node.as_str(), why.as_str()?))).collect()
}

/// The scores of a `HostPriorityList`.
pub(super) fn scores(result: &Value) -> impl Iterator<Item = (&str, i64)> {
    let list = result.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|item| {
        Some((member(item, "Host").as_str()?, member(item, "Score").as_i64().unwrap_or(0)))
    })
}

/// The victims of an `ExtenderPreemptionResult`: UIDs and the number of violations, by node.
pub(super) fn victims(result: &Value) -> BTreeMap<&str, (Vec<&str>, usize)> {
    let all = member(result, "NodeNameToMetaVictims").as_object().into_iter().flatten();
    let of = |victims: &Value| -> usize {
        let count = member(victims, "NumPDBViolations").as_u64().unwrap_or(0);
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    all.map(|(node, victims)| {
        let pods = member(victims, "Pods").as_array().map(Vec::as_slice).unwrap_or_default();
        let uids = pods.iter().filter_map(|pod| member(pod, "UID").as_str()).collect();
        (node.as_str(), (uids, of(victims)))
    })
    .collect()
}
