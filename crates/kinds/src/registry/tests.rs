use clock::Clock;
use object::{Value, value};

use super::*;

mod coverage;
mod facts;

/// Groups that upstream serves by servers of their own.
const EXTENSION_SERVERS: [&str; 3] = ["apiextensions.k8s.io", "apiregistration.k8s.io", "metrics.k8s.io"];

/// Every built-in resource has its own strategy, which agrees with the table of resources.
#[test]
fn built_in_resources_are_known() {
    for def in schema::resources() {
        let strategy = strategy(&def.group, &def.plural);
        let name = format!("{}.{}", def.plural, def.group);
        let is_custom = std::ptr::addr_eq(strategy, &raw const CUSTOM);
        assert!(!is_custom, "{name} has no strategy");
        assert_eq!(strategy.has_status(), def.subresource("status").is_some(), "status of {name}");
    }
}

/// Rows match their columns, even for an empty object.
#[test]
fn rows_fit_their_columns() {
    let clock = Clock::system();
    for def in schema::resources() {
        let strategy = strategy(&def.group, &def.plural);
        for object in [Value::Null, value!({"metadata": {"name": "a"}})] {
            let cells = strategy.row(&object, &clock).len();
            assert_eq!(cells, strategy.columns().len(), "{} of {}", def.plural, def.group);
        }
    }
}

/// The answers to deletions according to upstream's OpenAPI document.
#[test]
fn deletions_answer_as_upstream() {
    let of = |group: &str, plural: &str| strategy(group, plural).returns_deleted();
    assert!(of("", "pods") && of("", "services") && of("resource.k8s.io", "resourceclaims"));
    assert!(!of("", "configmaps") && !of("apps", "deployments") && !of("example.com", "things"));
}

#[test]
fn flags_of_upstreams_strategies() {
    // resource, creates on update, updates unconditionally, tracks generation
    let cases = [
        ("", "pods", false, true, true),
        ("", "services", true, true, false),
        ("", "endpoints", true, true, false),
        ("", "events", true, true, false),
        ("", "nodes", false, true, false),
        ("", "podtemplates", false, true, true),
        ("apps", "deployments", false, true, true),
        ("apps", "controllerrevisions", false, true, false),
        ("coordination.k8s.io", "leases", true, false, false),
        ("policy", "poddisruptionbudgets", false, false, true),
        ("rbac.authorization.k8s.io", "roles", true, true, false),
        ("discovery.k8s.io", "endpointslices", false, true, true),
        ("networking.k8s.io", "ingresses", false, true, true),
        ("networking.k8s.io", "servicecidrs", false, true, false),
        ("resource.k8s.io", "devicetaintrules", false, false, true),
        ("storage.k8s.io", "csidrivers", false, false, true),
        ("apiextensions.k8s.io", "customresourcedefinitions", false, false, true),
        ("apiregistration.k8s.io", "apiservices", false, false, false),
        ("example.com", "things", false, false, false),
    ];
    for (group, plural, creates, unconditionally, generation) in cases {
        let strategy = strategy(group, plural);
        assert_eq!(strategy.creates_on_update(), creates, "{plural} create on update");
        assert_eq!(strategy.updates_unconditionally(), unconditionally, "{plural} update unconditionally");
        assert_eq!(strategy.tracks_generation(), generation, "{plural} track their generation");
    }
}

