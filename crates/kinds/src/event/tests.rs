use object::value;

use super::*;
use crate::testing::{ago, check_row, named};

#[test]
fn both_versions_look_the_same() {
    let core = value!({
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{a}"},
        "type": "Warning", "reason": "BackOff", "message": " restarting \n", "count": 7,
        "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": (ago(600)), "lastTimestamp": (ago(60))
    });
    let row =
        "60s | Warning | BackOff | pod/web | spec.containers{a} | kubelet, n | restarting | 10m | 7 | e";
    check_row(&CoreEvents, &named("e", core), row);
    let newer = value!({
        "regarding": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{a}"},
        "type": "Warning", "reason": "BackOff", "note": "restarting", "deprecatedCount": 7,
        "deprecatedSource": {"component": "kubelet", "host": "n"},
        "deprecatedFirstTimestamp": (ago(600)), "deprecatedLastTimestamp": (ago(60))
    });
    check_row(&Events, &named("e", newer), row);
}

#[test]
fn events_without_counts() {
    let once = value!({
        "involvedObject": {"kind": "Node"}, "type": "Normal", "reason": "Starting",
        "eventTime": (ago(120)), "reportingComponent": "c", "reportingInstance": "i"
    });
    check_row(&CoreEvents, &named("e", once), "2m | Normal | Starting | node |  | c, i |  | 2m | 1 | e");
    let series = value!({
        "regarding": {"kind": "Pod", "name": "p"}, "eventTime": (ago(600)), "reportingController": "c",
        "series": {"count": 3, "lastObservedTime": (ago(30))}
    });
    check_row(&Events, &named("e", series), "30s |  |  | pod/p |  | c |  | 10m | 3 | e");
    check_row(&CoreEvents, &named("e", value!({})), "<unknown> |  |  |  |  |  |  | <unknown> | 1 | e");
}

#[test]
fn one_store_is_selected_by_the_fields_of_both() {
    let event = value!({"involvedObject": {"kind": "Pod"}, "reportingComponent": "c", "type": "Normal"});
    let fields = CoreEvents.selectable_fields(&event);
    for name in CoreEvents.selectable_field_names().iter().chain(Events.selectable_field_names()) {
        assert!(fields.iter().any(|(field, _)| field == name), "{name}");
    }
    let get = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    assert_eq!(get("regarding.kind"), Some("Pod"));
    assert_eq!(get("source"), Some("c"));
}
