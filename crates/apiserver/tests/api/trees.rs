//! Writes from inside the process pass a tree. Nothing may be stored so that could not have come as text.

use std::sync::Arc;

use apiserver::body::REQUEST_BYTES_MAX;
use apiserver::handler::{Content, Operation};
use apiserver::registry::AnswerBody;
use apiserver::request::RequestInfo;
use apiserver::testing::{TestServer, admin, value_of};
use object::json::DEPTH_MAX;
use object::{Status, Value, value};

use crate::support::*;

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// What a write is answered; of an object only what does not differ from write to write.
#[derive(Debug, PartialEq)]
enum Told {
    Object(Value, Vec<String>),
    Refused(u16, String),
}

async fn write(server: &TestServer, (method, path, form): (&str, &str, &str), body: Content) -> Told {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let operation = Operation {
        info: Arc::new(RequestInfo::parse(&method.parse().unwrap(), path, query)),
        content_type: Some(form.to_owned()),
        user_agent: Some("test".to_owned()),
        body,
    };
    match server.operate(&admin(), operation).await {
        Ok(answer) => {
            let warnings = answer.warnings.clone();
            let mut object = value_of(answer);
            for own in ["uid", "creationTimestamp", "resourceVersion", "managedFields"] {
                object.entry("metadata").remove(own);
            }
            Told::Object(object, warnings)
        }
        Err(Status { code, message, .. }) => Told::Refused(code, message),
    }
}

fn spec(name: &str, extra: &str, value: Value) -> Value {
    let mut container = value!({"name": "c", "image": "i"});
    container.set(extra.to_owned(), value);
    value!({"metadata": {"name": name}, "spec": {"containers": [container], "automountServiceAccountToken": false}})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::from("x"), |inner, _| Value::List(vec![inner]))
}

#[tokio::test]
async fn a_tree_is_read_as_the_text_that_it_stands_for() {
    let server = TestServer::start().await;
    server.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let pods = "/api/v1/namespaces/default/pods?dryRun=All";
    let strict = &format!("{pods}&fieldValidation=Strict");
    let a = &format!("{CONFIG_MAPS}/a?dryRun=All");
    let strict_a = &format!("{a}&fieldValidation=Strict");
    let large = Value::from("x".repeat(REQUEST_BYTES_MAX));
    let escaped = Value::from("<".repeat(REQUEST_BYTES_MAX / 5));
    let writes: [(&str, &str, &str, Value); 18] = [
        ("POST", pods, JSON, spec("p", "stdin", true.into())),
        ("POST", pods, JSON, spec("p", "unknown", true.into())),
        ("POST", strict, JSON, spec("p", "unknown", true.into())),
        ("POST", pods, JSON, spec("p", "command", "no list".into())),
        ("POST", pods, JSON, spec("p", "resources", value!({"requests": {"cpu": "1000m", "memory": "x"}}))),
        ("POST", pods, JSON, spec("p", "resources", value!({"requests": {"cpu": "1000m"}}))),
        ("POST", pods, JSON, spec("Not A Name", "stdin", true.into())),
        ("POST", pods, JSON, value!({"kind": "Node", "metadata": {"name": "p"}})),
        ("POST", pods, JSON, value!("no object")),
        ("POST", pods, JSON, spec("p", "args", nested(DEPTH_MAX + 1))),
        ("PUT", a, JSON, value!({"metadata": {"name": "a"}, "data": {"key": "other"}})),
        ("PUT", a, JSON, value!({"metadata": {"name": "b"}})),
        ("PATCH", a, MERGE, value!({"data": {"key": null, "new": "1"}})),
        ("PATCH", a, MERGE, value!({"data": {"new": 1i64}})),
        ("PATCH", strict_a, MERGE, value!({"other": {}})),
        ("PATCH", a, STRATEGIC, value!({"metadata": {"labels": {"a": "b"}}, "data": {"$patch": "replace"}})),
        ("PATCH", a, JSON_PATCH, value!([{"op": "replace", "path": "/data/key", "value": "2"}])),
        ("PATCH", a, JSON_PATCH, value!([{"op": "test", "path": "/data/key", "value": "2"}])),
    ];
    for (method, path, form, body) in writes {
        let text = write(&server, (method, path, form), Content::Text(object::json::to_bytes(&body))).await;
        let tree = write(&server, (method, path, form), Content::Tree(body)).await;
        // Depth and syntax are told with the kind by the decoder of text, and before it of a tree.
        match (&tree, &text) {
            (Told::Refused(code, short), Told::Refused(expected, long)) if code == expected => {
                assert!(long.ends_with(short.as_str()), "{method} {path}: {short} and {long}");
            }
            _ => assert_eq!(tree, text, "{method} {path}"),
        }
    }
    for body in [large, escaped] {
        let body = value!({"metadata": {"name": "large"}, "data": {"key": body}});
        let path = CONFIG_MAPS;
        let told = write(&server, ("POST", path, JSON), Content::Tree(body.clone())).await;
        let Told::Refused(413, message) = told else { panic!("{told:?}") };
        let reply = call(&server, "POST", path, &body).await;
        assert_eq!(reply.status(), (413, "RequestEntityTooLarge".to_owned(), message));
    }
}

#[tokio::test]
async fn numbers_that_text_does_not_have_are_refused() {
    let server = TestServer::start().await;
    for number in [f64::NAN, f64::INFINITY] {
        let event = value!({"metadata": {"name": "e"}, "count": number});
        let path = "/api/v1/namespaces/default/events";
        let told = write(&server, ("POST", path, JSON), Content::Tree(event)).await;
        assert!(matches!(told, Told::Refused(400, _)), "{told:?}");
    }
}

#[tokio::test]
async fn a_write_from_inside_is_answered_with_the_version_that_readers_share() {
    let server = TestServer::start().await;
    let info = RequestInfo::parse(&http::Method::POST, CONFIG_MAPS, None);
    let operation = Operation {
        info: Arc::new(info),
        content_type: Some(JSON.to_owned()),
        user_agent: None,
        body: Content::Tree(config_map("a", &[])),
    };
    let answer = server.operate(&admin(), operation).await.unwrap();
    let AnswerBody::Version(version) = answer.body else { panic!("{:?}", answer.body) };
    // JSON over the network ends with a line.
    let read = get(&server, &format!("{CONFIG_MAPS}/a")).await.bytes;
    assert_eq!(Some(&*version.json()), read.strip_suffix(b"\n"));
}
