//! How many replicas metrics call for.

use super::super::calculator::{Proposal, Startup, Target, Tolerances};
use super::super::readings::{self, Readings};
use super::*;

const TENTH: Tolerances = Tolerances { up: 0.1, down: 0.1 };

fn readings(pods: &[(&str, &str)]) -> Readings {
    readings::of_resource(&usage(pods).unwrap(), "cpu", None).unwrap()
}

fn target(pods: &[Arc<LeanPod>], tolerances: Tolerances) -> Target<'_> {
    let replicas = pods.len() as i32;
    Target { pods, replicas, tolerances, startup: Startup::default(), now: at(0) }
}

/// A pod with changed fields.
fn changed(name: &str, change: impl FnOnce(&mut Json)) -> Json {
    let mut changed = pod(name);
    change(&mut changed);
    changed
}

/// The replicas for a utilization of 50 %.
fn replicas(pods: &[Json], used: &[(&str, &str)]) -> Result<i32, String> {
    let pods = lean(pods);
    let proposal = target(&pods, TENTH).by_utilization(readings(used), "cpu", None, 50);
    proposal.map(|proposal| proposal.replicas)
}

#[test]
fn utilization_is_brought_to_its_target() {
    for (used, expected) in [
        (&["500m", "500m"][..], 2),
        // Within the tolerance, and just beyond it.
        (&["550m", "550m"], 2),
        (&["450m", "450m"], 2),
        (&["560m", "560m"], 3),
        (&["440m", "440m"], 2),
        (&["240m", "240m"], 1),
        (&["1", "2"], 6),
    ] {
        let names = ["a", "b"];
        let used: Vec<_> = names.into_iter().zip(used.iter().copied()).collect();
        assert_eq!(replicas(&names.map(pod), &used), Ok(expected), "{used:?}");
    }
}

#[test]
fn tolerances_may_be_narrow_or_wide() {
    let pods = lean(&["a", "b"].map(pod));
    for (tolerances, used, expected) in [
        (Tolerances { up: 0.0, down: 0.0 }, "510m", 3),
        (Tolerances { up: 0.5, down: 0.0 }, "700m", 2),
        (Tolerances { up: 0.0, down: 0.6 }, "210m", 2),
    ] {
        let proposal =
            target(&pods, tolerances).by_utilization(readings(&[("a", used), ("b", used)]), "cpu", None, 50);
        assert_eq!(proposal.unwrap().replicas, expected, "{tolerances:?} {used}");
    }
}

#[test]
fn pods_without_figures_change_nothing_for_the_worse() {
    let pods = ["a", "b", "c"].map(pod);
    // Going up, they count as idle: 2 of 3 processors are 66 %, 4 pods.
    assert_eq!(replicas(&pods, &[("a", "1"), ("b", "1")]), Ok(4));
    // Not enough then for a change.
    assert_eq!(replicas(&pods, &[("a", "800m"), ("b", "800m")]), Ok(3));
    // Going down, they count as using all they request.
    assert_eq!(replicas(&pods, &[("a", "10m"), ("b", "10m")]), Ok(3));
    assert_eq!(
        replicas(
            &["a", "b", "c", "d", "e"].map(pod),
            &[("a", "10m"), ("b", "10m"), ("c", "10m"), ("d", "10m")]
        ),
        Ok(2)
    );
}

#[test]
fn pods_that_start_do_not_count() {
    let pending = changed("c", |pod| pod["status"]["phase"] = "Pending".into());
    let young = |name: &str, ready: &str, seconds: i64| {
        changed(name, |pod| {
            pod["status"]["startTime"] = at(-60).to_string().into();
            pod["status"]["conditions"][0]["status"] = ready.into();
            pod["status"]["conditions"][0]["lastTransitionTime"] = at(seconds).to_string().into();
        })
    };
    let high = [("a", "1"), ("b", "1"), ("c", "4")];
    // Its load is not that of its work; going up, it counts as idle.
    for starting in [pending, young("c", "False", -60), young("c", "True", -15)] {
        assert_eq!(replicas(&[pod("a"), pod("b"), starting.clone()], &high), Ok(4), "{starting}");
        assert_eq!(
            replicas(&[pod("a"), pod("b"), starting], &[("a", "100m"), ("b", "100m"), ("c", "4")]),
            Ok(1)
        );
    }
    // A whole window has passed since it became ready.
    assert_eq!(replicas(&[pod("a"), pod("b"), young("c", "True", -40)], &high), Ok(12));
    // It has never been ready.
    let never = changed("c", |pod| {
        pod["status"]["conditions"][0]["status"] = "False".into();
        pod["status"]["conditions"][0]["lastTransitionTime"] = at(-995).to_string().into();
    });
    assert_eq!(replicas(&[pod("a"), pod("b"), never], &high), Ok(4));
    // It was ready once, so it works.
    let lost = changed("c", |pod| {
        pod["status"]["conditions"][0]["status"] = "False".into();
        pod["status"]["conditions"][0]["lastTransitionTime"] = at(-500).to_string().into();
    });
    assert_eq!(replicas(&[pod("a"), pod("b"), lost], &high), Ok(12));
    let alone = replicas(&[young("c", "False", -60)], &[("c", "1")]);
    assert_eq!(alone, Err("did not receive metrics for targeted pods (pods might be unready)".into()));
}

