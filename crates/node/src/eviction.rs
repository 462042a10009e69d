//! Keeps the node alive under resource pressure: measures memory, disks and processes, reports pressure in the node's
//! conditions, reclaims unused resources, and evicts pods, one at a time (`pkg/kubelet/eviction`). Pods that exceed
//! their disk limits are evicted whether there is pressure or not.
//!
//! | module | decides or does |
//! | --- | --- |
//! | `signals` | measures |
//! | `decide` | *pure*: which conditions are true, and what must be reclaimed |
//! | `limits` | *pure*: whether a pod exceeds its disk limits |
//! | `rank` | *pure*: which pod is evicted first, and with which message |
//! | `reclaim` | removes dead containers and unused images |

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use tokio::time::Instant;

use crate::admission::is_critical;
use crate::pod::PodInfo;
use crate::pods::Pods;
use crate::pressure::{EVICTED, Pressure, Pressures, Threshold};
use crate::shared::Shared;
use crate::status::Phase;
use crate::usage;
use crate::worker::Eviction;

mod decide;
mod limits;
mod rank;
mod reclaim;
mod signals;

use rank::Candidate;

/// How often the node is measured.
const PERIOD: Duration = Duration::from_secs(10);
/// How long to wait for an evicted pod before the node is measured again.
const CLEANED_UP_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often unused images are searched for.
const IMAGES_PERIOD: Duration = Duration::from_secs(300);
/// The grace period of a pod that must be evicted at once, in seconds.
const GRACE_IMMEDIATE: i64 = 1;

/// Watches over the node.
pub(crate) struct Manager {
    shared: Arc<Shared>,
    pods: Arc<Pods>,
    state: decide::State,
    images: reclaim::ImageAges,
    image_filesystem: Option<PathBuf>,
}

impl Manager {
    pub(crate) fn new(shared: Arc<Shared>, pods: Arc<Pods>) -> Manager {
        Manager {
            shared,
            pods,
            state: decide::State::default(),
            images: reclaim::ImageAges::default(),
            image_filesystem: None,
        }
    }

    /// Watches until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut next_images = Instant::now() + IMAGES_PERIOD;
        loop {
            let evicted = self.synchronize().await;
            if !evicted.is_empty() {
                self.until_cleaned_up(&evicted).await;
                continue;
            }
            if Instant::now() >= next_images {
                next_images = Instant::now() + IMAGES_PERIOD;
                self.collect_images().await;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Measures, decides and acts; returns the UIDs of the evicted pods.
    async fn synchronize(&mut self) -> Vec<String> {
        let observations = self.measure().await;
        let now = self.shared.clock.now();
        let config = &self.shared.config.eviction;
        let decision = decide::decide(config, &mut self.state, &observations, now);
        self.tell(decision.pressures);
        let pods = self.active_pods();
        let evicted = self.evict_over_limits(&pods).await;
        if !evicted.is_empty() {
            return evicted;
        }
        let Some(threshold) = decision.reclaim else { return Vec::new() };
        let resource = threshold.signal.resource();
        self.event(EventType::Warning, "EvictionThresholdMet", &format!("Attempting to reclaim {resource}"));
        if self.reclaim_from_node(&threshold, &pods).await {
            tracing::info!(resource, "reclaimed enough without evicting a pod");
            return Vec::new();
        }
        self.evict_one(&threshold, &pods, &observations).await.into_iter().collect()
    }

    async fn measure(&mut self) -> decide::Observations {
        let images = self.image_filesystem().await;
        let root = self.shared.config.root_dir.clone();
        let wanted: BTreeSet<_> =
            self.shared.config.eviction.thresholds.iter().map(|threshold| threshold.signal).collect();
        let measured = self
            .shared
            .files
            .run_within(PERIOD, move || signals::measure(&wanted, &root, images.as_deref()))
            .await;
        measured.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot measure the node");
            BTreeMap::new()
        })
    }

    /// The file system of images, from the engine.
    async fn image_filesystem(&mut self) -> Option<PathBuf> {
        if self.image_filesystem.is_none() {
            let info = self.shared.images.service().image_fs_info().await.ok()?;
            self.image_filesystem =
                info.image_filesystems.first().map(|usage| PathBuf::from(&usage.mountpoint));
        }
        self.image_filesystem.clone()
    }

    /// Whether images have a separate disk.
    async fn has_image_disk(&mut self) -> bool {
        let Some(images) = self.image_filesystem().await else { return false };
        let root = self.shared.config.root_dir.clone();
        let same = self.shared.files.run_within(PERIOD, move || signals::same_device(&root, &images)).await;
        !same.unwrap_or(true)
    }

    /// Publishes the conditions: to the admission of pods, and in the node's status.
    fn tell(&self, pressures: Pressures) {
        let before = self.shared.pressures.borrow().clone();
        for pressure in Pressure::ALL {
            let holds = pressures.contains(&pressure);
            if holds != before.contains(&pressure) {
                let reason = pressure.event(holds);
                let message = format!("Node {} status is now: {reason}", self.shared.config.node_name);
                tracing::warn!(condition = pressure.as_str(), holds, "the node's condition changed");
                self.event(EventType::Normal, reason, &message);
            }
        }
        if pressures != before {
            self.shared.pressures.send_replace(pressures);
        }
    }

