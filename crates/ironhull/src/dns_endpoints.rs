//! What a node says on its own Node object about its DNS server.
//!
//! The control side makes endpoints of the cluster DNS Service of it (the controller `clusterdns`); a node writes
//! nothing but its own object.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Informer, Informers, Patch};
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use serde_json::json;
use tokio::sync::Notify;

/// Where a node says at which addresses its DNS server listens: `ip:port`, separated by commas.
const ANNOTATION: &str = "ironhull.io/dns-endpoints";

/// How long to wait after the server refused.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Keeps the annotation of the Node `name` as it should be, also where somebody changes it or the Node is made anew. No
/// addresses, no annotation. It never returns.
pub async fn advertise(node: &Client, informers: &Informers, name: &str, addresses: &[SocketAddr]) {
    let nodes: Arc<Informer<Node>> = informers.get::<Node>();
    let (key, changed) = (ObjectKey::cluster(name), Arc::new(Notify::new()));
    let (own, wake) = (key.clone(), Arc::clone(&changed));
    nodes.subscribe(move |change| {
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
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot say where DNS listens");
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        changed.notified().await;
    }
}

fn text(addresses: &[SocketAddr]) -> Option<String> {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// The change that a Node needs; `None` if it is as it should be.
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
}
