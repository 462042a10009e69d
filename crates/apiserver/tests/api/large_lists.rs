//! Lists of many megabytes are sent in pieces, in each form: the memory of a request does not grow with its list
//! (KEP-5116).

use apiserver::body::Body;
use apiserver::testing::{TestServer, admin};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::BodyExt;

use crate::support::*;

const OBJECTS: usize = 240;
const OBJECT_BYTES: usize = 100 << 10;
/// What a request may take at once, a small part of the list: some pieces, and what compression remembers.
const PEAK_BYTES_MAX: usize = 2 << 20;

/// Reads one piece from each client's answer after the other until all have ended; returns how many bytes they were.
fn read_side_by_side(mut bodies: Vec<Body>) -> usize {
    let mut bytes = 0;
    while !bodies.is_empty() {
        bodies.retain_mut(|body| {
            // Between two pieces that are work, others get their turn.
            let Some(piece) = body.frame().now_or_never() else { return true };
            let piece: Option<Bytes> = piece.map(|frame| frame.unwrap().into_data().unwrap());
            bytes += piece.as_ref().map_or(0, Bytes::len);
            piece.is_some()
        });
    }
    bytes
}

#[test]
fn the_memory_of_a_request_does_not_grow_with_its_list() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(async {
        let server = TestServer::start().await;
        for number in 0..OBJECTS {
            let mut object = config_map(&format!("m{number}"), &[]);
            // Each object is another, or the store would keep it as a difference.
            let text: String =
                (0..OBJECT_BYTES).map(|at| char::from(b'a' + ((at * at / 7 + number) % 26) as u8)).collect();
            object.entry("data").set("key", text);
            server.create("", "configmaps", "default", object).await.unwrap();
        }
        server.registry.hub.catch_up().await.unwrap();
        server
    });
    let whole = OBJECTS * OBJECT_BYTES;
    assert!(whole > 7 * PEAK_BYTES_MAX);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let gzip = ("accept-encoding", "gzip");
    let plain = ("accept-encoding", "identity");
    let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let cases = [
        (8, "", "application/json", plain, whole),
        (1, "", "application/json", gzip, 1),
        (1, "?pretty=true", "application/json", plain, whole),
        (1, "", "application/yaml", plain, whole),
        (1, "", "application/vnd.kubernetes.protobuf", plain, whole),
        (1, "", "application/vnd.kubernetes.protobuf", gzip, 1),
        (1, "", table, plain, OBJECTS * 100),
        (1, "?includeObject=Object", table, plain, whole),
        (1, "", metadata, plain, OBJECTS * 50),
    ];
    for (clients, query, accept, encoding, bytes_min) in cases {
        let what = format!("{query} {accept} {encoding:?}");
        let (bytes, spent) = fuzz::measured(|| {
            let bodies = runtime.block_on(async {
                let mut bodies = Vec::new();
                for _ in 0..clients {
                    let path = format!("{CONFIG_MAPS}{query}");
                    let headers = [("accept", accept), encoding];
                    let response = open(&server, Some(&admin()), "GET", &path, &headers, "").await;
                    assert_eq!(response.status().as_u16(), 200, "{what}");
                    bodies.push(response.into_body());
                }
                bodies
            });
            read_side_by_side(bodies)
        });
        assert!(bytes >= clients * bytes_min, "{what}: {bytes} bytes");
        assert!(spent.peak < clients * PEAK_BYTES_MAX, "{what}: {} bytes at once", spent.peak);
    }
}

/// How often others get their turn while a list of objects of 100 KB each is read as fast as it is made.
fn turns_beside(objects: usize, query: &str, headers: &[(&str, &str)]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = TestServer::start().await;
        for number in 0..objects {
            let mut object = config_map(&format!("m{number}"), &[]);
            object.entry("data").set("key", "x".repeat(OBJECT_BYTES));
            server.create("", "configmaps", "default", object).await.unwrap();
        }
        let path = format!("{CONFIG_MAPS}?{query}");
        let body = open(&server, Some(&admin()), "GET", &path, headers, "").await.into_body();
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let local = tokio::task::LocalSet::new();
        let counted = std::rc::Rc::clone(&turns);
        local.spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        local.run_until(async { body.collect().await.unwrap() }).await;
        turns.get()
    })
}

/// The rows of a large table are made a few at a time, however fast its client reads.
#[test]
fn a_large_table_lets_others_have_their_turn() {
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let turns = turns_beside(30, "includeObject=Object", &accept);
    // 3 MB are at least six pieces for which 512 KiB each are read, of which some were made before the answer began.
    assert!(turns > 4, "{turns} turns");
}

/// What is easy to compress fills no piece: 6 MB of one letter become a few kilobytes.
#[test]
fn a_list_that_is_easy_to_compress_lets_others_have_their_turn() {
    let turns = turns_beside(60, "", &[("accept-encoding", "gzip")]);
    assert!(turns > 40, "{turns} turns");
}
