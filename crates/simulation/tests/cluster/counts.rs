//! Invariants of what is counted and numbered: the ordinals of StatefulSets, the ended pods of Jobs, the starts of
//! CronJobs, the evictions that budgets allow.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use object::Value;
use simulation::{Change, Journal};

use crate::model::{Model, controller, has_condition, is_active, is_deleting, matches, name, number, uid};

/// An eviction may have begun before a budget that is younger than this.
const BEGUN_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// What has been seen so far.
pub(crate) struct Counts {
    journal: Journal,
    /// The ordinals whose pods have been ready, by the UID of their StatefulSet.
    ready: BTreeMap<String, BTreeSet<i64>>,
    /// The pods that have succeeded, and those that have failed or were deleted, by the UID of their Job.
    succeeded: BTreeMap<String, BTreeSet<String>>,
    failed: BTreeMap<String, BTreeSet<String>>,
    /// The times for which Jobs were started, by the UID of their CronJob.
    started: BTreeMap<String, BTreeSet<String>>,
}

impl Counts {
    pub(crate) fn new(journal: Journal) -> Counts {
        Counts {
            journal,
            ready: BTreeMap::new(),
            succeeded: BTreeMap::new(),
            failed: BTreeMap::new(),
            started: BTreeMap::new(),
        }
    }

    /// Checks a change, which `model` shows already.
    ///
    /// # Errors
    /// The invariant that it breaks.
    pub(crate) fn check(&mut self, model: &Model, change: &Change) -> Result<(), String> {
        if change.is_in("pods") {
            self.note_pod(model, change);
            self.check_order(model, change)?;
            check_eviction(model, change)
        } else if change.is_in("jobs") {
            self.check_start(model, change)?;
            self.check_counted(change)
        } else {
            Ok(())
        }
    }

    fn note_pod(&mut self, model: &Model, change: &Change) {
        let pod = change.object();
        let Some(owner) = controller(pod) else { return };
        let owner_uid = owner.str_at("uid").to_owned();
        match owner.str_at("kind") {
            "StatefulSet" if has_condition(&change.new, "Ready") => {
                let ordinal = ordinal(model, pod).map(|(_, ordinal)| ordinal);
                self.ready.entry(owner_uid).or_default().extend(ordinal);
            }
            "Job" => {
                let is_gone = change.new.is_null() || is_deleting(pod);
                if pod.str_at("status.phase") == "Succeeded" {
                    self.succeeded.entry(owner_uid.clone()).or_default().insert(uid(pod).to_owned());
                }
                if is_gone || pod.str_at("status.phase") == "Failed" {
                    self.failed.entry(owner_uid).or_default().insert(uid(pod).to_owned());
                }
            }
            _ => {}
        }
    }

    /// In order, the pod of an ordinal comes after all those before it have been ready.
    fn check_order(&self, model: &Model, change: &Change) -> Result<(), String> {
        if !change.old.is_null() || change.new.is_null() {
            return Ok(());
        }
        let Some((set, ordinal)) = ordinal(model, &change.new) else { return Ok(()) };
        if set.str_at("spec.podManagementPolicy") != "OrderedReady" {
            return Ok(());
        }
        let ready = self.ready.get(uid(set));
        let mut before = number(set, "spec.ordinals.start")..ordinal;
        match before.find(|before| !ready.is_some_and(|ready| ready.contains(before))) {
            None => Ok(()),
            Some(missing) => {
                Err(format!("pod {} was created before ordinal {missing} was ready", name(&change.new)))
            }
        }
    }

    /// A Job counts every pod at most once, and forgets none.
    fn check_counted(&self, change: &Change) -> Result<(), String> {
        let (job, old) = (&change.new, &change.old);
        if job.is_null() {
            return Ok(());
        }
        for (result, seen) in [("succeeded", &self.succeeded), ("failed", &self.failed)] {
            let total = |job: &Value| {
                let uncounted = job.at("status.uncountedTerminatedPods").get(result);
                number(job.get("status"), result) + uncounted.items().count() as i64
            };
            let seen = seen.get(uid(job)).map_or(0, BTreeSet::len) as i64;
            let (before, now, name) = (number(old.get("status"), result), total(job), name(job));
            if now > seen {
                return Err(format!("Job {name} counts {now} pods as {result}; there were {seen}"));
            }
            if number(job.get("status"), result) < before {
                return Err(format!("Job {name} had {before} pods that {result}, and has fewer now"));
            }
        }
        Ok(())
    }

