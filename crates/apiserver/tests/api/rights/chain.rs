//! Every question about a right goes over the one chain of authorizers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apiserver::Extensions;
use apiserver::authz::{Attributes, Authorizer, Decision, Reply, Rules, Target};
use futures::FutureExt;
use tokio::sync::Notify;

use super::*;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const OWN_RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";

/// Decides by the user's name, as a webhook would: after a while.
#[derive(Default)]
struct Outside {
    asked: Notify,
    /// Questions that are being answered now.
    open: AtomicUsize,
}

struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Authorizer for Outside {
    fn kind(&self) -> &'static str {
        "Webhook"
    }

    fn name(&self) -> &str {
        "outside"
    }

    fn authorize<'a>(&'a self, what: &'a Attributes<'a>) -> Reply<'a> {
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(&self.open);
        Reply::Later(Box::pin(async move {
            let _open = open;
            self.asked.notify_one();
            tokio::task::yield_now().await;
            match what.user.name.as_str() {
                "friend" => Ok(Decision::Allow("friends may".into())),
                "foe" => Ok(Decision::Deny("foes may not".into())),
                "fault" => Err("nobody answers".into()),
                "patient" => std::future::pending().await,
                _ => Ok(Decision::NoOpinion("never heard of".into())),
            }
        }))
    }

    fn rules_of(&self, _user: &User, _namespace: &str) -> Rules {
        let error = "webhook authorizer does not support user rule resolution";
        Rules { incomplete: true, errors: vec![error.into()], ..Rules::default() }
    }
}

async fn server() -> (TestServer, Arc<Outside>) {
    let outside = Arc::new(Outside::default());
    let authorizers = vec![Arc::clone(&outside) as Arc<dyn Authorizer>];
    let server = TestServer::with(Extensions { authorizers, ..Extensions::default() }).await;
    (server, outside)
}

#[tokio::test]
async fn requests_are_judged_by_all_members() {
    let (server, _) = server().await;
    for name in ["foe", "fault", "nobody"] {
        grant(&server, name, vec![rule(&["get", "list"], &[""], &["configmaps"])]).await;
    }
    let secrets = "/api/v1/namespaces/default/secrets";
    // User, path, code, and what the message ends with.
    let table = [
        ("friend", secrets, 200, ""),
        ("foe", CONFIG_MAPS, 403, "in the namespace \"default\": foes may not"),
        ("nobody", CONFIG_MAPS, 200, ""),
        ("nobody", secrets, 403, "in the namespace \"default\": never heard of"),
        // Who fails has no opinion, and roles allow.
        ("fault", CONFIG_MAPS, 200, ""),
        ("fault", secrets, 500, "Internal error occurred: authorizer Webhook \"outside\" cannot decide"),
    ];
    for (name, path, code, end) in table {
        let user = User::new(name, &[]);
        let reply = send_as(&server, &user, "GET", path, &Value::Null).await;
        assert_eq!(reply.code, code, "{name} {path} {:?}", reply.bytes);
        if code != 200 {
            assert!(reply.status().2.ends_with(end), "{name} {path}: {}", reply.status().2);
        }
        // A component of this process is judged alike.
        let inside = server.request(&user, "GET", path, "", bytes::Bytes::new()).await;
        assert_eq!(inside.map_or_else(|status| status.code, |answer| answer.code), code, "{name} {path}");
    }
    let text = String::from_utf8(get(&server, "/metrics").await.bytes.to_vec()).unwrap();
    for sample in [
        "authorization_attempts_total{result=\"denied\"} 2\n",
        "authorization_attempts_total{result=\"error\"} 2\n",
        "authorization_attempts_total{result=\"no-opinion\"} 2\n",
        "authorization_duration_seconds_count{result=\"error\"} 2\n",
        "apiserver_authorization_decisions_total{type=\"Webhook\",name=\"outside\",decision=\"allowed\"} 2\n",
        "apiserver_authorization_decisions_total{type=\"Webhook\",name=\"outside\",decision=\"denied\"} 2\n",
        "apiserver_authorization_decisions_total{type=\"RBAC\",name=\"\",decision=\"allowed\"} 4\n",
    ] {
        assert!(text.contains(sample), "no {sample} in\n{text}");
    }
}

#[tokio::test]
async fn reviews_tell_what_the_chain_said() {
    let (server, _) = server().await;
    let table = [
        ("friend", value!({"allowed": true, "reason": "friends may"})),
        ("foe", value!({"allowed": false, "denied": true, "reason": "foes may not"})),
        ("nobody", value!({"allowed": false, "reason": "never heard of"})),
        (
            "fault",
            value!({"allowed": false, "evaluationError": "authorizer Webhook \"outside\" cannot decide: nobody answers"}),
        ),
    ];
    for (user, expected) in table {
        let attributes = value!({"verb": "get", "resource": "secrets"});
        let review = value!({"spec": {"user": user, "resourceAttributes": attributes}});
        let reply = call(&server, "POST", REVIEWS, &review).await.success();
        assert_eq!(reply.get("status"), &expected, "{user}");
    }
}

