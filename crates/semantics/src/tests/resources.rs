//! Requests, limits, classes.

use object::{Quantity, QuantityFormat};

use super::*;

/// `cpu=1 memory=2`, as the rule under test sums up.
fn show(amounts: &Amounts<'_>) -> String {
    let all: Vec<String> = amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    all.join(" ")
}

fn requests(pod: &Json) -> String {
    ask::<Pod, _>(pod, |pod| show(&pod_requests(pod, Options::default())))
}

fn limits(pod: &Json) -> String {
    ask::<Pod, _>(pod, |pod| show(&pod_limits(pod, Options::default())))
}

fn container(name: &str, resources: Json) -> Json {
    json!({"name": name, "resources": resources})
}

fn sidecar(name: &str, resources: Json) -> Json {
    json!({"name": name, "restartPolicy": "Always", "resources": resources})
}

fn cpu(amount: &str) -> Json {
    json!({"requests": {"cpu": amount}, "limits": {"cpu": amount}})
}

/// The cases of upstream's `TestPodRequestsAndLimits` about containers, init containers, sidecars and overhead.
#[test]
fn a_pod_needs_the_larger_of_its_start_and_its_run() {
    let pod =
        |containers: Json, init: Json| json!({"spec": {"containers": containers, "initContainers": init}});
    for (containers, init, expected) in [
        (json!([container("a", cpu("1")), container("b", cpu("2"))]), json!([]), "cpu=3"),
        // The largest init container counts alone.
        (
            json!([container("a", cpu("1"))]),
            json!([container("i", cpu("5")), container("j", cpu("4"))]),
            "cpu=5",
        ),
        (json!([container("a", cpu("9"))]), json!([container("i", cpu("5"))]), "cpu=9"),
        // Sidecars run alongside the containers, and alongside the init containers after them.
        (json!([container("a", cpu("1"))]), json!([sidecar("s", cpu("2"))]), "cpu=3"),
        (
            json!([container("a", cpu("1"))]),
            json!([sidecar("s", cpu("2")), container("i", cpu("5"))]),
            "cpu=7",
        ),
        (
            json!([container("a", cpu("1"))]),
            json!([container("i", cpu("5")), sidecar("s", cpu("2"))]),
            "cpu=5",
        ),
        (
            json!([container("a", cpu("4"))]),
            json!([container("i", cpu("5")), sidecar("s", cpu("2"))]),
            "cpu=6",
        ),
        (
            json!([container("a", cpu("1"))]),
            json!([
                sidecar("s", cpu("1")),
                container("i", cpu("1")),
                sidecar("t", cpu("1")),
                container("j", cpu("9"))
            ]),
            "cpu=11",
        ),
        (json!([{"name": "a"}]), json!([]), ""),
    ] {
        let pod = pod(containers, init);
        assert_eq!(requests(&pod), expected, "{pod}");
        assert_eq!(limits(&pod), expected, "{pod}");
    }
}

#[test]
fn overhead_comes_on_top_of_requests_and_of_limits_that_are_there() {
    let pod = json!({"spec": {
        "overhead": {"cpu": "250m", "memory": "1Gi"},
        "containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "0"}}}],
    }});
    assert_eq!(requests(&pod), "cpu=1250m memory=1Gi");
    assert_eq!(limits(&pod), "cpu=2250m memory=0");
}

#[test]
fn amounts_of_the_pod_replace_those_of_its_containers() {
    let pod = json!({"spec": {
        "overhead": {"cpu": "1"},
        "resources": {"requests": {"cpu": "8", "hugepages-2Mi": "4Mi", "x.io/gpu": "7"}, "limits": {"memory": "9Gi"}},
        "containers": [{"name": "a", "resources": {
            "requests": {"cpu": "1", "memory": "1Gi", "x.io/gpu": "1"}, "limits": {"memory": "2Gi"}}}],
    }});
    // Extended resources are not supported at pod level.
    assert_eq!(requests(&pod), "cpu=9 hugepages-2Mi=4Mi memory=1Gi x.io/gpu=1");
    assert_eq!(limits(&pod), "memory=9Gi");
    assert!(is_pod_level("hugepages-1Gi") && !is_pod_level("ephemeral-storage"));
}

