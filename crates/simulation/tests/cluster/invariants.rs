//! Invariants that must hold after every single change.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use object::Value;
use parking_lot::Mutex;
use simulation::{Change, Journal, Observer};

use crate::counts::{Counts, ordinal};
use crate::model::{
    Model, amount, controller, has_condition, is_active, is_deleting, is_over, name, number, request, uid,
};

/// How long after a change of the desired state a controller may still act on the previous one.
const OLD_WISHES_COUNT: SignedDuration = SignedDuration::from_secs(60);

/// The state that a run shares with its observer.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) model: Model,
    /// The writes since this was last emptied, except for Leases and expiring events.
    pub(crate) writes: Vec<String>,
}

pub(crate) struct Invariants {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) journal: Journal,
    /// Whether nothing but controllers takes pods away, so that rollouts must keep enough of them.
    pub(crate) is_calm: bool,
    /// How many pods each ReplicaSet wanted, and Deployment allowed, and until when; by UID.
    wishes: BTreeMap<String, Wishes>,
    /// How many available pods each Deployment must keep, by UID.
    floors: BTreeMap<String, i64>,
    counts: Counts,
}

/// The desired state, current and previous.
#[derive(Default)]
struct Wishes {
    now: i64,
    before: Vec<(Timestamp, i64)>,
}

impl Wishes {
    fn set(&mut self, wish: i64, at: Timestamp) {
        if self.now != wish {
            self.before.push((at, self.now));
            self.now = wish;
        }
    }

    /// The maximum that a controller may still act on.
    fn most(&self, at: Timestamp) -> i64 {
        let recent = self.before.iter().filter(|(until, _)| at.duration_since(*until) <= OLD_WISHES_COUNT);
        recent.map(|(_, wish)| *wish).max().unwrap_or(0).max(self.now)
    }
}

impl Observer for Invariants {
    fn observe(&mut self, change: &Change) -> Result<(), String> {
        let seen = Arc::clone(&self.seen);
        let mut seen = seen.lock();
        seen.model.apply(change);
        let is_end_of_event = change.is_in("events") && change.new.is_null();
        if !change.is_in("leases") && !is_end_of_event {
            seen.writes.push(change.key.clone());
        }
        let model = &seen.model;
        self.counts.check(model, change)?;
        if change.is_in("pods") {
            check_identity(change)?;
            check_capacity(model, change)?;
            self.check_number(model, change)?;
            self.check_available(model, change)
        } else if change.is_in("replicasets") {
            self.check_surge(model, change)
        } else if change.is_in("deployments") {
            self.note_deployment(change);
            Ok(())
        } else if change.is_in("statefulsets") {
            self.note_wish(change, "spec.replicas");
            Ok(())
        } else if change.is_in("jobs") {
            self.note_wish(change, "spec.parallelism");
            Ok(())
        } else {
            Ok(())
        }
    }
}

/// A pod stays the pod it is: on its node, and over once it is over.
fn check_identity(change: &Change) -> Result<(), String> {
    let (old, new) = (&change.old, &change.new);
    if old.is_null() || new.is_null() {
        return Ok(());
    }
    let pod = name(new);
    if uid(old) != uid(new) {
        return Err(format!("pod {pod} became another pod by an update"));
    }
    let (was, is) = (old.str_at("spec.nodeName"), new.str_at("spec.nodeName"));
    if !was.is_empty() && was != is {
        return Err(format!("pod {pod} moved from {was} to {is:?}"));
    }
    if is_over(old) && !is_over(new) {
        return Err(format!("pod {pod} was over and is not any more"));
    }
    Ok(())
}

/// The pods of a node never ask for more than it has.
fn check_capacity(model: &Model, change: &Change) -> Result<(), String> {
    let node = change.new.str_at("spec.nodeName");
    if node.is_empty() || change.old.str_at("spec.nodeName") == node {
        return Ok(());
    }
    // It may be gone, and the news not have arrived.
    let Some(object) = model.get(&format!("minions/{node}")) else { return Ok(()) };
    let has = object.at("status.allocatable");
    let pods = || model.all("pods").filter(|pod| pod.str_at("spec.nodeName") == node && !is_over(pod));
    for resource in ["cpu", "memory"] {
        let (asked, most) =
            (pods().map(|pod| request(pod, resource)).sum::<i64>(), amount(has.str_at(resource)));
        if asked > most {
            let pod = name(&change.new);
            return Err(format!("with {pod} the pods of {node} ask for {asked} of its {most} {resource}"));
        }
    }
    let (count, most) = (pods().count() as i64, has.str_at("pods").parse().unwrap_or(0));
    if count > most {
        return Err(format!("{node} has {count} pods and takes {most}"));
    }
    Ok(())
}

/// A StatefulSet creates no pod beyond the last ordinal that is wanted.
fn check_ordinal(model: &Model, pod: &Value, most: i64) -> Result<(), String> {
    let Some((set, ordinal)) = ordinal(model, pod) else { return Ok(()) };
    let end = number(set, "spec.ordinals.start") + most;
    if ordinal < end {
        Ok(())
    } else {
        Err(format!("pod {} was created, ordinals end before {end}", name(pod)))
    }
}

impl Invariants {
    pub(crate) fn new(journal: Journal, seen: Arc<Mutex<Seen>>, is_calm: bool) -> Invariants {
        let counts = Counts::new(journal.clone());
        Invariants { seen, journal, is_calm, wishes: BTreeMap::new(), floors: BTreeMap::new(), counts }
    }

    /// How many pods an object wants.
    fn note_wish(&mut self, change: &Change, field: &str) {
        let object = change.object();
        if change.new.is_null() {
            self.wishes.remove(uid(object));
        } else {
            self.wishes.entry(uid(object).to_owned()).or_default().set(number(object, field), change.at);
        }
    }

