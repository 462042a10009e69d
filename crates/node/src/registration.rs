//! The node's registration with the API server: its Node object, its status, and the lease that shows that it is alive.
//!
//! The lease is renewed every 10 seconds. The status is written when it changes, and every 5 minutes (upstream's
//! `nodeStatusReportFrequency`).

use std::sync::Arc;
use std::time::Duration;

use client::{ClientError, EventType, Patch};
use k8s_openapi::api::core::v1::{Node, NodeStatus, ObjectReference};
use object::{ObjectKey, Status};
use semantics::conditions::is_true;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::shared::Shared;

mod lease;
mod node;

pub(crate) use node::has_new_resources;

/// How often the lease is renewed and the machine is examined.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How often the status is written even if it is the same.
const REPORT: Duration = Duration::from_secs(300);
/// How often the engine is asked while it is not ready: nothing reports when it becomes ready.
const UNREADY_HEARTBEAT: Duration = Duration::from_millis(200);
/// How long it may take until a written status is seen here.
const SEEN_WITHIN: Duration = Duration::from_secs(1);
/// The pause after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the node registered.
pub(crate) struct Registration {
    pub(crate) shared: Arc<Shared>,
    /// Notified when the Node object changes.
    pub(crate) node_changed: Arc<Notify>,
    /// Set when the node is Ready at the API server.
    pub(crate) ready: watch::Sender<bool>,
}

/// The engine's answer about the node's pod subnet.
#[derive(Default)]
struct PodCidr {
    /// The current one.
    accepted: String,
    /// Why it does not accept the newest one.
    refusal: String,
}

