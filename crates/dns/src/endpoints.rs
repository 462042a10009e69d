//! Publishes a node's DNS server on its own Node object.
//!
//! The control plane makes endpoints of the cluster DNS Service from it (the controller `clusterdns`); a node writes
//! nothing but its own object.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Informer, Informers, Patch};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::ObjectKey;
use serde_json::json;
use tokio::sync::Notify;

/// The annotation in which a node publishes the addresses of its DNS server: `ip:port`, separated by commas.
const ANNOTATION: &str = "ironhull.io/dns-endpoints";

/// The Service of cluster DNS.
const NAMESPACE: &str = "kube-system";
const SERVICE: &str = "kube-dns";
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// How long a stopping node waits for its queries to be redirected.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(2);

/// How long to wait after the server refused.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Maintains the annotation of the Node `name`, even if it is changed or the Node is recreated. Without addresses there
/// is no annotation. It never returns.
pub async fn advertise(node: &Client, informers: &Informers, name: &str, addresses: &[SocketAddr]) {
    let nodes: Arc<Informer<Node>> = informers.get::<Node>();
    let (key, changed) = (ObjectKey::cluster(name), Arc::new(Notify::new()));
    let (own, wake) = (key.clone(), Arc::clone(&changed));
    let _woken = nodes.subscribe(move |change| {
        if change.key == own {
            wake.notify_one();
        }
    });
    nodes.synced().await;
    let wanted = text(addresses);
    loop {
        if let Some(patch) = nodes.get(&key).and_then(|node| change(&node, wanted.as_deref()))
            && let Err(error) = node.patch::<Node>(&key, "", &patch).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot publish the addresses of the DNS server"
            );
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        changed.notified().await;
    }
}

/// Takes the annotation away before the node's server stops, and waits until the proxy leads queries to other nodes' servers
/// (`led_away`). It does nothing where there are none, and gives up after a short time. Of another program's proxy nobody knows
/// when it has followed: it has all of that time (`led_away` is `None`).
pub async fn hand_over(
    node: &Client,
    informers: &Informers,
    name: &str,
    led_away: Option<impl Future<Output = ()>>,
) {
    let is_known = led_away.is_some();
    let slices = informers.get::<EndpointSlice>();
    let mut others = false;
    slices.for_each(|slice| others |= serves(slice, |node| node != name));
    if !others {
        return;
    }
    let gone = async {
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        let _woken = slices.subscribe(move |_| wake.notify_one());
        let patch = Patch::Merge(json!({"metadata": {"annotations": {ANNOTATION: null}}}));
        if let Err(error) = node.patch::<Node>(&ObjectKey::cluster(name), "", &patch).await {
            return tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot withdraw the addresses of the DNS server"
            );
        }
        let is_own_there = || {
            let mut there = false;
            slices.for_each(|slice| there |= serves(slice, |node| node == name));
            there
        };
        while is_own_there() {
            changed.notified().await;
        }
        match led_away {
            Some(led_away) => led_away.await,
            None => std::future::pending().await,
        }
    };
    if tokio::time::timeout(HAND_OVER_WITHIN, gone).await.is_err() && is_known {
        tracing::warn!("DNS stops before queries have been redirected to other nodes");
    }
}

/// Whether a slice contains a ready DNS server of a matching node.
fn serves(slice: &EndpointSlice, fits: impl Fn(&str) -> bool) -> bool {
    let labels = slice.metadata.labels.as_ref();
    let is_dns = slice.metadata.namespace.as_deref() == Some(NAMESPACE)
        && labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL)).is_some_and(|service| service == SERVICE);
    let mut endpoints = slice.endpoints.iter().flatten();
    is_dns
        && endpoints.any(|endpoint| {
            semantics::EndpointState::of_endpoint(endpoint).ready
                && endpoint.node_name.as_deref().is_some_and(&fits)
        })
}

fn text(addresses: &[SocketAddr]) -> Option<String> {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// The necessary change of a Node; `None` if there is none.
fn change(node: &Node, wanted: Option<&str>) -> Option<Patch> {
    let present = node.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION));
    let is_right = present.map(String::as_str) == wanted;
    (!is_right).then(|| Patch::Merge(json!({"metadata": {"annotations": {ANNOTATION: wanted}}})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_changed() {
        let node = |present: Option<&str>| {
            let mut node = Node::default();
            let annotation = present.map(|text| (ANNOTATION.to_owned(), text.to_owned()));
            node.metadata.annotations = Some(annotation.into_iter().collect());
            node
        };
        let both = text(&["10.42.0.1:53".parse().unwrap(), "[fd42::1]:53".parse().unwrap()]).unwrap();
        assert_eq!(both, "10.42.0.1:53,[fd42::1]:53");
        for (present, wanted, changes) in [
            (None, Some(&*both), true),
            (Some(&*both), Some(&*both), false),
            (Some("192.0.2.1:53"), Some(&*both), true),
            (Some(&*both), None, true),
            (None, None, false),
        ] {
            assert_eq!(change(&node(present), wanted).is_some(), changes, "{present:?} {wanted:?}");
        }
    }

    #[test]
    fn slices_tell_who_serves() {
        let slice = |service: &str, ready: bool| -> EndpointSlice {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "s", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": service},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.42.0.1"], "nodeName": "a", "conditions": {"ready": ready}}],
            }))
            .unwrap()
        };
        assert!(serves(&slice("kube-dns", true), |node| node == "a"));
        assert!(!serves(&slice("kube-dns", true), |node| node != "a"));
        assert!(!serves(&slice("kube-dns", false), |node| node == "a"));
        assert!(!serves(&slice("web", true), |node| node == "a"));
    }
}
