//! Roles and bindings, by every way to a new state.

use super::*;

/// May do everything with RBAC's kinds and read ConfigMaps, and nothing else.
async fn author(server: &TestServer) -> User {
    let rbac = rule(&["create", "get", "update", "patch", "delete"], &["rbac.authorization.k8s.io"], &["*"]);
    let own = rule(&["get", "list"], &[""], &["configmaps", "*/status"]);
    let paths = value!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]});
    grant(server, "author", vec![rbac, own, paths]).await;
    User::new("author", &["dev"])
}

fn all() -> Value {
    rule(&["*"], &["*"], &["*"])
}

fn held() -> Value {
    rule(&["get"], &[""], &["configmaps", "pods/status"])
}

const HELD_NOT: &str = "user \"author\" (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n";

fn assert_refused(reply: &Reply, what: &str) {
    let (code, reason, message) = reply.status();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"), "{what}: {message}");
    assert!(message.contains(HELD_NOT), "{what}: {message}");
}

#[tokio::test]
async fn no_form_of_a_write_gives_a_role_more_than_its_author_has() {
    let server = TestServer::start().await;
    let author = author(&server).await;
    for base in [ROLES.to_owned(), format!("{RBAC}/clusterroles")] {
        let role = |rules: Value| value!({"metadata": {"name": "r"}, "rules": [rules]});
        let path = format!("{base}/r");
        assert_refused(&send_as(&server, &author, "POST", &base, &role(all())).await, "create");
        assert_refused(&send_as(&server, &author, "PUT", &path, &role(all())).await, "create by update");
        assert_eq!(send_as(&server, &author, "POST", &base, &role(held())).await.code, 201);
        assert_refused(&send_as(&server, &author, "PUT", &path, &role(all())).await, "update");
        let patches = [
            ("application/merge-patch+json", value!({"rules": [(all())]})),
            ("application/strategic-merge-patch+json", value!({"rules": [(all())]})),
            ("application/json-patch+json", value!([{"op": "add", "path": "/rules/-", "value": (all())}])),
        ];
        for (form, patch) in patches {
            for query in ["", "?dryRun=All"] {
                let path = format!("{path}{query}");
                let body = object::json::to_vec(&patch);
                let reply =
                    send(&server, Some(&author), "PATCH", &path, &[("content-type", form)], body.clone())
                        .await;
                assert_refused(&reply, form);
                let refused = server.request(&author, "PATCH", &path, form, body).await.unwrap_err();
                assert!(refused.message.contains(HELD_NOT), "{form} in process: {}", refused.message);
            }
        }
        let generated = value!({"metadata": {"generateName": "r-"}, "rules": [(all())]});
        assert_refused(&send_as(&server, &author, "POST", &base, &generated).await, "generated name");
        // Nothing of it was stored.
        let stored = get(&server, &path).await.success();
        assert_eq!(stored.get("rules"), role(held()).get("rules"));
        // Rights that a user has can be granted in any form.
        let less = value!({"rules": [(rule(&["list"], &[""], &["configmaps"]))]});
        assert_eq!(send_as(&server, &author, "PATCH", &path, &less).await.code, 200);
    }
}

#[tokio::test]
async fn what_is_missing_is_listed_in_upstreams_form() {
    let server = TestServer::start().await;
    let author = author(&server).await;
    let role = value!({"metadata": {"name": "r"}, "rules": [
        (rule(&["get", "watch", "delete"], &["", "apps"], &["configmaps"])),
        {"verbs": ["get", "put"], "nonResourceURLs": ["/healthz/ping", "/metrics"]}
    ]});
    let message = send_as(&server, &author, "POST", &format!("{RBAC}/clusterroles"), &role).await.status().2;
    let expected = format!(
        "clusterroles.rbac.authorization.k8s.io \"r\" is forbidden: {HELD_NOT}{}",
        [
            r#"{APIGroups:[""], Resources:["configmaps"], Verbs:["watch" "delete"]}"#,
            r#"{APIGroups:["apps"], Resources:["configmaps"], Verbs:["get" "watch" "delete"]}"#,
            r#"{NonResourceURLs:["/healthz/ping"], Verbs:["put"]}"#,
            r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#,
            r#"{NonResourceURLs:["/metrics"], Verbs:["put"]}"#,
        ]
        .join("\n")
    );
    assert_eq!(message, expected);
}

