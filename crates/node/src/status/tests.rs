use std::collections::BTreeMap;

use cri::ContainerState::{Created, Exited, Running};
use k8s_openapi::api::core::v1::ContainerState;
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
    messages: BTreeMap<String, String>,
    terminated: bool,
    failure: Option<(&'static str, &'static str)>,
    now: Timestamp,
}

impl Case {
    fn new(pod: PodInfo, observed: Observed) -> Case {
        let (probes, waiting) = (ProbeView::default(), BTreeMap::new());
        let messages = BTreeMap::new();
        Case { pod, observed, probes, waiting, messages, terminated: false, failure: None, now: at(200) }
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
            messages: &self.messages,
            host_ips: &["192.168.0.1".to_owned()],
            terminated: self.terminated,
            disruption: None,
            failure: self.failure,
            now: self.now,
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
    // The end itself comes first: the back-off is not shown before the server has it, nor at once.
    let status = case.status();
    assert_eq!(state(&status)["terminated"]["exitCode"], 3);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    case.pod = pod_with(one("Always"), serde_json::to_value(&status).unwrap());
    case.now = at(101);
    assert_eq!(case.status().container_statuses, status.container_statuses);
    case.now = at(103);
    let status = case.status();
    assert_eq!(state(&status), json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}));
    let container = &status.container_statuses.as_ref().unwrap()[0];
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, container.restart_count, status.phase.as_deref()), (3, 2, Some("Running")));
}

/// While a container is recreated, nothing new is shown: neither that it waits, nor that it was restarted.
#[test]
fn a_restart_is_shown_when_it_runs() {
    let ended = || container("web", 1, 0, Exited, 3);
    let with = |state| observed(vec![sandbox(0, true)], vec![container("web", 2, 0, state, 0), ended()]);
    let mut case = Case::new(pod(one("Always")), observed(vec![sandbox(0, true)], vec![ended()]));
    let before = case.status();
    case.observed = with(Created);
    assert_eq!(case.status_after(&before), before);
    case.observed = with(Running);
    let status = case.status_after(&before);
    let shown = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!((shown.restart_count, shown.last_state.as_ref().unwrap().terminated.is_some()), (2, true));
    // The first one waits without an ID.
    case.observed = observed(vec![sandbox(0, true)], vec![container("web", 0, 0, Created, 0)]);
    let status = case.status();
    assert_eq!(state(&status), json!({"waiting": {"reason": "ContainerCreating"}}));
    assert_eq!(status.container_statuses.as_ref().unwrap()[0].container_id, None);
}

#[test]
fn a_containers_own_policy_counts_for_the_phase() {
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    let own =
        |own: &str| json!({"restartPolicy": "Never", "containers": [{"name": "web", "restartPolicy": own}]});
    let ruled = json!({"restartPolicy": "Never",
        "containers": [{"name": "web", "restartPolicy": "Never", "restartPolicyRules": rules}]});
    let never = json!({"restartPolicy": "Always", "containers": [{"name": "web", "restartPolicy": "Never"}]});
    let cases = [
        (own("Always"), 0, "Running"),
        (own("OnFailure"), 1, "Running"),
        (own("OnFailure"), 0, "Succeeded"),
        (ruled.clone(), 42, "Running"),
        (ruled, 1, "Failed"),
        (never.clone(), 1, "Failed"),
        (never, 0, "Succeeded"),
    ];
    for (spec, code, phase) in cases {
        let ended = observed(vec![sandbox(0, true)], vec![container("web", 0, 0, Exited, code)]);
        assert_eq!(
            Case::new(pod(spec.clone()), ended).status().phase.as_deref(),
            Some(phase),
            "{spec} {code}"
        );
    }
    // The same holds for init containers; and a sidecar keeps the pod running.
    let init = |own: Value| json!({"restartPolicy": "Never", "containers": [{"name": "web"}], "initContainers": [own]});
    let failed = || observed(vec![sandbox(0, true)], vec![container("i", 0, 0, Exited, 1)]);
    let retried = Case::new(pod(init(json!({"name": "i", "restartPolicy": "OnFailure"}))), failed()).status();
    assert_eq!(retried.phase.as_deref(), Some("Pending"));
    assert_eq!(
        Case::new(pod(init(json!({"name": "i"}))), failed()).status().phase.as_deref(),
        Some("Failed")
    );
    let all = vec![container("i", 0, 0, Running, 0), container("web", 0, 0, Exited, 0)];
    let sidecar = pod(init(json!({"name": "i", "restartPolicy": "Always"})));
    let status = Case::new(sidecar, observed(vec![sandbox(0, true)], all)).status();
    assert_eq!(status.phase.as_deref(), Some("Running"));
}

