use std::sync::Arc;
use std::time::Duration;

use client::{Client, Informer, Informers, ResourceType, Selection, Verb};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use object::{ObjectKey, Selector, Status, Uid};
use parking_lot::Mutex;
use serde_json::json;
use simulation::{Rates, Server, admin};

/// A server on which pods can be created, and a client of it with faults.
async fn server() -> (Server, Client) {
    let server = Server::start(1).await;
    server.open("default").await;
    let client = server.client(admin());
    (server, client)
}

fn pod(name: &str, labels: &[(&str, &str)]) -> Pod {
    let labels: std::collections::BTreeMap<&str, &str> = labels.iter().copied().collect();
    let pod = json!({
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "app:1"}]},
    });
    serde_json::from_value(pod).unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

/// Subscribes and returns the changes as `+name`, `~name` and `-name`.
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

/// Lets all tasks run until they are idle; time passes if they wait for nothing else.
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
    let (server, client) = server().await;
    server.put(&pod("a", &[])).await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    pods.synced().await;
    assert_eq!(take(&told), ["+a"]);
    server.put(&pod("b", &[])).await;
    server.put(&pod("a", &[("x", "1")])).await;
    server.remove::<Pod>(&key("b")).await;
    let last = server.revision().await;
    settle().await;
    assert_eq!(take(&told), ["+b", "-b", "~a"]);
    assert_eq!(pods.get(&key("a")).unwrap().metadata.labels.as_ref().unwrap()["x"], "1");
    assert_eq!((pods.len(), pods.in_namespace("default").len(), pods.in_namespace("other").len()), (1, 1, 0));
    assert!(pods.resource_version() >= last, "{} < {last}", pods.resource_version());
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_watched_once() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let (one, two) = (informers.get::<Pod>(), informers.clone().get::<Pod>());
    assert!(Arc::ptr_eq(&one, &two));
    let other = informers.select::<Pod>(Selection::fields::<Pod>("spec.nodeName=n"));
    assert!(!Arc::ptr_eq(&one, &other));
    one.synced().await;
    other.synced().await;
    settle().await;
    let requests = server.faults().take_requests();
    assert_eq!(requests.iter().filter(|request| request.starts_with("list")).count(), 2);
    assert_eq!(requests.iter().filter(|request| request.starts_with("watch")).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn late_handlers_hear_of_what_is_there() {
    let (server, client) = server().await;
    server.put(&pod("a", &[])).await;
    let pods = Informers::new(client.clone());
    let informer = pods.get::<Pod>();
    informer.synced().await;
    assert_eq!(take(&record(&informer)), ["+a"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_watch_goes_on_from_the_last_version() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    pods.synced().await;
    // The server reports its progress from time to time, even if nothing happens to pods.
    settle().await;
    settle().await;
    let seen = pods.resource_version();
    server.faults().take_requests();
    server.faults().break_watches();
    server.put(&pod("a", &[])).await;
    settle().await;
    assert_eq!(take(&told), ["+a"]);
    let requests = server.faults().take_requests();
    assert!(requests.iter().all(|request| request.starts_with("watch")), "{requests:?}");
    assert!(requests[0].contains(&format!("resourceVersion={seen}&")), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_means_a_new_list() {
    let (server, client) = server().await;
    for name in ["gone", "same", "changed"] {
        server.put(&pod(name, &[])).await;
    }
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    pods.synced().await;
    settle().await;
    take(&told);
    server.faults().fail_next(Verb::Watch, "pods", Status::service_unavailable("down"));
    server.faults().break_watches();
    server.remove::<Pod>(&key("gone")).await;
    server.put(&pod("changed", &[("x", "1")])).await;
    server.put(&pod("new", &[])).await;
    server.compact().await;
    settle().await;
    assert_eq!(take(&told), ["+new", "-gone", "~changed"]);
    server.put(&pod("after", &[])).await;
    settle().await;
    assert_eq!(take(&told), ["+after"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_event_ends_the_watch() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    settle().await;
    server.faults().set(Rates { expired_watch: 1000, ..Rates::default() });
    server.put(&pod("a", &[])).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.faults().set(Rates::default());
    server.put(&pod("b", &[])).await;
    settle().await;
    assert_eq!(pods.len(), 2);
    let lists = server.faults().take_requests().into_iter().filter(|request| request.starts_with("list"));
    assert!(lists.count() > 1, "it listed again");
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_later_and_later() {
    let (server, client) = server().await;
    server.put(&pod("a", &[])).await;
    for _ in 0..4 {
        server.faults().fail_next(Verb::List, "pods", Status::service_unavailable("down"));
    }
    let informers = Informers::new(client.clone());
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
    let (server, client) = server().await;
    let mut map = ConfigMap::default();
    map.metadata.namespace = Some("default".into());
    for index in 0..1201 {
        map.metadata.name = Some(format!("m{index}"));
        server.admin().create(&map).await.unwrap();
    }
    let informers = Informers::new(client.clone());
    let maps = informers.get::<ConfigMap>();
    maps.synced().await;
    assert_eq!(maps.in_namespace("default").len(), 1201);
    assert_eq!(
        server.faults().take_requests().iter().filter(|request| request.starts_with("list")).count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn selected_objects_come_and_go_with_their_labels() {
    let (server, client) = server().await;
    server.put(&pod("a", &[("app", "web")])).await;
    server.put(&pod("b", &[("app", "db")])).await;
    let informers = Informers::new(client.clone());
    let pods = informers.select::<Pod>(Selection::labels::<Pod>("app=web"));
    let told = record(&pods);
    pods.synced().await;
    assert_eq!(take(&told), ["+a"]);
    server.put(&pod("a", &[("app", "db")])).await;
    server.put(&pod("b", &[("app", "web")])).await;
    settle().await;
    assert_eq!(take(&told), ["+b", "-a"]);
}

#[tokio::test(start_paused = true)]
async fn indexes_follow_the_objects() {
    fn app(pod: &Pod) -> Vec<String> {
        pod.metadata.labels.iter().flatten().filter(|(k, _)| *k == "app").map(|(_, v)| v.clone()).collect()
    }
    let (server, client) = server().await;
    server.put(&pod("a", &[("app", "web")])).await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    pods.add_index("app", app);
    let count = |value: &str| pods.indexed("app", value).len();
    assert_eq!((count("web"), count("db")), (1, 0));
    server.put(&pod("a", &[("app", "db")])).await;
    server.put(&pod("b", &[("app", "db")])).await;
    settle().await;
    assert_eq!((count("web"), count("db")), (0, 2));
    server.remove::<Pod>(&key("a")).await;
    settle().await;
    assert_eq!(count("db"), 1);
}

/// Whether an informer is running: it watches again after its watch broke.
async fn runs(server: &Server) -> bool {
    settle().await;
    server.faults().take_requests();
    server.faults().break_watches();
    settle().await;
    !server.faults().take_requests().is_empty()
}

/// Connections may break every minute for hours. Each time the watch goes on at once, and not later and later.
#[tokio::test(start_paused = true)]
async fn a_watch_whose_connection_breaks_goes_on_at_once() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    for round in 0..12 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        server.faults().break_watches();
        let name = format!("p{round}");
        server.put(&pod(&name, &[])).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(pods.get(&key(&name)).is_some(), "{name} is known within a second");
    }
}

#[tokio::test(start_paused = true)]
async fn informers_of_kin_can_be_stopped() {
    let (server, client) = server().await;
    server.put(&pod("a", &[("app", "web")])).await;
    let informers = Informers::new(client.clone());
    let resource = ResourceType::of::<Pod>();
    let kin = informers.kin(resource.clone());
    kin.synced().await;
    assert_eq!(kin.get(&key("a")).unwrap().key, key("a"));
    informers.forget_kin(resource);
    assert!(runs(&server).await, "somebody holds it");
    server.put(&pod("b", &[])).await;
    settle().await;
    assert_eq!(kin.len(), 2);
    drop(kin);
    assert!(!runs(&server).await, "nobody holds it");
}

#[tokio::test(start_paused = true)]
async fn informers_of_selectors_keep_nothing_else() {
    let (server, client) = server().await;
    let meta = json!({"name": "web", "namespace": "default"});
    let spec = json!({"selector": {"app": "web", "tier": "front"}, "ports": [{"port": 80}]});
    let service = json!({"metadata": meta, "spec": spec});
    server.put(&serde_json::from_value::<Service>(service).unwrap()).await;
    let labels = json!({"app": "web"});
    let set = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "app:1"}]}},
        },
    });
    server.put(&serde_json::from_value::<ReplicaSet>(set).unwrap()).await;
    let informers = Informers::new(client.clone());
    let (services, sets) = (informers.selectors::<Service>(), informers.selectors::<ReplicaSet>());
    tokio::join!(services.synced(), sets.synced());
    assert_eq!(services.get(&key("web")).unwrap().to_string(), "app=web,tier=front");
    assert_eq!(sets.get(&key("web")).unwrap().to_string(), "app in (api,web)");
    server.patch::<Service>(&key("web"), json!({"spec": {"selector": null}})).await;
    settle().await;
    assert_eq!(
        ***services.get(&key("web")).unwrap(),
        Selector::nothing(),
        "without a selector it selects nothing"
    );
    server.remove::<Service>(&key("web")).await;
    settle().await;
    assert!(services.get(&key("web")).is_none());
}

#[tokio::test(start_paused = true)]
async fn informers_run_as_long_as_they_are_held() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    drop(informers);
    server.put(&pod("a", &[])).await;
    settle().await;
    assert_eq!(pods.len(), 1, "the informer is held itself");
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    let subscription = pods.subscribe(move |change| into.lock().push(change.key.name.to_string()));
    drop(pods);
    server.put(&pod("b", &[])).await;
    settle().await;
    assert_eq!(take(&told), ["a", "b"], "the subscription holds the informer");
    drop(subscription);
    assert!(!runs(&server).await, "nobody holds it");
}

