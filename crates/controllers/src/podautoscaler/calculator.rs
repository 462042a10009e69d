//! How many replicas a metric calls for (upstream: `pkg/controller/podautoscaler/replica_calculator.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::LeanPod;
use jiff::{SignedDuration, Timestamp};
use object::Quantity;
use semantics::{Options, pods};

use super::readings::{Reading, Readings};

/// The times in which a pod's use of processors says nothing yet. The defaults are upstream's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Startup {
    /// So long after its start, a pod's processor time counts only while it is ready
    /// (`--horizontal-pod-autoscaler-cpu-initialization-period`).
    pub(crate) cpu_initialization: SignedDuration,
    /// A pod that was not ready later than this after its start has been ready before
    /// (`--horizontal-pod-autoscaler-initial-readiness-delay`).
    pub(crate) initial_readiness: SignedDuration,
}

impl Default for Startup {
    fn default() -> Startup {
        Startup {
            cpu_initialization: SignedDuration::from_mins(5),
            initial_readiness: SignedDuration::from_secs(30),
        }
    }
}

/// How far from its target a metric may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub(super) up: f64,
    pub(super) down: f64,
}

impl Tolerances {
    fn accept(&self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}

/// What a calculation is about.
pub(super) struct Target<'a> {
    /// The pods that the selector selects.
    pub(super) pods: &'a [Arc<LeanPod>],
    /// How many replicas are wanted now.
    pub(super) replicas: i32,
    pub(super) tolerances: Tolerances,
    pub(super) startup: Startup,
    pub(super) now: Timestamp,
}

/// How many replicas a metric calls for, and its present value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    /// The average over the pods, or the value of the whole, in thousandths.
    pub(super) milli: i64,
    /// The same as a percentage of what was requested, where that is the target.
    pub(super) percent: Option<i32>,
}

/// The pods whose readings count, and those whose do not.
#[derive(Default)]
struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

