use serde_json::json;

use super::*;

fn role(name: &str, label: &str, rules: &[(&str, &str)]) -> Arc<ClusterRole> {
    let rules: Vec<_> = rules
        .iter()
        .map(|(verb, resource)| json!({"apiGroups": [""], "verbs": [verb], "resources": [resource]}))
        .collect();
    let role = json!({"metadata": {"name": name, "uid": name, "labels": {(label): "true"}}, "rules": rules});
    Arc::new(serde_json::from_value(role).unwrap())
}

fn gathering(name: &str, labels: &[&str], rules: &[(&str, &str)]) -> Arc<ClusterRole> {
    let mut gathering = (*role(name, "x", rules)).clone();
    let selectors: Vec<_> = labels.iter().map(|label| json!({"matchLabels": {(*label): "true"}})).collect();
    gathering.aggregation_rule = serde_json::from_value(json!({"clusterRoleSelectors": selectors})).unwrap();
    Arc::new(gathering)
}

/// The verbs and resources that the plan applies.
fn applied(role: &Arc<ClusterRole>, all: &[Arc<ClusterRole>]) -> Option<Vec<String>> {
    let snapshot = Snapshot { role: Arc::clone(role), all: all.to_vec() };
    let plan = ClusterRoleAggregation::plan(&snapshot, Timestamp::UNIX_EPOCH);
    let actions = plan.actions();
    let Action::Patch { patch: Patch::Apply { object, field_manager, force: true }, .. } = actions.first()?
    else {
        panic!("{actions:?}")
    };
    assert_eq!(field_manager, "clusterrole-aggregation-controller");
    assert_eq!(object["metadata"], json!({"name": role.metadata.name, "uid": role.metadata.uid}));
    let text = |rule: &serde_json::Value| format!("{} {}", rule["verbs"], rule["resources"]);
    Some(object["rules"].as_array().unwrap().iter().map(text).collect())
}

#[test]
fn rules_are_gathered_once_in_the_order_of_selectors_and_names() {
    let parts = [
        role("a", "two", &[("get", "pods"), ("list", "pods")]),
        role("b", "one", &[("get", "pods")]),
        role("c", "one", &[("get", "nodes")]),
        role("d", "three", &[("get", "secrets")]),
    ];
    let expected = ["[\"get\"] [\"pods\"]", "[\"get\"] [\"nodes\"]", "[\"list\"] [\"pods\"]"];
    let all = gathering("all", &["one", "two"], &[]);
    assert_eq!(applied(&all, &parts), Some(expected.map(str::to_owned).to_vec()));
    // A role that has them is left alone.
    let done = gathering("all", &["one", "two"], &[("get", "pods"), ("get", "nodes"), ("list", "pods")]);
    assert_eq!(applied(&done, &parts), None);
}

#[test]
fn rules_that_nobody_gives_any_more_go() {
    let all = gathering("all", &["one"], &[("get", "pods")]);
    assert_eq!(applied(&all, &[]), Some(Vec::new()));
    // It does not gather itself.
    let own = gathering("all", &["x"], &[]);
    assert_eq!(applied(&own, &[Arc::clone(&own), role("all", "x", &[("get", "pods")])]), None);
    assert_eq!(applied(&gathering("all", &[], &[]), &[role("a", "one", &[("get", "pods")])]), None);
}
