//! The loops of a hollow node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, ClientError, DeleteOptions, Informer, Informers, Patch, Selection, WorkQueue};
use clock::Clock;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{self as core, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use object::{ObjectKey, Uid};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::life::{Life, Stage};
use crate::{Spec, Timing, status};

/// Where nodes keep their Leases.
const LEASES: &str = "kube-node-lease";
/// The duration in those Leases, as upstream has it.
const LEASE_SECONDS: i32 = 40;
/// The pause after a write that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A hollow node. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    spec: Spec,
    timing: Mutex<Timing>,
    client: Client,
    /// The pods that run here, whether the server knows it or not.
    lives: Mutex<BTreeMap<ObjectKey, Life>>,
    connected: watch::Sender<Link>,
}

/// The node's way to the server.
#[derive(Clone, Copy)]
struct Link {
    is_up: bool,
    /// How often it was cut: one that is up again at once was cut nevertheless.
    cuts: u64,
}

impl Node {
    /// A node that does nothing yet. `client` has the node's own identity, `system:node:NAME`.
    pub fn new(client: Client, spec: Spec, timing: Timing) -> Node {
        let connected = watch::Sender::new(Link { is_up: true, cuts: 0 });
        Node {
            shared: Arc::new(Shared {
                spec,
                timing: Mutex::new(timing),
                client,
                lives: Mutex::default(),
                connected,
            }),
        }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.shared.spec.name
    }

    /// Cuts the node off from the server, or reconnects it. Its pods keep running.
    pub fn set_connected(&self, connected: bool) {
        self.shared.connected.send_modify(|link| {
            link.is_up = connected;
            link.cuts += u64::from(!connected);
        });
    }

    /// Whether the node is not cut off.
    pub fn is_connected(&self) -> bool {
        self.shared.connected.borrow().is_up
    }

    /// Changes how long things take from here on.
    pub fn set_timing(&self, timing: Timing) {
        *self.shared.timing.lock() = timing;
    }

    /// Runs the node until `cancel` is cancelled. Its objects stay.
    pub async fn run(&self, cancel: CancellationToken) {
        let shared = &self.shared;
        let mut connected = shared.connected.subscribe();
        cancel
            .run_until_cancelled(async {
                // The sender lives as long as `self`, so both waits succeed.
                while let Ok(cuts) = connected.wait_for(|link| link.is_up).await.map(|link| link.cuts) {
                    let cut = CancellationToken::new();
                    let mut until_cut = shared.connected.subscribe();
                    let noticed = cut.clone();
                    let watching = async move {
                        let _ = until_cut.wait_for(|link| link.cuts != cuts).await.is_ok();
                        noticed.cancel();
                    };
                    tokio::join!(watching, cut.run_until_cancelled(Connected::run(shared)));
                }
            })
            .await;
    }

    /// Stops the machine. When the node is connected again, the containers of its pods restart.
    pub fn reboot(&self) {
        self.set_connected(false);
        let Shared { lives, client, .. } = &*self.shared;
        let timing = self.shared.timing();
        lives.lock().values_mut().for_each(|life| life.restart(&timing, client.clock()));
    }
}

impl Shared {
    fn clock(&self) -> &Clock {
        self.client.clock()
    }

    fn timing(&self) -> Timing {
        self.timing.lock().clone()
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::cluster(self.spec.name.as_str())
    }

    /// Creates the Node object unless it exists.
    async fn register(&self) -> core::Node {
        loop {
            match self.client.create(&status::node(&self.spec)).await {
                Ok(node) => return node,
                Err(error) if error.is_already_exists() => match self.client.get(&self.key()).await {
                    Ok(node) => return node,
                    Err(error) => self.report("find the Node", &error),
                },
                Err(error) => self.report("register", &error),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn renew_lease(&self, uid: &str) -> Result<(), ClientError> {
        let key = ObjectKey::namespaced(LEASES, self.spec.name.as_str());
        let found = self.client.find::<Lease>(&key).await?;
        let is_new = found.is_none();
        let mut lease = found.unwrap_or_default();
        lease.metadata.name = Some(self.spec.name.clone());
        lease.metadata.namespace = Some(LEASES.to_owned());
        lease.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.spec.name.clone(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        }]);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.spec.name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(self.clock().now())),
            ..lease.spec.unwrap_or_default()
        });
        if is_new {
            self.client.create(&lease).await.map(drop)
        } else {
            self.client.update(&lease).await.map(drop)
        }
    }

    fn report(&self, what: &str, error: &ClientError) {
        let node = &self.spec.name;
        tracing::debug!(node, error = error as &dyn std::error::Error, "cannot {what}");
    }
}

/// A node while it reaches the server.
struct Connected<'s> {
    shared: &'s Shared,
    pods: Arc<Informer<Pod>>,
    node: Arc<Informer<core::Node>>,
    queue: WorkQueue<ObjectKey>,
    /// Woken when the Node object changes.
    node_changed: Arc<tokio::sync::Notify>,
}

