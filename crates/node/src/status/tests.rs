use std::collections::BTreeMap;

use cri::ContainerState::{Exited, Running};
use serde_json::{Value, json};

use super::*;
use crate::observed::Observed;
use crate::pod::PodInfo;
use crate::probe::{ContainerProbes, ProbeView};
use crate::testing::{at, container, observed, pod, pod_with, sandbox};

struct Case {
    pod: PodInfo,
    observed: Observed,
    probes: ProbeView,
    waiting: BTreeMap<String, Waiting>,
    terminated: bool,
    failure: Option<(&'static str, &'static str)>,
}

impl Case {
    fn new(pod: PodInfo, observed: Observed) -> Case {
        let (probes, waiting) = (ProbeView::default(), BTreeMap::new());
        Case { pod, observed, probes, waiting, terminated: false, failure: None }
    }

    fn status(&self) -> PodStatus {
        self.status_after(self.pod.api_status())
    }

    fn status_after(&self, old: &PodStatus) -> PodStatus {
        let input = Input {
            pod: &self.pod,
            observed: &self.observed,
            probes: &self.probes,
            waiting: &self.waiting,
            messages: &BTreeMap::new(),
            host_ips: &["192.168.0.1".to_owned()],
            terminated: self.terminated,
            disruption: None,
            failure: self.failure,
            now: at(200),
        };
        status(input, old)
    }
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "web", "image": "nginx"}]})
}

fn state(status: &PodStatus) -> Value {
    serde_json::to_value(&status.container_statuses.as_ref().unwrap()[0].state).unwrap()
}

fn holds(status: &PodStatus, kind: &str) -> (String, String, String) {
    let found = semantics::conditions::find(&status.conditions, kind).unwrap();
    (
        found.status.clone(),
        found.reason.clone().unwrap_or_default(),
        found.message.clone().unwrap_or_default(),
    )
}

#[test]
fn a_pod_that_waits_is_pending() {
    let status = Case::new(pod(one("Always")), observed(vec![], vec![])).status();
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert_eq!(state(&status), json!({"waiting": {"reason": "ContainerCreating"}}));
    let unready = "containers with unready status: [web]";
    assert_eq!(holds(&status, "Ready"), ("False".into(), "ContainersNotReady".into(), unready.into()));
    assert_eq!(holds(&status, "PodReadyToStartContainers").0, "False");
    assert_eq!((status.observed_generation, status.qos_class.as_deref()), (Some(3), Some("BestEffort")));
}

#[test]
fn a_pod_that_runs_is_ready_when_its_probes_say_so() {
    let running = || observed(vec![sandbox(0, true)], vec![container("web", 0, 0, Running, 0)]);
    let status = Case::new(pod(one("Always")), running()).status();
    assert_eq!((status.phase.as_deref(), status.pod_ip.as_deref()), (Some("Running"), Some("10.0.0.1")));
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert!(container.ready && container.started == Some(true));
    assert_eq!(container.container_id.as_deref(), Some("elsewhere://web0"));
    assert_eq!(holds(&status, "Ready").0, "True");

    let probed = json!({"containers": [{"name": "web", "readinessProbe": {"tcpSocket": {"port": 80}}}]});
    let mut case = Case::new(pod(probed), running());
    assert_eq!(holds(&case.status(), "ContainersReady").0, "False");
    case.probes =
        ProbeView([("web0".into(), ContainerProbes { readiness: Some(true), ..Default::default() })].into());
    assert_eq!(holds(&case.status(), "ContainersReady").0, "True");
}

#[test]
fn readiness_gates_hold_a_pod_back() {
    let spec = json!({"containers": [{"name": "web"}], "readinessGates": [{"conditionType": "x/a"}, {"conditionType": "x/b"}]});
    let conditions = json!({"conditions": [{"type": "x/b", "status": "False"}]});
    let running = observed(vec![sandbox(0, true)], vec![container("web", 0, 0, Running, 0)]);
    let status = Case::new(pod_with(spec, conditions), running).status();
    let message = "corresponding condition of pod readiness gate \"x/a\" does not exist., \
                   the status of pod readiness gate \"x/b\" is not \"True\", but False";
    assert_eq!(holds(&status, "Ready"), ("False".into(), "ReadinessGatesNotReady".into(), message.into()));
    assert_eq!(holds(&status, "x/b").0, "False", "conditions of others stay");
}

