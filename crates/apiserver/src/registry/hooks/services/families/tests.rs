use super::*;

/// The Service's policy, families and addresses in one line, or the error.
fn settled(mut service: Value, old: Option<&Value>, cluster: &[Family]) -> String {
    match settle(&mut service, old, cluster) {
        Ok(()) => {
            let list = |list| names(&service, list).join(",");
            let text = format!(
                "{} {} {}",
                service.str_at("spec.ipFamilyPolicy"),
                list("ipFamilies"),
                list("clusterIPs")
            );
            text.trim_end().to_owned()
        }
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

const V4: &[Family] = &[Family::V4];
const V6: &[Family] = &[Family::V6];
const DUAL: &[Family] = &[Family::V4, Family::V6];
const DUAL_V6: &[Family] = &[Family::V6, Family::V4];

fn spec(spec: Value) -> Value {
    let mut service = value!({"spec": {"type": "ClusterIP", "selector": {"a": "b"}}});
    for (name, value) in spec.entries() {
        service.entry("spec").set(name.to_owned(), value.clone());
    }
    service
}

#[test]
fn new_services() {
    let cases = [
        (value!({}), V4, "SingleStack IPv4"),
        (value!({}), V6, "SingleStack IPv6"),
        (value!({}), DUAL, "SingleStack IPv4"),
        (value!({}), DUAL_V6, "SingleStack IPv6"),
        (value!({"ipFamilyPolicy": "PreferDualStack"}), V4, "PreferDualStack IPv4"),
        (value!({"ipFamilyPolicy": "PreferDualStack"}), DUAL, "PreferDualStack IPv4,IPv6"),
        (
            value!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6"]}),
            DUAL,
            "PreferDualStack IPv6,IPv4",
        ),
        (value!({"ipFamilyPolicy": "RequireDualStack"}), DUAL_V6, "RequireDualStack IPv6,IPv4"),
        (
            value!({"ipFamilyPolicy": "RequireDualStack"}),
            V4,
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        ),
        (
            value!({"ipFamilies": ["IPv6"]}),
            V4,
            "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
        ),
        (value!({"ipFamilies": ["IPv6"]}), DUAL, "SingleStack IPv6"),
        (
            value!({"ipFamilies": ["IPv4", "IPv6"]}),
            DUAL,
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when \
             multiple IP families are specified",
        ),
        (value!({"clusterIP": "fd43::9", "clusterIPs": ["fd43::9"]}), DUAL, "SingleStack IPv6 fd43::9"),
        (
            value!({"clusterIP": "fd43::9", "clusterIPs": ["fd43::9"]}),
            V4,
            "spec.clusterIPs[0]: Invalid value: [\"fd43::9\"]: IPv6 is not configured on this cluster",
        ),
        (
            value!({"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9", "fd43::9"]}),
            DUAL,
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when \
             multiple cluster IPs are specified",
        ),
        (
            value!({"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9", "fd43::9"], "ipFamilyPolicy": "RequireDualStack"}),
            DUAL,
            "RequireDualStack IPv4,IPv6 10.43.0.9,fd43::9",
        ),
        // Headless, with and without a selector.
        (value!({"clusterIP": "None", "clusterIPs": ["None"]}), DUAL, "SingleStack IPv4 None"),
        (
            value!({"clusterIP": "None", "clusterIPs": ["None"], "selector": null}),
            V4,
            "RequireDualStack IPv4,IPv6 None",
        ),
        (
            value!({"clusterIP": "None", "clusterIPs": ["None"], "selector": null, "ipFamilyPolicy": "SingleStack"}),
            V6,
            "SingleStack IPv6 None",
        ),
    ];
    for (given, cluster, expected) in cases {
        assert_eq!(settled(spec(given.clone()), None, cluster), expected, "{given:?} {cluster:?}");
    }
}

#[test]
fn changes() {
    let single = spec(value!({
        "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"
    }));
    let dual = spec(value!({
        "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9", "fd43::9"], "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "RequireDualStack"
    }));
    let changed = |old: &Value, change: Value| {
        let mut new = old.clone();
        for (name, value) in change.entries() {
            new.entry("spec").set(name.to_owned(), value.clone());
        }
        settled(new, Some(old), DUAL)
    };
    // To two families and back.
    assert_eq!(
        changed(&single, value!({"ipFamilyPolicy": "PreferDualStack"})),
        "PreferDualStack IPv4,IPv6 10.43.0.9"
    );
    assert_eq!(changed(&dual, value!({"ipFamilyPolicy": "SingleStack"})), "SingleStack IPv4 10.43.0.9");
    assert_eq!(
        changed(&dual, value!({"ipFamilyPolicy": null})),
        "RequireDualStack IPv4,IPv6 10.43.0.9,fd43::9",
        "what a client leaves out stays"
    );
    assert_eq!(
        changed(&dual, value!({"clusterIPs": ["10.43.0.9"]})),
        "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary \
         cluster IP"
    );
    assert_eq!(
        changed(&dual, value!({"ipFamilies": ["IPv4"]})),
        "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary IP \
         family"
    );
}

#[test]
fn a_preference_is_not_acted_on_by_itself() {
    let preferring = spec(value!({
        "clusterIPs": ["10.43.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack"
    }));
    assert!(keeps_preferred(&preferring, Some(&preferring)));
    assert!(!keeps_preferred(&preferring, None));
    let mut more = preferring.clone();
    more.entry("spec").set("ipFamilies", value!(["IPv4", "IPv6"]));
    assert!(!keeps_preferred(&more, Some(&preferring)));
}