#[tokio::test]
async fn a_role_that_one_does_not_hold_cannot_be_touched_but_by_the_garbage_collector() {
    let server = TestServer::start().await;
    let author = author(&server).await;
    let base = format!("{RBAC}/clusterroles");
    let strong = value!({"metadata": {"name": "strong"}, "rules": [(all())]});
    call(&server, "POST", &base, &strong).await.success();
    let path = format!("{base}/strong");
    // By this label the rules would flow into `edit`.
    let label = value!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}});
    assert_refused(&send_as(&server, &author, "PATCH", &path, &label).await, "label");
    let finalizers = value!({"metadata": {"finalizers": ["example.com/f"]}});
    assert_eq!(send_as(&server, &author, "PATCH", &path, &finalizers).await.code, 200);
    let nothing = value!({"metadata": {}});
    assert_eq!(send_as(&server, &author, "PATCH", &path, &nothing).await.code, 200);
    assert_eq!(call(&server, "PATCH", &path, &label).await.code, 200);
}

#[tokio::test]
async fn rules_are_gathered_for_those_who_hold_everything() {
    let server = TestServer::start().await;
    let author = author(&server).await;
    let base = format!("{RBAC}/clusterroles");
    let gathers = || value!({"clusterRoleSelectors": [{"matchLabels": {"gather": "all"}}]});
    let role = value!({"metadata": {"name": "g"}, "aggregationRule": (gathers())});
    let refused = |reply: Reply| {
        let (code, _, message) = reply.status();
        assert_eq!(code, 403, "{message}");
        assert_eq!(
            message,
            "clusterroles.rbac.authorization.k8s.io \"g\" is forbidden: must have cluster-admin privileges to use the aggregationRule"
        );
    };
    refused(send_as(&server, &author, "POST", &base, &role).await);
    let path = format!("{base}/g");
    let plain = value!({"metadata": {"name": "g"}, "rules": []});
    assert_eq!(send_as(&server, &author, "POST", &base, &plain).await.code, 201);
    refused(send_as(&server, &author, "PATCH", &path, &value!({"aggregationRule": (gathers())})).await);
    refused(send_as(&server, &author, "PUT", &path, &role).await);
    call(&server, "PUT", &path, &role).await.success();
    // Nor can users without all rights stop the aggregation.
    refused(send_as(&server, &author, "PATCH", &path, &value!({"aggregationRule": (Value::Null)})).await);
    let other = value!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"gather": "x"}}]}});
    refused(send_as(&server, &author, "PATCH", &path, &other).await);
    let paths = value!({"verbs": ["*"], "nonResourceURLs": ["*"]});
    grant(&server, "owner", vec![all(), paths]).await;
    let owner = User::new("owner", &[]);
    assert_eq!(send_as(&server, &owner, "PATCH", &path, &other).await.code, 200);
}