    /// A CronJob starts one Job for each time, and under `Forbid` none beside another.
    fn check_start(&mut self, model: &Model, change: &Change) -> Result<(), String> {
        let job = &change.new;
        let Some(owner) = controller(job).filter(|_| change.old.is_null()) else { return Ok(()) };
        let (owner_uid, name) = (owner.str_at("uid"), name(job));
        let time = ["metadata", "annotations", "batch.kubernetes.io/cronjob-scheduled-timestamp"];
        let time = job.at_path(&time).as_str().unwrap_or_default().to_owned();
        if !self.started.entry(owner_uid.to_owned()).or_default().insert(time) {
            return Err(format!("Job {name} was started for the second time"));
        }
        let namespace = job.str_at("metadata.namespace");
        let cron_job = model.get(&format!("cronjobs/{namespace}/{}", owner.str_at("name")));
        if cron_job.is_none_or(|cron_job| cron_job.str_at("spec.concurrencyPolicy") != "Forbid") {
            return Ok(());
        }
        let of_owner = |object: &Value| controller(object).is_some_and(|by| by.str_at("uid") == owner_uid);
        let lost = self.journal.lost_writes();
        if lost.iter().any(|lost| lost.what.ends_with("/jobs") && of_owner(&lost.body)) {
            return Ok(());
        }
        let mut others = model.all("jobs").filter(|other| uid(other) != uid(job) && of_owner(other));
        let beside = others.find(|other| !is_deleting(other) && !is_finished(other));
        beside.map_or(Ok(()), |other| {
            Err(format!("Job {name} was started while {} ran", other.str_at("metadata.name")))
        })
    }
}

fn is_finished(job: &Value) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}

/// The StatefulSet of a pod, and the pod's ordinal.
pub(crate) fn ordinal<'m>(model: &'m Model, pod: &Value) -> Option<(&'m Value, i64)> {
    let owner = controller(pod).filter(|owner| owner.str_at("kind") == "StatefulSet")?;
    let (namespace, set) = (pod.str_at("metadata.namespace"), owner.str_at("name"));
    let ordinal = pod.str_at("metadata.name").strip_prefix(set)?.strip_prefix('-')?.parse().ok()?;
    Some((model.get(&format!("statefulsets/{namespace}/{set}"))?, ordinal))
}

/// The budget that selects a pod; the workload makes at most one.
pub(crate) fn covers(budget: &Value, pod: &Value) -> bool {
    budget.at("metadata.namespace") == pod.at("metadata.namespace")
        && matches(budget.at("spec.selector.matchLabels"), pod)
}

/// A pod that is ready is evicted only if its budget was charged for it.
fn check_eviction(model: &Model, change: &Change) -> Result<(), String> {
    let (old, new) = (&change.old, &change.new);
    let was_ready = is_active(old) && has_condition(old, "Ready");
    if old.is_null() || new.is_null() || !was_ready || is_evicted(old) || !is_evicted(new) {
        return Ok(());
    }
    let is_old = |budget: &&Value| {
        let created: Option<Timestamp> = budget.str_at("metadata.creationTimestamp").parse().ok();
        created.is_some_and(|created| change.at.duration_since(created) > BEGUN_WITHIN)
    };
    let mut budgets = model.all("poddisruptionbudgets").filter(|budget| covers(budget, new)).filter(is_old);
    let pod = new.str_at("metadata.name");
    match budgets.find(|budget| budget.at("status.disruptedPods").get(pod).is_null()) {
        None => Ok(()),
        Some(budget) => Err(format!("pod {} was evicted for nothing from {}", name(new), name(budget))),
    }
}

fn is_evicted(pod: &Value) -> bool {
    let mut conditions = pod.at("status.conditions").items();
    conditions.any(|condition| {
        condition.str_at("type") == "DisruptionTarget"
            && condition.str_at("status") == "True"
            && condition.str_at("reason") == "EvictionByEvictionAPI"
    })
}
