use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::*;
use crate::framework::Action;

fn quota(spec: Json, status: Json) -> Arc<ResourceQuota> {
    let quota = json!({"metadata": {"name": "q", "namespace": "n", "resourceVersion": "7"}, "spec": spec, "status": status});
    Arc::new(serde_json::from_value(quota).unwrap())
}

fn counted(quota: &Arc<ResourceQuota>, used: Json) -> Plan {
    let used: Value = object::json::parse(used.to_string().as_bytes()).unwrap();
    let used = ResourceList::read(used.as_field());
    plan::plan(&Snapshot::Counted { quota: Arc::clone(quota), used })
}

fn written(plan: &Plan) -> Option<Json> {
    let actions = plan.actions();
    let [Action::Update { object, subresource: "status" }] = &*actions else {
        assert!(actions.is_empty());
        return None;
    };
    assert_eq!(object.key, ObjectKey::namespaced("n", "q"));
    let quota = object.get::<ResourceQuota>().unwrap();
    assert_eq!(
        quota.metadata.resource_version.as_deref(),
        Some("7"),
        "only if nothing has been charged since"
    );
    Some(serde_json::to_value(&quota.status).unwrap())
}

#[test]
fn the_status_shows_the_limits_and_what_is_used() {
    let hard = json!({"pods": "3", "cpu": "1", "example.com/unknown": "2"});
    let new = quota(json!({"hard": hard}), Json::Null);
    let status = json!({"hard": hard, "used": {"pods": "1", "cpu": "100m"}});
    assert_eq!(written(&counted(&new, json!({"pods": "1", "cpu": "100m"}))), Some(status));
    // The same amounts in other words are no change, and what nothing counts for keeps its amount.
    let used = json!({"pods": "1", "cpu": "0.1", "example.com/unknown": "1"});
    let same = quota(
        json!({"hard": hard}),
        json!({"hard": {"pods": "3", "cpu": "1000m", "example.com/unknown": "2"}, "used": used}),
    );
    let plan = counted(&same, json!({"pods": "1", "cpu": "100m"}));
    assert_eq!(written(&plan), None);
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(300)));
    let fewer = quota(json!({"hard": {"pods": "3"}}), json!({"hard": hard, "used": used}));
    let status = json!({"hard": {"pods": "3"}, "used": {"pods": "0"}});
    assert_eq!(written(&counted(&fewer, json!({"pods": "0"}))), Some(status));
}

#[test]
fn a_quota_is_behind_until_its_status_has_everything() {
    let spec = json!({"hard": {"pods": "3", "example.com/unknown": "2"}});
    let hard = json!({"pods": "3", "example.com/unknown": "2"});
    for (status, expected) in [
        (Json::Null, true),
        (json!({"hard": hard}), true),
        (json!({"hard": hard, "used": {"pods": "0"}}), false),
        (json!({"hard": {"pods": "4", "example.com/unknown": "2"}, "used": {"pods": "0"}}), true),
    ] {
        assert_eq!(plan::is_behind(&quota(spec.clone(), status.clone())), expected, "{status}");
    }
}

#[test]
fn changes_after_which_something_counts_for_less() {
    let pod = |phase: &str, cpu: &str| -> LeanPod {
        let statuses = json!([{"name": "c", "allocatedResources": {"cpu": cpu}}]);
        let pod =
            json!({"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": statuses}});
        serde_json::from_value(pod).unwrap()
    };
    let before = pod("Running", "2");
    for (after, expected) in
        [(pod("Running", "2"), false), (pod("Succeeded", "2"), true), (pod("Running", "1"), true)]
    {
        assert_eq!(pod_counts_less(&before, &after), expected);
    }
    let service =
        |kind: &str| serde_json::from_value(json!({"metadata": {}, "spec": {"type": kind}})).unwrap();
    assert!(service_changed(&service("NodePort"), &service("ClusterIP")));
    assert!(!service_changed(&service("NodePort"), &service("NodePort")));
    let claim = |class: &str| {
        serde_json::from_value(json!({"metadata": {}, "spec": {"volumeAttributesClassName": class}})).unwrap()
    };
    assert!(claim_changed(&claim("a"), &claim("b")) && !claim_changed(&claim("a"), &claim("a")));
}
