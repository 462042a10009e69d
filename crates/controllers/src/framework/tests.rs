use std::time::Duration;

use client::{Informer, Verb};
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use object::{ObjectKey, Status};
use parking_lot::Mutex;
use simulation::{Server, admin};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Config, Context, Metrics};

fn config_map(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.into());
    map.metadata.namespace = Some("default".into());
    map
}

async fn server() -> Server {
    Server::start(3).await
}

fn executor(server: &Server) -> Executor {
    let client = server.client(admin());
    Executor::new(client.clone(), client::Recorder::start(client, "test", ""))
}

/// What the controllers of these tests need: upstream has no roles for their accounts.
fn context(server: &Server) -> Context {
    let client = server.client(admin());
    Context {
        informers: client::Informers::new(client.clone()),
        accounts: Accounts::new(move |_| client.clone()),
        metrics: Metrics::default(),
        config: Arc::new(Config::default()),
    }
}

async fn get(server: &Server, namespace: &str, name: &str) -> Option<ConfigMap> {
    server.find(&ObjectKey::namespaced(namespace, name)).await
}

fn creations(count: usize) -> Vec<Action> {
    (0..count).map(|index| Action::create(config_map(&format!("m{index}")))).collect()
}

fn tried(server: &Server) -> usize {
    server.faults().take_requests().iter().filter(|request| request.starts_with("create")).count()
}

