//! The whole scheduler, on the real API server over a store in memory, and under a paused clock.

use std::time::Duration;

use apiserver::user::User;
use client::{Timing, Verb};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Event, Node, Pod, PodCondition, Service};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use object::{ObjectKey, Status};
use serde_json::{Value, json};
use simulation::Server;
use tokio_util::sync::DropGuard;

use super::*;
use crate::testing::{containers, node, whole_pod};

mod critical;
mod extenders;

struct Cluster {
    server: Server,
    _stop: DropGuard,
}

/// A server on which pods can be made, and a client of the scheduler.
async fn server() -> (Server, Client) {
    let server = Server::start(7).await;
    server.open("default").await;
    let client = server.client(User::new("system:kube-scheduler", &[]));
    (server, client)
}

/// Adds a node that is ready: no controller removes the taint of new nodes here.
async fn add_node(server: &Server, name: &str, extra: Value) {
    let node = node(name, extra);
    server.put(&*node).await;
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone());
    server.patch::<Node>(&ObjectKey::cluster(name), json!({"spec": {"taints": taints}})).await;
}

impl Cluster {
    async fn start(config: Config) -> Cluster {
        let (server, client) = server().await;
        let cancel = CancellationToken::new();
        tokio::spawn(run(client.clone(), Informers::new(client), config, cancel.clone()));
        Cluster { server, _stop: cancel.drop_guard() }
    }

    async fn add_node(&self, name: &str, extra: Value) {
        add_node(&self.server, name, extra).await;
    }

    /// Lets the scheduler work; returns the pods that it wrote bindings for.
    async fn settle(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let requests = self.server.faults().take_requests();
        let bindings = requests.iter().filter_map(|request| {
            request.strip_prefix("create /api/v1/namespaces/default/pods/")?.strip_suffix("/binding")
        });
        bindings.map(str::to_owned).collect()
    }

    async fn add_pod(&self, name: &str, spec: Value) {
        self.server.put(&whole_pod(name, spec)).await;
    }

    async fn pod(&self, name: &str) -> Pod {
        self.server.find(&ObjectKey::namespaced("default", name)).await.unwrap()
    }

    async fn condition(&self, name: &str) -> Option<PodCondition> {
        let pod = self.pod(name).await;
        pod.status?.conditions?.into_iter().find(|condition| condition.type_ == "PodScheduled")
    }

    async fn events(&self) -> Vec<String> {
        let events = self.server.list::<Event>().await;
        let told = events.iter().map(|event| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{} {} {}", part(&event.type_), part(&event.reason), part(&event.message))
        });
        told.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn pods_get_nodes() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("node-1", json!({})).await;
    cluster.add_pod("web", json!({})).await;
    cluster.add_pod("foreign", json!({"schedulerName": "other"})).await;
    assert_eq!(cluster.settle().await, ["web"]);
    assert_eq!(cluster.events().await, ["Normal Scheduled Successfully assigned default/web to node-1"]);
}

#[tokio::test(start_paused = true)]
async fn pods_without_a_node_are_told_of_and_tried_again() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster.add_pod("large", containers(json!({"cpu": "5"}))).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let condition = cluster.condition("large").await.unwrap();
    let message = "0/1 nodes are available: 1 Insufficient cpu. \
                   preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!((&*condition.status, condition.reason.as_deref()), ("False", Some("Unschedulable")));
    assert_eq!(condition.message.as_deref(), Some(message));
    assert_eq!(cluster.events().await, [format!("Warning FailedScheduling {message}")]);
    cluster.add_node("b", json!({"status": {"allocatable": {"cpu": "8"}}})).await;
    assert_eq!(cluster.settle().await, ["large"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_scheduler_is_idle() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster.add_pod("large", containers(json!({"cpu": "5"}))).await;
    cluster.settle().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    let requests = cluster.server.faults().take_requests();
    assert!(requests.iter().all(|request| request.starts_with("watch")), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_took_the_name_of_another_is_another() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster
        .add_pod("p", json!({"nodeName": "a", "containers": containers(json!({"cpu": "4"}))["containers"]}))
        .await;
    assert_eq!(cluster.settle().await, [""; 0]);
    // The scheduler never hears that the old one was deleted: by the time that it looks, the new one exists.
    cluster.server.faults().break_watches();
    cluster.server.remove::<Pod>(&ObjectKey::namespaced("default", "p")).await;
    cluster.add_pod("p", containers(json!({"cpu": "4"}))).await;
    cluster.server.compact().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(cluster.settle().await, ["p"], "the room of the old one is free");
}

#[tokio::test(start_paused = true)]
async fn gated_pods_say_so() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster.add_pod("p", json!({"schedulingGates": [{"name": "g"}]})).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let condition = cluster.condition("p").await.unwrap();
    assert_eq!(condition.reason.as_deref(), Some("SchedulingGated"));
    let opened = json!({"spec": {"schedulingGates": null}});
    cluster.server.patch::<Pod>(&ObjectKey::namespaced("default", "p"), opened).await;
    assert_eq!(cluster.settle().await, ["p"]);
}

#[tokio::test(start_paused = true)]
async fn refused_bindings_are_tried_again() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster.server.faults().fail_next(Verb::Create, "pods", Status::service_unavailable("down"));
    cluster.add_pod("p", json!({})).await;
    assert_eq!(cluster.settle().await, ["p"]);
    assert_eq!(cluster.condition("p").await.unwrap().reason.as_deref(), Some("SchedulerError"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.settle().await, ["p"]);
    assert_eq!(cluster.events().await.len(), 2, "{:?}", cluster.events().await);
}

/// Two pods, of which a node takes one. The answer to the first binding gets lost, and the news of it come late.
#[tokio::test(start_paused = true)]
async fn a_pod_keeps_its_place_while_its_binding_may_have_been_written() {
    let cluster = Cluster::start(Config::default()).await;
    for name in ["first", "second"] {
        cluster.add_pod(name, containers(json!({"cpu": "3"}))).await;
    }
    assert_eq!(cluster.settle().await, [""; 0]);
    cluster.server.faults().hold_watches(Some("pods"));
    cluster.server.faults().lose_next_answer(Verb::Create, "pods");
    cluster.add_node("a", json!({})).await;
    for held in [true, false] {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut bound = Vec::new();
        for name in ["first", "second"] {
            let node = cluster.pod(name).await.spec.unwrap().node_name;
            bound.extend(node.map(|_| cluster.pod(name)));
        }
        assert_eq!(bound.len(), 1, "the node has room for one; news are held: {held}");
        let conditions = bound.remove(0).await.status.unwrap().conditions.unwrap();
        let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled").unwrap();
        assert_eq!(scheduled.status, "True", "nobody was told of a failure");
        cluster.server.faults().hold_watches(None);
    }
}

/// The request itself may be on its way for long: that it has not been carried out yet proves nothing.
#[tokio::test(start_paused = true)]
async fn a_binding_that_never_arrived_is_written_again() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster.server.faults().lose_next(Verb::Create, "pods");
    cluster.add_pod("p", json!({})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.settle().await, ["p", "p"]);
    assert_eq!(cluster.events().await, ["Normal Scheduled Successfully assigned default/p to a"]);
}