/// The rules of a kind apply wherever its strategy is used.
#[test]
fn rules_are_wired() {
    let invalid_label = || value!({"matchLabels": {"a b": "c"}});
    let cases = [
        ("", "bindings", value!({"target": {"kind": "Pod"}}), "target.kind"),
        ("", "pods", value!({"spec": {}}), "spec.containers"),
        ("", "services", value!({"spec": {"type": "Other"}}), "spec.type"),
        ("", "configmaps", value!({"data": {"a/b": "c"}}), "data[a/b]"),
        ("", "secrets", value!({"data": {"a/b": "eA=="}}), "data[a/b]"),
        ("", "namespaces", value!({"spec": {"finalizers": ["a b"]}}), "spec.finalizers"),
        (
            "",
            "nodes",
            value!({"spec": {"taints": [{"key": "a b", "effect": "NoSchedule"}]}}),
            "metadata.taints[0].key",
        ),
        ("", "endpoints", value!({"subsets": [{"addresses": [{"ip": "x"}]}]}), "subsets[0].addresses[0].ip"),
        (
            "",
            "events",
            value!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}}),
            "involvedObject.namespace",
        ),
        ("events.k8s.io", "events", value!({"type": "Normal"}), "eventTime"),
        (
            "apps",
            "deployments",
            value!({"spec": {"selector": (invalid_label())}}),
            "spec.selector.matchLabels",
        ),
        (
            "apps",
            "replicasets",
            value!({"spec": {"selector": (invalid_label())}}),
            "spec.selector.matchLabels",
        ),
        ("apps", "daemonsets", value!({"spec": {"updateStrategy": {"type": "Odd"}}}), "spec.updateStrategy"),
        (
            "apps",
            "statefulsets",
            value!({"spec": {"updateStrategy": {"type": "Odd"}}}),
            "spec.updateStrategy",
        ),
        ("batch", "jobs", value!({"spec": {"completionMode": "Odd"}}), "spec.completionMode"),
        ("batch", "cronjobs", value!({"spec": {"schedule": "Odd"}}), "spec.schedule"),
        ("autoscaling", "horizontalpodautoscalers", value!({"spec": {"maxReplicas": 0}}), "spec.maxReplicas"),
        ("policy", "poddisruptionbudgets", value!({"spec": {"minAvailable": -1}}), "spec.minAvailable"),
        ("", "limitranges", value!({"spec": {"limits": [{"type": "Odd"}]}}), "spec.limits[0].type"),
        ("", "resourcequotas", value!({"spec": {"scopes": ["Odd"]}}), "spec.scopes"),
        ("", "persistentvolumeclaims", value!({"spec": {}}), "spec.accessModes"),
        ("discovery.k8s.io", "endpointslices", value!({"addressType": "Other"}), "addressType"),
        (
            "coordination.k8s.io",
            "leases",
            value!({"spec": {"leaseDurationSeconds": 0}}),
            "spec.leaseDurationSeconds",
        ),
        ("rbac.authorization.k8s.io", "roles", value!({"rules": [{}]}), "rules[0].verbs"),
        ("rbac.authorization.k8s.io", "clusterroles", value!({"rules": [{}]}), "rules[0].verbs"),
        (
            "rbac.authorization.k8s.io",
            "rolebindings",
            value!({"roleRef": {"apiGroup": "x"}}),
            "roleRef.apiGroup",
        ),
        (
            "rbac.authorization.k8s.io",
            "clusterrolebindings",
            value!({"roleRef": {"apiGroup": "x"}}),
            "roleRef.apiGroup",
        ),
    ];
    for (group, plural, object, path) in cases {
        let strategy = strategy(group, plural);
        let errors = [strategy.validate(&object), strategy.validate_update(&object, &object)];
        for (errors, is_change) in errors.iter().zip([false, true]) {
            // Requirements for new objects only do not apply to changes.
            let is_asked = !is_change || !matches!(path, "spec.containers" | "eventTime");
            let has_path = errors.iter().any(|error| error.path == path);
            assert!(has_path || !is_asked, "{plural}, change: {is_change}: {errors}");
        }
    }
}

/// Objects with every field set pass through all methods of a strategy.
#[test]
fn full_objects_are_handled() {
    let Ok(folder) = std::env::var("IRONHULL_FIXTURES") else {
        eprintln!("IRONHULL_FIXTURES is not set: no objects to try");
        return;
    };
    let clock = Clock::system();
    for def in schema::resources() {
        let group = if def.group.is_empty() { "core" } else { &*def.group };
        let file = format!("{folder}/api/{group}.{}.{}.json", def.version, def.kind);
        let text = match std::fs::read(&file) {
            // The kinds of the extension servers are not among the objects.
            Err(_) if EXTENSION_SERVERS.contains(&group) => continue,
            read => read.unwrap_or_else(|error| panic!("{file}: {error}")),
        };
        let old = object::json::parse(&text).unwrap();
        let strategy = strategy(&def.group, &def.plural);
        let mut object = old.clone();
        strategy.default(&mut object);
        strategy.prepare_create(&mut object);
        strategy.set_times(&mut object, &Value::Null, &clock);
        for change in [Strategy::prepare_update as fn(&dyn Strategy, &mut Value, &Value), |s, new, old| {
            s.prepare_status_update(new, old)
        }] {
            let mut changed = old.clone();
            change(strategy, &mut changed, &old);
            let (after, before) = (changed.get("spec").is_null(), old.get("spec").is_null());
            assert_eq!(after, before, "{file}: the spec stays");
        }
        assert_eq!(strategy.row(&old, &clock).len(), strategy.columns().len(), "{file}");
        let names: Vec<&str> = strategy.selectable_fields(&old).iter().map(|(name, _)| *name).collect();
        let is_events = def.kind == "Event";
        assert!(is_events || names == strategy.selectable_field_names(), "{file}: {names:?}");
        let _ = (strategy.validate(&object), strategy.warnings(&object, None));
    }
}
