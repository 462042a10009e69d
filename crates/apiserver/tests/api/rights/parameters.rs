//! The request that is authorized is the one that is executed: a query is parsed once.

use apiserver::testing::value_of;
use apiserver::user::GROUP_NODES;

use super::*;

/// A server with the pod `mine` on node `a` and the pod `other` on node `b`.
async fn two_nodes() -> TestServer {
    let server = server_for_pods().await;
    for (name, node) in [("mine", "a"), ("other", "b")] {
        let mut object = pod(name);
        object.set_path(&["spec", "nodeName"], node.into());
        call(&server, "POST", PODS, &object).await.success();
    }
    server.registry.hub.catch_up().await.unwrap();
    server
}

#[tokio::test]
async fn a_node_lists_just_what_it_was_judged_by() {
    let server = two_nodes().await;
    let node = User::new("system:node:a", &[GROUP_NODES]);
    // Query, and the pods; nothing for a refusal.
    let table = [
        ("fieldSelector=spec.nodeName%3Da", Some("mine")),
        ("fieldSelector=spec.nodeName%3Da&fieldSelector=spec.nodeName%3Db", Some("mine")),
        ("fieldSelector=spec.nodeName%3Da&fieldSelector=", Some("mine")),
        ("fieldSelector=spec.nodeName%3Da&field%53elector=status.phase%21%3Dx", Some("mine")),
        ("fieldSelector=spec.nodeName%3Da,spec.nodeName%3Db", Some("")),
        ("fieldSelector=%zz&fieldSelector=spec.nodeName%3Da", Some("mine")),
        ("fieldSelector=&fieldSelector=spec.nodeName%3Da", None),
        ("fieldSelector=spec.nodeName%3Db&fieldSelector=spec.nodeName%3Da", None),
        // An escaped comma ends no requirement: this selects all pods but those of a strange phase.
        ("fieldSelector=status.phase%21%3Dx%5C,spec.nodeName%3Da", None),
        ("fieldSelector=spec.nodeName%21%3Da", None),
        ("fieldSelector=spec.nodeName%3Da,x", None),
        ("labelSelector=spec.nodeName%3Da", None),
    ];
    for (query, expected) in table {
        let path = format!("/api/v1/pods?{query}");
        let answer = server.request(&node, "GET", &path, "", "").await;
        let reply = send_as(&server, &node, "GET", &path, &Value::Null).await;
        let Some(expected) = expected else {
            assert_eq!(answer.unwrap_err().code, 403, "{query}");
            assert_eq!(reply.code, 403, "{query}");
            continue;
        };
        let listed = value_of(answer.unwrap());
        let listed: Vec<&str> = listed.items().filter_map(Value::as_str).collect();
        assert_eq!(
            listed,
            expected.split_terminator(' ').map(|n| format!("default/{n}")).collect::<Vec<_>>(),
            "{query}"
        );
        let items = reply.success();
        let names: Vec<&str> = items.get("items").items().map(|i| i.str_at("metadata.name")).collect();
        assert_eq!(names.join(" "), expected, "{query}");
        let watch = send_open(&server, &node, &format!("{path}&watch=1&timeoutSeconds=1")).await;
        assert_eq!(watch, 200, "{query}");
    }
    // A watch by path is judged without its selector.
    let path = "/api/v1/watch/pods?fieldSelector=spec.nodeName%3Da";
    assert_eq!(send_open(&server, &node, path).await, 403);
}

async fn send_open(server: &TestServer, user: &User, path: &str) -> u16 {
    open(server, Some(user), "GET", path, &[], "").await.status().as_u16()
}

#[tokio::test]
async fn a_question_about_a_selector_is_answered_by_its_requirements() {
    let server = two_nodes().await;
    let ask = async |selector: Value| {
        let review = value!({"spec": {"user": "system:node:a", "groups": [GROUP_NODES], "resourceAttributes": {
            "verb": "list", "resource": "pods", "fieldSelector": selector
        }}});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        call(&server, "POST", path, &review).await.success().at("status.allowed").as_bool()
    };
    let requirement = |operator: &str, values: Value| value!({"requirements": [{"key": "spec.nodeName", "operator": operator, "values": values}]});
    let table = [
        (value!({"rawSelector": "spec.nodeName=a"}), true),
        (value!({"rawSelector": "status.phase!=x\\,spec.nodeName=a"}), false),
        (requirement("In", value!(["a"])), true),
        (requirement("In", value!(["a", "b"])), false),
        (requirement("NotIn", value!(["a"])), false),
        (requirement("In", value!(["x,spec.nodeName=a"])), false),
    ];
    for (selector, expected) in table {
        assert_eq!(ask(selector.clone()).await, Some(expected), "{selector:?}");
    }
}

