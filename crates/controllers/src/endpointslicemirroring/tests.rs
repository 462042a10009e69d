use serde_json::json;

use super::*;

fn service(selector: Option<&str>) -> Arc<Service> {
    let selector = selector.map(|app| json!({"app": app}));
    let service = json!({
        "metadata": {"name": "db", "namespace": "default"}, "spec": {"selector": selector, "ports": [{"port": 5432}]},
    });
    Arc::new(serde_json::from_value(service).unwrap())
}

fn endpoints(subsets: serde_json::Value) -> Endpoints {
    let object = json!({
        "metadata": {
            "name": "db", "namespace": "default", "uid": "e1", "labels": {"team": "a"},
            "annotations": {"note": "x", (LAST_APPLIED): "{}", (TRIGGER_TIME): "2026-01-01T00:00:00Z"},
        },
        "subsets": subsets,
    });
    serde_json::from_value(object).unwrap()
}

fn snapshot(endpoints: Endpoints) -> Snapshot {
    Snapshot { service: Some(service(None)), endpoints: Some(Arc::new(endpoints)), slices: Vec::new() }
}

/// The snapshot after its plan is carried out.
fn carry_out(snapshot: &Snapshot) -> Snapshot {
    let mut slices = snapshot.slices.clone();
    for action in plan(snapshot).actions() {
        match action {
            Action::Create { object, .. } => {
                let mut slice = object.get::<EndpointSlice>().unwrap().clone();
                slice.metadata.name = Some(format!("db-{}", slices.len()));
                slices.push(Arc::new(slice));
            }
            Action::Update { object, .. } => {
                let slice = object.get::<EndpointSlice>().unwrap();
                let place =
                    slices.iter_mut().find(|other| other.metadata.name == slice.metadata.name).unwrap();
                *place = Arc::new(slice.clone());
            }
            Action::Delete { key, .. } => {
                slices.retain(|slice| slice.metadata.name.as_deref() != Some(&*key.name))
            }
            Action::Record(_) => {}
            other => panic!("{other:?}"),
        }
    }
    Snapshot { slices, ..snapshot.clone() }
}

fn addresses(snapshot: &Snapshot) -> Vec<(&str, Vec<&str>)> {
    snapshot
        .slices
        .iter()
        .map(|slice| {
            let endpoints = slice.endpoints.iter().flatten();
            (slice.address_type.as_str(), endpoints.map(|endpoint| endpoint.addresses[0].as_str()).collect())
        })
        .collect()
}

#[test]
fn custom_endpoints_are_mirrored_through_create_update_and_delete() {
    let one = json!([{"addresses": [{"ip": "10.1.2.3", "nodeName": "n1"}], "ports": [{"name": "db", "port": 5432, "protocol": "TCP"}]}]);
    let created = carry_out(&snapshot(endpoints(one)));
    let slice = &created.slices[0];
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!(
        (labels[SERVICE_NAME].as_str(), labels[MANAGED_BY].as_str(), labels["team"].as_str()),
        ("db", MANAGER, "a")
    );
    let annotations = slice.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations.len(), 2, "{annotations:?}");
    assert_eq!(annotations[TRIGGER_TIME], "2026-01-01T00:00:00Z");
    assert_eq!(slice.metadata.owner_references.as_ref().unwrap()[0].kind, "Endpoints");
    let port = &slice.ports.as_ref().unwrap()[0];
    assert_eq!((port.name.as_deref(), port.port), (Some("db"), Some(5432)));
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    assert_eq!(
        (endpoint.node_name.as_deref(), endpoint.conditions.as_ref().unwrap().ready),
        (Some("n1"), Some(true))
    );
    assert!(plan(&created).is_empty(), "a second plan does nothing");

    let two = json!([
        {"addresses": [{"ip": "10.2.3.4"}, {"ip": "fd42::4"}], "notReadyAddresses": [{"ip": "10.2.3.5"}],
         "ports": [{"name": "db", "port": 5432, "protocol": "TCP"}]},
    ]);
    let updated = carry_out(&Snapshot { endpoints: Some(Arc::new(endpoints(two))), ..created });
    assert_eq!(addresses(&updated), [("IPv4", vec!["10.2.3.4", "10.2.3.5"]), ("IPv6", vec!["fd42::4"])]);
    assert!(plan(&updated).is_empty());

    let gone = carry_out(&Snapshot { endpoints: None, ..updated.clone() });
    assert_eq!(addresses(&gone), []);
    let selects = carry_out(&Snapshot { service: Some(service(Some("db"))), ..updated.clone() });
    assert_eq!(addresses(&selects), []);
    let no_service = carry_out(&Snapshot { service: None, ..updated });
    assert_eq!(addresses(&no_service), []);
}

#[test]
fn some_endpoints_are_nobodys_business() {
    let one = json!([{"addresses": [{"ip": "10.1.2.3"}]}]);
    let mut skipped = endpoints(one.clone());
    skipped.metadata.labels.as_mut().unwrap().insert(SKIP_MIRROR.into(), "true".into());
    assert!(plan(&snapshot(skipped)).is_empty());
    let mut lock = endpoints(one);
    lock.metadata.annotations.as_mut().unwrap().insert(LEADER.into(), "{}".into());
    assert!(plan(&snapshot(lock)).is_empty());
}

#[test]
fn what_cannot_be_mirrored_is_told() {
    let mut all: Vec<_> = (0..1005).map(|i| json!({"ip": format!("10.1.{}.{}", i / 250, i % 250)})).collect();
    all.push(json!({"ip": "banana"}));
    let plan = plan(&snapshot(endpoints(json!([{"addresses": all}]))));
    let slices: Vec<usize> = plan
        .actions()
        .iter()
        .filter_map(|action| Some(action.object::<EndpointSlice>()?.endpoints.as_ref()?.len()))
        .collect();
    assert_eq!((slices.len(), slices.iter().sum::<usize>()), (10, 1000));
    let reasons: Vec<&str> = plan
        .actions()
        .iter()
        .filter_map(|action| if let Action::Record(note) = action { Some(note.reason) } else { None })
        .collect();
    assert_eq!(reasons, ["InvalidIPAddress", "TooManyAddressesToMirror"]);
}