#[tokio::test(start_paused = true)]
async fn informers_stop_with_their_last_holder() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    pods.synced().await;
    let told = record(&pods);
    drop(pods);
    assert!(runs(&server).await, "whoever asks next gets the same one");
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    drop(informers);
    assert!(!runs(&server).await, "a handler that stays for ever holds nothing");
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), tasks - 1);
    assert_eq!(Arc::strong_count(&told), 1, "the handler is gone with the informer");
}

#[tokio::test(start_paused = true)]
async fn writers_can_wait_for_their_own_writes() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    let told = record(&pods);
    let created = client.create(&pod("a", &[])).await.unwrap();
    pods.caught_up(created.metadata.resource_version.unwrap().parse().unwrap()).await;
    assert_eq!(take(&told), ["+a"]);
    let uid = Uid::from(created.metadata.uid.unwrap().as_str());
    let key = key("a");
    let gone = pods.let_go(&key, &uid);
    server.remove::<Pod>(&key).await;
    gone.await;
    assert_eq!(take(&told), ["-a"]);
    pods.let_go(&key, &uid).await;
    // A write elsewhere: the server reports in time that there is nothing new about pods up to it.
    server.open("elsewhere").await;
    pods.caught_up(server.revision().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_goes_with_its_subscription() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    let stays = record(&pods);
    let told = Arc::new(Mutex::new(0));
    let held = Arc::downgrade(&told);
    let subscription = pods.subscribe(move |_| *told.lock() += 1);
    server.put(&pod("a", &[])).await;
    settle().await;
    assert_eq!(*held.upgrade().unwrap().lock(), 1);
    drop(subscription);
    assert!(held.upgrade().is_none(), "what the handler held is gone with it");
    server.put(&pod("b", &[])).await;
    settle().await;
    assert_eq!(take(&stays), ["+a", "+b"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_end_its_own_subscription() {
    let (server, client) = server().await;
    let informers = Informers::new(client.clone());
    let pods = informers.get::<Pod>();
    let (told, own) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(None)));
    let (count, end) = (Arc::clone(&told), Arc::clone(&own));
    let subscription = pods.subscribe(move |_| {
        *count.lock() += 1;
        drop(end.lock().take());
    });
    *own.lock() = Some(subscription);
    for name in ["a", "b", "c"] {
        server.put(&pod(name, &[])).await;
        settle().await;
    }
    assert_eq!((*told.lock(), Arc::strong_count(&told)), (1, 1));
}
