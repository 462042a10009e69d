//! Selectors, node affinity, taints.

use object::field::{Errors, Path};
use object::{Selector, value};

use super::*;

/// The cases of upstream's `TestLabelSelectorAsSelector`, asked about labels.
#[test]
fn label_selectors_select() {
    let selects = |spec: Json, labels: Json| {
        let holder = json!({"metadata": {}, "spec": {"containers": [], "affinity": null}, "selector": spec});
        let tree: Value = object::json::parse(holder["selector"].to_string().as_bytes()).unwrap();
        let typed: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector> =
            serde_json::from_value(holder["selector"].clone()).unwrap();
        let (tree, typed) = (selector(&tree), selector(&typed));
        assert_eq!(tree, typed);
        let labels: Value = object::json::parse(labels.to_string().as_bytes()).unwrap();
        tree.matches(&labels)
    };
    let web = || json!({"app": "web", "tier": "1"});
    assert!(!selects(json!(null), web()));
    assert!(selects(json!({}), web()) && selects(json!({}), json!({})));
    assert!(selects(json!({"matchLabels": {"app": "web"}}), web()));
    assert!(!selects(json!({"matchLabels": {"app": "db"}}), web()));
    let expression = |key: &str, operator: &str, values: Json| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    for (key, operator, values, expected) in [
        ("app", "In", json!(["db", "web"]), true),
        ("app", "NotIn", json!(["db"]), true),
        ("app", "NotIn", json!(["web"]), false),
        ("other", "NotIn", json!(["web"]), true),
        ("app", "Exists", json!([]), true),
        ("other", "Exists", json!([]), false),
        ("other", "DoesNotExist", json!([]), true),
        // Malformed selectors select nothing.
        ("app", "Exists", json!(["web"]), false),
        ("app", "In", json!([]), false),
        ("app", "Matches", json!(["web"]), false),
        ("tier", "Gt", json!(["0"]), false),
    ] {
        assert_eq!(selects(expression(key, operator, values), web()), expected, "{key} {operator}");
    }
    assert!(selector(&value_of("{}")).is_everything());
    assert_eq!(selector(&Value::Null), Selector::nothing());
}

fn value_of(json: &str) -> Value {
    object::json::parse(json.as_bytes()).unwrap()
}

fn on_node(spec: Json, name: &str, labels: Json) -> bool {
    let labels = value_of(&labels.to_string());
    let mut spec = spec;
    spec["containers"] = json!([]);
    let terms = ask::<Pod, _>(&json!({"spec": spec}), |pod| NodeTerms::new(&pod.field("spec")));
    terms.match_node(name, &labels)
}

fn required(terms: Json) -> Json {
    json!({"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
    }}})
}

/// The cases of upstream's `TestPodMatchesNodeSelectorAndAffinityTerms`.
#[test]
fn pods_run_where_selector_and_affinity_say() {
    let expression = |key: &str, operator: &str, values: Json| {
        required(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
    };
    let field = |operator: &str, values: Json| {
        required(json!([{"matchFields": [{"key": "metadata.name", "operator": operator, "values": values}]}]))
    };
    let labels = || json!({"foo": "bar", "GPU": "NVIDIA-GRID-K1", "kernel": "0206"});
    let other_gpu = || json!([{"matchExpressions": [{"key": "GPU", "operator": "In", "values": ["AMD"]}]}]);
    for (spec, expected) in [
        (json!({}), true),
        (json!({"nodeSelector": {"foo": "bar"}}), true),
        (json!({"nodeSelector": {"foo": "bar", "baz": "blah"}}), false),
        (expression("foo", "In", json!(["bar", "value2"])), true),
        (expression("kernel", "Gt", json!(["0204"])), true),
        (expression("kernel", "Lt", json!(["0204"])), false),
        (expression("mem-type", "NotIn", json!(["DDR", "DDR2"])), true),
        (expression("GPU", "Exists", json!(null)), true),
        (expression("GPU", "DoesNotExist", json!(null)), false),
        (expression("foo", "In", json!(["value1"])), false),
        // An operator that does not exist and a value that no label has match nothing.
        (expression("foo", "Near", json!(["bar"])), false),
        (expression("foo", "NotIn", json!(["invalid value: ___@#$%^"])), false),
        // No term, an empty one, and one without requirements match nothing.
        (required(json!([])), false),
        (required(json!([{}])), false),
        (required(json!([{"matchExpressions": []}])), false),
        // One of several terms is enough; in a term all requirements must hold.
        (required(json!([{"matchExpressions": [{"key": "foo", "operator": "Exists"}]}, {}])), true),
        (
            required(json!([{"matchExpressions": [
                {"key": "GPU", "operator": "Exists"}, {"key": "foo", "operator": "DoesNotExist"},
            ]}])),
            false,
        ),
        (field("In", json!(["node_1"])), true),
        (field("In", json!(["node_2"])), false),
        (field("NotIn", json!(["node_2"])), true),
        (field("In", json!(["node_1", "node_2"])), false),
        (field("Exists", json!(null)), false),
        // Selector and affinity must hold both.
        (
            json!({"nodeSelector": {"foo": "bar"}, "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": other_gpu()}}}}),
            false,
        ),
        // Preferences forbid nothing.
        (
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 5, "preference": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}},
            ]}}}),
            true,
        ),
    ] {
        assert_eq!(on_node(spec.clone(), "node_1", labels()), expected, "{spec}");
    }
}

