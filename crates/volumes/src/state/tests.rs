use super::*;

fn source(plugin: &str, device: &str) -> Source {
    let device = (!device.is_empty()).then(|| DeviceId(device.to_owned()));
    Source { plugin: plugin.to_owned(), device }
}

fn published(plugin: &str, device: &str) -> Published {
    Published { source: source(plugin, device), directory: "/v".into(), mount_point: None }
}

/// Desired and actual state from `(pod, volume, plugin, device)`.
fn states(
    wanted: &[(&str, &str, &str, &str)],
    present: &[(&str, &str, &str, &str)],
    staged: &[&str],
) -> (Desired, Actual) {
    let (mut desired, mut actual) = (Desired::default(), Actual::default());
    for (uid, volume, plugin, device) in wanted {
        desired.0.entry((*uid).into()).or_default().insert((*volume).into(), source(plugin, device));
    }
    for (uid, volume, plugin, device) in present {
        actual.publish(uid, volume, published(plugin, device));
    }
    staged.iter().for_each(|device| actual.stage(DeviceId((*device).into()), "disk".into()));
    (desired, actual)
}

/// The steps for pod `a` in one word each.
fn outline(desired: &Desired, actual: &Actual) -> String {
    let words = steps(desired, actual, "a").into_iter().map(|step| match step {
        Step::Unpublish { volume } => format!("-{volume}"),
        Step::Stage { device, .. } => format!("={device}"),
        Step::Publish { volume } => format!("+{volume}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_not_wanted_goes_first_and_what_is_wanted_comes() {
    let cases = [
        (&[][..], &[][..], ""),
        (&[("a", "v", "empty", "")], &[], "+v"),
        (&[("a", "v", "empty", "")], &[("a", "v", "empty", "")], "+v"),
        (&[], &[("a", "v", "empty", ""), ("b", "v", "empty", "")], "-v"),
        (&[("a", "v", "disk", "d1")], &[], "=d1 +v"),
        // The same name, and something else behind it.
        (&[("a", "v", "disk", "d2")], &[("a", "v", "disk", "d1")], "-v =d2 +v"),
        (&[("a", "v", "empty", "")], &[("a", "v", "secret", ""), ("a", "w", "empty", "")], "-v -w +v"),
    ];
    for (wanted, present, expected) in cases {
        let (desired, actual) = states(wanted, present, &[]);
        assert_eq!(outline(&desired, &actual), expected, "{wanted:?} {present:?}");
    }
}

#[test]
fn a_device_is_idle_when_no_pod_has_or_wants_it() {
    let idle = |wanted: &[_], present: &[_]| {
        let (desired, actual) = states(wanted, present, &["d1", "d2"]);
        idle_devices(&desired, &actual).into_iter().map(|(device, _)| device.0).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(idle(&[], &[]), "d1 d2");
    assert_eq!(idle(&[("a", "v", "disk", "d1")], &[]), "d2");
    assert_eq!(idle(&[], &[("a", "v", "disk", "d2")]), "d1");
    assert_eq!(idle(&[("a", "v", "disk", "d1")], &[("b", "w", "disk", "d2")]), "");
}

#[test]
fn only_mounts_that_were_made_and_are_wanted_are_missed() {
    let (desired, mut actual) = states(&[("a", "v", "empty", ""), ("b", "v", "empty", "")], &[], &[]);
    let at = |path: &str| Published { mount_point: Some(path.into()), ..published("empty", "") };
    actual.publish("a", "v", at("/a"));
    actual.publish("b", "v", published("empty", ""));
    actual.publish("gone", "v", at("/gone"));
    assert_eq!(unmounted(&desired, &actual, &BTreeSet::new()), BTreeSet::from(["a".to_owned()]));
    assert!(unmounted(&desired, &actual, &BTreeSet::from(["/a".into()])).is_empty());
}

#[test]
fn a_pod_without_volumes_leaves_nothing_behind() {
    let (_, mut actual) = states(&[], &[("a", "v", "empty", "")], &[]);
    actual.unpublish("a", "w");
    assert_eq!(actual.pods().count(), 1);
    actual.unpublish("a", "v");
    assert_eq!(actual.pods().count(), 0);
}
