//! Tables and metadata, of objects, lists and watches, in each encoding.

use apiserver::testing::{TestServer, admin};
use object::{Value, value};

use crate::support::*;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn decode(bytes: &[u8]) -> Value {
    let lookup = |api_version: &str, kind: &str| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        schema::type_by_gvk(group, version, kind)
    };
    object::protobuf::decode(bytes, &lookup).unwrap().value
}

/// The events of a watch in frames of protobuf.
fn frames(mut bytes: &[u8]) -> Vec<Value> {
    let ty = schema::type_by_gvk("", "v1", "WatchEvent").unwrap();
    let lookup = |api_version: &str, kind: &str| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        schema::type_by_gvk(group, version, kind)
    };
    let mut events = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (event, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        events.push(object::protobuf::decode_message(event, &ty, &lookup).unwrap());
        bytes = rest;
    }
    events
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| object::json::parse(line).unwrap()).collect()
}

async fn read(server: &TestServer, path: &str, accept: &str) -> Reply {
    send(server, Some(&admin()), "GET", path, &[("accept", accept)], "").await
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    for name in ["a", "b"] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[("app", name)])).await.success();
    }
    server
}

#[tokio::test]
async fn metadata_comes_in_every_encoding_and_version() {
    let server = server().await;
    let plain = get(&server, CONFIG_MAPS).await.success();
    let expected: Vec<&Value> = plain.get("items").items().map(|item| item.get("metadata")).collect();
    for version in ["v1", "v1beta1"] {
        let view = |media: &str, kind: &str| format!("{media};as={kind};v={version};g=meta.k8s.io");
        let api_version = format!("meta.k8s.io/{version}");
        for media in ["application/json", "application/yaml", PROTOBUF] {
            let parse = |reply: &Reply| match media {
                PROTOBUF => decode(&reply.bytes),
                "application/yaml" => object::yaml::parse(&reply.bytes).unwrap(),
                _ => reply.json(),
            };
            let reply = read(&server, CONFIG_MAPS, &view(media, "PartialObjectMetadataList")).await;
            assert_eq!((reply.code, reply.headers["content-type"].to_str().unwrap()), (200, media));
            let list = parse(&reply);
            assert_eq!(
                (list.str_at("kind"), list.str_at("apiVersion")),
                ("PartialObjectMetadataList", &*api_version)
            );
            assert_eq!(list.at("metadata.resourceVersion"), plain.at("metadata.resourceVersion"));
            let items: Vec<&Value> = list.get("items").items().map(|item| item.get("metadata")).collect();
            assert_eq!(items, expected, "{media} {version}");
            let one = read(&server, &format!("{CONFIG_MAPS}/a"), &view(media, "PartialObjectMetadata")).await;
            let one = parse(&one);
            assert_eq!((one.str_at("kind"), one.get("metadata")), ("PartialObjectMetadata", expected[0]));
            // Each of the two is only what its name says.
            let wrong = [
                (CONFIG_MAPS.to_owned(), "PartialObjectMetadata", "is a list (ConfigMapList)"),
                (format!("{CONFIG_MAPS}/a"), "PartialObjectMetadataList", "is not a list (ConfigMap)"),
            ];
            for (path, kind, what) in wrong {
                let refused = parse(&read(&server, &path, &view(media, kind)).await);
                assert_eq!(
                    (refused.get("code").as_i64(), refused.str_at("reason")),
                    (Some(406), "NotAcceptable")
                );
                let message = format!("you requested {kind}, but the requested object {what}");
                assert_eq!(refused.str_at("message"), message);
            }
        }
    }
}

