//! Webhooks that convert custom objects between their versions.

use super::custom::DEFINITIONS;
use super::*;

const V1: &str = "/apis/example.com/v1/namespaces/default/endpoints";
const V2: &str = "/apis/example.com/v2/namespaces/default/endpoints";

/// In v1 an endpoint is a text, `host:port`, and in v2 it has two fields.
fn definition(hook: &Webhook, stored: &str, conversion: Value) -> Value {
    let text = value!({"type": "string"});
    let schemas = [
        ("v1", value!({"hostPort": text.clone()})),
        ("v2", value!({"host": text.clone(), "port": text, "mode": {"type": "string", "default": "plain"}})),
    ];
    let version = |(name, properties): (&str, Value)| {
        let schema =
            value!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}});
        value!({
            "name": name, "served": true, "storage": name == stored, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}}
        })
    };
    let conversion = merge_patch(
        value!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
            "url": format!("https://localhost:{}/convert", hook.port), "caBundle": hook.bundle.clone()
        }}}),
        conversion,
    );
    value!({
        "metadata": {"name": "endpoints.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "endpoints", "kind": "Endpoint"},
            "versions": schemas.map(version).to_vec(), "conversion": conversion.unwrap()
        }
    })
}

async fn define(server: &TestServer, definition: &Value) {
    let mut watch = Watch::open(server, &format!("{DEFINITIONS}?watch=1")).await;
    call(server, "POST", DEFINITIONS, definition).await.success();
    loop {
        let event = watch.next().await.expect("the watch goes on");
        let mut conditions = event.at("object.status.conditions").items();
        if conditions.any(|one| one.str_at("type") == "Established" && one.str_at("status") == "True") {
            break;
        }
    }
}

/// Replaces what the definition says, and waits until that is served.
async fn redefine(server: &TestServer, definition: &Value) {
    let mut generations = server.catalogue().changed();
    generations.mark_unchanged();
    let path = format!("{DEFINITIONS}/endpoints.example.com");
    let mut now = get(server, &path).await.success();
    now.set("spec", definition.get("spec").clone());
    call(server, "PUT", &path, &now).await.success();
    generations.changed().await.unwrap();
}

fn converted(object: &Value, to: &str) -> Value {
    let (mut object, spec) = (object.clone(), object.get("spec"));
    let next = match to {
        "example.com/v1" => value!({"hostPort": format!("{}:{}", spec.str_at("host"), spec.str_at("port"))}),
        _ => {
            let (host, port) = spec.str_at("hostPort").split_once(':').unwrap();
            value!({"host": host, "port": port, "unknown": "is pruned"})
        }
    };
    object.set("apiVersion", to);
    object.set("spec", next);
    object
}

/// What a webhook that works well answers.
fn convert(request: &Value) -> Value {
    let to = request.str_at("desiredAPIVersion");
    let objects: Vec<Value> = request.get("objects").items().map(|object| converted(object, to)).collect();
    value!({"result": {"status": "Success"}, "convertedObjects": objects})
}

/// How many objects each review had.
fn sizes(hook: &Webhook) -> Vec<usize> {
    hook.take().iter().map(|seen| seen.request.get("objects").items().count()).collect()
}

fn endpoint(name: &str, spec: Value) -> Value {
    value!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn objects_are_served_in_every_version() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| Answer::Response(convert(request))).await;
    define(&server, &definition(&hook, "v1", value!({}))).await;
    call(&server, "POST", V1, &endpoint("a", value!({"hostPort": "web:80"}))).await.success();
    assert!(sizes(&hook).is_empty(), "it is stored as it is");
    let expected = value!({"host": "web", "port": "80", "mode": "plain"});
    let read = get(&server, &format!("{V2}/a")).await.success();
    assert_eq!((read.str_at("apiVersion"), read.get("spec")), ("example.com/v2", &expected));
    let seen = hook.take().remove(0);
    assert_eq!((seen.path.as_str(), seen.query.as_str()), ("/convert", "timeout=30s"));
    assert_eq!(seen.request.str_at("desiredAPIVersion"), "example.com/v2");
    let sent = seen.request.get("objects").items().next().unwrap();
    assert_eq!((sent.str_at("apiVersion"), sent.str_at("spec.hostPort")), ("example.com/v1", "web:80"));

    let mut watch = Watch::open(&server, &format!("{V2}?watch=1")).await;
    assert_eq!(watch.expect("ADDED a").await.get("spec"), &expected);
    let patched =
        call(&server, "PATCH", &format!("{V2}/a"), &value!({"spec": {"port": "81"}})).await.success();
    assert_eq!(patched.str_at("spec.port"), "81");
    assert_eq!(watch.expect("MODIFIED a").await.str_at("spec.port"), "81");
    hook.take();
    assert_eq!(get(&server, &format!("{V1}/a")).await.success().str_at("spec.hostPort"), "web:81");
    let made = call(&server, "POST", V2, &endpoint("b", value!({"host": "db", "port": "1"}))).await.success();
    assert_eq!(made.str_at("spec.host"), "db");
    assert_eq!(get(&server, &format!("{V1}/b")).await.success().str_at("spec.hostPort"), "db:1");
    hook.take();
    let list = get(&server, V2).await.success();
    let ports: Vec<&str> = list.get("items").items().map(|item| item.str_at("spec.port")).collect();
    assert_eq!((ports, sizes(&hook)), (vec!["81", "1"], vec![2]), "one review for the whole list");
    call(&server, "DELETE", &format!("{V2}/a"), &Value::Null).await.success();
    assert_eq!(watch.next().await.unwrap().str_at("object.metadata.name"), "b");
    assert_eq!(watch.expect("DELETED a").await.str_at("apiVersion"), "example.com/v2");
}

