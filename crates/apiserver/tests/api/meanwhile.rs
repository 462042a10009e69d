//! Lists that are read page by page, in every form, while objects come, change and go, and old versions are dropped.

use std::sync::Arc;

use apiserver::testing::{TestServer, admin};
use object::{Value, value};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::support::*;

const NAMES: usize = 60;
const ROUNDS: usize = 8;

/// The forms, with where the objects are in them.
const FORMS: [(&str, &str); 6] = [
    ("application/json", "items"),
    ("application/yaml", "items"),
    ("application/vnd.kubernetes.protobuf", "items"),
    ("application/json;as=Table;v=v1;g=meta.k8s.io", "rows"),
    ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "items"),
    ("application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "items"),
];

fn decoded(accept: &str, bytes: &[u8]) -> Value {
    let find = |api_version: &str, kind: &str| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        schema::type_by_gvk(group, version, kind)
    };
    match accept {
        accept if accept.contains("protobuf") => object::protobuf::decode(bytes, &find).unwrap().value,
        accept if accept.contains("yaml") => object::yaml::parse(bytes).unwrap(),
        _ => object::json::parse(bytes).unwrap(),
    }
}

/// A page's names, with their versions.
fn objects(list: &Value, member: &str) -> Vec<(String, String)> {
    let object = |item: &Value| match member {
        "rows" => item.get("object").get("metadata").clone(),
        _ => item.get("metadata").clone(),
    };
    let told = list.get(member).items().map(object);
    told.map(|metadata| (metadata.str_at("name").to_owned(), metadata.str_at("resourceVersion").to_owned()))
        .collect()
}

/// Reads until it is answered: a busy machine may take longer to follow the writes than a list waits.
async fn read_patiently(server: &TestServer, path: &str, accept: &str) -> Reply {
    loop {
        let reply = send(server, Some(&admin()), "GET", path, &[("accept", accept)], "").await;
        if reply.code != 504 {
            return reply;
        }
    }
}

/// Creates, changes and deletes ConfigMaps, in an order that depends on the number alone.
async fn write(server: &TestServer, number: usize) {
    let name = format!("m{:02}", number.wrapping_mul(7919) % NAMES);
    let path = format!("{CONFIG_MAPS}/{name}");
    let made = call(server, "POST", CONFIG_MAPS, &config_map(&name, &[])).await;
    if made.code != 409 {
        made.success();
    } else if number.is_multiple_of(3) {
        call(server, "DELETE", &path, &Value::Null).await.success();
    } else {
        call(server, "PATCH", &path, &value!({"data": {"key": number.to_string()}})).await.success();
    }
}

/// Reads a list page by page; returns its version and its objects. `none` if the version was dropped meanwhile, after
/// it was checked that the rest goes on where the pages ended.
async fn read(server: &TestServer, form: (&str, &str), limit: usize) -> Option<(u64, Vec<(String, String)>)> {
    let (accept, member) = form;
    let mut all: Vec<(String, String)> = Vec::new();
    let (mut token, mut version, mut remaining) = (String::new(), None, None);
    loop {
        let path = format!("{CONFIG_MAPS}?limit={limit}&continue={token}");
        let reply = read_patiently(server, &path, accept).await;
        if reply.code == 410 {
            let refused = read_patiently(server, &path, "application/json").await.json();
            rest(server, refused.str_at("metadata.continue"), &all).await;
            return None;
        }
        assert_eq!(reply.code, 200, "{accept}: {:?}", reply.bytes);
        let list = decoded(accept, &reply.bytes);
        let page = objects(&list, member);
        let told: u64 = list.str_at("metadata.resourceVersion").parse().unwrap();
        assert_eq!(*version.get_or_insert(told), told, "all pages are of one version");
        let left = list.at("metadata.remainingItemCount").as_i64();
        if let Some(before) = remaining {
            assert_eq!(before - page.len() as i64, left.unwrap_or(0), "{accept}: the pages count down");
        }
        remaining = left;
        token = list.str_at("metadata.continue").to_owned();
        assert!(token.is_empty() == left.is_none() && page.len() <= limit);
        assert!(token.is_empty() || page.len() == limit, "a page that is not the last one is full");
        all.extend(page);
        if token.is_empty() {
            return Some((told, all));
        }
    }
}

/// The rest of a list whose version is gone begins behind what was read.
async fn rest(server: &TestServer, token: &str, read: &[(String, String)]) {
    let path = format!("{CONFIG_MAPS}?continue={token}");
    let list = read_patiently(server, &path, "application/json").await.success();
    let (last, rest) = (read.last().map(|(name, _)| name.clone()), objects(&list, "items"));
    assert!(rest.iter().all(|(name, _)| Some(name) > last.as_ref()), "{last:?} before {rest:?}");
    assert!(rest.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_of_one_version_whatever_happens_meanwhile() {
    let store: Arc<dyn Store> = Arc::new(store::Embedded::in_memory(clock::Clock::system()));
    let server = Arc::new(TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await);
    for number in 0..NAMES {
        write(&server, number).await;
    }
    let stop = CancellationToken::new();
    let writing = tokio::spawn({
        let (server, stop) = (Arc::clone(&server), stop.clone());
        async move {
            for number in NAMES.. {
                if stop.is_cancelled() {
                    return number;
                }
                write(&server, number).await;
            }
            0
        }
    });
    let (mut whole, mut gone) = (0, 0);
    for round in 0..ROUNDS {
        for (at, form) in FORMS.into_iter().enumerate() {
            let limit = 1 + (5 * round + 3 * at) % 23;
            let Some((version, objects_then)) = read(&server, form, limit).await else {
                gone += 1;
                continue;
            };
            let exact = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
            let reply = read_patiently(&server, &exact, "application/json").await;
            // The version may have been dropped in the meantime.
            if reply.code == 200 {
                assert_eq!(objects_then, objects(&reply.json(), "items"), "{form:?} in pages of {limit}");
                whole += 1;
            }
        }
        if round % 4 == 3 {
            let now = store.current_revision().await.unwrap();
            store.compact(now).await.unwrap();
            server.registry.hub.forget_before(now);
        }
    }
    // A list that is being read when its version is dropped.
    let path = format!("{CONFIG_MAPS}?limit=5");
    let first = read_patiently(&server, &path, "application/json").await.success();
    write(&server, 1).await;
    let now = server.registry.hub.catch_up().await.unwrap();
    store.compact(store::Revision(now)).await.unwrap();
    server.registry.hub.forget_before(store::Revision(now));
    let path = format!("{CONFIG_MAPS}?limit=5&continue={}", first.str_at("metadata.continue"));
    let refused = read_patiently(&server, &path, "application/json").await;
    assert_eq!(refused.code, 410);
    rest(&server, refused.json().str_at("metadata.continue"), &objects(&first, "items")).await;
    stop.cancel();
    let writes = writing.await.unwrap();
    assert!(
        writes > NAMES && whole > ROUNDS * FORMS.len() / 2,
        "{writes} writes, {whole} lists, {gone} gone"
    );
}
