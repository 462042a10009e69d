use cri::ContainerState::{Created, Exited, Running, Unknown};
use serde_json::{Value, json};

use super::*;
use crate::probe::ContainerProbes;
use crate::testing::{at, container, observed, pod, sandbox};

fn make(spec: Value, observed: &Observed, probes: &ProbeView, backoff: &Backoff) -> (PodInfo, Plan) {
    let pod = pod(spec);
    let plan = plan(Input { pod: &pod, observed, probes, backoff, retry_at: &|_| None, now: at(101) });
    (pod, plan)
}

/// A plan, in one word for each part: the sandbox, killed containers, started containers.
fn outline(spec: Value, observed: &Observed) -> String {
    let (pod, plan) = make(spec, observed, &ProbeView::default(), &Backoff::default());
    describe(&pod, &plan)
}

fn describe(pod: &PodInfo, plan: &Plan) -> String {
    let sandbox = match plan.sandbox {
        SandboxPlan::Keep => "keep".to_owned(),
        SandboxPlan::Create { attempt } => format!("create {attempt}"),
        SandboxPlan::Stop => "stop".to_owned(),
    };
    let kill: Vec<_> = plan.kill.iter().map(|kill| kill.id.as_str()).collect();
    let start: Vec<_> = plan.start.iter().map(|index| pod.containers[*index].name()).collect();
    format!("{sandbox}; kill {}; start {}", kill.join(" "), start.join(" "))
}

fn two(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]})
}

fn with_init(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}], "initContainers": [
        {"name": "i"}, {"name": "side", "restartPolicy": "Always"}, {"name": "j"}]})
}

#[test]
fn sandboxes_are_made_kept_and_replaced() {
    let run = |name| container(name, 0, 0, Running, 0);
    let cases = [
        (two("Always"), vec![], vec![], "create 0; kill ; start a b"),
        (with_init("Always"), vec![], vec![], "create 0; kill ; start i"),
        (two("Always"), vec![sandbox(0, true)], vec![run("a"), run("b")], "keep; kill ; start "),
        (two("Always"), vec![sandbox(0, false)], vec![], "create 1; kill ; start a b"),
        (two("Always"), vec![sandbox(0, true), sandbox(1, true)], vec![], "create 2; kill ; start a b"),
        // Containers that ended with the sandbox must not run again.
        (
            two("Never"),
            vec![sandbox(0, false)],
            vec![container("a", 0, 0, Exited, 137)],
            "keep; kill ; start ",
        ),
        (
            two("OnFailure"),
            vec![sandbox(0, false)],
            vec![container("a", 0, 0, Exited, 0), container("b", 0, 0, Exited, 137)],
            "create 1; kill ; start b",
        ),
    ];
    for (spec, sandboxes, containers, expected) in cases {
        assert_eq!(outline(spec.clone(), &observed(sandboxes, containers)), expected, "{spec}");
    }
}

#[test]
fn containers_that_ended_follow_their_policy() {
    let b = || container("b", 0, 0, Running, 0);
    let cases = [
        ("Always", container("a", 0, 0, Exited, 0), "keep; kill ; start a"),
        ("Always", container("a", 0, 0, Created, 0), "keep; kill ; start a"),
        ("Always", container("a", 0, 0, Unknown, 0), "keep; kill a0; start a"),
        ("OnFailure", container("a", 0, 0, Exited, 0), "keep; kill ; start "),
        ("OnFailure", container("a", 0, 0, Exited, 1), "keep; kill ; start a"),
        ("Never", container("a", 0, 0, Exited, 1), "keep; kill ; start "),
    ];
    for (policy, a, expected) in cases {
        assert_eq!(
            outline(two(policy), &observed(vec![sandbox(0, true)], vec![a, b()])),
            expected,
            "{policy}"
        );
    }
    let done = vec![container("a", 0, 0, Exited, 0), container("b", 0, 0, Exited, 1)];
    assert_eq!(outline(two("Never"), &observed(vec![sandbox(0, true)], done.clone())), "stop; kill ; start ");
    assert_eq!(outline(two("Never"), &observed(vec![sandbox(0, false)], done)), "keep; kill ; start ");
}