#[tokio::test]
async fn rules_are_incomplete_where_a_member_cannot_list_them() {
    let (server, _) = server().await;
    let review = value!({"spec": {"namespace": "default"}});
    let status = call(&server, "POST", OWN_RULES, &review).await.success().get("status").clone();
    assert_eq!(status.get("incomplete").as_bool(), Some(true));
    assert_eq!(status.str_at("evaluationError"), "webhook authorizer does not support user rule resolution");
    assert!(status.get("resourceRules").items().count() > 0, "roles are listed all the same: {status:?}");
}

#[tokio::test]
async fn whatever_takes_a_right_asks_the_chain() {
    let (server, _) = server().await;
    let friend = User::new("friend", &[]);
    let foe = User::new("foe", &[]);
    grant(&server, "foe", vec![rule(&["*"], &["*"], &["*"])]).await;
    let role = value!({"metadata": {"name": "all"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]});
    // The friend holds no rule, but may escalate.
    assert_eq!(send_as(&server, &friend, "POST", ROLES, &role).await.code, 201);
    assert_eq!(send_as(&server, &foe, "POST", ROLES, &role).await.code, 403);
    let lease = value!({"metadata": {"name": "l"}});
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert_eq!(send_as(&server, &friend, "PUT", path, &lease).await.code, 201);
    for (name, code) in [("friend", 200), ("foe", 403), ("fault", 403), ("nobody", 403)] {
        let headers = [("impersonate-user", "admin"), ("impersonate-group", "system:masters")];
        let user = User::new(name, &[]);
        let reply = send(&server, Some(&user), "GET", CONFIG_MAPS, &headers, "").await;
        assert_eq!(reply.code, code, "{name}: {:?}", reply.bytes);
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_question() {
    let (server, outside) = server().await;
    let patient = User::new("patient", &[]);
    let request = open(&server, Some(&patient), "GET", CONFIG_MAPS, &[], "");
    tokio::select! {
        answer = request => panic!("nobody has decided: {answer:?}"),
        () = outside.asked.notified() => {}
    }
    assert_eq!(outside.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_role_that_is_bound_and_missing_is_named() {
    let server = TestServer::start().await;
    for (plural, kind, name) in
        [("clusterrolebindings", "ClusterRole", "lost"), ("namespaces/default/rolebindings", "Role", "gone")]
    {
        let binding = value!({"metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
        let role = value!({"metadata": {"name": name}});
        let roles = if kind == "Role" { ROLES.to_owned() } else { format!("{RBAC}/clusterroles") };
        call(&server, "POST", &roles, &role).await.success();
        call(&server, "POST", &format!("{RBAC}/{plural}"), &binding).await.success();
        call(&server, "DELETE", &format!("{roles}/{name}"), &Value::Null).await.success();
    }
    server.registry.hub.catch_up().await.unwrap();
    let jane = User::new("jane", &[]);
    let message = send_as(&server, &jane, "GET", CONFIG_MAPS, &Value::Null).await.status().2;
    let end = "in the namespace \"default\": RBAC: [clusterrole.rbac.authorization.k8s.io \"lost\" not found, \
               role.rbac.authorization.k8s.io \"gone\" not found]";
    assert!(message.ends_with(end), "{message}");
    let review = value!({"spec": {"namespace": "default"}});
    let status = send_as(&server, &jane, "POST", OWN_RULES, &review).await.success().get("status").clone();
    assert_eq!(status.get("incomplete").as_bool(), Some(false));
    assert!(status.str_at("evaluationError").starts_with("[clusterrole"), "{status:?}");
}

#[tokio::test]
async fn what_a_role_allows_takes_no_memory() {
    let server = TestServer::start().await;
    grant(&server, "jane", vec![rule(&["get"], &[""], &["configmaps"])]).await;
    let jane = User::new("jane", &[]);
    let (group, version, resource, subresource) = ("", "v1", "configmaps", "");
    let target = Target::Resource { group, version, resource, subresource, namespace: "default", name: "x" };
    let what = Attributes::new(&jane, "get", target);
    // The first question makes the index.
    assert!(server.authorizer.authorize(&what).await.is_allowed());
    let (ruling, spent) = fuzz::measured(|| server.authorizer.authorize(&what).now_or_never());
    assert!(ruling.expect("roles answer at once").is_allowed());
    assert_eq!(spent.total, 0, "bytes");
    let (taken, spent) = fuzz::measured(|| vec![0u8; 64]);
    assert_eq!(spent.total, taken.len(), "the meter counts");
}

/// Whoever may write bindings in one namespace can write many, with very many subjects, and change one of them often.
#[tokio::test]
async fn a_change_of_a_binding_costs_nothing_for_the_others() {
    let server = TestServer::start().await;
    const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let binding = |name: &str, subjects: Vec<Value>| {
        value!({
            "metadata": {"name": name}, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
        })
    };
    let user = |name: &str| value!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name});
    let role = value!({"metadata": {"name": "reader"}, "rules": [(rule(&["get"], &[""], &["configmaps"]))]});
    call(&server, "POST", ROLES, &role).await.success();
    let others = (0..10_000).map(|i| user(&format!("user-{i}"))).collect();
    call(&server, "POST", BINDINGS, &binding("others", others)).await.success();
    call(&server, "POST", BINDINGS, &binding("few", vec![user("jane"), user("joe")])).await.success();
    let ask = async |name: &str| {
        server.registry.hub.catch_up().await.unwrap();
        let user = User::new(name, &[]);
        let (group, version, resource) = ("", "v1", "configmaps");
        let target =
            Target::Resource { group, version, resource, subresource: "", namespace: "default", name: "x" };
        let what = Attributes::new(&user, "get", target);
        let (ruling, spent) = fuzz::measured(|| server.authorizer.authorize(&what).now_or_never());
        let ruling = ruling.expect("roles answer at once");
        (ruling.is_allowed(), ruling.reason().to_owned(), spent.total)
    };
    assert!(ask("user-9999").await.0 && ask("jane").await.0 && ask("joe").await.0);
    let path = format!("{BINDINGS}/few");
    let label = value!({"metadata": {"labels": {"a": "b"}}});
    call(&server, "PATCH", &path, &label).await.success();
    let (is_allowed, reason, bytes) = ask("jane").await;
    assert!(is_allowed && bytes < 20_000, "{bytes} bytes");
    assert_eq!(reason, r#"RBAC: allowed by RoleBinding "few/default" of Role "reader" to User "jane""#);
    call(&server, "PATCH", &path, &value!({"subjects": [(user("joe")), (user("jim"))]})).await.success();
    assert_eq!((ask("jane").await.0, ask("joe").await.0, ask("jim").await.0), (false, true, true));
    call(&server, "PATCH", &format!("{ROLES}/reader"), &value!({"rules": []})).await.success();
    assert_eq!((ask("joe").await.0, ask("user-1").await.0), (false, false));
    call(&server, "DELETE", &format!("{ROLES}/reader"), &Value::Null).await.success();
    let absent = r#"RBAC: role.rbac.authorization.k8s.io "reader" not found"#;
    assert_eq!(ask("joe").await.1, absent);
    call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!((ask("joe").await.1.as_str(), ask("user-1").await.1.as_str()), ("", absent));
    call(&server, "POST", ROLES, &role).await.success();
    assert_eq!((ask("joe").await.0, ask("user-1").await.0), (false, true));
}

#[tokio::test]
async fn a_role_that_is_bound_often_is_listed_once() {
    let server = TestServer::start().await;
    let jane = User::new("jane", &[]);
    let count = async || {
        server.registry.hub.catch_up().await.unwrap();
        let review = value!({"spec": {"namespace": "default"}});
        let status =
            send_as(&server, &jane, "POST", OWN_RULES, &review).await.success().get("status").clone();
        status.get("resourceRules").items().len()
    };
    let before = count().await;
    let role = value!({"metadata": {"name": "r"}, "rules": [(rule(&["get"], &[""], &["configmaps"]))]});
    server.create("rbac.authorization.k8s.io", "roles", "default", role).await.unwrap();
    for index in 0..5 {
        let binding = value!({
            "metadata": {"name": (format!("b{index}"))},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}]
        });
        server.create("rbac.authorization.k8s.io", "rolebindings", "default", binding).await.unwrap();
    }
    assert_eq!(count().await, before + 1);
}

#[tokio::test]
async fn a_refusal_names_a_hundred_missing_roles() {
    let server = TestServer::start().await;
    const GROUP: &str = "rbac.authorization.k8s.io";
    for index in 0..110 {
        let name = format!("r{index}");
        server
            .create(GROUP, "roles", "default", value!({"metadata": {"name": (name.as_str())}}))
            .await
            .unwrap();
        let binding = value!({
            "metadata": {"name": (name.as_str())}, "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": (name.as_str())},
            "subjects": [{"kind": "User", "apiGroup": GROUP, "name": "jane"}]
        });
        server.create(GROUP, "rolebindings", "default", binding).await.unwrap();
    }
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    call(&server, "DELETE", roles, &Value::Null).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let jane = User::new("jane", &[]);
    let (code, _, message) = send_as(&server, &jane, "GET", CONFIG_MAPS, &Value::Null).await.status();
    assert_eq!((code, message.matches(" not found").count()), (403, 100));
}