#[tokio::test]
async fn lists_of_objects_that_are_stored_in_several_versions_have_one() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| Answer::Response(convert(request))).await;
    define(&server, &definition(&hook, "v1", value!({}))).await;
    call(&server, "POST", V1, &endpoint("a", value!({"hostPort": "old:1"}))).await.success();
    redefine(&server, &definition(&hook, "v2", value!({}))).await;
    call(&server, "POST", V2, &endpoint("b", value!({"host": "new", "port": "2"}))).await.success();
    hook.take();
    let list = async |path: &str, field: &'static str| {
        let list = get(&server, path).await.success();
        let items = list.get("items").items();
        let items =
            items.map(|item| format!("{} {}", item.str_at("apiVersion"), item.at("spec").str_at(field)));
        items.collect::<Vec<_>>()
    };
    assert_eq!(list(V2, "host").await, ["example.com/v2 old", "example.com/v2 new"]);
    assert_eq!(list(V1, "hostPort").await, ["example.com/v1 old:1", "example.com/v1 new:2"]);
    assert_eq!(sizes(&hook), [1, 1], "only those in another version are converted");
    assert_eq!(get(&server, &format!("{V2}/a")).await.success().str_at("spec.host"), "old");

    // A write stores an object in the version that is stored now, even if it changes nothing else.
    hook.take();
    call(&server, "PATCH", &format!("{V2}/a"), &value!({})).await.success();
    hook.take();
    assert_eq!(list(V2, "host").await, ["example.com/v2 old", "example.com/v2 new"]);
    assert!(sizes(&hook).is_empty());
}

/// Without a webhook, versions differ only in their names; the schema of each counts.
#[tokio::test]
async fn objects_of_another_version_have_the_name_of_that_in_which_they_are_read() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| Answer::Response(convert(request))).await;
    let none = || value!({"strategy": "None", "webhook": null});
    define(&server, &definition(&hook, "v1", none())).await;
    call(&server, "POST", V1, &endpoint("a", value!({"hostPort": "old:1"}))).await.success();
    redefine(&server, &definition(&hook, "v2", none())).await;
    for path in [format!("{V2}/a"), V2.to_owned()] {
        let read = get(&server, &path).await.success();
        let object = read.get("items").items().next().unwrap_or(&read);
        assert_eq!(
            (object.str_at("apiVersion"), object.get("spec")),
            ("example.com/v2", &value!({"mode": "plain"}))
        );
    }
    assert_eq!(get(&server, &format!("{V1}/a")).await.success().str_at("spec.hostPort"), "old:1");
    assert!(hook.take().is_empty());
}

#[tokio::test]
async fn conversions_change_labels_and_annotations_and_no_other_metadata() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| {
        let mut response = convert(request);
        for object in response.get_mut("convertedObjects").unwrap().as_list_mut().unwrap() {
            let metadata = object.entry("metadata");
            metadata.set("labels", value!({"converted": "yes"}));
            metadata.remove("annotations");
            metadata.set("resourceVersion", "1");
            metadata.set("creationTimestamp", "2000-01-01T00:00:00Z");
            metadata.set("finalizers", value!(["example.com/f"]));
        }
        Answer::Response(response)
    })
    .await;
    define(&server, &definition(&hook, "v1", value!({}))).await;
    let mut object = endpoint("a", value!({"hostPort": "web:80"}));
    object.entry("metadata").set("labels", value!({"a": "b"}));
    object.entry("metadata").set("annotations", value!({"a": "b"}));
    let made = call(&server, "POST", V1, &object).await.success();
    let read = get(&server, &format!("{V2}/a")).await.success();
    let mut expected = made.get("metadata").clone();
    expected.set("labels", value!({"converted": "yes"}));
    expected.remove("annotations");
    assert_eq!(read.get("metadata"), &expected);
}

