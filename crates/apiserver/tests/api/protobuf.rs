//! Clients that speak protobuf.

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

#[tokio::test]
async fn objects_and_lists_go_there_and_back() {
    let server = server_for_pods().await;
    let ty = schema::type_by_gvk("", "v1", "Pod").unwrap();
    let body = object::protobuf::encode(&pod("p"), &ty).unwrap();
    let headers = [("content-type", PROTOBUF), ("accept", PROTOBUF)];
    let made = send(&server, Some(&admin()), "POST", PODS, &headers, body).await;
    assert_eq!((made.code, made.headers["content-type"].to_str().unwrap()), (201, PROTOBUF));
    let made = decode(&made.bytes);
    assert_eq!(made.str_at("kind"), "Pod");
    let plain = get(&server, &format!("{PODS}/p")).await.success();
    assert_eq!(made.at("metadata.uid"), plain.at("metadata.uid"));
    assert_eq!(made.get("spec"), plain.get("spec"));
    let list = send(&server, Some(&admin()), "GET", PODS, &headers, "").await;
    let list = decode(&list.bytes);
    assert_eq!(list.str_at("kind"), "PodList");
    assert_eq!(list.get("items").items().next().unwrap().get("spec"), plain.get("spec"));
    assert!(!list.str_at("metadata.resourceVersion").is_empty());
    let missing = send(&server, Some(&admin()), "GET", &format!("{PODS}/none"), &headers, "").await;
    let status = decode(&missing.bytes);
    assert_eq!((status.str_at("kind"), status.str_at("reason")), ("Status", "NotFound"));
}

#[tokio::test]
async fn a_watch_sends_framed_events() {
    let server = TestServer::start().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let headers =
        [("accept", "application/vnd.kubernetes.protobuf;stream=watch,application/vnd.kubernetes.protobuf")];
    let path = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1");
    let reply = send(&server, Some(&admin()), "GET", &path, &headers, "").await;
    assert_eq!(reply.headers["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    let length = u32::from_be_bytes(reply.bytes[..4].try_into().unwrap()) as usize;
    // The event itself has no envelope, its object has.
    let ty = schema::type_by_gvk("", "v1", "WatchEvent").unwrap();
    let lookup = |api_version: &str, kind: &str| schema::type_by_gvk("", api_version, kind);
    let event = object::protobuf::decode_message(&reply.bytes[4..4 + length], &ty, &lookup).unwrap();
    assert_eq!((event.str_at("type"), event.str_at("object.metadata.name")), ("ADDED", "a"));
}

#[tokio::test]
async fn options_of_a_deletion_may_be_protobuf() {
    let server = TestServer::start().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let ty = schema::type_by_gvk("", "v1", "DeleteOptions").unwrap();
    let options = value!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "other"}});
    let body = object::protobuf::encode(&options, &ty).unwrap();
    let headers = [("content-type", PROTOBUF)];
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(send(&server, Some(&admin()), "DELETE", &path, &headers, body).await.code, 409);
}