#[test]
fn preferences_have_weights() {
    let spec = json!({"containers": [], "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 5, "preference": {"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["a"]}]}},
    ]}}});
    let terms = ask::<Pod, _>(&json!({"spec": spec}), |pod| NodeTerms::new(&pod.field("spec")));
    let [preferred] = terms.preferred.as_slice() else { panic!("{terms:?}") };
    assert!(preferred.weight == 5 && preferred.term.matches("a", &Value::Null));
    assert_eq!(preferred.term.node_names(), Some(vec!["a"]));
    assert!(terms.demands_nothing());
}

/// The cases of upstream's `TestTolerationToleratesTaint` and KEP-5471's comparisons.
#[test]
fn tolerations_cover_taints() {
    for (toleration, taint, expected) in [
        (json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"}), ("a", "b", "NoSchedule"), true),
        (json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"}), ("a", "b", "NoExecute"), false),
        (json!({"key": "a", "operator": "Exists"}), ("a", "b", "NoExecute"), true),
        (
            json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}),
            ("a", "b", "NoSchedule"),
            true,
        ),
        (
            json!({"key": "a", "operator": "Equal", "value": "c", "effect": "NoSchedule"}),
            ("a", "b", "NoSchedule"),
            false,
        ),
        (json!({"key": "a", "value": "b"}), ("a", "b", "NoSchedule"), true),
        (json!({"key": "x", "operator": "Exists"}), ("a", "b", "NoSchedule"), false),
        (json!({"operator": "Exists"}), ("a", "b", "PreferNoSchedule"), true),
        (json!({"key": "", "operator": "Exists", "effect": ""}), ("a", "", "NoSchedule"), true),
        (json!({"key": "a", "operator": "Lt", "value": "6"}), ("a", "5", "NoSchedule"), true),
        (json!({"key": "a", "operator": "Lt", "value": "5"}), ("a", "5", "NoSchedule"), false),
        (json!({"key": "a", "operator": "Gt", "value": "4"}), ("a", "5", "NoSchedule"), true),
        (json!({"key": "a", "operator": "Gt", "value": "x"}), ("a", "5", "NoSchedule"), false),
        (json!({"key": "a", "operator": "Gt", "value": "4"}), ("a", "x", "NoSchedule"), false),
        (json!({"key": "a", "operator": "Other", "value": "b"}), ("a", "b", "NoSchedule"), false),
    ] {
        let pod = json!({"spec": {"containers": [], "tolerations": [toleration]}});
        let tolerations = ask::<Pod, _>(&pod, |pod| tolerations(pod));
        let (key, value, effect) = taint;
        let node = json!({"spec": {"taints": [{"key": key, "value": value, "effect": effect}]}});
        let taints = ask::<Node, _>(&node, |node| taints(node));
        assert_eq!(taints[0].effect.as_str(), effect);
        assert_eq!(Toleration::any_tolerates(&tolerations, &taints[0]), expected, "{pod} {taint:?}");
    }
    let timed = json!({"spec": {"containers": [], "tolerations": [{"key": "a", "tolerationSeconds": 3}]}});
    assert_eq!(ask::<Pod, _>(&timed, |pod| tolerations(pod)[0].seconds()), Some(3));
    assert!(!Toleration::any_tolerates(&[], &Taint::new("a", Effect::NoSchedule)));
    assert!(Toleration::of_key("a", Effect::NoSchedule).tolerates(&Taint::new("a", Effect::NoSchedule)));
    assert!(!Effect::PreferNoSchedule.forbids_scheduling() && Effect::NoExecute.forbids_scheduling());
}

#[test]
fn label_selector_objects() {
    let selector = value!({"matchLabels": {"b": "c"}, "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["y", "x"]},
        {"key": "z", "operator": "DoesNotExist"},
    ]});
    assert_eq!(try_selector(&selector).unwrap().to_string(), "a in (x,y),b=c,!z");
    assert_eq!(try_selector(&Value::Null).unwrap(), Selector::nothing());
    assert!(try_selector(&Value::map()).unwrap().is_everything());
    let unknown = value!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    let error = try_selector(&unknown).unwrap_err();
    assert_eq!(error.to_string(), r#""Near" is not a valid label selector operator"#);
}

#[test]
fn label_selector_validation() {
    let wrong = value!({"matchLabels": {"-": "x"}, "matchExpressions": [
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["x"]},
        {"key": "", "operator": "Near", "values": ["-"]},
    ]});
    let selector = LabelSelector::read(&wrong);
    let fields =
        |errors: Errors| errors.iter().map(|e| format!("{} {:?}", e.path, e.kind)).collect::<Vec<_>>();
    let spec = Path::root("spec");
    let mut expected = vec![
        "spec.selector.matchLabels Invalid",
        "spec.selector.matchExpressions[0].values Required",
        "spec.selector.matchExpressions[1].values Forbidden",
        "spec.selector.matchExpressions[2].operator Invalid",
        "spec.selector.matchExpressions[2].key Invalid",
        "spec.selector.matchExpressions[2].key Invalid",
        "spec.selector.matchExpressions[2].values[0] Invalid",
    ];
    assert_eq!(fields(selector.validate(&spec.child("selector"), false)), expected);
    expected.pop();
    assert_eq!(fields(selector.validate(&spec.child("selector"), true)), expected);
    assert!(selector.has_invalid_values());
}