#[tokio::test]
async fn conversions_that_go_wrong_are_faults_of_the_webhook() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, request| {
        let (mut response, path) = (convert(request), path.to_owned());
        let mut change = |change: &dyn Fn(&mut Value)| {
            response.get_mut("convertedObjects").unwrap().as_list_mut().unwrap().iter_mut().for_each(change);
        };
        match path.as_str() {
            "/failed" => response = value!({"result": {"status": "Failure", "message": "it cannot be"}}),
            "/silent" => response = value!({"result": {"status": "Failure"}}),
            "/few" => response.set("convertedObjects", Vec::new()),
            "/uid" => response.set("uid", "other"),
            "/version" => change(&|object| object.set("apiVersion", "example.com/v3")),
            "/kind" => change(&|object| object.set("kind", "Other")),
            "/name" => change(&|object| object.entry("metadata").set("name", "other")),
            "/other-uid" => change(&|object| object.entry("metadata").set("uid", "other")),
            "/label" => change(&|object| object.entry("metadata").set("labels", value!({"a": "not valid!"}))),
            "/number" => change(&|object| object.entry("metadata").set("labels", value!({"a": 1i64}))),
            "/text" => change(&|object| *object = Value::from("text")),
            "/code" => return Answer::Raw(500, b"broken".to_vec()),
            "/none" => {
                return Answer::Raw(
                    200,
                    br#"{"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1"}"#.to_vec(),
                );
            }
            "/other" => {
                return Answer::Raw(
                    200,
                    br#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}"#.to_vec(),
                );
            }
            _ => {}
        }
        Answer::Response(response)
    })
    .await;
    define(&server, &definition(&hook, "v1", value!({}))).await;
    call(&server, "POST", V1, &endpoint("a", value!({"hostPort": "web:80"}))).await.success();
    let begin = "conversion webhook for example.com/v1, Kind=Endpoint ";
    let at = |why: &str| format!("returned invalid converted object at index 0: {why}");
    let table = [
        ("/failed", "failed: it cannot be".to_owned()),
        ("/silent", "failed: response.result.status was 'Failure', not 'Success'".to_owned()),
        ("/few", "returned 0 objects, expected 1".to_owned()),
        ("/uid", "failed: expected response.uid=".to_owned()),
        ("/version", at("invalid groupVersion (expected example.com/v2, received example.com/v3)")),
        ("/kind", at("invalid kind (expected Endpoint, received Other)")),
        ("/name", at("must have the same name: a != other")),
        ("/other-uid", at("must have the same UID: ")),
        ("/label", at("metadata.labels: Invalid value: \"not valid!\"")),
        ("/number", at("metadata.labels[a] must be a string")),
        ("/text", at("invalid groupVersion (expected example.com/v2, received )")),
        ("/code", "failed: ".to_owned()),
        ("/none", "failed: no response provided".to_owned()),
        (
            "/other",
            "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got \
                    admission.k8s.io/v1, Kind=AdmissionReview"
                .to_owned(),
        ),
    ];
    for (path, why) in table {
        let url = format!("https://localhost:{}{path}", hook.port);
        let more = value!({"webhook": {"clientConfig": {"url": url}}});
        redefine(&server, &definition(&hook, "v1", more)).await;
        for path in [format!("{V2}/a"), V2.to_owned()] {
            let (code, _, message) = get(&server, &path).await.status();
            assert_eq!(code, 500);
            assert!(message.starts_with(&format!("{begin}{why}")), "{message}");
        }
        assert_eq!(
            get(&server, &format!("{V1}/a")).await.code,
            200,
            "the stored version needs no conversion"
        );
    }
    let more = value!({"webhook": {"clientConfig": {"url": null, "service": {"namespace": "default", "name": "hook"}}}});
    redefine(&server, &definition(&hook, "v1", more)).await;
    let (_, _, message) = get(&server, V2).await.status();
    let why = "failed: Post \"https://hook.default.svc:443/?timeout=30s\": service \"hook\" not found";
    assert_eq!(message, format!("{begin}{why}"));
    let begin = "conversion webhook for example.com/v2, Kind=Endpoint failed: ";
    let reply = call(&server, "POST", V2, &endpoint("b", value!({"host": "db", "port": "1"}))).await;
    assert!(reply.status().2.starts_with(begin));
    // What cannot be converted can be deleted as what cannot be read, and only as such.
    let unread = "ignoreStoreReadErrorWithClusterBreakingPotential=true";
    let delete = async |path: String| call(&server, "DELETE", &path, &Value::Null).await;
    assert_eq!(delete(format!("{V2}/a")).await.code, 500);
    assert_eq!(delete(format!("{V1}/a?{unread}")).await.code, 409);
    delete(format!("{V2}/a?{unread}")).await.success();
    assert_eq!(get(&server, &format!("{V1}/a")).await.code, 404);
}

#[tokio::test]
async fn conversion_webhooks_may_speak_the_older_version() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| {
        let mut response = convert(request);
        response.set("uid", "not checked");
        Answer::Response(response)
    })
    .await;
    let more = value!({"webhook": {"conversionReviewVersions": ["v1beta1"]}});
    define(&server, &definition(&hook, "v1", more)).await;
    call(&server, "POST", V1, &endpoint("a", value!({"hostPort": "web:80"}))).await.success();
    assert_eq!(get(&server, &format!("{V2}/a")).await.success().str_at("spec.host"), "web");
}
