use std::time::Duration;

use client::testing::MemoryServer;
use client::{Informer, Informers, Verb};
use clock::Clock;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use object::{ObjectKey, Status};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::Config;

fn config_map(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.into());
    map.metadata.namespace = Some("default".into());
    map
}

fn server() -> MemoryServer {
    MemoryServer::new(Clock::seeded(3, "2026-01-01T00:00:00Z".parse().unwrap()))
}

fn executor(server: &MemoryServer) -> Executor {
    Executor::new(server.client(), client::Recorder::start(server.client(), "test", ""))
}

fn creations(count: usize) -> Vec<Action> {
    (0..count).map(|index| Action::create(config_map(&format!("m{index}")))).collect()
}

fn tried(server: &MemoryServer) -> usize {
    server.take_requests().iter().filter(|request| request.starts_with("create")).count()
}

#[tokio::test(start_paused = true)]
async fn slow_starts_stop_at_the_first_failure() {
    // How many fail at the start, and how many are tried of twenty: 1, then 2, 4, 8 and the rest.
    for (fail_after, expected) in [(0, 1), (1, 3), (3, 7), (7, 15), (15, 20), (20, 20)] {
        let server = server();
        // Creations run from the last to the first; the one after `fail_after` fails.
        let mut actions = creations(20);
        if fail_after < 20 {
            server.put(&config_map(&format!("m{}", 19 - fail_after)));
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
    let server = server();
    server.put(&config_map("m1"));
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
    let server = server();
    server.put(&config_map("a"));
    let present = server.get::<ConfigMap>(&ObjectKey::namespaced("default", "a")).unwrap();
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
    let events = server.list::<Event>();
    assert_eq!(
        events.iter().filter_map(|event| event.message.as_deref()).collect::<Vec<_>>(),
        ["Deleted: a"]
    );
}

#[tokio::test(start_paused = true)]
async fn adoption_is_refused_to_what_is_going() {
    let server = server();
    server.put(&config_map("a"));
    let key = ObjectKey::namespaced("default", "a");
    let uid = server.get::<ConfigMap>(&key).unwrap().metadata.uid.unwrap();
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
    type Key = ObjectKey;
    type Snapshot = (ObjectKey, usize);

    fn wire(wiring: &mut Wiring<ObjectKey>) -> Copier {
        let maps = wiring.informer::<ConfigMap>();
        wiring.wake(&maps, |change| {
            [ObjectKey::namespaced("default", change.key.name.trim_end_matches("-copy"))]
        });
        Copier(maps)
    }

    async fn observe(&self, key: &ObjectKey) -> Result<Option<(ObjectKey, usize)>, client::ClientError> {
        let copies = self.0.list().iter().filter(|map| map.metadata.generate_name.is_some()).count();
        Ok(self.0.get(key).map(|_| (key.clone(), copies)))
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
    let server = server();
    let cancel = CancellationToken::new();
    let running = tokio::spawn(run::<Copier>(
        Informers::new(server.client()),
        Arc::new(Config::default()),
        cancel.clone(),
    ));
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.fail_next(Verb::Create, "configmaps", Status::service_unavailable("busy"));
    server.put(&config_map("a"));
    for _ in 0..50 {
        // Each of these wakes the key again, in whatever state the cache is.
        server.put(&config_map("a"));
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let copies = server.list::<ConfigMap>().iter().filter(|map| map.metadata.generate_name.is_some()).count();
    assert_eq!(copies, 1);
    cancel.cancel();
    running.await.unwrap();
}