impl Target<'_> {
    /// The replicas at which the pods use this percentage of what they request.
    pub(super) fn by_utilization(
        &self,
        mut readings: Readings,
        resource: &str,
        container: Option<&str>,
        target: i32,
    ) -> Result<Proposal, String> {
        let groups = self.groups(&mut readings, resource)?;
        let requests = requests(self.pods, resource, container)?;
        let used = utilization(&readings, &requests)?;
        let missing = |pod: &str| {
            let request = requests.get(pod).copied().unwrap_or_default();
            saturate(i128::from(request) * i128::from(target.max(100)) / 100)
        };
        let ratio = |readings: &Readings| {
            utilization(readings, &requests).map(|used| f64::from(used.percent) / f64::from(target))
        };
        let replicas = self.balance(readings, &groups, ratio, missing)?;
        Ok(Proposal { replicas, milli: used.average, percent: Some(used.percent) })
    }

    /// The replicas at which the pods use so much on average, in thousandths. Only the processor has a `resource` whose
    /// readings depend on how the pod starts.
    pub(super) fn by_average(
        &self,
        mut readings: Readings,
        resource: &str,
        target_milli: i64,
    ) -> Result<Proposal, String> {
        let groups = self.groups(&mut readings, resource)?;
        let milli = average(&readings);
        let ratio = |readings: &Readings| Ok(average(readings) as f64 / target_milli as f64);
        let replicas = self.balance(readings, &groups, ratio, |_| target_milli)?;
        Ok(Proposal { replicas, milli, percent: None })
    }

    /// The replicas for a metric of something else than the pods, whose value is so much of its target.
    pub(super) fn by_value(&self, milli: i64, target_milli: i64) -> Result<Proposal, String> {
        let ratio = milli as f64 / target_milli as f64;
        let replicas = if self.replicas == 0 {
            ceil(ratio)
        } else if self.tolerances.accept(ratio) {
            self.replicas
        } else {
            let ready = self.pods.iter().filter(|pod| is_running(pod) && pods::is_ready(&***pod)).count();
            self.some_pods().map_err(|error| format!("unable to calculate ready pods: {error}"))?;
            ceil(ratio * ready as f64)
        };
        Ok(Proposal { replicas, milli, percent: None })
    }

    /// The replicas of which each has so much of a metric's value; there are `status_replicas` of them.
    pub(super) fn by_value_per_pod(&self, milli: i64, target_milli: i64, status_replicas: i32) -> Proposal {
        let ratio = milli as f64 / (target_milli as f64 * f64::from(status_replicas));
        let replicas = if self.tolerances.accept(ratio) {
            status_replicas
        } else {
            ceil(milli as f64 / target_milli as f64)
        };
        let each = (milli as f64 / f64::from(status_replicas)).ceil();
        Proposal { replicas, milli: each as i64, percent: None }
    }

    fn some_pods(&self) -> Result<(), String> {
        match self.pods.is_empty() {
            true => Err("no pods returned by selector while calculating replica count".to_owned()),
            false => Ok(()),
        }
    }

    /// Sorts the pods, and removes the readings that do not count.
    fn groups(&self, readings: &mut Readings, resource: &str) -> Result<Groups, String> {
        self.some_pods()?;
        let mut groups = Groups::default();
        for pod in self.pods {
            let name = pod.metadata.name().to_owned();
            let phase = pods::phase(&**pod);
            if pods::is_deleting(&**pod) || phase == "Failed" {
                groups.ignored.insert(name);
            } else if phase == "Pending" {
                groups.unready.insert(name);
            } else if let Some(reading) = readings.get(&name) {
                if resource == "cpu" && self.is_starting(pod, reading) {
                    groups.unready.insert(name);
                } else {
                    groups.ready += 1;
                }
            } else {
                groups.missing.insert(name);
            }
        }
        readings.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
        match readings.is_empty() {
            true => Err("did not receive metrics for targeted pods (pods might be unready)".to_owned()),
            false => Ok(groups),
        }
    }

    /// Whether a pod's processor time is that of its start.
    fn is_starting(&self, pod: &LeanPod, reading: &Reading) -> bool {
        let Some(status) = &pod.status else { return true };
        let ready = status.conditions.iter().find(|condition| &*condition.type_ == "Ready");
        let (Some(ready), Some(started)) = (ready, &status.start_time) else { return true };
        let changed = ready.last_transition_time.as_ref().map(|time| time.0).unwrap_or_default();
        let is_unready = &*ready.status == "False";
        let after = |time: Timestamp, delay| time.checked_add(delay).unwrap_or(Timestamp::MAX);
        if after(started.0, self.startup.cpu_initialization) > self.now {
            // No window has passed yet in which it was ready all the time.
            return is_unready || reading.at < after(changed, reading.window);
        }
        is_unready && after(started.0, self.startup.initial_readiness) > changed
    }

    /// The replicas at which the ratio is 1. Pods without reading are taken for such that change nothing for the worse:
    /// for idle ones on the way up, and for `missing` on the way down.
    fn balance(
        &self,
        mut readings: Readings,
        groups: &Groups,
        ratio: impl Fn(&Readings) -> Result<f64, String>,
        missing: impl Fn(&str) -> i64,
    ) -> Result<i32, String> {
        let used = ratio(&readings)?;
        let up_with_unready = !groups.unready.is_empty() && used > 1.0;
        if !up_with_unready && groups.missing.is_empty() {
            return Ok(match self.tolerances.accept(used) {
                true => self.replicas,
                false => ceil(used * groups.ready as f64),
            });
        }
        let assumed = |milli| Reading { milli, at: self.now, window: SignedDuration::ZERO };
        if used < 1.0 {
            readings.extend(groups.missing.iter().map(|pod| (pod.clone(), assumed(missing(pod)))));
        } else if used > 1.0 {
            readings.extend(groups.missing.iter().map(|pod| (pod.clone(), assumed(0))));
        }
        if up_with_unready {
            readings.extend(groups.unready.iter().map(|pod| (pod.clone(), assumed(0))));
        }
        let again = ratio(&readings)?;
        let turns = (used < 1.0 && again > 1.0) || (used > 1.0 && again < 1.0);
        if self.tolerances.accept(again) || turns {
            return Ok(self.replicas);
        }
        let replicas = ceil(again * readings.len() as f64);
        let turns = (again < 1.0 && replicas > self.replicas) || (again > 1.0 && replicas < self.replicas);
        Ok(if turns { self.replicas } else { replicas })
    }
}

