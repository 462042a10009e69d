//! The whole scheduler, against an in-memory server and under a paused clock. The server only records bindings; the
//! tests add the bound pods.

use std::time::Duration;

use client::testing::MemoryServer;
use client::{Timing, Verb};
use k8s_openapi::api::core::v1::{Event, Pod, PodCondition};
use object::{ObjectKey, Status};
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;

use super::*;
use crate::testing::{clock, containers, node, whole_pod};

struct Cluster {
    server: MemoryServer,
    _stop: DropGuard,
}

impl Cluster {
    fn start(config: Config) -> Cluster {
        let server = MemoryServer::new(clock());
        let cancel = CancellationToken::new();
        tokio::spawn(run(server.client(), Informers::new(server.client()), config, cancel.clone()));
        Cluster { server, _stop: cancel.drop_guard() }
    }

    /// Lets the scheduler work; returns the pods that it wrote bindings for.
    async fn settle(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let requests = self.server.take_requests();
        let bindings = requests.iter().filter_map(|request| {
            request.strip_prefix("create /api/v1/namespaces/default/pods/")?.strip_suffix("/binding")
        });
        bindings.map(str::to_owned).collect()
    }

    fn add_pod(&self, name: &str, spec: Value) {
        self.server.put(&whole_pod(name, spec));
    }

    fn condition(&self, name: &str) -> Option<PodCondition> {
        let pod = self.server.get::<Pod>(&ObjectKey::namespaced("default", name))?;
        pod.status?.conditions?.into_iter().find(|condition| condition.type_ == "PodScheduled")
    }

    fn events(&self) -> Vec<String> {
        let events = self.server.list::<Event>();
        let told = events.iter().map(|event| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{} {} {}", part(&event.type_), part(&event.reason), part(&event.message))
        });
        told.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn pods_get_nodes() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("node-1", json!({})));
    cluster.add_pod("web", json!({}));
    cluster.add_pod("foreign", json!({"schedulerName": "other"}));
    assert_eq!(cluster.settle().await, ["web"]);
    assert_eq!(cluster.events(), ["Normal Scheduled Successfully assigned default/web to node-1"]);
}

#[tokio::test(start_paused = true)]
async fn pods_without_a_node_are_told_of_and_tried_again() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("a", json!({})));
    cluster.add_pod("large", containers(json!({"cpu": "5"})));
    assert_eq!(cluster.settle().await, [""; 0]);
    let condition = cluster.condition("large").unwrap();
    let message = "0/1 nodes are available: 1 Insufficient cpu. \
                   preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!((&*condition.status, condition.reason.as_deref()), ("False", Some("Unschedulable")));
    assert_eq!(condition.message.as_deref(), Some(message));
    assert_eq!(cluster.events(), [format!("Warning FailedScheduling {message}")]);
    cluster.server.put(&*node("b", json!({"status": {"allocatable": {"cpu": "8"}}})));
    assert_eq!(cluster.settle().await, ["large"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_scheduler_is_idle() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("a", json!({})));
    cluster.add_pod("large", containers(json!({"cpu": "5"})));
    cluster.settle().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    let requests = cluster.server.take_requests();
    assert!(requests.iter().all(|request| request.starts_with("watch")), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_took_the_name_of_another_is_another() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("a", json!({})));
    let mut old = whole_pod("p", containers(json!({"cpu": "4"})));
    old.spec.as_mut().unwrap().node_name = Some("a".to_owned());
    cluster.server.put(&old);
    assert_eq!(cluster.settle().await, [""; 0]);
    let mut new = whole_pod("p", containers(json!({"cpu": "4"})));
    new.metadata.uid = Some("new".to_owned());
    cluster.server.put(&new);
    assert_eq!(cluster.settle().await, ["p"], "the room of the old one is free");
}

#[tokio::test(start_paused = true)]
async fn gated_pods_say_so() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("a", json!({})));
    cluster.add_pod("p", json!({"schedulingGates": [{"name": "g"}]}));
    assert_eq!(cluster.settle().await, [""; 0]);
    let condition = cluster.condition("p").unwrap();
    assert_eq!(condition.reason.as_deref(), Some("SchedulingGated"));
    cluster.add_pod("p", json!({}));
    assert_eq!(cluster.settle().await, ["p"]);
}

