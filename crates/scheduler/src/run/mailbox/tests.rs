use serde_json::json;

use super::*;
use crate::testing::{node, raw_pod};

fn pod(uid: &str, label: &str) -> Letter {
    let mut pod = raw_pod(uid, json!({}));
    pod.metadata.labels = [("version", label)].into_iter().collect();
    Letter::Pod(uid.into(), Some(Arc::new(pod)))
}

/// The letters in short, in their order.
fn read(mailbox: &Mailbox) -> Vec<String> {
    let told = mailbox.take().map(|letter| match letter {
        Letter::Pod(uid, None) => format!("{uid} is gone"),
        Letter::Pod(uid, Some(pod)) => format!("{uid} {}", pod.metadata.labels.get("version").unwrap()),
        Letter::Node(name, node) => format!("{name} {}", if node.is_some() { "is there" } else { "is gone" }),
        Letter::Bound(uid) => format!("{uid} is bound"),
        other => format!("{other:?}"),
    });
    told.collect()
}

#[test]
fn news_of_one_object_take_the_place_of_older_news() {
    let mailbox = Mailbox::default();
    mailbox.post_first(pod("a", "1"));
    mailbox.post(Letter::Node("n".into(), Some(node("n", json!({})))));
    mailbox.post_first(pod("b", "1"));
    mailbox.post(pod("a", "2"));
    mailbox.post(Letter::Bound("a".into()));
    mailbox.post(Letter::Node("n".into(), None));
    mailbox.post(Letter::Bound("b".into()));
    assert_eq!(read(&mailbox), ["a 2", "n is gone", "b 1", "a is bound", "b is bound"]);
    assert_eq!(read(&mailbox), [""; 0]);
}

#[tokio::test]
async fn a_reader_shows_that_it_is_alive() {
    let mailbox = Arc::new(Mailbox::default());
    let (reading, limit) = (Arc::clone(&mailbox), std::time::Duration::from_secs(90));
    let reader = tokio::spawn(async move {
        loop {
            reading.posted().await;
            drop(reading.take());
        }
    });
    for _ in 0..2 {
        tokio::time::timeout(limit, mailbox.emptied()).await.unwrap();
    }
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), mailbox.emptied()).await.is_err());
}

#[test]
fn what_came_and_went_unread_leaves_nothing() {
    let mailbox = Mailbox::default();
    mailbox.post(pod("known", "2"));
    for round in 0..1000 {
        let uid = format!("short-{round}");
        mailbox.post_first(pod(&uid, "1"));
        mailbox.post(pod(&uid, "2"));
        mailbox.post(Letter::Pod(uid.as_str().into(), None));
    }
    mailbox.post_first(pod("last", "1"));
    mailbox.post(Letter::Pod("known".into(), None));
    assert!(mailbox.kept.lock().letters.len() < 100, "no more is kept than there are objects");
    mailbox.post(pod("last", "2"));
    assert_eq!(read(&mailbox), ["known is gone", "last 2"]);
}

#[test]
fn news_of_a_selector_are_about_its_kind_and_name() {
    let mailbox = Mailbox::default();
    let letter = |kind, name: &str, label: &str| {
        let selector = Selector::from_labels([("app", label)]);
        Letter::Selector(kind, ObjectKey::namespaced("default", name), Some(Arc::new(selector)))
    };
    mailbox.post(letter(Selecting::Service, "web", "old"));
    mailbox.post(letter(Selecting::ReplicaSet, "web", "set"));
    mailbox.post(letter(Selecting::Service, "web", "new"));
    mailbox.post(Letter::Selector(Selecting::ReplicaSet, ObjectKey::namespaced("default", "web"), None));
    let told = mailbox.take().map(|letter| match letter {
        Letter::Selector(kind, _, selector) => format!("{kind:?} {:?}", selector.map(|it| it.to_string())),
        other => format!("{other:?}"),
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told, ["Service Some(\"app=new\")", "ReplicaSet None"]);
}