fn is_running(pod: &LeanPod) -> bool {
    pods::phase(pod) == "Running"
}

/// The next whole number, within the bounds of the type.
fn ceil(replicas: f64) -> i32 {
    replicas.ceil() as i32
}

fn saturate(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

fn average(readings: &Readings) -> i64 {
    let sum: i128 = readings.values().map(|reading| i128::from(reading.milli)).sum();
    saturate(sum / readings.len().max(1) as i128)
}

struct Utilization {
    percent: i32,
    average: i64,
}

/// What the pods use of what they request. Readings of pods that are not known do not count.
fn utilization(readings: &Readings, requests: &BTreeMap<String, i64>) -> Result<Utilization, String> {
    let known = readings.iter().filter_map(|(pod, reading)| Some((reading.milli, *requests.get(pod)?)));
    let (mut used, mut requested, mut count) = (0i128, 0i128, 0i128);
    for (milli, request) in known {
        used += i128::from(milli);
        requested += i128::from(request);
        count += 1;
    }
    if requested == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = i32::try_from(used * 100 / requested).unwrap_or(i32::MAX);
    Ok(Utilization { percent, average: saturate(used / count) })
}

/// What each pod requests of a resource, in thousandths: as a whole, or for one of its containers.
fn requests(
    pods: &[Arc<LeanPod>],
    resource: &str,
    container: Option<&str>,
) -> Result<BTreeMap<String, i64>, String> {
    let of = |pod: &Arc<LeanPod>| {
        let name = pod.metadata.name().to_owned();
        let request = match container {
            None if is_pod_level(pod) => {
                let all = semantics::pod_requests(&**pod, Options::default());
                let request = all.get(resource).map(Quantity::milli_value);
                request.ok_or_else(|| format!("missing pod-level request for {resource} in Pod {name}"))?
            }
            container => of_containers(pod, resource, container)?,
        };
        Ok((name, request))
    };
    pods.iter().map(of).collect()
}

/// Whether requests of the pod as a whole are given.
fn is_pod_level(pod: &LeanPod) -> bool {
    let resources = pod.spec.as_ref().and_then(|spec| spec.template.resources.as_ref());
    resources.is_some_and(|own| own.requests.iter().any(|(name, _)| semantics::is_pod_level(name)))
}

fn of_containers(pod: &LeanPod, resource: &str, container: Option<&str>) -> Result<i64, String> {
    let name = pod.metadata.name();
    let Some(spec) = &pod.spec else { return Err(format!("pod {name} has no containers")) };
    let sidecars = spec.template.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let mut sum = 0i64;
    let mut found = false;
    for one in spec.template.containers.iter().chain(sidecars) {
        if container.is_some_and(|container| container != &*one.name) {
            continue;
        }
        let request = one.resources.as_ref().and_then(|resources| resources.requests.get(resource));
        let request = request.and_then(|request| Quantity::parse(request).ok()).ok_or_else(|| {
            format!("missing request for {resource} in container {} of Pod {name}", &*one.name)
        })?;
        sum = sum.saturating_add(request.milli_value());
        found = true;
    }
    match container {
        Some(container) if !found => Err(format!("container {container} not found in Pod {name}")),
        _ => Ok(sum),
    }
}