#[tokio::test(start_paused = true)]
async fn slow_starts_stop_at_the_first_failure() {
    // From which creation on they fail, and how many of twenty are tried: 1, then 2, 4, 8 and the rest.
    for (fail_after, expected) in [(0, 1), (1, 3), (3, 7), (7, 15), (15, 20), (20, 20)] {
        let server = server().await;
        // Creations run from the last to the first; the one after `fail_after` fails.
        let mut actions = creations(20);
        if fail_after < 20 {
            server.put(&config_map(&format!("m{}", 19 - fail_after))).await;
        }
        let mut plan = Plan::default();
        plan.slow_start(std::mem::take(&mut actions));
        plan.then(Action::create(config_map("after")));
        let outcome = executor(&server).run(plan).await;
        let (failures, after) = (usize::from(fail_after < 20), usize::from(fail_after == 20));
        assert_eq!((outcome.failures.len(), tried(&server)), (failures, expected + after), "{fail_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_the_last() {
    let server = server().await;
    server.put(&config_map("m1")).await;
    let mut plan = Plan::default();
    plan.together(creations(3));
    plan.then(Action::create(config_map("after")));
    let outcome = executor(&server).run(plan).await;
    assert_eq!((outcome.failures.len(), tried(&server)), (1, 3), "the whole step is tried");
    assert!(outcome.failures[0].error.is_already_exists());
    assert_eq!(outcome.pending.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn deletions_are_of_one_object_and_announced_once() {
    let server = server().await;
    server.put(&config_map("a")).await;
    let present = get(&server, "default", "a").await.unwrap();
    let told = || Announcement {
        about: client::reference_to(&config_map("owner")),
        reason: "SuccessfulDelete",
        message: |name| format!("Deleted: {name}"),
    };
    let run = |map: &ConfigMap| {
        let mut plan = Plan::default();
        plan.then(Action::delete(map).announced(told()));
        let executor = executor(&server);
        async move { executor.run(plan).await }
    };
    let mut other = present.clone();
    other.metadata.uid = Some("other".into());
    assert!(run(&other).await.failures[0].error.is_conflict());
    assert!(run(&present).await.failures.is_empty());
    assert!(run(&present).await.failures.is_empty(), "what is gone is gone");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let events = server.list::<Event>().await;
    assert_eq!(
        events.iter().filter_map(|event| event.message.as_deref()).collect::<Vec<_>>(),
        ["Deleted: a"]
    );
}

#[tokio::test(start_paused = true)]
async fn adoption_is_refused_to_what_is_going() {
    let server = server().await;
    server.put(&config_map("a")).await;
    let key = ObjectKey::namespaced("default", "a");
    let uid = get(&server, "default", "a").await.unwrap().metadata.uid.unwrap();
    for (uid, fails) in [(uid.as_str(), false), ("other", true)] {
        let mut plan = Plan::default();
        let resource = client::ResourceType::of::<ConfigMap>();
        plan.then(Action::Verify { resource, key: key.clone(), uid: uid.to_owned() });
        assert_eq!(!executor(&server).run(plan).await.failures.is_empty(), fails);
    }
}

/// Makes a copy of each ConfigMap whose name does not end in `-copy`.
struct Copier(Arc<Informer<ConfigMap>>);

impl Controller for Copier {
    const NAME: &'static str = "copier";
    const ACCOUNT: &'static str = "copy-controller";
    const QUEUE: &'static str = "copies";
    type Key = ObjectKey;
    type Snapshot = (ObjectKey, usize);
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> Copier {
        let maps = wiring.informer::<ConfigMap>();
        wiring.wake(&maps, |change| {
            let is_here = change.key.namespace() == "default";
            is_here.then(|| ObjectKey::namespaced("default", change.key.name.trim_end_matches("-copy")))
        });
        Copier(maps)
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<(ObjectKey, usize)> {
        let copies = self.0.list().iter().filter(|map| map.metadata.generate_name.is_some()).count();
        self.0.get(key).map(|_| (key.clone(), copies))
    }

    fn plan((key, copies): &(ObjectKey, usize), _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if *copies == 0 {
            let mut copy = config_map("");
            copy.metadata.name = None;
            copy.metadata.generate_name = Some(format!("{}-copy", key.name));
            plan.then(Action::create(copy));
        }
        plan
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_planned_again_only_when_its_writes_show() {
    let server = server().await;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(run::<Copier>(context(&server), cancel.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.faults().fail_next(Verb::Create, "configmaps", Status::service_unavailable("busy"));
    server.put(&config_map("a")).await;
    for change in 0..50 {
        // Each of these wakes the key again, in whatever state the cache is.
        let mut map = config_map("a");
        map.data = Some([("change".to_owned(), change.to_string())].into());
        server.put(&map).await;
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let copies =
        server.list::<ConfigMap>().await.iter().filter(|map| map.metadata.generate_name.is_some()).count();
    assert_eq!(copies, 1);
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_controller_acts_under_its_own_account_and_is_counted() {
    let server = server().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (accounts, shared) = (Arc::clone(&asked), server.clone());
    let exposition = metrics::Exposition::default();
    let context = Context {
        accounts: Accounts::new(move |account| {
            accounts.lock().push(account);
            shared.client(admin())
        }),
        metrics: exposition.with(Metrics::register),
        ..context(&server)
    };
    let cancel = CancellationToken::new();
    let running = tokio::spawn(run::<Copier>(context, cancel.clone()));
    server.put(&config_map("a")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(*asked.lock(), ["copy-controller"]);
    let text = exposition.text();
    assert!(text.contains(r#"workqueue_adds_total{name="copies"} 2"#), "{text}");
    cancel.cancel();
    running.await.unwrap();
}

/// Records the state of each ConfigMap in the server, its notes and its memory.
struct Witness {
    maps: Arc<Informer<ConfigMap>>,
    gone: Notes<Vec<String>>,
}

impl Controller for Witness {
    const NAME: &'static str = "witness";
    const ACCOUNT: &'static str = "witness";
    const QUEUE: &'static str = "witness";
    type Key = ObjectKey;
    type Snapshot = (ObjectKey, Option<String>, u32, Vec<String>);
    /// How often it was looked at.
    type Memory = u32;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> Witness {
        let maps = wiring.informer::<ConfigMap>();
        let gone = Notes::default();
        wiring.note(&maps, &gone, |gone: &mut Vec<String>, change, _| {
            gone.extend(change.new.is_none().then(|| change.key.name.to_string()));
            [change.key.clone()]
        });
        Witness { maps, gone }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, u32>) -> Option<Self::Snapshot> {
        self.maps.get(key)?;
        *look.memory += 1;
        let resource = client::ResourceType::of::<ConfigMap>();
        let own = look.live.metadata(&resource, key)??;
        let other = look.live.metadata(&resource, &ObjectKey::namespaced("default", "other"));
        let other = other?.and_then(|other| other.metadata.name.clone());
        assert_eq!(own.metadata.name.as_deref(), Some(&*key.name));
        Some((key.clone(), other, *look.memory, self.gone.read(Vec::clone)))
    }

    fn plan((key, other, looks, gone): &Self::Snapshot, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if &*key.name != "seen" {
            let mut seen = config_map(&format!("seen-{}-{looks}", key.name));
            seen.metadata.namespace = Some("elsewhere".into());
            let told = [("other", other.clone().unwrap_or_default()), ("gone", gone.join(" "))];
            seen.data = Some(told.map(|(name, text)| (name.to_owned(), text)).into());
            if key.namespace() == "default" {
                plan.then(Action::create(seen));
            }
        }
        plan
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_has_memory_answers_and_notes() {
    let server = server().await;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(run::<Witness>(context(&server), cancel.clone()));
    server.open("elsewhere").await;
    let told = async |name: &str| {
        let map = get(&server, "elsewhere", name).await;
        map.map(|map| map.data.unwrap().into_values().collect::<Vec<_>>())
    };
    let change = async |content: &str| {
        let mut map = config_map("a");
        map.data = Some([("content".to_owned(), content.to_owned())].into());
        server.put(&map).await;
    };
    change("1").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        told("seen-a-1").await,
        Some(vec![String::new(), String::new()]),
        "however often the server is asked"
    );
    server.put(&config_map("other")).await;
    change("2").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(told("seen-a-2").await, Some(vec![String::new(), "other".into()]));
    server.remove::<ConfigMap>(&ObjectKey::namespaced("default", "a")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.remove::<ConfigMap>(&ObjectKey::namespaced("elsewhere", "seen-a-1")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    change("3").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let again = told("seen-a-1").await.expect("the memory went with the object");
    assert_eq!(again, ["a seen-a-1", "other"]);
    cancel.cancel();
    running.await.unwrap();
}

/// Holds a token for as long as it is subscribed.
struct Holder;

impl Controller for Holder {
    const NAME: &'static str = "holder";
    const ACCOUNT: &'static str = "holder";
    const QUEUE: &'static str = "holder";
    type Key = ObjectKey;
    type Snapshot = ();
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> Holder {
        let maps = wiring.informer::<ConfigMap>();
        let held = Arc::clone(wiring.config());
        wiring.wake(&maps, move |change| held.service_lb.then(|| change.key.clone()));
        Holder
    }

    fn observe(&self, _key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<()> {
        None
    }

    fn plan((): &(), _now: Timestamp) -> Plan {
        Plan::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_has_stopped_leaves_no_handlers() {
    let server = server().await;
    let context = context(&server);
    let informers = context.informers.clone();
    let config = Arc::downgrade(&context.config);
    for _ in 0..3 {
        let cancel = CancellationToken::new();
        let running = tokio::spawn(run::<Holder>(context.clone(), cancel.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(config.strong_count(), 2, "the handler holds the options");
        cancel.cancel();
        running.await.unwrap();
        assert_eq!(config.strong_count(), 1);
    }
    assert!(informers.get::<ConfigMap>().is_synced(), "the informer itself goes on");
}

#[test]
fn memories_that_are_as_good_as_none_are_not_kept() {
    let memories = memory::Memories::<&str, u32>::default();
    memories.keep(&"a", 1);
    memories.keep(&"b", 2);
    assert_eq!((memories.recall(&"a"), memories.recall(&"c"), memories.len()), (1, 0, 2));
    memories.keep(&"a", 0);
    memories.forget(&"b");
    assert_eq!(memories.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn objects_are_rewritten_up_to_a_version_and_nothing_is_created() {
    let server = server().await;
    for name in ["m0", "m1", "m2"] {
        server.put(&config_map(name)).await;
    }
    let version = |map: ConfigMap| map.metadata.resource_version.unwrap().parse::<u64>().unwrap();
    let up_to = version(get(&server, "default", "m1").await.unwrap());
    server.faults().take_requests();
    // One object is gone when its turn comes, and one has changed.
    let gone = Status::not_found("", "configmaps", "m0");
    server.faults().fail_next(Verb::Patch, "configmaps", gone);
    server.faults().fail_next(Verb::Patch, "configmaps", Status::conflict("", "configmaps", "m1", "changed"));
    let resource = client::ResourceType::of::<ConfigMap>();
    let rewrite = || {
        let mut plan = Plan::default();
        plan.then(Action::Rewrite { resource: resource.clone(), up_to, manager: "test" });
        plan
    };
    assert!(executor(&server).run(rewrite()).await.failures.is_empty());
    let patched =
        |requests: &[String]| requests.iter().filter(|request| request.starts_with("patch")).count();
    assert_eq!(patched(&server.faults().take_requests()), 2, "the third is newer");

    let stop = CancellationToken::new();
    stop.cancel();
    let failures = executor(&server).until(stop).run(rewrite()).await.failures;
    assert!(failures.len() == 1 && failures[0].error.is_temporary(), "{failures:?}");
}
