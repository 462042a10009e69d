//! Decisions as tables; requests to a whole server are in `tests/api/quota.rs`.

use jiff::Timestamp;
use object::value;

use super::decide::decide;
use super::*;

fn quota(name: &str, hard: Value, used: Value, spec: Value) -> Quota {
    Quota::of(value!({
        "metadata": {"name": name, "resourceVersion": "7"}, "spec": (spec),
        "status": {"hard": (hard), "used": (used)}
    }))
}

fn request(plural: &str, object: Value, old: Value) -> Request {
    Request {
        group: String::new(),
        plural: plural.into(),
        object,
        old,
        is_status: false,
        limited: Arc::default(),
        now: Timestamp::UNIX_EPOCH,
    }
}

fn pod(cpu: &str) -> Value {
    value!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

/// What is charged, as `QUOTA: AMOUNTS`, or why not.
fn decided(quotas: &[Quota], request: &Request) -> Result<Vec<String>, String> {
    let shares = decide(quotas, request, |_| false)?;
    Ok(shares.iter().map(|(index, amounts)| format!("{}: {amounts}", quotas[*index].name)).collect())
}

#[test]
fn a_request_is_charged_what_each_quota_limits() {
    let quotas = [
        quota(
            "cpu",
            value!({"cpu": "2", "services": "1"}),
            value!({"cpu": "500m", "services": "0"}),
            Value::Null,
        ),
        quota("idle", value!({"pods": "1"}), value!({"pods": "1"}), value!({"scopes": ["BestEffort"]})),
        quota("new", value!({}), value!({}), Value::Null),
        quota("pods", value!({"count/pods": "9"}), value!({"count/pods": "3"}), Value::Null),
    ];
    let charged = decided(&quotas, &request("pods", pod("1500m"), Value::Null)).unwrap();
    assert_eq!(charged, ["cpu: cpu=1500m", "pods: count/pods=1"]);
    let refused = decided(&quotas, &request("pods", pod("1501m"), Value::Null)).unwrap_err();
    assert_eq!(refused, "exceeded quota: cpu, requested: cpu=1501m, used: cpu=500m, limited: cpu=2");
    let refused = decided(
        &quotas[1..],
        &request("pods", value!({"spec": {"containers": [{"name": "c"}]}}), Value::Null),
    );
    assert_eq!(
        refused.unwrap_err(),
        "exceeded quota: idle, requested: pods=1, used: pods=1, limited: pods=1"
    );
    let charged =
        decide(&quotas, &request("pods", pod("1"), Value::Null), |quota| quota.name == "cpu").unwrap();
    assert_eq!(charged.len(), 1, "what is paid is not charged again");
    assert!(decided(&quotas, &request("configmaps", value!({}), Value::Null)).unwrap().is_empty());
}

#[test]
fn what_a_quota_limits_must_be_specified_and_counted() {
    let quotas = [quota("q", value!({"cpu": "2", "memory": "1Gi"}), value!({"cpu": "0"}), Value::Null)];
    let refused = decided(&quotas, &request("pods", pod("1"), Value::Null)).unwrap_err();
    assert_eq!(refused, "failed quota: q: must specify memory for: c");
    let quotas = [quota("q", value!({"cpu": "2", "pods": "1"}), value!({"cpu": "0"}), Value::Null)];
    let refused = decided(&quotas, &request("pods", pod("1"), Value::Null)).unwrap_err();
    assert_eq!(refused, "status unknown for quota: q, resources: cpu,pods");
}

#[test]
fn an_update_is_charged_the_difference() {
    let quotas = [quota(
        "q",
        value!({"services": "1", "services.nodeports": "2"}),
        value!({"services": "1", "services.nodeports": "1"}),
        Value::Null,
    )];
    let service = |ports: usize| {
        let ports: Vec<Value> = (0..ports).map(|port| value!({"port": (port as i64)})).collect();
        value!({"spec": {"type": "NodePort", "ports": (ports)}})
    };
    let charged = |old, new| decided(&quotas, &request("services", service(new), service(old)));
    assert_eq!(charged(1, 2).unwrap(), ["q: services.nodeports=1"]);
    assert!(charged(2, 1).unwrap().is_empty(), "the controller counts what became free");
    let refused = charged(1, 3).unwrap_err();
    let expected = "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=1, limited: services.nodeports=2";
    assert_eq!(refused, expected);
    // What a status reports is so already.
    let report = Request { is_status: true, ..request("services", service(3), service(1)) };
    assert_eq!(decided(&quotas, &report).unwrap(), ["q: services.nodeports=2"]);
}

#[test]
fn what_comes_into_a_scope_is_charged_as_a_whole() {
    let spec = value!({"scopeSelector": {"matchExpressions": [
        {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}]}});
    let quotas = [quota("q", value!({"requests.storage": "9Gi"}), value!({"requests.storage": "0"}), spec)];
    let claim = |class: &str| value!({"spec": {"volumeAttributesClassName": class, "resources": {"requests": {"storage": "1Gi"}}}});
    let changed = request("persistentvolumeclaims", claim("fast"), claim("slow"));
    assert_eq!(decided(&quotas, &changed).unwrap(), ["q: requests.storage=1Gi"]);
    assert!(
        decided(&quotas, &request("persistentvolumeclaims", claim("fast"), claim("fast")))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn unused_ledgers_are_dropped() {
    let plugin = ResourceQuota::new(Clock::system(), Config::default());
    let kept = plugin.ledger("kept");
    for namespace in 0..=LEDGERS_MIN {
        plugin.ledger(&namespace.to_string());
    }
    let ledgers = plugin.ledgers.lock();
    assert!(ledgers.by_namespace.len() <= 3 && Arc::ptr_eq(&kept, &ledgers.by_namespace["kept"]));
}

#[test]
fn what_is_limited_needs_a_quota() {
    let document = value!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration", "limitedResources": [
            {"resource": "pods", "matchContains": ["cpu"]},
            {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
        ]
    });
    let limited: Arc<[Limited]> = Config::from_document(&document).unwrap().limited.into();
    let decided = |quotas: &[Quota], plural: &str, object: Value, old: Value| {
        decided(quotas, &Request { limited: Arc::clone(&limited), ..request(plural, object, old) })
    };
    let both = || value!({"cpu": "2", "requests.cpu": "2"});
    let none = || value!({"cpu": "0", "requests.cpu": "0"});
    let whole = [quota("q", both(), none(), Value::Null)];
    let half = [quota("q", value!({"cpu": "2"}), value!({"cpu": "0"}), Value::Null)];
    let others = [quota("q", both(), none(), value!({"scopes": ["BestEffort"]}))];
    assert_eq!(decided(&whole, "pods", pod("1"), Value::Null).unwrap(), ["q: cpu=1,requests.cpu=1"]);
    for (quotas, open) in
        [(&half[..], "requests.cpu"), (&others, "cpu,requests.cpu"), (&[], "cpu,requests.cpu")]
    {
        let refused = decided(quotas, "pods", pod("1"), Value::Null).unwrap_err();
        assert_eq!(refused, format!("insufficient quota to consume: {open}"));
    }
    let nothing: [String; 0] = [];
    assert_eq!(decided(&[], "pods", pod("2"), pod("2")).unwrap(), nothing, "it grows by nothing");
    assert!(decided(&[], "pods", pod("3"), pod("2")).is_err());
    assert_eq!(
        decided(&[], "services", value!({}), Value::Null).unwrap(),
        nothing,
        "no rule is for services"
    );
    let classed = |class: &str| value!({"spec": {"priorityClassName": class, "containers": [{"name": "c"}]}});
    let of_class = |class: &str| {
        let scope = value!({"scopeName": "PriorityClass", "operator": "In", "values": [class]});
        let spec = value!({"scopeSelector": {"matchExpressions": [scope]}});
        [quota("q", value!({"pods": "1"}), value!({"pods": "0"}), spec)]
    };
    assert_eq!(decided(&[], "pods", classed("low"), Value::Null).unwrap(), nothing);
    assert_eq!(decided(&of_class("high"), "pods", classed("high"), Value::Null).unwrap(), ["q: pods=1"]);
    for quotas in [&of_class("low")[..], &[]] {
        let refused = decided(quotas, "pods", classed("high"), Value::Null).unwrap_err();
        assert_eq!(refused, "insufficient quota to match these scopes: [{PriorityClass In [high]}]");
    }
}
