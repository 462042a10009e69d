//! Mistakes of clients and the answers to them: code, reason and message are upstream's.

use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use object::{Value, value};

use crate::support::*;

/// A request and its answer.
struct Case {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    code: u16,
    reason: &'static str,
    /// The text that the message contains.
    message: &'static str,
}

const fn case(
    method: &'static str,
    path: &'static str,
    body: &'static str,
    code: u16,
    reason: &'static str,
    message: &'static str,
) -> Case {
    Case { method, path, body, code, reason, message }
}

const SUBDOMAIN: &str =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Text that is not an object.
    case("POST", CONFIG_MAPS, "{", 400, "BadRequest", "unexpected"),
    case("POST", CONFIG_MAPS, "", 400, "BadRequest", ""),
    case("POST", CONFIG_MAPS, "[]", 400, "BadRequest", ""),
    case("POST", CONFIG_MAPS, "\u{0}\u{1}", 400, "BadRequest", ""),
    case("POST", CONFIG_MAPS, "nonsense", 400, "BadRequest", ""),
    // Objects of another kind.
    case("POST", CONFIG_MAPS, r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#, 400, "BadRequest", "Pod in version \"v1\" cannot be handled as a ConfigMap"),
    case("POST", CONFIG_MAPS, r#"{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"a"}}"#, 400, "BadRequest", "does not match the expected API version"),
    case("POST", CONFIG_MAPS, r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"}}"#, 400, "BadRequest", "does not match the expected API version (v1)"),
    // Members of another type.
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"a"},"data":{"a":1}}"#, 400, "BadRequest", "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":5}}"#, 400, "BadRequest", "cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"),
    case("POST", CONFIG_MAPS, r#"{"metadata":[]}"#, 400, "BadRequest", "cannot unmarshal array into Go struct field ConfigMap.metadata of type"),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"a"},"immutable":"yes"}"#, 400, "BadRequest", "cannot unmarshal string into Go struct field ConfigMap.immutable of type bool"),
    case("POST", DEPLOYMENTS, r#"{"metadata":{"name":"a"},"spec":{"replicas":"many"}}"#, 400, "BadRequest", "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    case("POST", DEPLOYMENTS, r#"{"metadata":{"name":"a"},"spec":{"replicas":3000000000}}"#, 400, "BadRequest", "cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    case("POST", "/api/v1/namespaces/default/secrets", r#"{"metadata":{"name":"a"},"data":{"a":"%%"}}"#, 400, "BadRequest", "illegal base64 data"),
    // Names and namespaces.
    case("POST", CONFIG_MAPS, "{}", 422, "Invalid", "metadata.name: Required value: name or generateName is required"),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"Bad_Name"}}"#, 422, "Invalid", SUBDOMAIN),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"a/b"}}"#, 422, "Invalid", "metadata.name: Invalid value: \"a/b\""),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"a","namespace":"other"}}"#, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"),
    case("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"A"}}"#, 422, "Invalid", "a lowercase RFC 1123 label must consist of"),
    case("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"a.b"}}"#, 422, "Invalid", "metadata.name: Invalid value: \"a.b\": must not contain dots"),
    case("POST", "/api/v1/namespaces/none/configmaps", r#"{"metadata":{"name":"a"}}"#, 404, "NotFound", "namespaces \"none\" not found"),
    case("PUT", "/api/v1/namespaces/default/configmaps/b", r#"{"metadata":{"name":"a"}}"#, 400, "BadRequest", "the name of the object (a) does not match the name on the URL (b)"),
    case("PUT", "/api/v1/namespaces/default/configmaps/none", r#"{"metadata":{"name":"none"}}"#, 404, "NotFound", "configmaps \"none\" not found"),
    case("GET", "/api/v1/namespaces/default/configmaps/none", "", 404, "NotFound", "configmaps \"none\" not found"),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"a","labels":{"-":"x"}}}"#, 422, "Invalid", "metadata.labels: Invalid value: \"-\""),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"a","labels":{"x":"no spaces"}}}"#, 422, "Invalid", "metadata.labels: Invalid value: \"no spaces\""),
    case("POST", CONFIG_MAPS, r#"{"metadata":{"name":"taken"}}"#, 409, "AlreadyExists", "configmaps \"taken\" already exists"),
    // Values.
    case("POST", DEPLOYMENTS, r#"{"metadata":{"name":"a"},"spec":{"replicas":-1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#, 422, "Invalid", "Deployment.apps \"a\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    case("POST", DEPLOYMENTS, r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#, 422, "Invalid", "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"),
    case("POST", PODS, r#"{"metadata":{"name":"a"},"spec":{"containers":[]}}"#, 422, "Invalid", "spec.containers: Required value"),
    case("POST", PODS, r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}"#, 422, "Invalid", "spec.containers[0].image: Required value"),
    case("POST", PODS, r#"{"metadata":{"name":"a"},"spec":{"restartPolicy":"Often","containers":[{"name":"c","image":"i"}]}}"#, 422, "Invalid", "spec.restartPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"OnFailure\", \"Never\""),
    case("POST", "/api/v1/namespaces/default/services", r#"{"metadata":{"name":"a"},"spec":{"ports":[{"port":70000}]}}"#, 422, "Invalid", "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    // Paths.
    case("GET", "/api/v1/nonsense", "", 404, "NotFound", "the server could not find the requested resource"),
    case("GET", "/apis/example.com/v1/things", "", 404, "NotFound", "the server could not find the requested resource"),
    case("GET", "/apis/apps/v9/deployments", "", 404, "NotFound", "the server could not find the requested resource"),
    case("GET", "/api/v1/namespaces/default/configmaps/taken/status", "", 404, "NotFound", "the server could not find the requested resource"),
    case("POST", "/api/v1/namespaces/default/configmaps/taken", r#"{"metadata":{"name":"taken"}}"#, 405, "MethodNotAllowed", ""),
    case("DELETE", "/api/v1/namespaces", "", 405, "MethodNotAllowed", ""),
    case("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "", 405, "MethodNotAllowed", ""),
    // Options.
    case("GET", "/api/v1/configmaps?fieldSelector=nope%3D1", "", 400, "BadRequest", "nope"),
    case("GET", "/api/v1/pods?fieldSelector=nope%3D1", "", 400, "BadRequest", "field label not supported: nope"),
    case("GET", "/api/v1/configmaps?labelSelector=a%3D%3D%3Db", "", 400, "BadRequest", "unable to parse requirement: found '=', expected: identifier"),
    case("POST", "/api/v1/namespaces/default/configmaps?dryRun=Some", "{}", 422, "Invalid", "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""),
    case("PUT", "/api/v1/namespaces/default/configmaps/taken?dryRun=Some", "{}", 422, "Invalid", "UpdateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value"),
    case("DELETE", "/api/v1/namespaces/default/configmaps/taken?dryRun=All&dryRun=", "", 422, "Invalid", "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"\"]"),
    case("DELETE", "/api/v1/namespaces/default/configmaps/taken", r#"{"kind":"ConfigMap","apiVersion":"v1"}"#, 400, "BadRequest", "unable to decode DeleteOptions: no kind \"ConfigMap\" is registered for version \"v1\""),
    case("POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Some", "{}", 422, "Invalid", "fieldValidation: Unsupported value: \"Some\": supported values: \"Ignore\", \"Strict\", \"Warn\""),
    case("DELETE", "/api/v1/namespaces/default/configmaps/taken?gracePeriodSeconds=x", "", 400, "BadRequest", "strconv.ParseInt: parsing \"x\": invalid syntax"),
    case("GET", "/api/v1/pods?limit=", "", 400, "BadRequest", "strconv.ParseInt: parsing \"\": invalid syntax"),
    case("GET", "/api/v1/pods?timeoutSeconds=9223372036854775808", "", 400, "BadRequest", "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"),
    // Tokens.
    case("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", r#"{"metadata":{"name":"other"}}"#, 422, "Invalid", "TokenRequest.authentication.k8s.io \"default\" is invalid: metadata.name: Invalid value: \"other\": must match the service account name if specified"),
    case("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", r#"{"metadata":{"namespace":"other"}}"#, 422, "Invalid", "metadata.namespace: Invalid value: \"other\": must match the service account namespace if specified"),
    case("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", r#"{"spec":{"audiences":[],"boundObjectRef":{"apiVersion":"apps/v1","kind":"Pod","name":"p"}}}"#, 400, "BadRequest", "cannot bind token to object of type apps/v1, Kind=Pod"),
    case("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "{}", 400, "BadRequest", "no namespace on request"),
    case("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "{}", 400, "BadRequest", "token is required for TokenReview in authentication"),
];

#[tokio::test]
async fn each_mistake_is_named() {
    let server = server_for_pods().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("taken", &[])).await.success();
    let mut wrong = Vec::new();
    for Case { method, path, body, code, reason, message } in CASES {
        let headers = [("content-type", "application/json")];
        let reply = send(&server, Some(&admin()), method, path, &headers, *body).await;
        if reply.code < 400 {
            wrong.push(format!("{method} {path} {body}\n  expected {code}\n  got {}", reply.code));
            continue;
        }
        let got = reply.status();
        if (got.0, got.1.as_str()) != (*code, *reason) || !got.2.contains(message) {
            wrong
                .push(format!("{method} {path} {body}\n  expected {code} {reason} {message}\n  got {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[tokio::test]
async fn unknown_and_duplicate_fields_follow_the_wish_of_the_client() {
    let server = TestServer::start().await;
    let unknown = r#"{"metadata":{"name":"NAME","labelz":{}},"datta":{"a":"b"}}"#;
    let duplicate = r#"{"metadata":{"name":"NAME"},"data":{"a":"b"},"data":{"a":"c"}}"#;
    // Body, mode, code, warnings or the end of the message.
    let table: [(&str, &str, u16, &[&str]); 7] = [
        (unknown, "Ignore", 201, &[]),
        (unknown, "Warn", 201, &["unknown field \\\"datta\\\"", "unknown field \\\"metadata.labelz\\\""]),
        (unknown, "", 201, &["unknown field \\\"datta\\\"", "unknown field \\\"metadata.labelz\\\""]),
        (
            unknown,
            "Strict",
            400,
            &["strict decoding error: ", "unknown field \"metadata.labelz\"", "unknown field \"datta\""],
        ),
        (duplicate, "Ignore", 201, &[]),
        (duplicate, "Warn", 201, &["duplicate field \\\"data\\\""]),
        (duplicate, "Strict", 400, &["strict decoding error: duplicate field \"data\""]),
    ];
    for (index, (body, mode, code, parts)) in table.into_iter().enumerate() {
        let body = body.replace("NAME", &format!("name-{index}"));
        let path = if mode.is_empty() {
            CONFIG_MAPS.to_owned()
        } else {
            format!("{CONFIG_MAPS}?fieldValidation={mode}")
        };
        let headers = [("content-type", "application/json")];
        let reply = send(&server, Some(&admin()), "POST", &path, &headers, body.clone()).await;
        assert_eq!(reply.code, code, "{mode} {body}: {:?}", reply.bytes);
        let text = if code == 400 { reply.status().2 } else { reply.warnings().join("\n") };
        assert!(parts.iter().all(|part| text.contains(part)), "{mode} {body}: {text}");
        assert_eq!(text.is_empty(), parts.is_empty(), "{mode} {body}: {text}");
        if code == 201 && body.contains("\"c\"") {
            assert_eq!(reply.json().str_at("data.a"), "c", "the last of duplicates counts");
        }
    }
}

#[tokio::test]
async fn who_may_not_is_told_what() {
    let server = TestServer::start().await;
    let jane = User::new("jane", &[]);
    let table = [
        (
            "GET",
            "/api/v1/nodes/n",
            "nodes \"n\" is forbidden: User \"jane\" cannot get resource \"nodes\" in API group \"\" at the cluster scope",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/pods/p/log",
            "pods \"p\" is forbidden: User \"jane\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "DELETE",
            DEPLOYMENTS,
            "deployments.apps is forbidden: User \"jane\" cannot deletecollection resource \"deployments\" in API group \"apps\" in the namespace \"default\"",
        ),
        ("GET", "/metrics", "forbidden: User \"jane\" cannot get path \"/metrics\""),
    ];
    for (method, path, expected) in table {
        let (code, reason, message) = send(&server, Some(&jane), method, path, &[], "").await.status();
        assert_eq!((code, reason.as_str(), message.as_str()), (403, "Forbidden", expected));
    }
    let (code, _, message) = send(&server, None, "GET", "/api/v1/pods", &[], "").await.status();
    assert_eq!(code, 403);
    assert!(message.contains("User \"system:anonymous\" cannot list"), "{message}");
    for token in ["nonsense", "a.b.c", ""] {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        let reply = send(&server, None, "GET", "/api/v1/pods", &headers, "").await;
        let expected = if token.is_empty() { 403 } else { 401 };
        assert_eq!(reply.code, expected, "{token:?}");
    }
}

#[tokio::test]
async fn nobody_grants_more_than_he_has() {
    let server = TestServer::start().await;
    let group = "rbac.authorization.k8s.io";
    let rules = value!([{"apiGroups": [group], "resources": ["roles"], "verbs": ["create", "get"]}]);
    server
        .create(group, "roles", "default", value!({"metadata": {"name": "author"}, "rules": rules}))
        .await
        .unwrap();
    let binding = value!({
        "metadata": {"name": "author"}, "roleRef": {"apiGroup": group, "kind": "Role", "name": "author"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "jane"}]
    });
    server.create(group, "rolebindings", "default", binding).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let jane = User::new("jane", &[]);
    let path = format!("/apis/{group}/v1/namespaces/default/roles");
    let headers = [("content-type", "application/json")];
    let role = |verb: &str, resource: &str| {
        let rules = value!([{"apiGroups": [group], "resources": [resource], "verbs": [verb]}]);
        object::json::to_vec(&value!({"metadata": {"name": "more"}, "rules": rules}))
    };
    let refused = send(&server, Some(&jane), "POST", &path, &headers, role("get", "clusterroles")).await;
    let (code, _, message) = refused.status();
    assert_eq!(code, 403);
    assert!(message.contains("is attempting to grant RBAC permissions not currently held:"), "{message}");
    let same = send(&server, Some(&jane), "POST", &path, &headers, role("get", "roles")).await;
    assert_eq!(same.code, 201, "what one has may be granted");
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_the_server_lives_on() {
    let server = TestServer::start().await;
    let headers = |content_type: &'static str| [("content-type", content_type)];
    let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    let wide =
        format!("{{\"metadata\":{{\"name\":\"a\"}},\"data\":{{{}}}}}", vec!["\"k\":\"v\""; 50_000].join(","));
    let bomb = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n\
        g: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g]\n";
    let table: Vec<(&'static str, Vec<u8>)> = vec![
        ("application/json", deep.clone().into_bytes()),
        ("application/yaml", deep.into_bytes()),
        ("application/json", wide.into_bytes()),
        ("application/yaml", bomb.into()),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\x0a\xff\xff\xff\xff\x0f".to_vec()),
        ("application/vnd.kubernetes.protobuf", b"k8s\0".to_vec()),
        ("application/vnd.kubernetes.protobuf", vec![0xff; 1000]),
        ("application/json", vec![0xff, 0xfe, b'{', b'}']),
    ];
    for (content_type, body) in table {
        let length = body.len();
        let path = format!("{CONFIG_MAPS}?fieldValidation=Strict");
        let reply = send(&server, Some(&admin()), "POST", &path, &headers(content_type), body).await;
        let (code, ..) = reply.status();
        assert!((400..500).contains(&code), "{content_type} of {length} bytes: {code}");
    }
    assert_eq!(get(&server, CONFIG_MAPS).await.code, 200);
}

/// What the server stores it must be able to read again, inside of a list too, whichever encoding it came in.
#[tokio::test]
async fn objects_are_not_nested_as_deeply_as_text_may_be() {
    let server = TestServer::start().await;
    const PATH: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let nested = |name: &str, levels: usize| {
        let data = (1..levels).fold(Value::map(), |inner, _| value!({"a": inner}));
        value!({"kind": "ControllerRevision", "apiVersion": "apps/v1", "metadata": {"name": name}, "revision": 1i64, "data": data})
    };
    let ty = schema::type_by_gvk("apps", "v1", "ControllerRevision").unwrap();
    // With the object itself, one level more.
    for (levels, code) in [(400, 201), (499, 201), (500, 400), (512, 400)] {
        let name = format!("r{levels}");
        let object = nested(&name, levels);
        let raw = object::protobuf::encode(&object, &ty).unwrap();
        let text = object::json::to_vec(&object);
        let bodies = [("application/vnd.kubernetes.protobuf", raw.to_vec()), ("application/json", text)];
        for (content_type, body) in bodies {
            let reply =
                send(&server, Some(&admin()), "POST", PATH, &[("content-type", content_type)], body).await;
            assert_eq!(reply.code, code, "{levels} levels as {content_type}: {:?}", reply.bytes);
            if code == 400 {
                assert!(reply.status().2.contains("exceeded max depth"), "{:?}", reply.bytes);
            } else {
                call(&server, "DELETE", &format!("{PATH}/{name}"), &Value::Null).await.success();
            }
        }
    }
    call(&server, "POST", PATH, &nested("deepest", 499)).await.success();
    get(&server, &format!("{PATH}?pretty=1")).await.success();
    let deeper = format!(r#"[{{"op":"copy","from":"/data","path":"/data{}/b"}}]"#, "/a".repeat(20));
    let path = format!("{PATH}/deepest");
    let headers = [("content-type", "application/json-patch+json")];
    let reply = send(&server, Some(&admin()), "PATCH", &path, &headers, deeper).await;
    let (code, _, message) = reply.status();
    assert_eq!(code, 422, "{message}");
    assert!(message.contains("exceeded max depth"), "{message}");
}