impl Registration {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        while let Err(error) = self.register().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot register the node");
            tokio::time::sleep(RETRY).await;
        }
        self.event("Starting", "Starting kubelet.");
        let mut lease = lease::Heartbeat::default();
        let mut written: Option<(NodeStatus, Instant)> = None;
        let mut pod_cidr = PodCidr::default();
        let mut next_lease = Instant::now();
        let mut node_ips = self.shared.config.node_ips.clone();
        let mut pressures = self.shared.pressures.subscribe();
        loop {
            self.pass_on_pod_cidr(&mut pod_cidr).await;
            written = written.filter(|(status, at)| !self.is_overwritten(status, *at));
            let status = self.status(written.as_ref().map(|(status, _)| status)).await;
            if let Err(error) = self.report(&status, &mut written).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot write the node's status");
            }
            let is_ready = is_true(&status.conditions, "Ready");
            if Instant::now() >= next_lease {
                match lease.renew(&self.shared).await {
                    Ok(()) => next_lease = Instant::now() + HEARTBEAT,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "cannot renew the node's lease"
                        );
                        next_lease = Instant::now() + RETRY;
                    }
                }
            }
            let next = if is_ready { next_lease } else { next_lease.min(Instant::now() + UNREADY_HEARTBEAT) };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.node_changed.notified() => {}
                Ok(()) = node_ips.changed() => {}
                Ok(()) = pressures.changed() => {}
                () = self.shared.runtime.status_changed() => {}
            }
        }
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::cluster(self.shared.config.node_name.as_str())
    }

    fn event(&self, reason: &str, message: &str) {
        let name = self.shared.config.node_name.clone();
        let about = ObjectReference {
            kind: Some("Node".to_owned()),
            uid: Some(name.clone()),
            name: Some(name),
            ..ObjectReference::default()
        };
        self.shared.recorder.record(&about, EventType::Normal, reason, message);
    }

    /// Creates the Node object with its status, or updates the labels of an existing one. Without a status, the node
    /// lifecycle controller would take a new node for one that is ready.
    async fn register(&self) -> Result<(), ClientError> {
        let mut wanted = node::object(&self.shared.config, &self.shared.facts);
        wanted.status = Some(self.status(None).await);
        match self.shared.client.create(&wanted).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_exists() => {
                let existing = self.shared.client.get::<Node>(&self.key()).await?;
                if !node::is_own(&self.shared.config, &existing) {
                    let name = &self.shared.config.node_name;
                    let why = "the node belongs to another machine: give this machine another name, or \
                        delete the node if this machine replaces it";
                    return Err(Status::conflict("", "nodes", name, why).into());
                }
                // Of exactly that Node: another one may have replaced it in the meantime.
                let patch = Patch::Merge(json!({"metadata": {
                    "uid": existing.metadata.uid,
                    "labels": wanted.metadata.labels,
                    // Null would remove values written by others.
                    "annotations": wanted.metadata.annotations.unwrap_or_default()
                }}));
                self.shared.client.patch::<Node>(&self.key(), "", &patch).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Passes the node's pod subnet to the engine as soon as it is known.
    async fn pass_on_pod_cidr(&self, known: &mut PodCidr) {
        let node = self.shared.node();
        let spec = node.spec.as_ref();
        let cidrs = spec.and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default();
        let cidr = if cidrs.is_empty() {
            spec.and_then(|spec| spec.pod_cidr.clone()).unwrap_or_default()
        } else {
            cidrs.join(",")
        };
        if cidr.is_empty() || cidr == known.accepted {
            return;
        }
        match self.shared.runtime.update_pod_cidr(&cidr).await {
            Ok(()) => *known = PodCidr { accepted: cidr, refusal: String::new() },
            // Its network is configured elsewhere.
            Err(error) if error.is_unimplemented() => {
                *known = PodCidr { accepted: cidr, refusal: String::new() };
            }
            Err(error) => {
                let refusal = error.full_message();
                // It is retried, but logged once.
                if refusal != known.refusal {
                    tracing::warn!(cidr, error = refusal, "the engine refuses the pod subnet");
                    known.refusal = refusal;
                }
            }
        }
    }

    async fn status(&self, written: Option<&NodeStatus>) -> NodeStatus {
        let shared = &self.shared;
        let runtime = shared.runtime.status().await.map_err(|error| error.full_message());
        let version = shared.runtime.version().await.ok();
        let images = shared.images.service().list_images(&Default::default()).await.unwrap_or_default();
        let node = shared.node();
        let seen = node.status.clone().unwrap_or_default();
        let old = written.cloned().unwrap_or_else(|| seen.clone());
        node::status(node::Input {
            config: &shared.config,
            facts: &shared.facts,
            runtime: runtime.as_ref(),
            version: version.as_ref(),
            images: &images,
            port: *shared.port.read(),
            old: &old,
            seen: &seen,
            pressures: &shared.pressures.borrow().clone(),
            now: shared.clock.now(),
        })
    }

    /// Whether another component changed our values: the node lifecycle controller marks a silent node as dead.
    fn is_overwritten(&self, written: &NodeStatus, at: Instant) -> bool {
        let node = self.shared.node();
        at.elapsed() >= SEEN_WITHIN
            && node.status.as_ref().is_some_and(|seen| node::is_overwritten(written, seen))
    }

    /// Writes the status if it changed, or was not written for a long time.
    async fn report(
        &self,
        status: &NodeStatus,
        written: &mut Option<(NodeStatus, Instant)>,
    ) -> Result<(), ClientError> {
        let due = match written {
            Some((old, at)) => node::differs(old, status) || at.elapsed() >= REPORT,
            None => true,
        };
        if !due {
            return Ok(());
        }
        let seen = self.shared.node().status.clone().unwrap_or_default();
        let patch = node::status_patch(status, &seen)
            .map_err(|error| ClientError::decode("the node's status", error))?;
        self.shared.client.patch::<Node>(&self.key(), "status", &Patch::Strategic(patch)).await?;
        if is_true(&status.conditions, "Ready") {
            self.ready.send_replace(true);
        }
        *written = Some((status.clone(), Instant::now()));
        Ok(())
    }
}
