//! The table of pods, whose status column summarizes the pod and all its containers.

use clock::Clock;
use object::Value;
use semantics::conditions::{self, holds};
use semantics::pods::{self, is_sidecar};

use crate::table::{self, AGE, Column, NAME, age, cells as row, name, number, or, since};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::text("Ready", "How many containers are ready, of how many."),
    Column::text("Status", "What the containers are doing, in one word."),
    Column::text("Restarts", "How often containers were restarted, and when last."),
    AGE,
    Column::text("IP", "The pod's address.").wide(),
    Column::text("Node", "The node that runs the pod.").wide(),
    Column::text("Nominated Node", "The node on which room is being made for the pod.").wide(),
    Column::text("Readiness Gates", "How many of the pod's readiness gates are open.").wide(),
];

pub(super) fn cells(pod: &Value, clock: &Clock) -> Vec<Value> {
    let summary = Summary::of(pod);
    let text = |path: &str| or(pod.str_at(path), "<none>").to_owned();
    let ip = pod.at("status.podIPs").items().next().map_or("", |ip| ip.str_at("ip"));
    row![
        name(pod),
        format!("{}/{}", summary.ready, summary.total),
        summary.reason,
        summary.restarts.text(clock),
        age(pod, clock),
        or(ip, "<none>"),
        text("spec.nodeName"),
        text("status.nominatedNodeName"),
        readiness_gates(pod),
    ]
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.at("spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.items().filter(|gate| holds(pod, gate.str_at("conditionType"))).count();
    format!("{open}/{}", gates.items().len())
}

/// Restarts, and when the last container ended before one.
#[derive(Default)]
struct Restarts<'a> {
    count: i64,
    last: Option<&'a str>,
}

impl<'a> Restarts<'a> {
    fn add(&mut self, container: &'a Value) {
        self.count += number(container, "restartCount");
        // Times in the form of the API sort as text.
        self.last = self.last.max(container.at("lastState.terminated.finishedAt").as_str());
    }

    fn text(&self, clock: &Clock) -> String {
        match self.last.filter(|_| self.count != 0) {
            Some(last) => format!("{} ({} ago)", self.count, since(&Value::from(last), clock)),
            None => self.count.to_string(),
        }
    }
}

/// The summary of a pod's containers.
struct Summary<'a> {
    reason: String,
    ready: usize,
    total: usize,
    restarts: Restarts<'a>,
}

impl<'a> Summary<'a> {
    fn of(pod: &'a Value) -> Summary<'a> {
        let phase = pod.str_at("status.phase");
        let mut reason = or(pod.str_at("status.reason"), phase).to_owned();
        let is_gated = conditions::of(pod, "PodScheduled").field("reason").text() == "SchedulingGated";
        if is_gated {
            reason = "SchedulingGated".to_owned();
        }
        let sidecars = pod.at("spec.initContainers").items().filter(|c| is_sidecar(*c)).count();
        let total = pod.at("spec.containers").items().len() + sidecars;
        let mut summary = Summary { reason, ready: 0, total, restarts: Restarts::default() };
        let (sidecar_restarts, is_initializing) = summary.add_init_containers(pod);
        if !is_initializing || holds(pod, "Initialized") {
            summary.restarts = sidecar_restarts;
            summary.add_containers(pod);
        }
        if !pod.at("metadata.deletionTimestamp").is_null() {
            if pod.str_at("status.reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !pods::is_terminal_phase(phase) {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Goes through the init containers up to the first unfinished one. Returns the restarts of sidecars, and whether
    /// an unfinished one was found.
    fn add_init_containers(&mut self, pod: &'a Value) -> (Restarts<'a>, bool) {
        let specs = pod.at("spec.initContainers");
        let mut sidecar_restarts = Restarts::default();
        for (index, status) in pod.at("status.initContainerStatuses").items().enumerate() {
            self.restarts.add(status);
            let name = status.str_at("name");
            let is_sidecar = specs.items().any(|spec| spec.str_at("name") == name && is_sidecar(spec));
            if is_sidecar {
                sidecar_restarts.add(status);
            }
            let ended = status.at("state.terminated");
            if !ended.is_null() && number(ended, "exitCode") == 0 {
                continue;
            }
            if is_sidecar && table::flag(status, "started") {
                self.ready += usize::from(table::flag(status, "ready"));
                continue;
            }
            let waiting = status.str_at("state.waiting.reason");
            self.reason = if !ended.is_null() {
                format!("Init:{}", end_reason(ended))
            } else if !matches!(waiting, "" | "PodInitializing") {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", specs.items().len())
            };
            return (sidecar_restarts, true);
        }
        (sidecar_restarts, false)
    }

    /// The first container with something to report names the state of all.
    fn add_containers(&mut self, pod: &'a Value) {
        let mut is_running = false;
        let mut failure = None;
        for status in pod.at("status.containerStatuses").items().rev() {
            self.restarts.add(status);
            let (waiting, ended) = (status.str_at("state.waiting.reason"), status.at("state.terminated"));
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if !ended.is_null() {
                self.reason = end_reason(ended);
                if number(ended, "exitCode") != 0 {
                    failure = Some(self.reason.clone());
                }
            } else if table::flag(status, "ready") && !status.at("state.running").is_null() {
                is_running = true;
                self.ready += 1;
            }
        }
        if self.reason != "Completed" {
            return;
        }
        // Some container has completed, but the pod has not.
        if is_running && holds(pod, "Ready") {
            self.reason = "Running".to_owned();
        } else if let Some(failure) = failure {
            self.reason = failure;
        } else if is_running {
            self.reason = "NotReady".to_owned();
        }
    }
}

fn end_reason(ended: &Value) -> String {
    match (ended.str_at("reason"), number(ended, "signal")) {
        ("", 0) => format!("ExitCode:{}", number(ended, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
