//! Many watchers of a collection, and watches that are compressed.

use std::io::Read;

use apiserver::body::Body;
use apiserver::testing::{TestServer, admin};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http_body_util::BodyExt;
use object::{Value, value};

use crate::support::*;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// Opens a watch; its body sends an event in each frame.
async fn watch(server: &TestServer, query: &str, headers: &[(&str, &str)]) -> (HeaderMap, Body) {
    let path = format!("{CONFIG_MAPS}?watch=true&{query}");
    let (head, body) = open(server, Some(&admin()), "GET", &path, headers, "").await.into_parts();
    assert_eq!(head.status.as_u16(), 200, "{query}");
    (head.headers, body)
}

async fn frame(body: &mut Body) -> Bytes {
    let frame = tokio::time::timeout(WITHIN, body.frame()).await.expect("an event comes in time");
    frame.unwrap().unwrap().into_data().unwrap()
}

/// An event without what depends on the time at which it was told.
fn timeless(event: &Bytes, accept: &str) -> Bytes {
    if accept != TABLE {
        return event.clone();
    }
    let mut event = object::json::parse(event).unwrap();
    let rows = event.entry("object").get_mut("rows").and_then(Value::as_list_mut).unwrap();
    rows[0].entry("cells").as_list_mut().unwrap().pop();
    object::json::to_bytes(&event)
}

async fn make(server: &TestServer, name: &str) -> String {
    let made = call(server, "POST", CONFIG_MAPS, &config_map(name, &[("app", "web")])).await.success();
    made.str_at("metadata.resourceVersion").to_owned()
}

/// However many others are told at the same time, and whatever they asked for.
#[tokio::test]
async fn every_watcher_is_told_in_its_own_form() {
    let server = TestServer::start().await;
    let before = make(&server, "a").await;
    let metadata =
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
    let forms = [
        ("", "application/json"),
        ("", PROTOBUF),
        ("", TABLE),
        ("includeObject=Object", TABLE),
        ("includeObject=None", TABLE),
        ("", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
        ("", metadata),
        // The object leaves this one when its label changes.
        ("labelSelector=app%3Dweb", "application/json"),
    ];
    let begin = async |form: (&str, &str)| {
        watch(&server, &format!("{}&resourceVersion={before}", form.0), &[("accept", form.1)]).await.1
    };
    let mut watches = Vec::new();
    for form in [forms, forms].concat() {
        watches.push(begin(form).await);
    }
    make(&server, "b").await;
    let path = format!("{CONFIG_MAPS}/b");
    let change = value!({"metadata": {"labels": {"app": "other"}}});
    call(&server, "PATCH", &path, &change).await.success();
    let mut told = Vec::new();
    for body in &mut watches {
        told.push([frame(body).await, frame(body).await]);
    }
    let (ones, others) = told.split_at(forms.len());
    for ((form, one), other) in forms.iter().zip(ones).zip(others) {
        let [one, other] = [one, other].map(|told| told.each_ref().map(|event| timeless(event, form.1)));
        assert_eq!(one, other, "{form:?}");
    }
    // A watch that is alone makes its events for itself.
    drop(watches);
    for (form, told) in forms.into_iter().zip(ones) {
        let mut alone = begin(form).await;
        for event in told {
            let again = frame(&mut alone).await;
            assert_eq!(timeless(event, form.1), timeless(&again, form.1), "{form:?}");
        }
    }
    let event = |form: usize, at: usize| object::json::parse(&ones[form][at]).unwrap();
    assert_eq!((event(0, 0).str_at("type"), event(0, 1).str_at("type")), ("ADDED", "MODIFIED"));
    assert_eq!((event(7, 0).str_at("type"), event(7, 1).str_at("type")), ("ADDED", "DELETED"));
    assert_eq!(event(0, 1).at("object.metadata.labels.app").as_str(), Some("other"));
    assert_eq!(event(7, 1).at("object.metadata.labels.app").as_str(), Some("web"));
    assert_eq!(event(5, 1).str_at("object.kind"), "PartialObjectMetadata");
}

/// The first table of each watch has the columns, even where other watches get the same version without them.
#[tokio::test]
async fn columns_come_once_to_every_watcher() {
    let server = TestServer::start().await;
    let before = make(&server, "a").await;
    let table = [("accept", TABLE)];
    let query = format!("resourceVersion={before}");
    let mut early = [watch(&server, &query, &table).await.1, watch(&server, &query, &table).await.1];
    let between = make(&server, "b").await;
    let query = format!("resourceVersion={between}");
    let mut late = [watch(&server, &query, &table).await.1, watch(&server, &query, &table).await.1];
    make(&server, "c").await;
    let has_columns = |event: &Bytes| {
        let columns = object::json::parse(event).unwrap().at("object.columnDefinitions").clone();
        !columns.is_null()
    };
    for body in &mut early {
        assert!(has_columns(&frame(body).await));
        assert!(!has_columns(&frame(body).await));
    }
    for body in &mut late {
        assert!(has_columns(&frame(body).await));
    }
}

/// What a client can read of a compressed stream.
fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

const AS_LIST: &str = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

/// KEP-3157 (WatchListCompression): every event can be read as soon as it was sent.
#[tokio::test]
async fn a_streamed_list_is_compressed() {
    let server = TestServer::start().await;
    make(&server, "a").await;
    make(&server, "b").await;
    let (headers, mut body) = watch(&server, AS_LIST, &[("accept-encoding", "deflate, gzip")]).await;
    assert_eq!(
        (&headers["content-encoding"], &headers["vary"]),
        (&"gzip".parse().unwrap(), &"Accept-Encoding".parse().unwrap())
    );
    assert_eq!(headers["content-type"], "application/json");
    let mut packed = Vec::new();
    let mut read_until = async |text: &str| {
        loop {
            packed.extend_from_slice(&frame(&mut body).await);
            let unpacked = unpacked(&packed);
            if unpacked.contains(text) {
                return unpacked;
            }
        }
    };
    let initial = read_until("initial-events-end").await;
    let kinds: Vec<String> = initial
        .lines()
        .map(|line| object::json::parse(line.as_bytes()).unwrap().str_at("type").to_owned())
        .collect();
    assert_eq!(kinds, ["ADDED", "ADDED", "BOOKMARK"]);
    make(&server, "c").await;
    let all = read_until("\"name\":\"c\"").await;
    assert_eq!(all.lines().count(), 4);
}

#[tokio::test]
async fn other_watches_are_not_compressed() {
    let server = TestServer::start().await;
    make(&server, "a").await;
    let without_bookmark = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let cases = [
        (AS_LIST, "identity"),
        // As upstream reads it: a coding with a weight is another coding.
        (AS_LIST, "gzip;q=0"),
        (AS_LIST, "x-gzip"),
        (without_bookmark, "gzip"),
        ("resourceVersion=0", "gzip"),
    ];
    for (query, accepted) in cases {
        let (headers, mut body) = watch(&server, query, &[("accept-encoding", accepted)]).await;
        assert!(!headers.contains_key("content-encoding"), "{query} {accepted}");
        assert!(frame(&mut body).await.starts_with(b"{\"type\":\"ADDED\""), "{query} {accepted}");
    }
}
