//! Which pods and claims are created, changed and deleted, and in which order.

use std::sync::Arc;

use client::{EventType, Form, Identified, LeanPod, Patch, ResourceType, key_of, reference_to, version_of};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::json;

use super::claims::{self, Holder, Retention};
use super::identity;
use super::replicas::{self, Replica, Replicas, Revisions, Snapshot};
use super::{status, update};
use crate::framework::{Action, Announcement, Claim, Note, Plan};
use crate::pods;
use crate::revisions::{History, Versioned};

/// The label of revisions with the hash of their template.
const REVISION_HASH_LABEL: &str = "controller.kubernetes.io/hash";
/// The default number of revisions that are kept.
const HISTORY_LIMIT_DEFAULT: i32 = 10;
/// The maximum number of pods created at once.
const BATCH_MAX: usize = 500;

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let set = &*snapshot.set;
    let mut plan = Plan::default();
    let Ok(selector) = semantics::try_selector(&set.spec.selector) else { return plan };
    let claim = Claim { owner: set, selector: &selector };
    let mut revisions = snapshot.revisions.clone();
    revisions.retain(|revision| selector.matches(revision.labels()));
    let revisions = claim.claim(&revisions, |_| true);
    let pods = claim.claim_if(&snapshot.pods, |pod| identity::is_member(set, pod), |_| true);
    for changes in [revisions.changes, pods.changes] {
        if !changes.is_empty() {
            return changes;
        }
    }
    let is_dying = set.metadata.deletion_timestamp.is_some();
    let versioned = versioned(set);
    let history = History::new(&versioned, revisions.owned);
    if !is_dying {
        history.bring_up(&versioned, &mut plan);
    }
    let Some(revisions) = between(set, &history).filter(|_| plan.is_empty()) else { return plan };
    let replicas = Replicas::new(set, &pods.owned);
    let mut status = status::counts(set, &pods.owned, &revisions, now);
    if !is_dying {
        let mut round =
            Round { snapshot, set, replicas: &replicas, revisions: &revisions, now, plan: &mut plan };
        for pod in round.run() {
            let is_current = identity::revision(&pod) == revisions.current();
            status.current_replicas = status.current_replicas.map(|count| count - i32::from(is_current));
        }
    }
    status::finish(set, &pods.owned, status, &mut plan, now);
    clean_up(set, &history, &revisions, &pods.owned, &mut plan);
    plan
}

pub(super) fn versioned(set: &StatefulSet) -> Versioned<'_, StatefulSet> {
    Versioned {
        owner: set,
        template: &set.spec.template,
        collisions: set.status.as_ref().and_then(|status| status.collision_count),
        hash_label: REVISION_HASH_LABEL,
    }
}

/// The revisions that the set is between, once there is one of the present template.
pub(super) fn between(set: &StatefulSet, history: &History) -> Option<Revisions> {
    let update = history.current.clone()?;
    let current = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
    let is_current = |revision: &&Arc<ControllerRevision>| revision.metadata.name.as_deref() == current;
    let current = history.old.iter().find(is_current).cloned().unwrap_or_else(|| Arc::clone(&update));
    Some(Revisions { current, update })
}

fn clean_up(
    set: &StatefulSet,
    history: &History,
    revisions: &Revisions,
    owned: &[Arc<LeanPod>],
    plan: &mut Plan,
) {
    let limit = set.spec.revision_history_limit.unwrap_or(HISTORY_LIMIT_DEFAULT);
    let is_live = |name: &str| {
        name == revisions.current()
            || name == revisions.update()
            || owned.iter().any(|pod| identity::revision(pod) == name)
    };
    if let Ok(limit) = usize::try_from(limit) {
        history.truncate(limit, is_live, plan);
    }
}

/// One pass over the pods of a set.
struct Round<'a> {
    snapshot: &'a Snapshot,
    set: &'a StatefulSet,
    replicas: &'a Replicas,
    revisions: &'a Revisions,
    now: Timestamp,
    plan: &'a mut Plan,
}