    /// Controllers create no more pods than desired, except for those whose creation they cannot know about.
    fn check_number(&self, model: &Model, change: &Change) -> Result<(), String> {
        let Some(owner) = controller(&change.new).filter(|_| change.old.is_null()) else { return Ok(()) };
        let (kind, owner_uid) = (owner.str_at("kind"), owner.str_at("uid"));
        let Some(wishes) = self.wishes.get(owner_uid) else { return Ok(()) };
        match kind {
            "ReplicaSet" | "Job" => {}
            "StatefulSet" => return check_ordinal(model, &change.new, wishes.most(change.at)),
            _ => return Ok(()),
        }
        let pods = model.all("pods").filter(|pod| {
            is_active(pod) && controller(pod).is_some_and(|owner| owner.str_at("uid") == owner_uid)
        });
        let lost = self.journal.lost_writes();
        let unknown = lost.iter().filter(|lost| {
            lost.what.ends_with("/pods")
                && controller(&lost.body).is_some_and(|by| by.str_at("uid") == owner_uid)
        });
        let (pods, unknown, most) = (pods.count(), unknown.count(), wishes.most(change.at));
        if pods as i64 > most + unknown as i64 {
            let owner = owner.str_at("name");
            return Err(format!("{kind} {owner} has {pods} pods; {most} were wanted, {unknown} got lost"));
        }
        Ok(())
    }

    /// The ReplicaSets of a Deployment are never scaled up beyond its surge.
    fn check_surge(&mut self, model: &Model, change: &Change) -> Result<(), String> {
        let set = change.object();
        if change.new.is_null() {
            self.wishes.remove(uid(set));
            return Ok(());
        }
        let replicas = number(set, "spec.replicas");
        self.wishes.entry(uid(set).to_owned()).or_default().set(replicas, change.at);
        let Some(owner) = controller(set) else { return Ok(()) };
        if replicas <= number(&change.old, "spec.replicas") {
            return Ok(());
        }
        let Some(wishes) = self.wishes.get(owner.str_at("uid")) else { return Ok(()) };
        let sets = model.all("replicasets").filter(|set| {
            !is_deleting(set) && controller(set).is_some_and(|by| by.str_at("uid") == owner.str_at("uid"))
        });
        let (sum, most) = (sets.map(|set| number(set, "spec.replicas")).sum::<i64>(), wishes.most(change.at));
        if sum > most {
            let owner = owner.str_at("name");
            return Err(format!("the ReplicaSets of Deployment {owner} want {sum} pods; {most} are allowed"));
        }
        Ok(())
    }

    fn note_deployment(&mut self, change: &Change) {
        let deployment = change.object();
        let uid = uid(deployment).to_owned();
        if change.new.is_null() || is_deleting(deployment) {
            self.floors.remove(&uid);
            return;
        }
        let replicas = number(deployment, "spec.replicas");
        let surge = number(deployment, "spec.strategy.rollingUpdate.maxSurge");
        self.wishes.entry(uid.clone()).or_default().set(replicas + surge, change.at);
        if let Some(floor) = self.floors.get_mut(&uid) {
            *floor = (*floor).min(least(deployment));
        }
    }

    /// A Deployment that had enough available pods keeps enough of them, whatever is rolled out.
    fn check_available(&mut self, model: &Model, change: &Change) -> Result<(), String> {
        if !self.is_calm {
            return Ok(());
        }
        let Some(set) = controller(change.object()) else { return Ok(()) };
        let namespace = change.object().str_at("metadata.namespace");
        let set = model.get(&format!("replicasets/{namespace}/{}", set.str_at("name")));
        let Some(owner) = set.and_then(controller) else { return Ok(()) };
        let key = format!("deployments/{namespace}/{}", owner.str_at("name"));
        let Some(deployment) = model.get(&key).filter(|deployment| !is_deleting(deployment)) else {
            return Ok(());
        };
        let (mut available, mut kept) = (0, 0);
        for set in model.all("replicasets") {
            if controller(set).is_some_and(|by| by.str_at("uid") == uid(deployment)) {
                let ready = model.pods_of(set).filter(|pod| is_available(pod)).count() as i64;
                let all = model.pods_of(set).filter(|pod| is_active(pod)).count() as i64;
                available += ready;
                // Pods that a ReplicaSet is about to delete exist, but cannot be counted on: its controller may not
                // have heard which of its pods just became ready.
                let surplus = (all - number(set, "spec.replicas")).max(0);
                kept += (ready - surplus).max(0);
            }
        }
        let floor = self.floors.entry(uid(deployment).to_owned()).or_insert(0);
        if available < *floor {
            let name = name(deployment);
            return Err(format!("Deployment {name} has {available} available pods; {floor} must stay"));
        }
        // A controller that has not seen the newest wish may still act on the one before, and one that has not heard of
        // pods that became ready may count on others: what the Deployment says of itself must have been enough, too.
        let is_known =
            number(deployment, "status.observedGeneration") == number(deployment, "metadata.generation");
        let told = number(deployment, "status.availableReplicas");
        if is_known && kept.min(told) >= least(deployment) {
            *floor = (*floor).max(least(deployment));
        }
        Ok(())
    }
}

fn is_available(pod: &Value) -> bool {
    is_active(pod) && has_condition(pod, "Ready")
}

/// How many pods of a Deployment must stay available.
fn least(deployment: &Value) -> i64 {
    let unavailable = number(deployment, "spec.strategy.rollingUpdate.maxUnavailable");
    number(deployment, "spec.replicas") - unavailable
}