impl Connected<'_> {
    async fn run(shared: &Shared) {
        let node = shared.register().await;
        let uid = node.metadata.uid.unwrap_or_default();
        let name = &shared.spec.name;
        let informers = Informers::new(shared.client.clone());
        let pods = informers.select::<Pod>(Selection::fields::<Pod>(format!("spec.nodeName={name}")));
        let node =
            informers.select::<core::Node>(Selection::fields::<core::Node>(format!("metadata.name={name}")));
        tokio::join!(pods.synced(), node.synced());
        let queue = WorkQueue::new();
        let woken = queue.clone();
        let _pods = pods.subscribe(move |change| woken.add(change.key.clone()));
        for key in shared.lives.lock().keys() {
            // Pods that were deleted while the node was cut off must be removed too.
            queue.add(key.clone());
        }
        let node_changed = Arc::new(tokio::sync::Notify::new());
        let changed = Arc::clone(&node_changed);
        let _node = node.subscribe(move |_| changed.notify_one());
        let connected = Connected { shared, pods, node, queue, node_changed };
        tokio::join!(connected.keep_lease(&uid), connected.keep_status(), connected.keep_pods());
        drop(informers);
    }

    async fn keep_lease(&self, uid: &str) {
        loop {
            let pause = match self.shared.renew_lease(uid).await {
                Ok(()) => self.shared.timing().renewal,
                Err(error) => {
                    self.shared.report("renew the Lease", &error);
                    RETRY_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reports the node as ready whenever the Node object says otherwise.
    async fn keep_status(&self) {
        let shared = self.shared;
        loop {
            let seen = self.node.get(&shared.key());
            if let Some(seen) = seen.filter(|node| !status::is_ready(node)) {
                let change = Patch::Strategic(status::node_status(&shared.spec, &seen, shared.clock().now()));
                match shared.client.patch::<core::Node>(&shared.key(), "status", &change).await {
                    Ok(_) => {}
                    Err(error) => {
                        shared.report("post the status", &error);
                        tokio::time::sleep(RETRY_PAUSE).await;
                        continue;
                    }
                }
            }
            self.node_changed.notified().await;
        }
    }

    async fn keep_pods(&self) {
        while let Some(key) = self.queue.next().await {
            match self.keep_pod(&key).await {
                Ok(Some(pause)) => self.queue.add_after(key.clone(), pause),
                Ok(None) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    self.shared.report("write a pod", &error);
                    self.queue.add_after(key.clone(), RETRY_PAUSE);
                }
            }
        }
    }

    /// Advances one pod by a step; returns how long until the next one.
    async fn keep_pod(&self, key: &ObjectKey) -> Result<Option<Duration>, ClientError> {
        let shared = self.shared;
        let Some(pod) = self.pods.get(key) else {
            shared.lives.lock().remove(key);
            return Ok(None);
        };
        let uid = Uid::from(pod.metadata.uid.as_deref().unwrap_or_default());
        if is_over(&pod) && pod.metadata.deletion_timestamp.is_none() {
            return Ok(None);
        }
        let (stage, next, wanted) = self.advance(key, &uid, &pod);
        if stage == Stage::Stopped || (is_over(&pod) && pod.metadata.deletion_timestamp.is_some()) {
            let options =
                DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(uid.as_str()) };
            shared.client.delete::<Pod>(key, &options).await?;
            return Ok(None);
        }
        if status::differs(pod.status.as_ref(), &wanted) {
            // The list of conditions merges, so that those of others stay.
            let change = json!({"metadata": {"uid": uid.as_str()}, "status": wanted});
            shared.client.patch::<Pod>(key, "status", &Patch::Strategic(change)).await?;
        }
        let pause = next.map(|next| next.duration_since(shared.clock().now()));
        Ok(pause.map(|pause| Duration::try_from(pause).unwrap_or_default().max(Duration::from_millis(1))))
    }

    fn advance(
        &self,
        key: &ObjectKey,
        uid: &Uid,
        pod: &Pod,
    ) -> (Stage, Option<jiff::Timestamp>, core::PodStatus) {
        let Shared { spec, lives, .. } = self.shared;
        let timing = self.shared.timing();
        let clock = self.shared.clock();
        let mut lives = lives.lock();
        if lives.get(key).is_none_or(|life| life.uid != *uid) {
            let taken: Vec<u32> = lives.values().map(|life| life.address).collect();
            let free = (1..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX);
            lives.insert(key.clone(), Life::begin(uid.clone(), free, pod, &timing, clock));
        }
        let life = lives.get_mut(key).expect("it was put in if it was not there");
        let (stage, next) = life.advance(pod, &timing, clock);
        (stage, next, status::pod(spec, pod, life, stage, clock.now()))
    }
}

/// Whether a pod has terminated.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.shared.spec.name).finish_non_exhaustive()
    }
}
