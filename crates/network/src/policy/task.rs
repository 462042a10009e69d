//! Network policy as a task: informers and sandboxes in, transactions out.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::{Informers, LeanPod, Subscription};
use hostnet::{nft, state};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use object::ObjectKey;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use super::index::Index;
use super::kernel::Kernel;
use super::pods::{self, Facts};
use super::{PodIdentity, PolicyConfig};

/// How long to wait after a transaction failed; doubled for each further failure, up to the last value.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(32);

/// The node's requests to network policy.
pub(crate) enum Request {
    /// A sandbox is about to be connected.
    Attach { sandbox: String, pod: PodIdentity, addresses: Vec<IpAddr>, done: oneshot::Sender<()> },
    /// A sandbox is gone.
    Detach { sandbox: String },
}

/// The changes since the task's last look: the newest state of each object.
#[derive(Default)]
struct Inbox {
    pods: HashMap<ObjectKey, Option<Arc<LeanPod>>>,
    namespaces: HashMap<ObjectKey, Option<Arc<Namespace>>>,
    policies: HashMap<ObjectKey, Option<Arc<NetworkPolicy>>>,
    /// In the order of arrival; the agent has few at a time, and waits for each.
    requests: Vec<Request>,
}

/// Where changes are put for the task.
#[derive(Default)]
pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    changed: Notify,
}

impl Mailbox {
    pub(crate) fn request(&self, request: Request) {
        self.put(|inbox| inbox.requests.push(request));
    }

    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox.lock());
        self.changed.notify_one();
    }
}

/// Follows the cluster and the node's sandboxes, which at first are those of `leases`. Does not return.
pub(crate) async fn run(
    config: &PolicyConfig,
    informers: &Informers,
    mailbox: &Arc<Mailbox>,
    leases: Vec<(String, Vec<IpAddr>)>,
) {
    let _news = subscribe(informers, mailbox).await;
    let mut enforcer = Enforcer::new(config);
    let mut inbox = std::mem::take(&mut *mailbox.inbox.lock());
    let requests = std::mem::take(&mut inbox.requests);
    enforcer.learn(inbox);
    // Sandboxes created in the meantime are not among the leases.
    enforcer.adopt(leases, &config.node_name);
    requests.into_iter().for_each(|request| enforcer.serve(request));
    let mut watch = open_watch(&config.table);
    let mut retry_after = RETRY_AFTER;
    loop {
        match enforcer.sync().await {
            Ok(()) => {
                retry_after = RETRY_AFTER;
                wait(mailbox, &mut watch, &config.table, &mut enforcer.kernel).await;
            }
            Err(error) => {
                tracing::error!(error = &*error, "cannot apply network policies");
                tokio::time::sleep(retry_after).await;
                retry_after = (retry_after * 2).min(RETRY_AFTER_MAX);
            }
        }
        let inbox = std::mem::take(&mut *mailbox.inbox.lock());
        enforcer.learn(inbox);
    }
}

/// Waits until there is something to do: a change, or a table that another program has changed.
async fn wait(mailbox: &Mailbox, watch: &mut Option<nft::Watch>, table: &str, kernel: &mut Kernel) {
    let tampered = async {
        match watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    };
    let change = tokio::select! {
        () = mailbox.changed.notified() => return,
        change = tampered => change,
    };
    kernel.rebuild();
    match change {
        Ok(change) => tracing::warn!("{change} changed the policy rules; rewriting them"),
        Err(error) => {
            tracing::warn!(%error, "cannot watch the policy rules; rewriting them");
            *watch = open_watch(table);
        }
    }
}

/// A watch over the table; `None`, with a log line, if the kernel does not grant one.
fn open_watch(table: &str) -> Option<nft::Watch> {
    let watch = nft::Watch::open(&[("inet", table)]);
    let unwatched = |error: &io::Error| tracing::warn!(%error, "cannot watch the policy rules for changes by other programs");
    watch.inspect_err(unwatched).ok()
}

async fn subscribe(informers: &Informers, mailbox: &Arc<Mailbox>) -> [Subscription; 3] {
    let (pods, namespaces) = (informers.get::<LeanPod>(), informers.get::<Namespace>());
    let policies = informers.get::<NetworkPolicy>();
    let inbox = Arc::clone(mailbox);
    let of_namespaces = namespaces.subscribe(move |change| {
        inbox.put(|inbox| drop(inbox.namespaces.insert(change.key.clone(), change.new.clone())));
    });
    let inbox = Arc::clone(mailbox);
    let of_policies = policies.subscribe(move |change| {
        inbox.put(|inbox| drop(inbox.policies.insert(change.key.clone(), change.new.clone())));
    });
    let inbox = Arc::clone(mailbox);
    let of_pods = pods.subscribe(move |change| {
        inbox.put(|inbox| drop(inbox.pods.insert(change.key.clone(), change.new.clone())));
    });
    namespaces.synced().await;
    policies.synced().await;
    pods.synced().await;
    [of_namespaces, of_policies, of_pods]
}

/// A sandbox in the record: its pod, and the pod's last known data, in case its object is gone after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Recorded {
    pod: PodIdentity,
    facts: Facts,
}

