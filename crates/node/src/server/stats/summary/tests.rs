use super::super::rates::{Rates, Sample};
use super::super::tests::seen;
use super::*;
use crate::machine::Amounts;
use crate::testing::at;
use serde_json::json;
use std::collections::BTreeMap;

fn shown(value: impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn a_pod_is_shown_whole() {
    let seen = seen();
    let bytes = Amounts { capacity: 100, available: 60, used: 30 };
    let disks = NodeDisks { root: Some(Space { bytes, inodes: None }), images: None, containers: None };
    let usage = Usage { bytes: 7, inodes: 1 };
    let of_pod =
        PodDisks { logs: BTreeMap::from([("a".to_owned(), usage)]), volumes: Vec::new(), total: Some(usage) };
    let rates = Rates::default();
    for (at, nanos) in [(at(0), 0), (at(2), 1_000_000_000)] {
        rates.observe([(Subject::Container("a".into()), Sample { at, nanos })]);
    }
    let rates = rates.observe(seen.samples());
    let pod = shown(whole_pod(&seen.pods[0], of_pod, &disks, &rates, at(0)));
    let time = at(0).to_string();
    assert_eq!(pod["podRef"], json!({"name": "web", "namespace": "default", "uid": "u"}));
    assert_eq!(pod["startTime"], at(-10).to_string());
    let psi = json!({"total": 9000, "avg10": 12.34, "avg60": 0.0, "avg300": 0.0});
    assert_eq!((&pod["io"]["psi"]["some"], pod["memory"].get("psi")), (&psi, None));
    let eth0 = json!({"name": "eth0", "rxBytes": 10, "rxErrors": 3, "txBytes": 20, "txErrors": 7});
    assert_eq!(pod["network"]["interfaces"][0], eth0);
    assert_eq!((&pod["network"]["txBytes"], &pod["network"]["time"]), (&json!(20), &json!(time)));
    assert_eq!(pod["network"]["interfaces"][1]["name"], "net1");
    assert_eq!(pod["process_stats"], json!({"process_count": 2}));
    let disk =
        json!({"time": time, "availableBytes": 60, "capacityBytes": 100, "usedBytes": 7, "inodesUsed": 1});
    assert_eq!((&pod["ephemeral-storage"], &pod["containers"][0]["logs"]), (&disk, &disk));
    assert_eq!(
        pod["cpu"],
        json!({"time": time, "usageCoreNanoSeconds": 1_500_000_000}),
        "there is one sample"
    );
    for unknown in ["swap", "volume"] {
        assert_eq!(pod.get(unknown), None, "{unknown}");
    }
    assert_eq!(pod["containers"][1].get("logs"), None);
    assert_eq!(pod["containers"][0].get("rootfs"), None);
}

#[test]
fn what_a_node_does_not_know_is_left_out() {
    let seen = seen();
    let memory = shown(node_memory(&seen.machine, at(0)));
    let expected = json!({
        "time": at(0).to_string(), "availableBytes": 600, "usageBytes": 600, "workingSetBytes": 400, "pageFaults": 7,
    });
    assert_eq!(memory, expected);
    assert!(node_network(&seen.machine, at(0)).is_none());
    let unknown = NodeStats { node_name: "n".into(), ..NodeStats::default() };
    assert_eq!(shown(unknown), json!({"nodeName": "n"}));
}