#[test]
fn phases_follow_ends_and_policies() {
    let cases = [
        ("Always", 0, false, "Running"),
        ("OnFailure", 0, false, "Succeeded"),
        ("OnFailure", 1, false, "Running"),
        ("Never", 0, false, "Succeeded"),
        ("Never", 1, false, "Failed"),
        ("Always", 0, true, "Succeeded"),
        ("Always", 137, true, "Failed"),
    ];
    for (policy, code, terminated, phase) in cases {
        let ended = observed(vec![sandbox(0, false)], vec![container("web", 0, 0, Exited, code)]);
        let case = Case { terminated, ..Case::new(pod(one(policy)), ended) };
        assert_eq!(case.status().phase.as_deref(), Some(phase), "{policy} {code} {terminated}");
    }
}

#[test]
fn a_crash_loop_shows_the_last_end() {
    let crashed = observed(vec![sandbox(0, true)], vec![container("web", 2, 0, Exited, 3)]);
    let mut case = Case::new(pod(one("Always")), crashed);
    case.waiting.insert("web".into(), Waiting::new("CrashLoopBackOff", "back-off"));
    let status = case.status();
    assert_eq!(state(&status), json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}));
    let container = &status.container_statuses.as_ref().unwrap()[0];
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, container.restart_count, status.phase.as_deref()), (3, 2, Some("Running")));
}

#[test]
fn a_refused_pod_fails_with_its_reason() {
    let mut case = Case::new(pod(one("Always")), observed(vec![], vec![]));
    (case.terminated, case.failure) = (true, Some(("OutOfcpu", "Pod was rejected: ...")));
    let status = case.status();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
    assert_eq!(holds(&status, "Ready").1, "PodFailed");
}

#[test]
fn init_containers_are_told_apart() {
    let spec = json!({"containers": [{"name": "web"}], "initContainers": [
        {"name": "i"}, {"name": "side", "restartPolicy": "Always"}]});
    let status = Case::new(
        pod(spec.clone()),
        observed(vec![sandbox(0, true)], vec![container("i", 0, 0, Running, 0)]),
    )
    .status();
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    let incomplete = "containers with incomplete status: [i side]";
    assert_eq!(
        holds(&status, "Initialized"),
        ("False".into(), "ContainersNotInitialized".into(), incomplete.into())
    );
    assert_eq!(state(&status), json!({"waiting": {"reason": "PodInitializing"}}));
    let all = vec![
        container("i", 0, 0, Exited, 0),
        container("side", 0, 0, Running, 0),
        container("web", 0, 0, Running, 0),
    ];
    let status = Case::new(pod(spec), observed(vec![sandbox(0, true)], all)).status();
    assert_eq!((status.phase.as_deref(), holds(&status, "Ready").0.as_str()), (Some("Running"), "True"));
}

#[test]
fn a_failed_init_container_leaves_the_others_waiting() {
    let spec =
        json!({"restartPolicy": "Never", "containers": [{"name": "web"}], "initContainers": [{"name": "i"}]});
    let ended = observed(vec![sandbox(0, false)], vec![container("i", 0, 0, Exited, 4)]);
    let status = Case { terminated: true, ..Case::new(pod(spec), ended) }.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(state(&status), json!({"waiting": {"reason": "PodInitializing"}}));
}

#[test]
fn transitions_keep_their_time_while_nothing_changes() {
    let case = Case::new(
        pod(one("Always")),
        observed(vec![sandbox(0, true)], vec![container("web", 0, 0, Running, 0)]),
    );
    let mut first = case.status();
    for condition in first.conditions.iter_mut().flatten() {
        condition.last_transition_time = Some(Time(at(1)));
    }
    assert_eq!(case.status_after(&first), first);
}