/// The cases of upstream's `TestPodResourceRequests` about resizes.
#[test]
fn while_a_container_is_resized_the_larger_counts() {
    let pod = |wanted: &str, status: Json, conditions: Json| {
        json!({
            "spec": {"containers": [container("a", cpu(wanted))]},
            "status": {"containerStatuses": [status], "conditions": conditions},
        })
    };
    let status = |running: &str, allocated: &str| {
        json!({"name": "a", "ready": true, "restartCount": 0, "image": "", "imageID": "",
            "resources": cpu(running), "allocatedResources": {"cpu": allocated}})
    };
    let infeasible = || json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]);
    let deferred = || json!([{"type": "PodResizePending", "status": "True", "reason": "Deferred"}]);
    // Desired, actual and allocated amounts; requests, and requests if the resize is infeasible.
    for (wanted, running, allocated, expected, if_infeasible) in [
        ("2", "2", "2", "cpu=2", "cpu=2"),
        ("4", "2", "2", "cpu=4", "cpu=2"),
        ("2", "4", "2", "cpu=4", "cpu=4"),
        ("2", "2", "3", "cpu=3", "cpu=3"),
    ] {
        let found = pod(wanted, status(running, allocated), json!([]));
        assert_eq!(requests(&found), expected, "{found}");
        assert_eq!(requests(&pod(wanted, status(running, allocated), deferred())), expected);
        assert_eq!(
            requests(&pod(wanted, status(running, allocated), infeasible())),
            if_infeasible,
            "{found}"
        );
        let by_spec = ask::<Pod, _>(&found, |pod| {
            show(&pod_requests(pod, Options { ignores_status: true, ..Options::default() }))
        });
        assert_eq!(by_spec, format!("cpu={wanted}"));
    }
    // A status that does not mention resources changes nothing.
    let silent = json!({"name": "a", "ready": true, "restartCount": 0, "image": "", "imageID": ""});
    assert_eq!(requests(&pod("2", silent, infeasible())), "cpu=2");
}

#[test]
fn a_sidecar_is_resized_too() {
    let told = |name: &str| json!({"name": name, "ready": true, "restartCount": 0, "image": "", "imageID": "", "resources": cpu("7")});
    let pod = json!({
        "spec": {"containers": [container("a", cpu("1"))], "initContainers": [sidecar("s", cpu("2"))]},
        "status": {"initContainerStatuses": [told("s")]},
    });
    assert_eq!(requests(&pod), "cpu=8");
}

#[test]
fn sums_of_the_whole_pod_in_its_status_count_as_they_are() {
    let pod = json!({
        "spec": {"resources": cpu("2"), "containers": [container("a", cpu("1"))]},
        "status": {"resources": cpu("3"), "allocatedResources": {"cpu": "4"}},
    });
    assert_eq!(requests(&pod), "cpu=4");
    assert_eq!(limits(&pod), "cpu=3");
}

#[test]
fn what_is_missing_can_count_as_something() {
    let missing = [
        ("cpu", Quantity::milli(100, QuantityFormat::DecimalSi)),
        ("memory", Quantity::new(200, QuantityFormat::BinarySi)),
    ];
    let options = Options { missing: &missing, ..Options::default() };
    let pod = json!({"spec": {"containers": [
        {"name": "a", "resources": {"requests": {"cpu": "0"}}}, {"name": "b", "resources": {"requests": {"memory": "1"}}},
    ]}});
    // Zero is an amount too.
    assert_eq!(ask::<Pod, _>(&pod, |pod| show(&pod_requests(pod, options))), "cpu=100m memory=201");
}

/// The cases of upstream's `TestComputePodQOS`.
#[test]
fn classes() {
    let guaranteed =
        || json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}});
    let burstable =
        || json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}});
    use QosClass::{BestEffort, Burstable, Guaranteed};
    for (containers, class) in [
        (json!([]), BestEffort),
        (json!([{}]), BestEffort),
        (json!([{}, {}]), BestEffort),
        (json!([guaranteed()]), Guaranteed),
        (json!([guaranteed(), guaranteed()]), Guaranteed),
        (json!([guaranteed(), {}]), Burstable),
        (json!([guaranteed(), burstable()]), Burstable),
        (json!([burstable()]), Burstable),
        // Requests are not guessed: the API server fills them in before.
        (json!([{"limits": {"cpu": "1", "memory": "1Gi"}}]), Burstable),
        (json!([{"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1Gi"}}]), Burstable),
        (json!([{"requests": {"cpu": "0"}, "limits": {"cpu": "1", "memory": "1Gi"}}]), Burstable),
        (json!([{"limits": {"cpu": "1"}}]), Burstable),
        (json!([{"requests": {"memory": "1Gi"}}]), Burstable),
        (json!([{"requests": {"cpu": "0", "memory": "0"}}]), BestEffort),
        // Other resources do not decide.
        (json!([{"requests": {"x.io/gpu": "1", "ephemeral-storage": "1Gi"}}]), BestEffort),
    ] {
        let named: Vec<Json> =
            containers.as_array().unwrap().iter().map(|r| container("c", r.clone())).collect();
        let pod = json!({"spec": {"containers": named}});
        assert_eq!(ask::<Pod, _>(&pod, qos_class), class, "{pod}");
        // Init containers decide as containers do.
        let init = json!({"spec": {"containers": [], "initContainers": named}});
        assert_eq!(ask::<Pod, _>(&init, qos_class), class, "{init}");
        // The pod as a whole decides alone where it says anything.
        let whole = json!({"spec": {"resources": guaranteed(), "containers": named}});
        assert_eq!(ask::<Pod, _>(&whole, qos_class), Guaranteed, "{whole}");
    }
    let claims = json!({"spec": {"resources": {"claims": []}, "containers": [container("c", guaranteed())]}});
    assert_eq!(ask::<Pod, _>(&claims, qos_class), Guaranteed);
}