#[tokio::test(start_paused = true)]
async fn many_pods_are_bound_with_few_writes_at_once() {
    let cluster = Cluster::start(Config { writes_max: 3, ..Config::default() }).await;
    for index in 0..20 {
        cluster.add_node(&format!("n{index}"), json!({})).await;
    }
    for index in 0..100 {
        cluster.add_pod(&format!("p{index}"), containers(json!({"cpu": "500m"}))).await;
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
    let cluster = Cluster::start(Config { candidate: Some(candidate.clone()), ..Config::default() }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let config = Config {
        candidate: Some(Candidate { identity: "two".to_owned(), ..candidate }),
        ..Config::default()
    };
    let client = cluster.server.client(User::new("system:kube-scheduler", &[]));
    let cancel = CancellationToken::new();
    let two = tokio::spawn(run(client.clone(), Informers::new(client), config, cancel.clone()));
    cluster.add_node("a", json!({})).await;
    cluster.add_pod("p", json!({})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cluster.settle().await, ["p"], "it was bound once");
    cancel.cancel();
    two.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_binding_is_told_and_given_back() {
    let log = crate::testing::steps::Log::default();
    let profile = crate::testing::steps::with_steps(plugins::default_profile(), &log, ('b', "pre-bind"), &[]);
    let cluster = Cluster::start(Config { profiles: vec![Arc::new(profile)], ..Config::default() }).await;
    cluster.add_node("a", json!({})).await;
    cluster.add_pod("p", json!({})).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let message = "running PreBind plugin \"B\": the disk is on fire";
    assert_eq!(cluster.condition("p").await.unwrap().message.as_deref(), Some(message));
    assert_eq!(cluster.events().await, [format!("Warning FailedScheduling {message}")]);
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
    let cluster = Cluster::start(config).await;
    cluster.add_node("a", json!({})).await;
    cluster.add_pod("good", json!({})).await;
    cluster.add_pod("bad", json!({})).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let letter = |name: &str| (ObjectKey::namespaced("default", name), "B".to_owned());
    let (pod, plugin) = letter("good");
    mailbox.post(Letter::Allow { pod, plugin });
    let (pod, plugin) = letter("bad");
    mailbox.post(Letter::Reject { pod, plugin, why: "not today".to_owned() });
    assert_eq!(cluster.settle().await, ["good"]);
    assert_eq!(cluster.condition("bad").await.unwrap().message.as_deref(), Some("not today"));
    assert!(log.lock().contains(&"c bound to a".to_owned()));
}

/// Pods go where most is free, which is one large node, unless a Service or a controller selects them.
#[tokio::test(start_paused = true)]
async fn pods_that_are_selected_alike_are_spread() {
    let cluster = Cluster::start(Config::default()).await;
    for (name, zone, cpu) in [("a", "1", "400"), ("b", "1", "4"), ("c", "2", "4"), ("d", "2", "4")] {
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone});
        let room = json!({"allocatable": {"cpu": cpu, "memory": "400Gi", "pods": "110"}});
        cluster.add_node(name, json!({"metadata": {"labels": labels}, "status": room})).await;
    }
    let service = json!({"metadata": {"name": "served", "namespace": "default"},
        "spec": {"selector": {"app": "served"}, "ports": [{"port": 80}]}});
    cluster.server.put(&serde_json::from_value::<Service>(service).unwrap()).await;
    let template = json!({"metadata": {"labels": {"app": "owned"}},
        "spec": {"containers": [{"name": "main", "image": "app:1"}]}});
    let set = json!({"metadata": {"name": "owned", "namespace": "default"},
        "spec": {"replicas": 8, "selector": {"matchLabels": {"app": "owned"}}, "template": template}});
    cluster.server.put(&serde_json::from_value::<ReplicaSet>(set).unwrap()).await;
    let key = ObjectKey::namespaced("default", "owned");
    let set: ReplicaSet = cluster.server.find(&key).await.unwrap();
    let mut owner =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owned", "controller": true}]);
    owner[0]["uid"] = json!(set.metadata.uid);
    for (app, owners, on_each) in
        [("alone", json!(null), [8, 0, 0, 0]), ("served", json!(null), [2; 4]), ("owned", owner, [2; 4])]
    {
        for number in 0..8 {
            let mut pod = whole_pod(&format!("{app}-{number}"), containers(json!({"cpu": "100m"})));
            pod.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
            pod.metadata.owner_references = serde_json::from_value(owners.clone()).unwrap();
            cluster.server.put(&pod).await;
        }
        assert_eq!(cluster.settle().await.len(), 8);
        let mut found = [0; 4];
        for number in 0..8 {
            let node = cluster.pod(&format!("{app}-{number}")).await.spec.unwrap().node_name.unwrap();
            found[["a", "b", "c", "d"].iter().position(|name| *name == node).unwrap()] += 1;
        }
        assert_eq!(found, on_each, "{app}");
    }
}

/// A filter that blocks until it is released.
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
    let (server, client) = server().await;
    let (informers, cancel) = (Informers::new(client.clone()), CancellationToken::new());
    let config = Config { profiles: vec![Arc::new(profile)], ..Config::default() };
    let running = tokio::spawn(run(client, informers.clone(), config, cancel.clone()));
    add_node(&server, "a", json!({})).await;
    server.put(&whole_pod("first", json!({}))).await;
    enters.recv().await.unwrap();
    // The scheduler is blocked. Another component follows the same pods.
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let pods = informers.get::<client::LeanPod>();
    let _seen = pods.subscribe(move |change| drop(seen.send(change.key.name.to_string())));
    for index in 0..100 {
        server.put(&whole_pod(&format!("p{index}"), json!({}))).await;
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
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    let class = json!({"metadata": {"name": "important"}, "value": 5});
    cluster.server.put(&serde_json::from_value::<PriorityClass>(class).unwrap()).await;
    // It is bound, so that only a node can end it, and it can be looked at before it goes.
    cluster
        .add_pod("low", json!({"nodeName": "a", "containers": containers(json!({"cpu": "3"}))["containers"]}))
        .await;
    let mut spec = containers(json!({"cpu": "3"}));
    spec["priorityClassName"] = "important".into();
    cluster.add_pod("high", spec).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let (low, high) = (cluster.pod("low").await, cluster.pod("high").await);
    assert!(low.metadata.deletion_timestamp.is_some());
    let conditions = low.status.unwrap().conditions.unwrap();
    let told = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget").unwrap();
    assert_eq!((&*told.status, told.reason.as_deref()), ("True", Some("PreemptionByScheduler")));
    let message = "default-scheduler: preempting to accommodate a higher priority pod";
    assert_eq!(told.message.as_deref(), Some(message));
    assert_eq!(high.status.unwrap().nominated_node_name.as_deref(), Some("a"));
    let events = cluster.events().await;
    let wanted = format!("Normal Preempted Preempted by pod {} on node a", high.metadata.uid.unwrap());
    assert!(events.contains(&wanted), "{events:?}");
    cluster.server.remove::<Pod>(&ObjectKey::namespaced("default", "low")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(cluster.settle().await, ["high"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_claim_and_runs_where_the_volume_is() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster.add_node("b", json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    cluster.add_pod("p", json!({"volumes": volumes})).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let message = cluster.condition("p").await.unwrap().message.unwrap();
    let wanted = "0/2 nodes are available: persistentvolumeclaim \"data\" not found.";
    assert!(message.starts_with(wanted), "{message}");
    let claim = json!({"metadata": {"name": "data", "namespace": "default",
        "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "local",
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim: k8s_openapi::api::core::v1::PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
    cluster.server.put(&claim).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let volume = json!({"metadata": {"name": "local"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}, "nodeAffinity": {"required": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}}}});
    let volume: k8s_openapi::api::core::v1::PersistentVolume = serde_json::from_value(volume).unwrap();
    cluster.server.put(&volume).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cluster.settle().await, ["p"]);
    assert_eq!(
        cluster.events().await.last().unwrap(),
        "Normal Scheduled Successfully assigned default/p to b"
    );
}