#[tokio::test(start_paused = true)]
async fn refused_bindings_are_tried_again() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("a", json!({})));
    cluster.server.fail_next(Verb::Create, "pods", Status::service_unavailable("down"));
    cluster.add_pod("p", json!({}));
    assert_eq!(cluster.settle().await, ["p"]);
    assert_eq!(cluster.condition("p").unwrap().reason.as_deref(), Some("SchedulerError"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.settle().await, ["p"]);
    assert_eq!(cluster.events().len(), 2, "{:?}", cluster.events());
}

#[tokio::test(start_paused = true)]
async fn many_pods_are_bound_with_few_writes_at_once() {
    let cluster = Cluster::start(Config { writes_max: 3, ..Config::default() });
    for index in 0..20 {
        cluster.server.put(&*node(&format!("n{index}"), json!({})));
    }
    for index in 0..100 {
        cluster.add_pod(&format!("p{index}"), containers(json!({"cpu": "500m"})));
    }
    let mut bound = cluster.settle().await;
    bound.sort();
    bound.dedup();
    assert_eq!(bound.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn one_of_several_candidates_schedules() {
    let candidate = Candidate {
        lease: ObjectKey::namespaced("kube-system", "kube-scheduler"),
        identity: "one".to_owned(),
        timing: Timing::default(),
    };
    let cluster = Cluster::start(Config { candidate: Some(candidate.clone()), ..Config::default() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let config = Config {
        candidate: Some(Candidate { identity: "two".to_owned(), ..candidate }),
        ..Config::default()
    };
    let (client, cancel) = (cluster.server.client(), CancellationToken::new());
    let two = tokio::spawn(run(client.clone(), Informers::new(client), config, cancel.clone()));
    cluster.server.put(&*node("a", json!({})));
    cluster.add_pod("p", json!({}));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cluster.settle().await, ["p"], "it was bound once");
    cancel.cancel();
    two.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_binding_is_told_and_given_back() {
    let log = crate::testing::steps::Log::default();
    let profile = crate::testing::steps::with_steps(plugins::default_profile(), &log, ('b', "pre-bind"), &[]);
    let cluster = Cluster::start(Config { profiles: vec![Arc::new(profile)], ..Config::default() });
    cluster.server.put(&*node("a", json!({})));
    cluster.add_pod("p", json!({}));
    assert_eq!(cluster.settle().await, [""; 0]);
    let message = "running PreBind plugin \"B\": the disk is on fire";
    assert_eq!(cluster.condition("p").unwrap().message.as_deref(), Some(message));
    assert_eq!(cluster.events(), [format!("Warning FailedScheduling {message}")]);
    let asked = log.lock().clone();
    let wanted = ["a pre-bind", "b pre-bind", "c unreserve", "b unreserve", "a unreserve"];
    assert_eq!(asked[asked.len() - wanted.len()..], wanted);
}

#[tokio::test(start_paused = true)]
async fn waiting_pods_are_let_go_and_denied_by_letter() {
    let log = crate::testing::steps::Log::default();
    let waits = [('b', Duration::from_secs(60))];
    let profile = crate::testing::steps::with_steps(plugins::default_profile(), &log, (' ', ""), &waits);
    let mailbox = Arc::new(Mailbox::default());
    let config =
        Config { profiles: vec![Arc::new(profile)], mailbox: Arc::clone(&mailbox), ..Config::default() };
    let cluster = Cluster::start(config);
    cluster.server.put(&*node("a", json!({})));
    cluster.add_pod("good", json!({}));
    cluster.add_pod("bad", json!({}));
    assert_eq!(cluster.settle().await, [""; 0]);
    let letter = |name: &str| (ObjectKey::namespaced("default", name), "B".to_owned());
    let (pod, plugin) = letter("good");
    mailbox.post(Letter::Allow { pod, plugin });
    let (pod, plugin) = letter("bad");
    mailbox.post(Letter::Reject { pod, plugin, why: "not today".to_owned() });
    assert_eq!(cluster.settle().await, ["good"]);
    assert_eq!(cluster.condition("bad").unwrap().message.as_deref(), Some("not today"));
    assert!(log.lock().contains(&"c bound to a".to_owned()));
}

/// A filter that stands still until it is let go.
struct Slow {
    entered: tokio::sync::mpsc::UnboundedSender<()>,
    gate: Arc<(parking_lot::Mutex<bool>, parking_lot::Condvar)>,
}

impl crate::framework::Plugin for Slow {
    const NAME: &'static str = "Slow";
    const WAKES_ON: crate::framework::EventKinds = crate::framework::EventKinds::NONE;
}

impl crate::framework::Filter for Slow {
    type State = ();

    fn pre_filter(&self, _: &PodInfo, _: &crate::state::Snapshot) -> crate::framework::PreFilter<()> {
        self.entered.send(()).unwrap();
        let (open, changed) = &*self.gate;
        let mut open = open.lock();
        while !*open {
            changed.wait(&mut open);
        }
        crate::framework::PreFilter::Skip
    }

    fn filter(&self, _: &(), _: &PodInfo, _: &crate::state::NodeInfo) -> crate::framework::Verdict {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_plugin_holds_no_informer_up() {
    let (entered, mut enters) = tokio::sync::mpsc::unbounded_channel();
    let gate = Arc::new((parking_lot::Mutex::new(false), parking_lot::Condvar::new()));
    let profile = plugins::default_profile().filter(Slow { entered, gate: Arc::clone(&gate) });
    let server = MemoryServer::new(clock());
    let (informers, cancel) = (Informers::new(server.client()), CancellationToken::new());
    let config = Config { profiles: vec![Arc::new(profile)], ..Config::default() };
    let running = tokio::spawn(run(server.client(), informers.clone(), config, cancel.clone()));
    server.put(&*node("a", json!({})));
    server.put(&whole_pod("first", json!({})));
    enters.recv().await.unwrap();
    // The scheduler stands still. Another component follows the same pods.
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let pods = informers.get::<client::LeanPod>();
    let _seen = pods.subscribe(move |change| drop(seen.send(change.key.name.to_string())));
    for index in 0..100 {
        server.put(&whole_pod(&format!("p{index}"), json!({})));
    }
    let last = async { while sees.recv().await.unwrap() != "p99" {} };
    let in_time = tokio::time::timeout(Duration::from_secs(60), last).await;
    let (open, changed) = &*gate;
    *open.lock() = true;
    changed.notify_all();
    in_time.expect("the handlers heard of all pods while a decision was being made");
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn victims_are_told_and_deleted_and_the_pod_is_nominated() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("a", json!({})));
    let mut low = whole_pod("low", containers(json!({"cpu": "3"})));
    low.spec.as_mut().unwrap().node_name = Some("a".to_owned());
    // So that it can be looked at before it goes.
    low.metadata.finalizers = Some(vec!["example.com/keep".to_owned()]);
    cluster.server.put(&low);
    let mut spec = containers(json!({"cpu": "3"}));
    spec["priority"] = 5.into();
    cluster.add_pod("high", spec);
    assert_eq!(cluster.settle().await, [""; 0]);
    let pod = |name: &str| cluster.server.get::<Pod>(&ObjectKey::namespaced("default", name)).unwrap();
    let low = pod("low");
    assert!(low.metadata.deletion_timestamp.is_some());
    let conditions = low.status.unwrap().conditions.unwrap();
    let told = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget").unwrap();
    assert_eq!((&*told.status, told.reason.as_deref()), ("True", Some("PreemptionByScheduler")));
    let message = "default-scheduler: preempting to accommodate a higher priority pod";
    assert_eq!(told.message.as_deref(), Some(message));
    let high = pod("high").status.unwrap();
    assert_eq!(high.nominated_node_name.as_deref(), Some("a"));
    let events = cluster.events();
    assert!(events.contains(&"Normal Preempted Preempted by pod high on node a".to_owned()), "{events:?}");
    cluster.server.remove::<Pod>(&ObjectKey::namespaced("default", "low"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(cluster.settle().await, ["high"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_claim_and_runs_where_the_volume_is() {
    let cluster = Cluster::start(Config::default());
    cluster.server.put(&*node("a", json!({})));
    cluster.server.put(&*node("b", json!({"metadata": {"labels": {"disk": "ssd"}}})));
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    cluster.add_pod("p", json!({"volumes": volumes}));
    assert_eq!(cluster.settle().await, [""; 0]);
    let message = cluster.condition("p").unwrap().message.unwrap();
    let wanted = "0/2 nodes are available: persistentvolumeclaim \"data\" not found.";
    assert!(message.starts_with(wanted), "{message}");
    let claim = json!({"metadata": {"name": "data", "namespace": "default",
        "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "local"}});
    let claim: k8s_openapi::api::core::v1::PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
    cluster.server.put(&claim);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let volume = json!({"metadata": {"name": "local"}, "spec": {"nodeAffinity": {"required": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}}}});
    let volume: k8s_openapi::api::core::v1::PersistentVolume = serde_json::from_value(volume).unwrap();
    cluster.server.put(&volume);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cluster.settle().await, ["p"]);
    assert_eq!(cluster.events().last().unwrap(), "Normal Scheduled Successfully assigned default/p to b");
}