#[test]
fn restart_rules_of_a_container_win() {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}, {"name": "b"}]});
    let with = |code| {
        observed(
            vec![sandbox(0, true)],
            vec![container("a", 0, 0, Exited, code), container("b", 0, 0, Running, 0)],
        )
    };
    assert_eq!(outline(spec.clone(), &with(42)), "keep; kill ; start a");
    assert_eq!(outline(spec.clone(), &with(1)), "keep; kill ; start ");
    // Alone too, and in a separate sandbox if the first one died.
    let alone = |ready, code| observed(vec![sandbox(0, ready)], vec![container("a", 0, 0, Exited, code)]);
    let only = json!({"restartPolicy": "Never", "containers": [spec["containers"][0].clone()]});
    let cases = [
        (true, 42, "keep; kill ; start a"),
        (true, 1, "stop; kill ; start "),
        (false, 42, "create 1; kill ; start a"),
        (false, 1, "keep; kill ; start "),
    ];
    for (ready, code, expected) in cases {
        assert_eq!(outline(only.clone(), &alone(ready, code)), expected, "{ready} {code}");
    }
    let never = json!({"restartPolicy": "Always", "containers": [{"name": "a", "restartPolicy": "Never"}]});
    assert_eq!(outline(never, &alone(false, 1)), "keep; kill ; start ");
}

#[test]
fn init_containers_come_one_after_the_other() {
    let i = |state, code| container("i", 0, 0, state, code);
    let side = |state| container("side", 0, 0, state, 0);
    let cases = [
        ("Always", vec![], "keep; kill ; start i"),
        ("Always", vec![i(Running, 0)], "keep; kill ; start "),
        ("Always", vec![i(Exited, 1)], "keep; kill ; start i"),
        ("Never", vec![i(Exited, 1)], "stop; kill ; start "),
        ("Always", vec![i(Exited, 0)], "keep; kill ; start side"),
        ("Always", vec![i(Exited, 0), side(Running)], "keep; kill ; start j"),
        ("Always", vec![i(Exited, 0), side(Exited)], "keep; kill ; start side"),
        (
            "Always",
            vec![i(Exited, 0), side(Running), container("j", 0, 0, Exited, 0)],
            "keep; kill ; start a",
        ),
        // A sidecar that exits is restarted while the others run, even in a pod that never restarts.
        (
            "Never",
            vec![
                i(Exited, 0),
                side(Exited),
                container("j", 0, 0, Exited, 0),
                container("a", 0, 0, Running, 0),
            ],
            "keep; kill ; start side",
        ),
        // The pod is over when its regular containers are.
        (
            "Never",
            vec![
                i(Exited, 0),
                side(Running),
                container("j", 0, 0, Exited, 0),
                container("a", 0, 0, Exited, 0),
            ],
            "stop; kill ; start ",
        ),
    ];
    for (policy, containers, expected) in cases {
        assert_eq!(outline(with_init(policy), &observed(vec![sandbox(0, true)], containers)), expected);
    }
    // In a new sandbox they run again.
    let again = observed(vec![sandbox(1, true)], vec![i(Exited, 0)]);
    assert_eq!(outline(with_init("Always"), &again), "keep; kill ; start i");
}

#[test]
fn failed_probes_kill() {
    let running = observed(
        vec![sandbox(0, true)],
        vec![container("a", 0, 0, Running, 0), container("b", 0, 0, Running, 0)],
    );
    let cases = [
        (ContainerProbes { liveness: Some(false), ..Default::default() }, "keep; kill a0; start "),
        (ContainerProbes { startup: Some(false), ..Default::default() }, "keep; kill a0; start "),
        (ContainerProbes { readiness: Some(false), ..Default::default() }, "keep; kill ; start "),
        (ContainerProbes { liveness: Some(true), ..Default::default() }, "keep; kill ; start "),
    ];
    for (probes, expected) in cases {
        let view = ProbeView([("a0".to_owned(), probes)].into());
        let (pod, plan) = make(two("Always"), &running, &view, &Backoff::default());
        assert_eq!(describe(&pod, &plan), expected, "{probes:?}");
    }
}

#[test]
fn a_crash_loop_waits_with_upstreams_words() {
    let crashed = observed(
        vec![sandbox(0, true)],
        vec![container("a", 1, 0, Exited, 1), container("b", 0, 0, Running, 0)],
    );
    let mut backoff = Backoff::default();
    let key = {
        let pod = pod(two("Always"));
        backoff_key(&pod, &pod.containers[0])
    };
    backoff.fail(&key, at(90), at(90));
    let (pod, plan) = make(two("Always"), &crashed, &ProbeView::default(), &backoff);
    assert_eq!(describe(&pod, &plan), "keep; kill ; start ");
    let message = "back-off 10s restarting failed container=a pod=web_default(u)";
    assert_eq!(plan.waiting, [("a".to_owned(), Waiting::new("CrashLoopBackOff", message))]);
    assert_eq!(plan.wake_at, Some(at(110)));
}

#[test]
fn a_second_look_changes_nothing() {
    let state = observed(
        vec![sandbox(0, true)],
        vec![container("a", 0, 0, Running, 0), container("b", 0, 0, Running, 0)],
    );
    let (_, plan) = make(two("Always"), &state, &ProbeView::default(), &Backoff::default());
    assert!(plan.is_empty() && plan.wake_at.is_none());
}
