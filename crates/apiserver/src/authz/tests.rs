use k8s_openapi::api::rbac::v1::PolicyRule;

use super::*;

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> PolicyRule {
    let list = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        verbs: list(verbs),
        api_groups: Some(list(groups)),
        resources: Some(list(resources)),
        resource_names: (!names.is_empty()).then(|| list(names)),
        non_resource_urls: None,
    }
}

#[test]
fn rules_allow_what_they_name() {
    let pods = rule(&["get", "list"], &[""], &["pods", "*/scale"], &[]);
    let named = rule(&["*"], &["*"], &["*"], &["x"]);
    // Rule, verb, group, resource, subresource, name, whether it is allowed.
    let table = [
        (&pods, "get", "", "pods", "", "a", true),
        (&pods, "delete", "", "pods", "", "a", false),
        (&pods, "get", "apps", "pods", "", "a", false),
        (&pods, "get", "", "pods", "log", "a", false),
        (&pods, "get", "", "anything", "scale", "a", true),
        (&named, "delete", "apps", "deployments", "status", "x", true),
        (&named, "delete", "apps", "deployments", "", "y", false),
        (&named, "list", "apps", "deployments", "", "", false),
    ];
    for (rule, verb, group, resource, subresource, name, expected) in table {
        let got = allows_resource(rule, verb, group, resource, subresource, name);
        assert_eq!(got, expected, "{verb} {group}/{resource}/{subresource} {name}");
    }
}

#[test]
fn paths_match_whole_or_by_prefix() {
    let rule = PolicyRule {
        verbs: vec!["get".into()],
        non_resource_urls: Some(vec!["/healthz".into(), "/openapi/*".into()]),
        ..PolicyRule::default()
    };
    for (path, expected) in [("/healthz", true), ("/healthz/x", false), ("/openapi/v2", true), ("/", false)] {
        assert_eq!(allows_path(&rule, "get", path), expected, "{path}");
    }
    assert!(!allows_path(&rule, "post", "/healthz"));
}

#[test]
fn nobody_gives_away_more_than_he_has() {
    let paths = |verbs: &[&str], urls: &[&str]| PolicyRule {
        non_resource_urls: Some(urls.iter().map(|url| (*url).to_owned()).collect()),
        ..rule(verbs, &[], &[], &[])
    };
    let owned = [
        rule(&["get", "list"], &[""], &["pods"], &[]),
        rule(&["get"], &["apps"], &["*"], &["x"]),
        rule(&["update"], &[""], &["*/status", "pods/log"], &[]),
        paths(&["get"], &["/healthz/*", "/version"]),
    ];
    let table = [
        (rule(&["get"], &[""], &["pods"], &["a"]), true),
        (rule(&["get", "list"], &[""], &["pods"], &[]), true),
        (rule(&["get", "watch"], &[""], &["pods"], &[]), false),
        (rule(&["*"], &[""], &["pods"], &[]), false),
        (rule(&["get"], &["*"], &["pods"], &[]), false),
        (rule(&["get"], &["apps"], &["deployments"], &["x"]), true),
        (rule(&["get"], &["apps"], &["deployments"], &["x", "y"]), false),
        (rule(&["get"], &["apps"], &["deployments"], &[]), false),
        (rule(&["get"], &["", "apps"], &["pods"], &["x"]), true),
        (rule(&["get"], &["", "apps"], &["pods"], &[]), false),
        (rule(&["update"], &[""], &["nodes/status", "pods/log", "*/status"], &[]), true),
        (rule(&["update"], &[""], &["nodes/log"], &[]), false),
        (rule(&["update"], &[""], &["pods/*"], &[]), false),
        (rule(&["update"], &[""], &["*"], &[]), false),
        (paths(&["get"], &["/healthz/etcd", "/version", "/healthz/*"]), true),
        (paths(&["get"], &["/healthz"]), false),
        (paths(&["get"], &["*"]), false),
        (paths(&["get", "post"], &["/version"]), false),
    ];
    for (wanted, expected) in table {
        let missing = missing(&owned, std::slice::from_ref(&wanted)).unwrap();
        assert_eq!(missing.is_empty(), expected, "{wanted:?}: {}", describe(&missing));
    }
}

#[test]
fn lists_that_multiply_without_measure_are_not_compared() {
    let list: Vec<String> = (0..1000).map(|i| format!("x{i}")).collect();
    let large = PolicyRule {
        verbs: list.clone(),
        api_groups: Some(list.clone()),
        resources: Some(list.clone()),
        resource_names: Some(list.clone()),
        non_resource_urls: None,
    };
    assert_eq!(missing(&[], std::slice::from_ref(&large)), Err(TooLarge));
    let everything = rule(&["*"], &["*"], &["*"], &[]);
    assert_eq!(missing(&[everything], std::slice::from_ref(&large)), Ok(Vec::new()));
    assert_eq!(missing(std::slice::from_ref(&large), std::slice::from_ref(&large)), Ok(Vec::new()));
}

/// Each of these rules is small enough to be compared; all of them together are not.
#[test]
fn rules_that_multiply_together_are_not_compared() {
    let names = |prefix: &str| (0..25).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let (verbs, groups, resources) = (names("v"), names("g"), names("r"));
    let own: Vec<PolicyRule> = verbs
        .iter()
        .map(|verb| PolicyRule {
            verbs: vec![verb.clone()],
            api_groups: Some(groups.clone()),
            resources: Some(resources.clone()),
            ..PolicyRule::default()
        })
        .collect();
    let wanted = PolicyRule { verbs, ..own[0].clone() };
    assert_eq!(missing(&own, std::slice::from_ref(&wanted)), Ok(Vec::new()), "they cover it together");
    assert_eq!(missing(&own, &[wanted.clone(), wanted]), Err(TooLarge));
    let small = rule(&["get"], &[""], &["pods"], &["a"]);
    let (many, very_many) = (vec![small.clone(); 4_000], vec![small; 5_000]);
    assert_eq!(missing(&many, &many), Ok(Vec::new()));
    assert_eq!(missing(&very_many, &very_many), Err(TooLarge), "every one may be compared with every other");
}

#[test]
fn no_more_is_listed_than_a_reader_reads() {
    let long = "x".repeat(10_000);
    let names: Vec<String> = (0..16_000).map(|i| i.to_string()).collect();
    let wanted = PolicyRule { resource_names: Some(names), ..rule(&["get"], &[&long], &["pods"], &[]) };
    let missing = missing(&[], &[wanted]).unwrap();
    assert_eq!(missing.len(), 7);
    let shown = describe(&missing);
    assert!(shown.contains(r#"ResourceNames:["0"]"#) && shown.len() < 100_000, "{} bytes", shown.len());
}

#[test]
fn messages_are_said_once_however_many_there_are() {
    assert_eq!(aggregate([]), "");
    assert_eq!(aggregate(["b", "b"]), "b");
    assert_eq!(aggregate(["b", "a", "b"]), "[b, a]");
    let many: Vec<String> = (0..300_000).map(|i| i.to_string()).collect();
    assert!(aggregate(many.iter().map(String::as_str)).ends_with(", 299999]"));
}
