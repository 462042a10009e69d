use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:02:00Z".parse().unwrap()
}

fn service(created: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": created},
        "spec": {"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5", "fd43::5"]},
    }))
    .unwrap()
}

fn address(ip: &str, parent: &str, created: &str) -> IPAddress {
    let mut owner = service(created);
    owner.metadata.name = Some(parent.to_owned());
    let mut address = address_of(&owner, ip);
    address.metadata.creation_timestamp = owner.metadata.creation_timestamp;
    address
}

fn done(snapshot: &Snapshot) -> (Vec<String>, Option<Duration>) {
    let plan = AddressRepair::plan(snapshot, now());
    let shown = plan.actions().into_iter().map(|action| match action {
        Action::Record(note) => note.reason.to_owned(),
        action => action.summary(),
    });
    (shown.collect(), plan.requeue_after)
}

#[test]
fn what_leaked_goes_after_a_while() {
    let of = |created: &str, is_used| {
        let address = Arc::new(address("10.43.0.5", "web", created));
        done(&Snapshot::Address { address, is_used })
    };
    assert_eq!(of("2026-01-01T00:00:00Z", true), (vec![], None));
    assert_eq!(of("2026-01-01T00:01:30Z", false), (vec![], Some(Duration::from_secs(30))));
    let gone = ["delete IPAddress 10.43.0.5", "IPAddressNotAllocated"].map(str::to_owned).to_vec();
    assert_eq!(of("2026-01-01T00:01:00Z", false), (gone, None));
}

#[test]
fn what_is_missing_is_made() {
    let of = |created: &str, first: Option<IPAddress>, second: Option<IPAddress>| {
        let addresses =
            vec![("10.43.0.5".to_owned(), first.map(Arc::new)), ("fd43::5".to_owned(), second.map(Arc::new))];
        done(&Snapshot::Service { service: Arc::new(service(created)), addresses })
    };
    let old = "2026-01-01T00:00:00Z";
    let (first, second) = (address("10.43.0.5", "web", old), address("fd43::5", "web", old));
    assert_eq!(of(old, Some(first.clone()), Some(second.clone())), (vec![], None));
    let made = ["create IPAddress fd43::5", "ClusterIPNotAllocated"].map(str::to_owned).to_vec();
    assert_eq!(of(old, Some(first.clone()), None), (made, None));
    assert_eq!(of("2026-01-01T00:01:58Z", Some(first), None), (vec![], Some(Duration::from_secs(3))));
    let stolen = address("10.43.0.5", "other", old);
    assert_eq!(of(old, Some(stolen), Some(second)), (vec!["ClusterIPAlreadyAllocated".to_owned()], None));
}
