use super::*;

fn cidr(name: &str, networks: &[&str], deleted: Option<&str>) -> ServiceCIDR {
    let mut cidr: ServiceCIDR = serde_json::from_value(json!({
        "metadata": {"name": name, "resourceVersion": "7", "finalizers": [FINALIZER]}, "spec": {"cidrs": networks},
    }))
    .unwrap();
    cidr.metadata.deletion_timestamp =
        deleted.map(|time| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time.parse().unwrap()));
    cidr
}

fn now() -> Timestamp {
    "2026-01-01T00:00:20Z".parse().unwrap()
}

fn planned(cidr: ServiceCIDR, others: Vec<ServiceCIDR>, addresses: &[&str]) -> Plan {
    let snapshot = Snapshot {
        cidr: Arc::new(cidr),
        others: others.into_iter().map(Arc::new).collect(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    };
    ServiceCidrs::plan(&snapshot, now())
}

/// The changes: finalizers as they will be, and the state of the condition.
fn changes(plan: &Plan) -> Vec<String> {
    let shown = plan.actions().into_iter().map(|action| match action {
        Action::Patch { patch: Patch::Merge(change), subresource: "", .. } => {
            format!("finalizers {}", change["metadata"]["finalizers"].as_array().unwrap().len())
        }
        Action::Patch { patch: Patch::Merge(change), .. } => {
            let condition = &change["status"]["conditions"][0];
            format!("{} {}", condition["status"].as_str().unwrap(), condition["reason"].as_str().unwrap())
        }
        other => panic!("{other:?}"),
    });
    shown.collect()
}

#[test]
fn a_network_becomes_ready() {
    let mut new = cidr("a", &["10.43.0.0/16"], None);
    new.metadata.finalizers = None;
    assert_eq!(changes(&planned(new.clone(), vec![], &[])), ["finalizers 1", "True "]);
    new.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let condition = json!([{
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    new.status.get_or_insert_default().conditions = serde_json::from_value(condition).unwrap();
    assert!(planned(new, vec![], &[]).is_empty());
}

#[test]
fn a_network_stays_while_it_alone_has_addresses() {
    let going = |networks| cidr("a", networks, Some("2026-01-01T00:00:00Z"));
    let other = |networks| vec![cidr("b", networks, None)];
    let table = [
        (vec![], vec![], "finalizers 0"),
        (vec![], vec!["10.43.0.5"], "False Terminating"),
        (vec![], vec!["10.99.0.5", "fd43::5"], "finalizers 0"),
        (other(&["10.43.0.0/24"]), vec!["10.43.0.5"], "finalizers 0"),
        (other(&["10.43.0.0/24"]), vec!["10.43.1.5"], "False Terminating"),
        (other(&["10.0.0.0/8"]), vec!["10.43.1.5"], "finalizers 0"),
        (other(&["10.43.0.0/16"]), vec!["10.43.1.5"], "finalizers 0"),
    ];
    for (others, addresses, expected) in table {
        let names = format!("{others:?} {addresses:?}");
        assert_eq!(changes(&planned(going(&["10.43.0.0/16"]), others, &addresses)), [expected], "{names}");
    }
}

#[test]
fn a_network_that_is_free_goes_after_a_while() {
    let plan = planned(cidr("a", &["10.43.0.0/16"], Some("2026-01-01T00:00:14Z")), vec![], &[]);
    assert!(plan.is_empty());
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(4)));
}
