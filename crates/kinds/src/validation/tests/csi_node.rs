use super::*;
use crate::validation::*;

fn node(drivers: Value) -> Value {
    value!({"metadata": {"name": "n"}, "spec": {"drivers": drivers}})
}

#[test]
fn csi_nodes() {
    let check = |drivers: Value, expected: &[&str]| {
        assert_eq!(lines(validate_csi_node(&node(drivers.clone()))), expected, "{drivers:?}");
    };
    let long = "n".repeat(257);
    check(value!([]), &[]);
    check(
        value!([
            {"name": "A.example.com", "nodeID": "n", "topologyKeys": ["a", "b/c"], "allocatable": {"count": 0}},
            {"name": "b", "nodeID": (&long[1..])}
        ]),
        &[],
    );
    check(
        value!([{"name": "", "nodeID": ""}]),
        &[
            "spec.drivers[0].name: Required value",
            &format!(r#"spec.drivers[0].name: Invalid value: "": {SUBDOMAIN}"#),
            "spec.drivers[0].nodeID: Required value",
        ],
    );
    check(
        value!([{"name": (&long[..64]), "nodeID": "n"}]),
        &["spec.drivers[0].name: Too long: may not be more than 63 bytes"],
    );
    check(
        value!([{"name": "a", "nodeID": (long.as_str())}]),
        &[&format!(r#"spec.drivers[0].nodeID: Invalid value: "{long}": must be 256 characters or less"#)],
    );
    check(
        value!([{"name": "a", "nodeID": "n", "allocatable": {"count": (-1)}}]),
        &["spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        value!([{"name": "a", "nodeID": "n"}, {"name": "a", "nodeID": "n"}]),
        &[r#"spec.drivers[1].name: Duplicate value: "a""#],
    );
    check(
        value!([{"name": "a", "nodeID": "n", "topologyKeys": ["k", "k", "-"]}]),
        &[
            r#"spec.drivers[0]: Duplicate value: "k""#,
            &format!(r#"spec.drivers[0]: Invalid value: "-": {QUALIFIED}"#),
        ],
    );
}

#[test]
fn drivers_of_nodes_do_not_change_but_come_and_go() {
    let driver = |id: &str, count: i64| value!({"name": "a", "nodeID": id, "allocatable": {"count": count}});
    let old = node(value!([(driver("n", 1))]));
    let check = |drivers: Value, expected: &[&str]| {
        assert_eq!(lines(validate_csi_node_update(&node(drivers.clone()), &old)), expected, "{drivers:?}");
    };
    check(value!([(driver("n", 2)), {"name": "b", "nodeID": "n"}]), &[]);
    check(value!([]), &[]);
    check(
        value!([(driver("m", 1))]),
        &[r#"spec.drivers: Invalid value: {"name":"a","nodeID":"m"}: field is immutable"#],
    );
}