/// What of a selector cannot be read is left out, and the answer says so; in each kind of review.
#[tokio::test]
async fn unreadable_selectors_are_evaluation_errors() {
    let server = two_nodes().await;
    let requirement = |operator: &str, values: Value| value!({"key": "spec.nodeName", "operator": operator, "values": values});
    let good = || requirement("In", value!(["a"]));
    let newer = || requirement("Near", value!(["a"]));
    let (ignored, partially) = ("ignored due to parse error", "partially ignored due to parse error");
    let whole = |how: &str, selector: &str| format!("spec.resourceAttributes.{selector} {how}");
    let raw = |text: &str| value!({"rawSelector": text});
    let table = [
        (value!({"fieldSelector": (raw("spec.nodeName=a"))}), String::new()),
        (value!({"fieldSelector": (raw("spec.nodeName"))}), whole(ignored, "fieldSelector")),
        (value!({"fieldSelector": {"requirements": [(newer())]}}), whole(ignored, "fieldSelector")),
        (
            value!({"fieldSelector": {"requirements": [(good()), (newer())]}}),
            whole(partially, "fieldSelector"),
        ),
        (value!({"labelSelector": (raw("a in ("))}), whole(ignored, "labelSelector")),
        (value!({"labelSelector": {"requirements": [(newer())]}}), whole(ignored, "labelSelector")),
        (
            value!({"labelSelector": {"requirements": [(good()), (newer())]}}),
            whole(partially, "labelSelector"),
        ),
        (
            value!({"fieldSelector": (raw("a")), "labelSelector": (raw("a b"))}),
            format!("{}; {}", whole(ignored, "fieldSelector"), whole(ignored, "labelSelector")),
        ),
    ];
    let node = User::new("system:node:a", &[GROUP_NODES, "system:authenticated"]);
    for (selectors, expected) in table {
        for path in [
            "selfsubjectaccessreviews",
            "subjectaccessreviews",
            "namespaces/default/localsubjectaccessreviews",
        ] {
            let mut attributes = selectors.clone();
            attributes.set("verb", "list");
            attributes.set("resource", "pods");
            let mut review = value!({"spec": {"resourceAttributes": attributes}});
            if path.contains("local") {
                review.set_path(&["spec", "resourceAttributes", "namespace"], "default".into());
            }
            let mut user = admin();
            if path.starts_with("self") {
                user = node.clone();
            } else {
                review.set_path(&["spec", "user"], node.name.as_str().into());
                review.set_path(&["spec", "groups"], value!([GROUP_NODES]));
            }
            let path = format!("/apis/authorization.k8s.io/v1/{path}");
            let json = [("content-type", "application/json")];
            let body = object::json::to_bytes(&review);
            let answer = send(&server, Some(&user), "POST", &path, &json, body).await.success();
            assert_eq!(answer.str_at("status.evaluationError"), expected, "{path} {review:?}");
            // Nothing more is allowed than without the part that cannot be read.
            let is_limited = expected.is_empty() || expected == whole(partially, "fieldSelector");
            assert_eq!(answer.at("status.allowed").as_bool(), Some(is_limited), "{path} {review:?}");
        }
    }
}

/// A review that is not valid is refused as upstream refuses it.
#[tokio::test]
async fn a_review_that_asks_nothing_is_invalid() {
    let server = TestServer::start().await;
    let table = [
        ("selfsubjectaccessreviews", value!({}), "SelfSubjectAccessReview", "exactly one of"),
        (
            "subjectaccessreviews",
            value!({"resourceAttributes": {}}),
            "SubjectAccessReview",
            "at least one of user",
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            value!({"user": "u", "resourceAttributes": {"namespace": "other"}}),
            "LocalSubjectAccessReview",
            "must match metadata.namespace",
        ),
    ];
    for (path, spec, kind, why) in table {
        let path = format!("/apis/authorization.k8s.io/v1/{path}");
        let (code, reason, message) = call(&server, "POST", &path, &value!({"spec": spec})).await.status();
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{message}");
        assert!(
            message.starts_with(&format!("{kind}.authorization.k8s.io \"\" is invalid: spec")),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn the_first_of_a_repeated_parameter_counts() {
    let server = TestServer::start().await;
    for name in ["a", "b"] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[("app", name)])).await.success();
    }
    let names = async |query: &str| {
        let list = get(&server, &format!("{CONFIG_MAPS}?{query}")).await.success();
        list.get("items").items().map(|i| i.str_at("metadata.name").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("labelSelector=app%3Da&labelSelector=app%3Db").await, "a");
    assert_eq!(names("limit=1&limit=2").await, "a");
    assert_eq!(names("watch=0&watch=1").await, "a b");
    // The list of a dry run's values must say the same throughout; otherwise nothing happens.
    for query in ["dryRun=All&dryRun=", "dryRun=&dryRun=All", "dryRun=All&dryRun=None", "dryRun="] {
        let (code, ..) =
            call(&server, "DELETE", &format!("{CONFIG_MAPS}/a?{query}"), &Value::Null).await.status();
        assert_eq!(code, 422, "{query}");
    }
    assert_eq!(
        call(&server, "DELETE", &format!("{CONFIG_MAPS}/a?dryRun=All&dryRun=All"), &Value::Null).await.code,
        200
    );
    let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict&fieldValidation=Ignore");
    let object = value!({"metadata": {"name": "c"}, "unknown": 1i64});
    assert_eq!(call(&server, "POST", &strict, &object).await.code, 400);
    let path = format!("{CONFIG_MAPS}?labelSelector=app%3Da&labelSelector=app");
    call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!(names("").await, "b");
}

#[tokio::test]
async fn an_encoded_slash_is_a_slash_for_authorization_and_for_the_registry() {
    let server = TestServer::start().await;
    grant(&server, "jane", vec![rule(&["get"], &[""], &["namespaces"])]).await;
    let jane = User::new("jane", &[]);
    let path = "/api/v1/namespaces/kube-system%2Fconfigmaps%2Fx";
    let (code, _, message) = send_as(&server, &jane, "GET", path, &Value::Null).await.status();
    assert_eq!(code, 403);
    assert!(message.contains("cannot get resource \"configmaps\""), "{message}");
}