#[test]
fn all_messages_of_a_pod_are_bounded() {
    let names = ["a", "b", "c", "d"];
    let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let pod = pod(json!({"containers": containers}));
    let ended = |attempt| names.map(|name| container(name, attempt, 0, Exited, 1));
    let all = ended(1).into_iter().chain(ended(0)).collect();
    let mut case = Case::new(pod, observed(vec![sandbox(0, true)], all));
    for name in names {
        case.messages.insert(format!("{name}1"), "x".repeat(if name == "a" { 1000 } else { 4096 }));
        case.messages.insert(format!("{name}0"), "é".repeat(2048));
    }
    let status = case.status();
    let lengths = status.container_statuses.iter().flatten().map(|status| {
        let end = |state: &Option<ContainerState>| {
            let end = state.as_ref().and_then(|state| state.terminated.as_ref());
            end.and_then(|end| end.message.as_ref()).map_or(0, String::len)
        };
        (end(&status.state), end(&status.last_state))
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [(1000, 2072), (3072, 0), (3072, 0), (3072, 0)]);
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

/// What the server knows of ends that are final stays, whatever is computed later.
#[test]
fn the_last_end_stays() {
    let ended = |code| vec![container("web", 0, 0, Exited, code)];
    let running = || vec![container("web", 1, 1, Running, 0), container("web", 0, 0, Exited, 0)];
    for (policy, code, is_final) in [
        ("Never", 0, true),
        ("Never", 1, true),
        ("OnFailure", 0, true),
        ("OnFailure", 1, false),
        ("Always", 0, false),
    ] {
        let mut case = Case::new(pod(one(policy)), observed(vec![sandbox(0, true)], ended(code)));
        let first = case.status();
        case.observed = observed(vec![sandbox(1, true)], running());
        let mut second = case.status_after(&first);
        assert!(state(&second)["running"].is_object());
        ends::keep(&mut second, &first, case.pod.spec());
        let shown = state(&second);
        assert_eq!(shown["terminated"]["exitCode"] == code, is_final, "{policy} {code} {shown}");
        assert_eq!(shown["running"].is_object(), !is_final, "{policy} {code} {shown}");
    }
    // Init containers run again in a new sandbox.
    let spec = json!({"restartPolicy": "OnFailure", "containers": [{"name": "web"}], "initContainers": [{"name": "i"}]});
    let ended = vec![container("i", 0, 0, Exited, 0), container("web", 0, 0, Exited, 1)];
    let mut case = Case::new(pod(spec), observed(vec![sandbox(0, false)], ended.clone()));
    let first = case.status();
    case.observed = observed(
        vec![sandbox(1, true), sandbox(0, false)],
        [vec![container("i", 1, 1, Running, 0)], ended].concat(),
    );
    let mut second = case.status_after(&first);
    assert_ne!(second.init_container_statuses, first.init_container_statuses);
    ends::keep(&mut second, &first, case.pod.spec());
    assert_eq!(second.init_container_statuses, first.init_container_statuses);
}

mod transitions {
    use cri::ContainerState as Engine;
    use proptest::prelude::*;

    use super::*;

    type Seen = Option<(u32, Engine, i32)>;

    const NAMES: [&str; 3] = ["i", "web", "debug"];

    fn spec(policy: &str, own: Option<&str>, has_rules: bool) -> Value {
        let mut web = json!({"name": "web"});
        if let Some(own) = own {
            web["restartPolicy"] = own.into();
        }
        if has_rules {
            let on = json!({"operator": "In", "values": [42]});
            web["restartPolicyRules"] = json!([{"action": "Restart", "exitCodes": on}]);
        }
        json!({
            "restartPolicy": policy, "containers": [web], "initContainers": [{"name": "i"}],
            "ephemeralContainers": [{"name": "debug"}]
        })
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let state = prop::sample::select(vec![Created, Running, Exited, Engine::Unknown]);
        prop::option::of((0..3_u32, state, prop::sample::select(vec![0, 1, 42])))
    }

    /// Whether the API server accepts the change of a status.
    fn check(spec: &Value, before: &PodStatus, after: &PodStatus) -> Result<(), TestCaseError> {
        let tree = |status: &PodStatus| {
            let pod = json!({"metadata": {"name": "a"}, "spec": spec, "status": status});
            object::json::parse(pod.to_string().as_bytes()).unwrap()
        };
        let errors = kinds::validation::validate_pod_status_update(&tree(after), &tree(before));
        let text = format!("{errors:?}");
        prop_assert!(!text.contains("transitioned"), "{text}\n{before:?}\n{after:?}");
        Ok(())
    }

    proptest! {
        /// Whatever the engine reports, and however many statuses are skipped in between.
        #[test]
        fn the_server_accepts_every_status(
            policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
            own in prop::option::of(prop::sample::select(vec!["Always", "OnFailure", "Never"])),
            has_rules: bool,
            steps in prop::collection::vec(
                (prop::array::uniform3(seen()), any::<bool>(), any::<bool>(), any::<bool>()), 1..6,
            ),
        ) {
            let spec = spec(policy, own, has_rules);
            let mut last = pod(spec.clone()).api_status().clone();
            let mut known = last.clone();
            for (containers, is_waiting, terminated, is_written) in steps {
                let of_engine = NAMES.iter().zip(containers).filter_map(|(name, seen)| {
                    seen.map(|(attempt, state, code)| container(name, attempt, 0, state, code))
                });
                let observed = observed(vec![sandbox(0, true)], of_engine.collect());
                let mut case = Case { terminated, ..Case::new(pod(spec.clone()), observed) };
                if is_waiting {
                    let waits = |name: &&str| ((*name).to_owned(), Waiting::new("ErrImagePull", ""));
                    case.waiting = NAMES.iter().map(waits).collect();
                }
                last = case.status_after(&last);
                if is_written {
                    let mut written = last.clone();
                    ends::keep(&mut written, &known, case.pod.spec());
                    check(&spec, &known, &written)?;
                    known = written;
                }
            }
        }
    }
}
