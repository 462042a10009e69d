//! Past states of a collection, from its log.

use super::*;

/// The objects at a revision: each name with its node.
fn nodes(snapshot: &Snapshot) -> Vec<String> {
    let pods = snapshot.objects.values();
    pods.map(|pod| format!("{}:{}", pod.name(), pod.field("spec.nodeName").unwrap_or_default())).collect()
}

#[tokio::test]
async fn the_log_tells_what_there_was_at_each_of_its_revisions() {
    let (hub, collection) = pods().await;
    let started = hub.revision();
    let mut seen = Vec::new();
    for (name, node) in [
        ("a", "1"),
        ("b", "1"),
        ("a", "2"),
        ("c", "1"),
        ("b", ""),
        ("a", "3"),
        ("a", ""),
        ("a", "4"),
        ("c", ""),
    ] {
        match node {
            "" => delete(&hub, &collection, name).await,
            node => drop(put(&hub, &collection, name, node).await),
        }
        let revision = hub.catch_up().await.unwrap();
        seen.push((revision, nodes(&hub.snapshot(&collection)), hub.snapshot(&collection).count("a")));
    }
    let reached = hub.revision();
    let at = |revision: u64| collection.snapshot_at(revision, reached);
    assert_eq!(at(started).map(|snapshot| snapshot.objects.len()), Some(0));
    for (revision, expected, count) in &seen {
        let snapshot = at(*revision).unwrap();
        assert_eq!((snapshot.revision, &nodes(&snapshot)), (*revision, expected));
        assert_eq!(snapshot.count("a"), *count, "at {revision}");
        assert!(snapshot.objects.values().all(|pod| pod.resource_version() <= *revision));
    }
    assert!(at(reached + 1).is_none(), "nothing is known of the future");
    // What the store has dropped is gone, although the log may still tell it.
    let dropped = seen[4].0;
    hub.forget_before(store::Revision(dropped));
    assert!(at(dropped - 1).is_none());
    assert_eq!(at(dropped).map(|snapshot| nodes(&snapshot)), Some(seen[4].1.clone()));
    put(&hub, &collection, "d", "1").await;
    let reached = hub.catch_up().await.unwrap();
    hub.forget_before(store::Revision(reached));
    assert!(collection.snapshot_at(reached - 1, reached).is_none());
    assert!(collection.snapshot_at(reached, reached).is_some());
}