    fn event(&self, kind: EventType, reason: &str, message: &str) {
        let name = self.shared.config.node_name.clone();
        let about = ObjectReference {
            kind: Some("Node".to_owned()),
            uid: Some(name.clone()),
            name: Some(name),
            ..ObjectReference::default()
        };
        self.shared.recorder.record(&about, kind, reason, message);
    }

    /// The pods of which something may be running.
    fn active_pods(&self) -> Vec<PodInfo> {
        let over = |pod: &Arc<Pod>| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            Phase::parse(phase).is_some_and(Phase::is_terminal)
        };
        self.pods.list().into_iter().filter(|pod| !over(pod)).map(PodInfo::new).collect()
    }

    /// Evicts the pods that exceed their disk limits.
    async fn evict_over_limits(&mut self, pods: &[PodInfo]) -> Vec<String> {
        let limited: Vec<&PodInfo> = pods.iter().filter(|pod| limits::has_limits(pod)).collect();
        if limited.is_empty() {
            return Vec::new();
        }
        let has_image_disk = self.has_image_disk().await;
        let usages =
            futures::future::join_all(limited.iter().map(|pod| usage::of_pod(&self.shared, pod))).await;
        let mut evicted = Vec::new();
        for (pod, usage) in limited.into_iter().zip(usages) {
            let exceeded = usage.and_then(|usage| limits::exceeded(pod, &usage, has_image_disk));
            if let Some((signal, message)) = exceeded
                && self.evict(pod, message, GRACE_IMMEDIATE, false)
            {
                self.shared.metrics.evicted(signal);
                evicted.push(pod.uid.clone());
            }
        }
        evicted
    }

    /// Reclaims unused resources. Returns whether that was enough.
    async fn reclaim_from_node(&mut self, threshold: &Threshold, pods: &[PodInfo]) -> bool {
        let frees = match threshold.signal.pressure() {
            // If images have a separate disk, removing them does not help the node's.
            Pressure::Disk => threshold.signal.is_of_images() || !self.has_image_disk().await,
            Pressure::Memory | Pressure::Pid => false,
        };
        if !frees {
            return false;
        }
        reclaim::dead_containers(&self.shared, &self.pods).await;
        self.images.look(&self.shared, pods).await;
        self.images.free(&self.shared, None).await;
        let observations = self.measure().await;
        decide::is_satisfied(&self.shared.config.eviction, &observations)
    }

    async fn evict_one(
        &mut self,
        threshold: &Threshold,
        pods: &[PodInfo],
        observations: &decide::Observations,
    ) -> Option<String> {
        let has_image_disk = self.has_image_disk().await;
        let usages = futures::future::join_all(pods.iter().map(|pod| usage::of_pod(&self.shared, pod))).await;
        let mut candidates: Vec<Candidate<'_>> =
            pods.iter().zip(usages).map(|(pod, usage)| Candidate { pod, usage }).collect();
        rank::rank(&mut candidates, threshold.signal, has_image_disk);
        for candidate in &candidates {
            let pod = candidate.pod;
            let grace = match threshold.is_hard() {
                true => GRACE_IMMEDIATE,
                false => {
                    let own = pod.spec().termination_grace_period_seconds.unwrap_or(i64::MAX);
                    self.shared.config.eviction.pod_grace_seconds_max.min(own)
                }
            };
            let message = rank::message(candidate, threshold, observations.get(&threshold.signal));
            if self.evict(pod, message, grace, true) {
                self.shared.metrics.evicted(threshold.signal.as_str());
                return Some(pod.uid.clone());
            }
        }
        tracing::warn!("the node is short of resources, but no pod can be evicted");
        None
    }

    /// Evicts a pod, unless it is critical.
    fn evict(&self, pod: &PodInfo, message: String, grace_seconds: i64, is_disruption: bool) -> bool {
        if is_critical(pod) {
            tracing::warn!(pod = %pod.key, "not evicting a critical pod");
            return false;
        }
        let eviction = Eviction { message: message.clone(), grace_seconds, is_disruption };
        if !self.pods.evict(&pod.uid, eviction) {
            return false;
        }
        tracing::warn!(pod = %pod.key, message, "evicting a pod");
        self.shared.pod_event(pod, EventType::Warning, EVICTED, message);
        true
    }

    async fn until_cleaned_up(&self, evicted: &[String]) {
        let until = Instant::now() + CLEANED_UP_WITHIN;
        while Instant::now() < until && !evicted.iter().all(|uid| self.pods.is_cleaned_up(uid)) {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Removes images that have been unused for a long time when their disk usage exceeds a high mark, down to a low
    /// one.
    async fn collect_images(&mut self) {
        let pods = self.active_pods();
        self.images.look(&self.shared, &pods).await;
        let Some(directory) = self.image_filesystem().await else { return };
        let space = self.shared.files.run_within(PERIOD, move || signals::space(&directory)).await;
        let Ok(Some(space)) = space else { return };
        let config = &self.shared.config;
        let Some(wanted) =
            reclaim::bytes_to_free(&space, config.image_gc_high_percent, config.image_gc_low_percent)
        else {
            return;
        };
        let freed = self.images.free(&self.shared, Some(wanted)).await;
        if freed < wanted {
            let message = format!(
                "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found \
                 {freed} bytes eligible to free."
            );
            self.event(EventType::Warning, "FreeDiskSpaceFailed", &message);
        }
    }
}