#[tokio::test]
async fn metadata_is_watched_with_its_bookmarks() {
    let server = server().await;
    let path = format!("{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1");
    for (media, version) in [("application/json", "v1"), (PROTOBUF, "v1"), (PROTOBUF, "v1beta1")] {
        let accept = format!("{media};as=PartialObjectMetadata;v={version};g=meta.k8s.io");
        let reply = read(&server, &path, &accept).await;
        let events = if media == PROTOBUF { frames(&reply.bytes) } else { lines(&reply.bytes) };
        let told: Vec<_> =
            events.iter().map(|event| (event.str_at("type"), event.str_at("object.kind"))).collect();
        assert_eq!(
            told[..3],
            [
                ("ADDED", "PartialObjectMetadata"),
                ("ADDED", "PartialObjectMetadata"),
                ("BOOKMARK", "PartialObjectMetadata")
            ],
            "{accept}"
        );
        for event in &events {
            assert_eq!(event.str_at("object.apiVersion"), format!("meta.k8s.io/{version}"));
            assert!(!event.str_at("object.metadata.resourceVersion").is_empty());
            assert!(event.at("object.data").is_null());
        }
        let end = events[2].at_path(&["object", "metadata", "annotations", "k8s.io/initial-events-end"]);
        assert_eq!(end.as_str(), Some("true"), "{accept}");
    }
}

#[tokio::test]
async fn rows_of_tables_carry_what_is_asked_for() {
    let server = server().await;
    let table = |media: &str| format!("{media};as=Table;v=v1;g=meta.k8s.io");
    for media in ["application/json", "application/yaml"] {
        for (include, kind) in [
            ("", "PartialObjectMetadata"),
            ("Metadata", "PartialObjectMetadata"),
            ("Object", "ConfigMap"),
            ("None", ""),
        ] {
            let reply = read(&server, &format!("{CONFIG_MAPS}?includeObject={include}"), &table(media)).await;
            let list = match media {
                "application/yaml" => object::yaml::parse(&reply.bytes).unwrap(),
                _ => reply.json(),
            };
            assert_eq!((list.str_at("kind"), list.str_at("apiVersion")), ("Table", "meta.k8s.io/v1"));
            let rows: Vec<_> = list
                .get("rows")
                .items()
                .map(|row| (row.get("cells").items().next().unwrap().as_str(), row.str_at("object.kind")))
                .collect();
            assert_eq!(rows, [(Some("a"), kind), (Some("b"), kind)], "{include}");
        }
    }
    let (code, _, message) =
        read(&server, &format!("{CONFIG_MAPS}?includeObject=x"), &table("application/json")).await.status();
    assert_eq!(
        (code, &*message),
        (
            400,
            "Unable to convert to Table as requested: includeObject: Invalid value: \"x\": must be 'Metadata', 'Object', 'None', or empty"
        )
    );
    // It means nothing without a table, and there are none as protobuf.
    assert_eq!(get(&server, &format!("{CONFIG_MAPS}?includeObject=x")).await.code, 200);
    assert_eq!(read(&server, CONFIG_MAPS, &table(PROTOBUF)).await.code, 406);
}

/// Only the first event of a watch names the columns, and the end of the initial events can always be told.
#[tokio::test]
async fn a_watch_of_tables_names_its_columns_once() {
    let server = server().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for include in ["Metadata", "None", "Object"] {
        let path = format!(
            "{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1&includeObject={include}"
        );
        let events = lines(&read(&server, &path, accept).await.bytes);
        let types: Vec<&str> = events.iter().map(|event| event.str_at("type")).collect();
        assert_eq!(types[..3], ["ADDED", "ADDED", "BOOKMARK"], "{include}");
        let columns: Vec<bool> =
            events.iter().map(|event| event.at("object.columnDefinitions").is_null()).collect();
        assert!(!columns[0] && columns[1..].iter().all(|is_null| *is_null), "{include}: {columns:?}");
        let row = |event: &Value| event.at("object.rows").items().next().cloned().unwrap();
        assert_eq!(row(&events[0]).get("object").is_null(), include == "None");
        let end = row(&events[2]);
        let end = end.at_path(&["object", "metadata", "annotations", "k8s.io/initial-events-end"]);
        assert_eq!(end.as_str(), Some("true"), "{include}");
    }
    // The events of a watch are not lists.
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let events =
        lines(&read(&server, &format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1"), accept).await.bytes);
    assert_eq!(events[0].str_at("object.kind"), "ConfigMap");
    assert_eq!(events[0].at("object.data"), &value!({"key": "value"}));
}
