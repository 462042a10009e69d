use k8s_openapi::api::core::v1::Pod;

use super::*;
use crate::endpointslice::tests::{pod, service};

fn snapshot(pods: Vec<Pod>) -> Snapshot {
    Snapshot {
        service: Some(Arc::new(service())),
        pods: pods.iter().map(crate::pods::lean).collect(),
        present: None,
    }
}

fn made(snapshot: &Snapshot) -> Endpoints {
    plan(snapshot).actions()[0].object::<Endpoints>().unwrap().clone()
}

fn ips(addresses: &Option<Vec<EndpointAddress>>) -> Vec<&str> {
    addresses.iter().flatten().map(|address| address.ip.as_str()).collect()
}

#[test]
fn ready_and_other_addresses_are_told_apart() {
    let mut unready = pod(2, 80);
    unready.status.as_mut().unwrap().conditions = None;
    let made = made(&snapshot(vec![pod(1, 80), unready]));
    let subsets = made.subsets.unwrap();
    assert_eq!(subsets.len(), 1);
    assert_eq!(ips(&subsets[0].addresses), ["10.42.0.2"]);
    assert_eq!(ips(&subsets[0].not_ready_addresses), ["10.42.0.3"]);
    let port = &subsets[0].ports.as_ref().unwrap()[0];
    assert_eq!((port.name.as_deref(), port.port), (Some("http"), 80));
}

#[test]
fn other_ports_make_other_subsets() {
    let made = made(&snapshot(vec![pod(1, 80), pod(2, 8080), pod(3, 80)]));
    let subsets = made.subsets.unwrap();
    let addresses: Vec<_> = subsets.iter().map(|subset| ips(&subset.addresses)).collect();
    assert_eq!(addresses, [vec!["10.42.0.2", "10.42.0.4"], vec!["10.42.0.3"]]);
}

#[test]
fn a_second_plan_does_nothing() {
    let mut snapshot = snapshot(vec![pod(1, 80)]);
    snapshot.present = Some(Arc::new(made(&snapshot)));
    assert!(plan(&snapshot).is_empty());
    snapshot.pods.clear();
    assert_eq!(made(&snapshot).subsets, None);
}

#[test]
fn too_many_addresses_are_cut_and_it_says_so() {
    let made = made(&snapshot((0..1200).map(|index| pod(index, 80)).collect()));
    assert_eq!(made.subsets.unwrap()[0].addresses.as_ref().unwrap().len(), 1000);
    assert_eq!(made.metadata.annotations.unwrap()[OVER_CAPACITY], "truncated");
}

#[test]
fn it_goes_with_its_service_unless_somebody_else_made_it() {
    let mut gone = snapshot(vec![]);
    gone.present = Some(Arc::new(made(&gone)));
    gone.service = None;
    assert!(matches!(plan(&gone).actions()[..], [Action::Delete { .. }]));
    gone.present = Some(Arc::new(Endpoints::default()));
    assert!(plan(&gone).is_empty());
}
