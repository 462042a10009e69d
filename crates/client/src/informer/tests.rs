use std::time::Duration;

use clock::Clock;
use k8s_openapi::api::core::v1::Pod;
use object::Status;
use parking_lot::Mutex;

use super::*;
use crate::Verb;
use crate::testing::MemoryServer;

fn server() -> MemoryServer {
    MemoryServer::new(Clock::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap()))
}

fn pod(name: &str, labels: &[(&str, &str)]) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.into());
    pod.metadata.namespace = Some("default".into());
    pod.metadata.labels = Some(labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
    pod
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

/// Subscribes and returns what is told, as `+name`, `~name` and `-name`.
fn record(informer: &Informer<Pod>) -> Arc<Mutex<Vec<String>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    let subscription = informer.subscribe(move |change| {
        let sign = match (&change.old, &change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        into.lock().push(format!("{sign}{}", change.key.name));
    });
    subscription.forever();
    told
}

/// Lets all tasks go on for as long as they can; time passes if they wait for nothing else.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn take(told: &Mutex<Vec<String>>) -> Vec<String> {
    let mut told = std::mem::take(&mut *told.lock());
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn it_lists_then_follows() {
    let server = server();
    server.put(&pod("a", &[]));
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    pods.synced().await;
    assert_eq!(take(&told), ["+a"]);
    server.put(&pod("b", &[]));
    server.put(&pod("a", &[("x", "1")]));
    server.remove::<Pod>(&key("b"));
    settle().await;
    assert_eq!(take(&told), ["+b", "-b", "~a"]);
    assert_eq!(pods.get(&key("a")).unwrap().metadata.labels.as_ref().unwrap()["x"], "1");
    assert_eq!((pods.len(), pods.in_namespace("default").len(), pods.in_namespace("other").len()), (1, 1, 0));
    assert_eq!(pods.resource_version(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_watched_once() {
    let server = server();
    let informers = Informers::new(server.client());
    let (one, two) = (informers.get::<Pod>(), informers.clone().get::<Pod>());
    assert!(Arc::ptr_eq(&one, &two));
    let other = informers.select::<Pod>(Selection::fields::<Pod>("spec.nodeName=n"));
    assert!(!Arc::ptr_eq(&one, &other));
    one.synced().await;
    other.synced().await;
    settle().await;
    let requests = server.take_requests();
    assert_eq!(requests.iter().filter(|request| request.starts_with("list")).count(), 2);
    assert_eq!(requests.iter().filter(|request| request.starts_with("watch")).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn late_handlers_hear_of_what_is_there() {
    let server = server();
    server.put(&pod("a", &[]));
    let pods = Informers::new(server.client());
    let informer = pods.get::<Pod>();
    informer.synced().await;
    assert_eq!(take(&record(&informer)), ["+a"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_watch_goes_on_from_the_last_version() {
    let server = server();
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    pods.synced().await;
    settle().await;
    server.bookmark::<Pod>();
    settle().await;
    server.take_requests();
    server.end_watches();
    server.put(&pod("a", &[]));
    settle().await;
    assert_eq!(take(&told), ["+a"]);
    let requests = server.take_requests();
    assert!(requests.iter().all(|request| request.starts_with("watch")), "{requests:?}");
    assert!(requests[0].contains("resourceVersion=1&"), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_means_a_new_list() {
    let server = server();
    for name in ["gone", "same", "changed"] {
        server.put(&pod(name, &[]));
    }
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    pods.synced().await;
    settle().await;
    take(&told);
    server.fail_next(Verb::Watch, "pods", Status::service_unavailable("down"));
    server.end_watches();
    server.remove::<Pod>(&key("gone"));
    server.put(&pod("changed", &[("x", "1")]));
    server.put(&pod("new", &[]));
    server.compact();
    settle().await;
    assert_eq!(take(&told), ["+new", "-gone", "~changed"]);
    server.put(&pod("after", &[]));
    settle().await;
    assert_eq!(take(&told), ["+after"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_event_ends_the_watch() {
    let server = server();
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    settle().await;
    server.end_watches();
    server.compact();
    server.put(&pod("a", &[]));
    settle().await;
    assert_eq!(pods.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_later_and_later() {
    let server = server();
    server.put(&pod("a", &[]));
    for _ in 0..4 {
        server.fail_next(Verb::List, "pods", Status::service_unavailable("down"));
    }
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    let start = tokio::time::Instant::now();
    pods.synced().await;
    let waited = start.elapsed().as_secs_f64();
    // 0.8 + 1.6 + 3.2 + 6.4 seconds, and up to twice that.
    assert!((12.0..24.0).contains(&waited), "{waited}");
    assert_eq!(pods.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn long_lists_come_in_pages() {
    let server = server();
    for index in 0..1201 {
        server.put(&pod(&format!("p{index}"), &[]));
    }
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    assert_eq!(pods.len(), 1201);
    assert_eq!(server.take_requests().iter().filter(|request| request.starts_with("list")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn selected_objects_come_and_go_with_their_labels() {
    let server = server();
    server.put(&pod("a", &[("app", "web")]));
    server.put(&pod("b", &[("app", "db")]));
    let informers = Informers::new(server.client());
    let pods = informers.select::<Pod>(Selection::labels::<Pod>("app=web"));
    let told = record(&pods);
    pods.synced().await;
    assert_eq!(take(&told), ["+a"]);
    server.put(&pod("a", &[("app", "db")]));
    server.put(&pod("b", &[("app", "web")]));
    settle().await;
    assert_eq!(take(&told), ["+b", "-a"]);
}

#[tokio::test(start_paused = true)]
async fn indexes_follow_the_objects() {
    fn app(pod: &Pod) -> Vec<String> {
        pod.metadata.labels.iter().flatten().filter(|(k, _)| *k == "app").map(|(_, v)| v.clone()).collect()
    }
    let server = server();
    server.put(&pod("a", &[("app", "web")]));
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    pods.add_index("app", app);
    let count = |value: &str| pods.indexed("app", value).len();
    assert_eq!((count("web"), count("db")), (1, 0));
    server.put(&pod("a", &[("app", "db")]));
    server.put(&pod("b", &[("app", "db")]));
    settle().await;
    assert_eq!((count("web"), count("db")), (0, 2));
    server.remove::<Pod>(&key("a"));
    settle().await;
    assert_eq!(count("db"), 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_informers_can_be_stopped() {
    let server = server();
    server.put(&pod("a", &[("app", "web")]));
    let informers = Informers::new(server.client());
    let resource = crate::ResourceType::of::<Pod>();
    let metadata = informers.metadata(resource.clone());
    metadata.synced().await;
    assert_eq!(metadata.get(&key("a")).unwrap().metadata.name.as_deref(), Some("a"));
    informers.forget_metadata(resource);
    settle().await;
    server.put(&pod("b", &[]));
    settle().await;
    assert_eq!(metadata.len(), 1, "a forgotten informer stands still");
}

#[tokio::test(start_paused = true)]
async fn informers_stop_with_their_factory() {
    let server = server();
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    drop(informers);
    settle().await;
    server.put(&pod("a", &[]));
    settle().await;
    assert!(pods.is_empty());
}

#[tokio::test(start_paused = true)]
async fn writers_can_wait_for_their_own_writes() {
    let server = server();
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    let created = server.client().create(&pod("a", &[])).await.unwrap();
    pods.caught_up(created.metadata.resource_version.unwrap().parse().unwrap()).await;
    assert_eq!(take(&told), ["+a"]);
    let uid = Uid::from(created.metadata.uid.unwrap().as_str());
    let key = key("a");
    let gone = pods.let_go(&key, &uid);
    server.remove::<Pod>(&key);
    gone.await;
    assert_eq!(take(&told), ["-a"]);
    pods.let_go(&key, &uid).await;
    server.bookmark::<Pod>();
    pods.caught_up(3).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_goes_with_its_subscription() {
    let server = server();
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    let stays = record(&pods);
    let told = Arc::new(Mutex::new(0));
    let held = Arc::downgrade(&told);
    let subscription = pods.subscribe(move |_| *told.lock() += 1);
    server.put(&pod("a", &[]));
    settle().await;
    assert_eq!(*held.upgrade().unwrap().lock(), 1);
    drop(subscription);
    assert!(held.upgrade().is_none(), "what the handler held is gone with it");
    server.put(&pod("b", &[]));
    settle().await;
    assert_eq!(take(&stays), ["+a", "+b"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_end_its_own_subscription() {
    let server = server();
    let informers = Informers::new(server.client());
    let pods = informers.get::<Pod>();
    let (told, own) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(None)));
    let (count, end) = (Arc::clone(&told), Arc::clone(&own));
    let subscription = pods.subscribe(move |_| {
        *count.lock() += 1;
        drop(end.lock().take());
    });
    *own.lock() = Some(subscription);
    for name in ["a", "b", "c"] {
        server.put(&pod(name, &[]));
        settle().await;
    }
    assert_eq!((*told.lock(), Arc::strong_count(&told)), (1, 1));
}
