use std::time::Duration;

use client::{EventType, Recorder, Verb, reference_to};
use k8s_openapi::api::core::v1::{Event, ObjectReference, Pod};
use object::{ObjectKey, Status};
use simulation::{Server, admin};

/// How many events wait at most.
const QUEUE_MAX: usize = 1000;

async fn server() -> Server {
    let server = Server::start(1).await;
    server.open("shop").await;
    server
}

fn pod(name: &str) -> ObjectReference {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.into());
    pod.metadata.namespace = Some("shop".into());
    pod.metadata.uid = Some(format!("uid-{name}"));
    reference_to(&pod)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The events by message and count.
async fn stored(server: &Server) -> Vec<(String, i32)> {
    let events = server.list::<Event>().await;
    let mut counts: Vec<_> = events.into_iter().map(|e| (e.message.unwrap(), e.count.unwrap())).collect();
    counts.sort();
    counts
}

#[tokio::test(start_paused = true)]
async fn an_event_says_who_what_and_when() {
    let server = server().await;
    let recorder = Recorder::start(server.client(admin()), "kubelet", "node-1");
    recorder.record(&pod("web"), EventType::Warning, "BackOff", "Back-off restarting");
    let mut node = pod("node-1");
    node.namespace = None;
    recorder.record(&node, EventType::Normal, "Starting", "Starting kubelet.");
    settle().await;
    let event = server
        .list::<Event>()
        .await
        .into_iter()
        .find(|event| event.metadata.namespace.as_deref() == Some("shop"));
    let event = event.unwrap();
    assert!(event.metadata.name.unwrap().starts_with("web."));
    assert_eq!((event.type_.as_deref(), event.reason.as_deref()), (Some("Warning"), Some("BackOff")));
    assert_eq!(event.involved_object.kind.as_deref(), Some("Pod"));
    assert_eq!(event.source.unwrap().host.as_deref(), Some("node-1"));
    assert_eq!(event.reporting_component.as_deref(), Some("kubelet"));
    let cluster_wide = server
        .list::<Event>()
        .await
        .into_iter()
        .find(|event| event.metadata.namespace.as_deref() == Some("default"));
    assert_eq!(cluster_wide.unwrap().reason.as_deref(), Some("Starting"));
}

#[tokio::test(start_paused = true)]
async fn repetition_raises_the_count() {
    let server = server().await;
    let recorder = Recorder::start(server.client(admin()), "kubelet", "");
    for _ in 0..3 {
        recorder.record(&pod("web"), EventType::Normal, "Pulled", "again");
        recorder.record(&pod("db"), EventType::Normal, "Pulled", "once more");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(stored(&server).await, [("again".into(), 3), ("once more".into(), 3)]);
    let events = server.list::<Event>().await;
    assert!(events.iter().all(|event| event.first_timestamp < event.last_timestamp));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_deleted_is_created_again() {
    let server = server().await;
    let recorder = Recorder::start(server.client(admin()), "kubelet", "");
    recorder.record(&pod("web"), EventType::Normal, "Pulled", "again");
    settle().await;
    let name = server.list::<Event>().await[0].metadata.name.clone().unwrap();
    server.remove::<Event>(&ObjectKey::namespaced("shop", name)).await;
    recorder.record(&pod("web"), EventType::Normal, "Pulled", "again");
    settle().await;
    assert_eq!(stored(&server).await, [("again".into(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn many_messages_become_one() {
    let server = server().await;
    let recorder = Recorder::start(server.client(admin()), "kubelet", "");
    for index in 0..12 {
        recorder.record(&pod("web"), EventType::Normal, "Pulled", format!("message {index:02}"));
    }
    settle().await;
    let stored = stored(&server).await;
    assert_eq!(stored.len(), 10);
    assert_eq!(stored[0], ("(combined from similar events): message 11".into(), 3));
    tokio::time::sleep(Duration::from_secs(601)).await;
    recorder.record(&pod("web"), EventType::Normal, "Pulled", "message 12");
    settle().await;
    assert!(
        self::stored(&server).await.contains(&("message 12".into(), 1)),
        "after a silence they stand alone again"
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_are_dropped_until_time_has_passed() {
    let server = server().await;
    let recorder = Recorder::start(server.client(admin()), "kubelet", "");
    for _ in 0..30 {
        recorder.record(&pod("web"), EventType::Warning, "BackOff", "again");
    }
    recorder.record(&pod("db"), EventType::Warning, "BackOff", "other");
    settle().await;
    assert_eq!(stored(&server).await, [("again".into(), 25), ("other".into(), 1)]);
    tokio::time::sleep(Duration::from_secs(300)).await;
    recorder.record(&pod("web"), EventType::Warning, "BackOff", "again");
    settle().await;
    // The dropped ones were counted, as upstream does.
    assert_eq!(stored(&server).await[0], ("again".into(), 31));
}

#[tokio::test(start_paused = true)]
async fn refused_events_do_not_hold_up_others() {
    let server = server().await;
    server.faults().fail_next(Verb::Create, "events", Status::forbidden("", "events", "", "no"));
    let recorder = Recorder::start(server.client(admin()), "kubelet", "");
    recorder.record(&pod("web"), EventType::Normal, "A", "refused");
    recorder.record(&pod("web"), EventType::Normal, "B", "written");
    settle().await;
    assert_eq!(stored(&server).await, [("written".into(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_written_after_the_last_recorder() {
    let server = server().await;
    let recorder = Recorder::start(server.client(admin()), "kubelet", "");
    recorder.record(&pod("web"), EventType::Normal, "A", "written");
    drop(recorder);
    settle().await;
    assert_eq!(stored(&server).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_are_dropped_from_a_full_queue() {
    let server = server().await;
    let recorder = Recorder::start(server.client(admin()), "kubelet", "");
    for index in 0..QUEUE_MAX + 5 {
        recorder.record(&pod(&format!("p{index}")), EventType::Normal, "A", format!("m{index}"));
    }
    settle().await;
    let stored = stored(&server).await;
    assert_eq!(stored.len(), QUEUE_MAX);
    assert!(!stored.contains(&("m4".into(), 1)) && stored.contains(&("m5".into(), 1)));
}