impl Round<'_> {
    /// Scaling goes before updating. Returns the pods that are deleted for an update.
    fn run(&mut self) -> Vec<Arc<LeanPod>> {
        let (set, replicas) = (self.set, self.replicas);
        let is_done = if replicas::is_parallel(set) { self.keep_all() } else { self.keep_in_order() };
        if !is_done {
            return Vec::new();
        }
        for pod in &replicas.condemned {
            self.settle_claims(pod);
        }
        if !self.shrink() {
            return Vec::new();
        }
        let outdated = update::outdated(set, replicas, self.revisions, self.now);
        self.plan.together(outdated.iter().map(|pod| delete(set, pod)).collect());
        outdated
    }

    /// Each pod waits for the one before. Returns whether all are as they should be.
    fn keep_in_order(&mut self) -> bool {
        for replica in &self.replicas.wanted {
            match replica {
                Replica::Present(pod) if self.replace_if_over(pod) => return false,
                Replica::Present(pod) => {
                    if !self.keep(pod) {
                        return false;
                    }
                }
                Replica::Missing(ordinal) => {
                    if !self.has_stale_claim(*ordinal) {
                        self.create_all(&[*ordinal]);
                    }
                    return false;
                }
            }
        }
        true
    }

    /// No pod waits for another. A pod that cannot be helped must not hold up others, so those that are missing come
    /// first.
    fn keep_all(&mut self) -> bool {
        let (mut missing, mut running) = (Vec::new(), Vec::new());
        for replica in &self.replicas.wanted {
            match replica {
                Replica::Present(pod) if self.replace_if_over(pod) => {}
                Replica::Present(pod) => running.push(pod),
                Replica::Missing(ordinal) if self.has_stale_claim(*ordinal) => {}
                Replica::Missing(ordinal) => missing.push(*ordinal),
            }
        }
        self.create_all(&missing) && running.into_iter().all(|pod| self.keep(pod))
    }

    /// Whatever its containers returned, a pod has to run again; a new one follows when this one is gone.
    fn replace_if_over(&mut self, pod: &LeanPod) -> bool {
        let is_over = pods::is_terminal(pod);
        if is_over && !replicas::is_deleting(pod) {
            self.plan.then(delete(self.set, pod));
        }
        is_over
    }

    /// Looks after a pod that runs; returns whether more can be done.
    fn keep(&mut self, pod: &LeanPod) -> bool {
        let (set, now) = (self.set, self.now);
        let Some(ordinal) = identity::ordinal(pod) else { return true };
        if pods::phase(pod) == "Pending" {
            if self.create_claims(ordinal).is_err() {
                return false;
            }
            self.settle_claims(pod);
        }
        let is_ready = !replicas::is_unavailable(set, pod, now) && replicas::is_running_and_ready(pod);
        (is_ready || replicas::is_parallel(set)) && self.repair(pod, ordinal)
    }

    /// Gives a pod its identity, its volumes and the right owners of its claims.
    fn repair(&mut self, pod: &LeanPod, ordinal: i32) -> bool {
        let set = self.set;
        let is_labelled = identity::is_labelled(pod);
        let has_volumes = identity::has_volumes(set, pod, ordinal);
        if !has_volumes && self.create_claims(ordinal).is_err() {
            return false;
        }
        let has_settled = pods::phase(pod) != "Pending" && self.settle_claims(pod);
        if !is_labelled || !has_volumes {
            self.plan.then(identify(set, pod, ordinal, !has_volumes));
        }
        if !is_labelled || !has_volumes || has_settled {
            let (name, set_name) = (pod.metadata.name(), identity::name_of(set));
            let message = format!("update Pod {name} in StatefulSet {set_name} successful");
            self.note(EventType::Normal, "SuccessfulUpdate", message);
        }
        true
    }

    /// Deletes the pods that are not wanted; returns whether updates may follow.
    fn shrink(&mut self) -> bool {
        let (set, now, is_parallel) = (self.set, self.now, replicas::is_parallel(self.set));
        let unavailable = |pod: &&Arc<LeanPod>| replicas::is_unavailable(set, pod, now);
        let first_unavailable = self.replicas.condemned.iter().rev().find(unavailable).map(Arc::as_ptr);
        let mut gone = Vec::new();
        for pod in &self.replicas.condemned {
            let is_deleting = replicas::is_deleting(pod);
            let is_first = Some(Arc::as_ptr(pod)) == first_unavailable;
            let waits = is_deleting || (replicas::is_unavailable(set, pod, now) && !is_first);
            if !is_deleting && (is_parallel || !waits) {
                gone.push(delete(set, pod));
            }
            if !is_parallel {
                break;
            }
        }
        self.plan.together(gone);
        is_parallel || self.replicas.condemned.is_empty()
    }

    /// Creates pods with their claims, in growing batches; returns whether all can be created.
    fn create_all(&mut self, ordinals: &[i32]) -> bool {
        let (mut rest, mut batch) = (ordinals, 1);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(batch));
            for ordinal in now {
                if let Err(why) = self.create_claims(*ordinal) {
                    let name = identity::pod_name(self.set, *ordinal);
                    self.note(EventType::Warning, "FailedCreate", failed(self.set, "create", &name, &why));
                    return false;
                }
                self.warn_of_rivals(*ordinal);
            }
            let (set, revisions) = (self.set, self.revisions);
            self.plan.together(now.iter().map(|ordinal| create(set, revisions, *ordinal)).collect());
            (rest, batch) = (later, (batch * 2).min(BATCH_MAX));
        }
        true
    }

    /// Whether a claim of a pod that does not exist belongs to a previous one, with which it is about to go.
    fn has_stale_claim(&self, ordinal: i32) -> bool {
        let holder = Holder::missing(self.set, ordinal);
        Retention::of(self.set).deleted_with_pod
            && self.claims_of(ordinal).any(|claim| holder.is_of_previous_pod(claim))
    }

    fn claims_of(&self, ordinal: i32) -> impl Iterator<Item = &PersistentVolumeClaim> {
        let names = identity::claim_templates(self.set);
        let names = names.map(move |template| identity::claim_name(self.set, template, ordinal));
        names.filter_map(|name| self.snapshot.claims.get(&name).map(|claim| &**claim))
    }

    /// Creates the claims that a pod lacks; an error if one of them is being deleted.
    fn create_claims(&mut self, ordinal: i32) -> Result<(), String> {
        let mut deleting = Vec::new();
        for claim in claims::wanted(self.set, ordinal) {
            let name = claim.metadata.name.clone().unwrap_or_default();
            match self.snapshot.claims.get(&name) {
                Some(known) if known.metadata.deletion_timestamp.is_some() => {
                    deleting.push(format!("pvc {name} is being deleted"));
                }
                Some(_) => {}
                None => {
                    self.plan.then(Action::create(claim));
                    let (pod, set) = (identity::pod_name(self.set, ordinal), identity::name_of(self.set));
                    let message = format!("create Claim {name} Pod {pod} in StatefulSet {set} success");
                    self.note(EventType::Normal, "SuccessfulCreate", message);
                }
            }
        }
        match &deleting[..] {
            [] => Ok(()),
            [only] => Err(only.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }

    /// Gives the claims of a pod the owners that the policy wants; returns whether any changes.
    fn settle_claims(&mut self, pod: &LeanPod) -> bool {
        let holder = Holder::of(self.set, pod);
        let Some(ordinal) = identity::ordinal(pod) else { return false };
        let unsettled: Vec<_> =
            self.claims_of(ordinal).filter(|claim| !holder.is_settled(claim)).cloned().collect();
        for claim in &unsettled {
            self.warn_of_rival(&holder, claim);
            self.plan.then(Action::update(holder.settle(claim)));
        }
        !unsettled.is_empty()
    }

    fn warn_of_rivals(&mut self, ordinal: i32) {
        let holder = Holder::missing(self.set, ordinal);
        for claim in self.claims_of(ordinal).cloned().collect::<Vec<_>>() {
            self.warn_of_rival(&holder, &claim);
        }
    }

    fn warn_of_rival(&mut self, holder: &Holder<'_>, claim: &PersistentVolumeClaim) {
        if holder.has_rival(claim) {
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            let message = format!(
                "PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging controller, \
                 the retention policy is ignored for this claim"
            );
            self.note(EventType::Warning, "ConflictingController", message);
        }
    }

    fn note(&mut self, kind: EventType, reason: &'static str, message: String) {
        self.plan.record(Note { about: reference_to(self.set), kind, reason, message });
    }
}

/// The message of a failure with a pod.
pub(super) fn failed(set: &StatefulSet, verb: &str, pod: &str, why: &str) -> String {
    format!("{verb} Pod {pod} in StatefulSet {} failed error: {why}", identity::name_of(set))
}

fn create(set: &StatefulSet, revisions: &Revisions, ordinal: i32) -> Action {
    Action::create(replicas::new_pod(set, revisions, ordinal)).announced(Announcement {
        about: reference_to(set),
        reason: "SuccessfulCreate",
        message: |name| format!("create Pod {name} in StatefulSet {} successful", identity::set_of(name)),
    })
}

fn delete(set: &StatefulSet, pod: &LeanPod) -> Action {
    Action::delete(pod).announced(Announcement {
        about: reference_to(set),
        reason: "SuccessfulDelete",
        message: |name| format!("delete Pod {name} in StatefulSet {} successful", identity::set_of(name)),
    })
}

/// Sets the labels that repeat a pod's name, and the volumes of its claims. The server refuses new volumes: that pod
/// cannot be helped, and an event says so.
fn identify(set: &StatefulSet, pod: &LeanPod, ordinal: i32, with_volumes: bool) -> Action {
    let labels = json!({
        identity::POD_NAME_LABEL: pod.metadata.name(), identity::POD_INDEX_LABEL: ordinal.to_string(),
    });
    let meta = json!({"uid": pod.uid(), "resourceVersion": version_of(pod), "labels": labels});
    let mut patch = json!({"metadata": meta});
    if with_volumes {
        patch["spec"] = json!({"volumes": identity::volumes(set, ordinal)});
    }
    Action::Patch {
        resource: ResourceType::of::<LeanPod>(),
        key: key_of(pod),
        subresource: "",
        patch: Patch::Strategic(patch),
    }
}