#[tokio::test]
async fn bindings_bind_what_is_held_or_may_be_bound() {
    let server = TestServer::start().await;
    let author = author(&server).await;
    for (name, rules) in [("strong", all()), ("weak", held())] {
        let role = value!({"metadata": {"name": name}, "rules": [rules]});
        call(&server, "POST", &format!("{RBAC}/clusterroles"), &role).await.success();
        call(&server, "POST", ROLES, &role).await.success();
    }
    let binding = |kind: &str, name: &str| {
        value!({
            "metadata": {"name": "b"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "other"}]
        })
    };
    let cluster = format!("{RBAC}/clusterrolebindings");
    for (base, kind) in [(ROLE_BINDINGS, "Role"), (ROLE_BINDINGS, "ClusterRole"), (&cluster, "ClusterRole")] {
        let path = format!("{base}/b");
        let what = format!("{kind} by {base}");
        let strong = binding(kind, "strong");
        assert_refused(&send_as(&server, &author, "POST", base, &strong).await, &what);
        assert_refused(&send_as(&server, &author, "PUT", &path, &strong).await, &what);
        let gone = send_as(&server, &author, "POST", base, &binding(kind, "missing")).await;
        assert_eq!(gone.code, 404, "{what}");
        // New subjects of a role that others bound are as much of a grant as the binding is.
        call(&server, "POST", base, &strong).await.success();
        let subjects =
            value!({"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "x"}]});
        assert_refused(&send_as(&server, &author, "PATCH", &path, &subjects).await, &what);
        let body = object::json::to_vec(&subjects);
        let refused = server.request(&author, "PATCH", &path, "application/merge-patch+json", body).await;
        assert!(refused.unwrap_err().message.contains(HELD_NOT), "{what}");
        // The role of a binding cannot be changed, even by users who may do everything.
        let other = value!({"roleRef": {"name": "weak"}});
        let (code, _, message) = call(&server, "PATCH", &path, &other).await.status();
        assert_eq!(code, 422, "{message}");
        assert!(message.contains("cannot change roleRef"), "{message}");
        call(&server, "DELETE", &path, &Value::Null).await.success();
        assert_eq!(send_as(&server, &author, "POST", base, &binding(kind, "weak")).await.code, 201, "{what}");
        assert_eq!(send_as(&server, &author, "PATCH", &path, &subjects).await.code, 200, "{what}");
        call(&server, "DELETE", &path, &Value::Null).await.success();
    }
    // The role of a binding may be gone; then the role is reported as missing, not the binding.
    call(&server, "POST", ROLE_BINDINGS, &binding("Role", "missing")).await.success();
    grant(&server, "changer", vec![rule(&["update"], &["rbac.authorization.k8s.io"], &["*"])]).await;
    let path = format!("{ROLE_BINDINGS}/b");
    let reply = send_as(&server, &User::new("changer", &[]), "PUT", &path, &binding("Role", "missing")).await;
    assert_eq!(reply.code, 200, "nothing changes: {:?}", reply.bytes);
    let mut changed = binding("Role", "missing");
    changed.set("subjects", value!([]));
    let (code, _, message) =
        send_as(&server, &User::new("changer", &[]), "PUT", &path, &changed).await.status();
    assert_eq!((code, message.as_str()), (404, "roles.rbac.authorization.k8s.io \"missing\" not found"));
    call(&server, "DELETE", &path, &Value::Null).await.success();
    let mut bind = rule(&["bind"], &["rbac.authorization.k8s.io"], &["clusterroles", "roles"]);
    bind.set("resourceNames", value!(["strong"]));
    let rbac = rule(&["create", "patch"], &["rbac.authorization.k8s.io"], &["*"]);
    grant(&server, "binder", vec![bind, rbac]).await;
    let binder = User::new("binder", &[]);
    for (base, kind) in [(ROLE_BINDINGS, "Role"), (&cluster, "ClusterRole")] {
        assert_eq!(send_as(&server, &binder, "POST", base, &binding(kind, "strong")).await.code, 201);
        assert_eq!(send_as(&server, &binder, "POST", base, &binding(kind, "weak")).await.code, 403);
    }
}

#[tokio::test]
async fn escalate_is_a_right_by_name_where_the_path_has_one() {
    let server = TestServer::start().await;
    let mut escalate = rule(&["escalate"], &["rbac.authorization.k8s.io"], &["roles"]);
    escalate.set("resourceNames", value!(["r"]));
    let rbac = rule(&["create", "update", "patch"], &["rbac.authorization.k8s.io"], &["*"]);
    grant(&server, "jane", vec![escalate, rbac]).await;
    let jane = User::new("jane", &[]);
    let role = value!({"metadata": {"name": "r"}, "rules": [(all())]});
    // As upstream has it: a POST names nothing in its path.
    assert_eq!(send_as(&server, &jane, "POST", ROLES, &role).await.code, 403);
    let path = format!("{ROLES}/r");
    assert_eq!(send_as(&server, &jane, "PUT", &path, &role).await.code, 201);
    let more = value!({"rules": [(all()), (held())]});
    assert_eq!(send_as(&server, &jane, "PATCH", &path, &more).await.code, 200);
    // The same in process, and with impersonation.
    let other = value!({"metadata": {"name": "s"}, "rules": [(all())]});
    let body = object::json::to_bytes(&other);
    let path = format!("{ROLES}/s");
    assert_eq!(server.request(&jane, "PUT", &path, "application/json", body).await.unwrap_err().code, 403);
    let as_jane = [("impersonate-user", "jane"), ("content-type", "application/merge-patch+json")];
    call(&server, "PUT", &path, &value!({"metadata": {"name": "s"}})).await.success();
    let patch = object::json::to_vec(&value!({"rules": [(all())]}));
    let reply = send(&server, Some(&admin()), "PATCH", &path, &as_jane, patch).await;
    assert_eq!(reply.code, 403, "{:?}", reply.bytes);
}

#[tokio::test]
async fn rules_without_measure_are_not_compared() {
    let server = TestServer::start().await;
    let author = author(&server).await;
    let many = |prefix: &str| -> Value {
        Value::from((0..200).map(|i| Value::from(format!("{prefix}{i}"))).collect::<Vec<_>>())
    };
    let rules = value!([{"verbs": (many("v")), "apiGroups": (many("g")), "resources": (many("r")), "resourceNames": (many("n"))}]);
    let role = value!({"metadata": {"name": "r"}, "rules": rules});
    let (code, _, message) = send_as(&server, &author, "POST", ROLES, &role).await.status();
    assert_eq!(code, 403, "{message}");
    assert!(message.contains("too many permissions"), "{message}");
    // A user with all rights may: a single rule covers it.
    grant(&server, "owner", vec![all()]).await;
    assert_eq!(send_as(&server, &User::new("owner", &[]), "POST", ROLES, &role).await.code, 201);
}

#[tokio::test]
async fn signers_are_spoken_for_by_those_who_may() {
    let server = TestServer::start().await;
    let bundles = apiserver::testing::collection_path("certificates.k8s.io", "clustertrustbundles", "");
    let certificates = || rule(&["create", "update", "patch"], &["certificates.k8s.io"], &["*"]);
    let mut attest = rule(&["attest"], &["certificates.k8s.io"], &["signers"]);
    attest.set("resourceNames", value!(["example.com/*"]));
    grant(&server, "jane", vec![certificates()]).await;
    grant(&server, "signer", vec![certificates(), attest]).await;
    let (jane, signer) = (User::new("jane", &[]), User::new("signer", &[]));
    let bundle = |signer: &str, text: &str| value!({"metadata": {"name": "example.com:s:a"}, "spec": {"signerName": signer, "trustBundle": text}});
    let text = crate::kinds::trust_bundle().str_at("spec.trustBundle").to_owned();
    let (code, _, message) =
        send_as(&server, &jane, "POST", &bundles, &bundle("example.com/s", &text)).await.status();
    assert_eq!(code, 403);
    assert!(message.ends_with("user not permitted to attest for signerName \"example.com/s\""), "{message}");
    let made = send_as(&server, &signer, "POST", &bundles, &bundle("example.com/s", &text)).await;
    assert_eq!(made.code, 201, "{:?}", made.bytes);
    let path = format!("{bundles}/example.com:s:a");
    for change in [value!({"spec": {"trustBundle": "y"}}), value!({"spec": {"signerName": (Value::Null)}})] {
        assert_eq!(send_as(&server, &jane, "PATCH", &path, &change).await.code, 403);
    }
    let finalizers = value!({"metadata": {"finalizers": ["example.com/f"]}});
    assert_eq!(send_as(&server, &jane, "PATCH", &path, &finalizers).await.code, 200);
    // A pod's request is answered by its signer.
    let requests =
        apiserver::testing::collection_path("certificates.k8s.io", "podcertificaterequests", "default");
    let mut sign = rule(&["sign"], &["certificates.k8s.io"], &["signers"]);
    sign.set("resourceNames", value!(["example.com/s"]));
    grant(&server, "answerer", vec![certificates(), sign]).await;
    let request = crate::kinds::pod_certificate_request("r");
    call(&server, "POST", &requests, &request).await.success();
    let path = format!("{requests}/r/status");
    let denied = value!({"status": {"conditions": [
        {"type": "Denied", "status": "True", "reason": "No", "message": "no", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]}});
    for user in [&jane, &signer] {
        let (code, _, message) = send_as(&server, user, "PATCH", &path, &denied).await.status();
        assert_eq!(code, 422, "{message}");
        let expected = format!(
            "spec.signerName: Forbidden: User {:?} is not permitted to \"sign\" for signer \"example.com/s\"",
            user.name
        );
        assert!(message.ends_with(&expected), "{message}");
    }
    let done = send_as(&server, &User::new("answerer", &[]), "PATCH", &path, &denied).await;
    assert_eq!(done.code, 200, "{:?}", done.bytes);
}