#[test]
fn pods_that_end_are_ignored() {
    let failed = changed("b", |pod| pod["status"]["phase"] = "Failed".into());
    let deleted = changed("b", |pod| pod["metadata"]["deletionTimestamp"] = at(0).to_string().into());
    for ending in [failed, deleted] {
        assert_eq!(replicas(&[pod("a"), ending], &[("a", "1"), ("b", "4")]), Ok(2));
    }
    assert_eq!(
        replicas(&[], &[("a", "1")]),
        Err("no pods returned by selector while calculating replica count".into())
    );
}

#[test]
fn requests_are_those_of_what_is_measured() {
    let sidecar = changed("a", |pod| {
        pod["spec"]["initContainers"] = json!([
            {"name": "setup", "resources": {"requests": {"cpu": "9"}}},
            {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
        ]);
    });
    assert_eq!(replicas(&[sidecar], &[("a", "1")]), Ok(1));
    let whole = changed("a", |pod| pod["spec"]["resources"] = json!({"requests": {"cpu": "4"}}));
    assert_eq!(replicas(&[whole], &[("a", "2")]), Ok(1));
    let partly = changed("a", |pod| pod["spec"]["containers"][0]["resources"] = json!({}));
    assert_eq!(
        replicas(&[partly], &[("a", "1")]),
        Err("missing request for cpu in container c of Pod a".into())
    );
    let pods = lean(&[pod("a")]);
    let of =
        |container| target(&pods, TENTH).by_utilization(readings(&[("a", "1")]), "cpu", Some(container), 50);
    assert_eq!(of("c").unwrap(), Proposal { replicas: 2, milli: 1000, percent: Some(100) });
    assert_eq!(of("x").unwrap_err(), "container x not found in Pod a");
    let unknown = target(&pods, TENTH).by_utilization(readings(&[("z", "1")]), "cpu", None, 50);
    assert_eq!(unknown.unwrap_err(), "no metrics returned matched known pods");
}

#[test]
fn containers_are_read_by_name() {
    let pods = usage(&[("a", "250m")]).unwrap();
    assert_eq!(readings::of_resource(&pods, "cpu", Some("c")).unwrap()["a"].milli, 250);
    let missing = readings::of_resource(&pods, "cpu", Some("x")).unwrap_err();
    assert_eq!(missing, "failed to get container metrics: container x not present in metrics for pod d/a");
    assert_eq!(
        readings::of_resource(&[], "cpu", None).unwrap_err(),
        "no metrics returned from resource metrics API"
    );
    assert!(readings::of_resource(&pods, "example.com/x", None).unwrap().is_empty());
}

#[test]
fn averages_and_values_have_targets_too() {
    let pods = lean(&["a", "b"].map(pod));
    let target = target(&pods, TENTH);
    let by_average =
        |used: &str, wanted| target.by_average(readings(&[("a", used), ("b", used)]), "cpu", wanted);
    assert_eq!(by_average("300m", 100).unwrap(), Proposal { replicas: 6, milli: 300, percent: None });
    assert_eq!(by_average("100m", 100).unwrap().replicas, 2);
    assert_eq!(target.by_value(30_000, 10_000).unwrap().replicas, 6);
    assert_eq!(target.by_value(10_500, 10_000).unwrap().replicas, 2);
    assert_eq!(target.by_value(i64::MAX, 1).unwrap().replicas, i32::MAX);
    assert_eq!(
        target.by_value_per_pod(30_000, 10_000, 2),
        Proposal { replicas: 3, milli: 15_000, percent: None }
    );
    let none = Target { pods: &[], replicas: 0, ..target };
    assert_eq!(none.by_value(25_000, 10_000).unwrap().replicas, 3);
    assert_eq!(none.by_value(0, 10_000).unwrap().replicas, 0);
}