/// The state of the task.
struct Enforcer {
    index: Index,
    kernel: Kernel,
    record_path: PathBuf,
    /// By sandbox.
    record: BTreeMap<String, Recorded>,
    record_is_stale: bool,
    /// Sandboxes whose pods are not known yet.
    waiting: Vec<Request>,
    /// Those who wait for the next transaction.
    unanswered: Vec<oneshot::Sender<()>>,
}

impl Enforcer {
    fn new(config: &PolicyConfig) -> Enforcer {
        let record_path = record_path(&config.state_dir);
        let record = state::load(&record_path).unwrap_or_else(|error| {
            // The pods' objects have nearly the same data.
            tracing::warn!(%error, "cannot read the record of sandboxes; starting without it");
            None
        });
        Enforcer {
            index: Index::new(&config.node_name),
            kernel: Kernel::new(&config.table),
            record_path,
            record: record.unwrap_or_default(),
            record_is_stale: false,
            waiting: Vec::new(),
            unanswered: Vec::new(),
        }
    }

    /// Takes over the sandboxes that a former run connected.
    fn adopt(&mut self, leases: Vec<(String, Vec<IpAddr>)>, node: &str) {
        self.record.retain(|sandbox, _| leases.iter().any(|(leased, _)| leased == sandbox));
        self.record_is_stale = true;
        for (sandbox, addresses) in leases {
            let recorded = self.record.get(&sandbox).map(|recorded| recorded.pod.clone());
            match recorded.or_else(|| self.pod_with(&addresses, node)) {
                Some(pod) => self.attach(&sandbox, &pod, &addresses),
                None => {
                    tracing::debug!(sandbox, "a sandbox belongs to no known pod, so no policies apply to it");
                    false
                }
            };
        }
    }

    /// The pod of this node whose status has these addresses.
    fn pod_with(&self, addresses: &[IpAddr], node: &str) -> Option<PodIdentity> {
        let here = self.index.known_pods().filter(|(_, pod)| {
            let spec = pod.spec.as_ref();
            let in_host_network = spec.and_then(|spec| spec.host_network) == Some(true);
            spec.and_then(|spec| spec.node_name.as_deref()) == Some(node) && !in_host_network
        });
        let mut found = here.filter(|(_, pod)| pods::status_addresses(pod) == addresses);
        let (key, pod) = found.next()?;
        let uid = pod.metadata.uid.to_string();
        Some(PodIdentity { namespace: key.namespace().to_owned(), name: key.name.to_string(), uid })
    }

    fn learn(&mut self, inbox: Inbox) {
        for (key, namespace) in inbox.namespaces {
            let labels = namespace.map(|n| n.metadata.labels.clone().unwrap_or_default());
            self.index.namespace_changed(&key.name, labels);
        }
        for (key, policy) in inbox.policies {
            self.index.policy_changed(&key, policy.as_deref());
        }
        for (key, pod) in inbox.pods {
            self.index.pod_changed(&key, pod);
        }
        for request in std::mem::take(&mut self.waiting).into_iter().chain(inbox.requests) {
            self.serve(request);
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            // The caller has given up.
            Request::Attach { done, .. } if done.is_closed() => {}
            Request::Attach { sandbox, pod, addresses, done } => {
                if self.attach(&sandbox, &pod, &addresses) {
                    self.unanswered.push(done);
                } else {
                    self.waiting.push(Request::Attach { sandbox, pod, addresses, done });
                }
            }
            Request::Detach { sandbox } => {
                self.index.detach(&sandbox);
                self.record_is_stale |= self.record.remove(&sandbox).is_some();
                self.waiting.retain(|request| {
                    !matches!(request, Request::Attach { sandbox: waiting, .. } if *waiting == sandbox)
                });
            }
        }
    }

    /// Attaches a sandbox to its pod; false if the pod is not known.
    fn attach(&mut self, sandbox: &str, pod: &PodIdentity, addresses: &[IpAddr]) -> bool {
        let key = ObjectKey::namespaced(pod.namespace.as_str(), pod.name.as_str());
        let recorded = self.record.get(sandbox).filter(|recorded| recorded.pod == *pod);
        let facts = self.index.facts(&key, &pod.uid).or_else(|| recorded.map(|r| r.facts.clone()));
        let Some(facts) = facts else { return false };
        let record = Recorded { pod: pod.clone(), facts: facts.clone() };
        self.index.attach(sandbox, &key, &pod.uid, facts, addresses);
        self.record_is_stale |= self.record.get(sandbox) != Some(&record);
        self.record.insert(sandbox.to_owned(), record);
        true
    }

    async fn sync(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if self.record_is_stale {
            self.save_record()?;
            self.record_is_stale = false;
        }
        self.kernel.sync(&mut self.index).await?;
        for done in self.unanswered.drain(..) {
            // A caller that gave up detaches.
            let _ = done.send(());
        }
        Ok(())
    }

    fn save_record(&self) -> io::Result<()> {
        state::save(&self.record_path, &self.record)
    }
}

fn record_path(state_dir: &Path) -> PathBuf {
    state_dir.join("policy.json")
}

#[cfg(test)]
mod tests;
