use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;

use super::*;
use crate::testing::{TestServer, admin};

/// Records its calls.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Ear {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Observer for Ear {
    fn received(&self, request: &Seen) {
        let known = if request.endpoint.is_some() { "known" } else { "unknown" };
        self.0.lock().push(format!("{} {} ({known})", request.info.verb, request.info.path));
    }

    fn answered(&self, request: &Seen, outcome: Outcome) {
        let user = request.user.get().map_or("nobody", |user| &user.name).to_owned();
        self.0.lock().push(match outcome {
            Outcome::Answered { code, bytes } => format!("{user}: {code}, size known: {}", bytes.is_some()),
            Outcome::Left => format!("{user}: left"),
        });
    }

    fn ended(&self, _request: &Seen) {
        self.0.lock().push("ended".to_owned());
    }
}

async fn server() -> (TestServer, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    let server = TestServer::observed_by(Arc::clone(&ear) as _).await;
    ear.take();
    (server, ear)
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

fn peer() -> Peer {
    Peer { user: Some(admin()), ..Peer::default() }
}

/// It is moved several times before it runs, and each request that waits keeps all of it.
#[tokio::test]
async fn the_future_of_a_request_is_small() {
    const BYTES_MAX: usize = 4 << 10;
    let (server, _) = server().await;
    let bytes = size_of_val(&Arc::clone(&server).handle(get("/healthz"), peer()));
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    let (user, info) = (admin(), Arc::new(RequestInfo::parse(&http::Method::GET, "/healthz", None)));
    let body = crate::handler::Content::Text(Bytes::new());
    let operation = Operation { info, content_type: None, user_agent: None, body };
    let bytes = size_of_val(&server.operate(&user, operation));
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}

#[tokio::test]
async fn every_request_is_told_of_once() {
    let (server, ear) = server().await;
    let table = [
        ("/api/v1/namespaces/default", "get", "known", "admin: 200, size known: true"),
        ("/api/v1/namespaces/nowhere", "get", "known", "admin: 404, size known: true"),
        ("/apis/example.com/v1/things", "list", "unknown", "admin: 404, size known: true"),
        ("/api/v1/namespaces/default/pods/p/log", "get", "known", "admin: 404, size known: true"),
        ("/healthz", "get", "unknown", "admin: 200, size known: true"),
    ];
    for (path, verb, known, answer) in table {
        Arc::clone(&server).handle(get(path), peer()).await;
        let mut expected = vec![format!("{verb} {path} ({known})"), answer.to_owned()];
        if path.ends_with("/log") {
            expected.push("ended".to_owned());
        }
        assert_eq!(ear.take(), expected);
    }
    let forged =
        Request::get("/healthz").header("authorization", "Bearer forged").body(Full::<Bytes>::default());
    Arc::clone(&server).handle(forged.unwrap(), Peer::default()).await;
    assert_eq!(ear.take(), ["get /healthz (unknown)", "nobody: 401, size known: true"]);
}

#[tokio::test]
async fn components_of_this_process_are_told_of_too() {
    let (server, ear) = server().await;
    server.request(&admin(), "GET", "/api/v1/nodes", "", "").await.unwrap();
    assert_eq!(ear.take(), ["list /api/v1/nodes (known)", "admin: 200, size known: false"]);
}

#[tokio::test]
async fn a_watch_ends_when_its_reader_leaves() {
    let (server, ear) = server().await;
    let answer = Arc::clone(&server).handle(get("/api/v1/nodes?watch=true"), peer()).await;
    assert_eq!(ear.take(), ["watch /api/v1/nodes (known)", "admin: 200, size known: false"]);
    assert!(server.exposition.text().contains("\napiserver_longrunning_requests{verb=\"WATCH\",group=\"\",version=\"v1\",resource=\"nodes\",subresource=\"\",scope=\"cluster\",component=\"apiserver\"} 1\n"));
    drop(answer);
    assert_eq!(ear.take(), ["ended"]);
}

#[tokio::test]
async fn a_watch_of_this_process_ends_when_it_is_dropped() {
    let (server, ear) = server().await;
    let answer = server.request(&admin(), "GET", "/api/v1/nodes?watch=true", "", "").await.unwrap();
    assert_eq!(ear.take(), ["watch /api/v1/nodes (known)", "admin: 200, size known: false"]);
    let running = |count| {
        let text = server.exposition.text();
        let sample = format!(
            "\napiserver_longrunning_requests{{verb=\"WATCH\",group=\"\",version=\"v1\",resource=\"nodes\",subresource=\"\",scope=\"cluster\",component=\"apiserver\"}} {count}\n"
        );
        assert!(text.contains(&sample), "no {sample} in\n{text}");
    };
    running(1);
    drop(answer);
    assert_eq!(ear.take(), ["ended"]);
    running(0);
    let refused = server.request(&admin(), "GET", "/api/v1/nodes?watch=true&resourceVersion=x", "", "").await;
    assert!(refused.is_err());
    assert_eq!(ear.take().last().map(String::as_str), Some("ended"));
}

#[tokio::test]
async fn a_client_that_leaves_is_told_of() {
    let (server, ear) = server().await;
    // A body that never arrives.
    let body = http_body_util::StreamBody::new(futures::stream::pending::<
        Result<http_body::Frame<Bytes>, std::convert::Infallible>,
    >());
    let request = Request::post("/api/v1/namespaces").body(body).unwrap();
    let mut handled = Box::pin(Arc::clone(&server).handle(request, peer()));
    assert!(futures::poll!(handled.as_mut()).is_pending());
    drop(handled);
    assert_eq!(ear.take(), ["create /api/v1/namespaces (known)", "admin: left"]);
    assert!(
        server
            .exposition
            .text()
            .contains("apiserver_current_inflight_requests{request_kind=\"mutating\"} 0\n")
    );
}

#[tokio::test]
async fn a_request_keeps_the_id_that_its_client_gave_it() {
    let (server, _) = server().await;
    let id = |given: Option<&str>| {
        let mut request = get("/healthz");
        if let Some(given) = given {
            request.headers_mut().insert("audit-id", given.parse().unwrap());
        }
        let answer = Arc::clone(&server).handle(request, peer());
        async move { answer.await.headers()["audit-id"].to_str().unwrap().to_owned() }
    };
    assert_eq!(id(Some("mine")).await, "mine");
    assert_eq!(id(None).await.len(), 36);
    assert_eq!(id(Some(&"x".repeat(65))).await.len(), 36);
}

#[tokio::test]
async fn metrics_are_shown_in_upstreams_names() {
    let (server, _) = server().await;
    server.request(&admin(), "GET", "/api/v1/namespaces/default", "", "").await.unwrap();
    // Resources that this server does not have do not appear in labels.
    let _ = server.request(&admin(), "GET", "/api/v1/secret-name/x", "", "").await;
    let answer = Arc::clone(&server).handle(get("/metrics"), peer()).await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    for line in [
        "# TYPE apiserver_request_total counter",
        "# TYPE apiserver_request_duration_seconds histogram",
        "apiserver_request_total{verb=\"GET\",group=\"\",version=\"v1\",resource=\"namespaces\",subresource=\"\",scope=\"resource\",component=\"apiserver\",dry_run=\"\",code=\"200\"}",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1",
        "authentication_attempts{result=\"success\"} 1",
        "authorization_attempts_total{result=\"allowed\"}",
        "apiserver_resource_objects{group=\"\",resource=\"namespaces\"} 4",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert!(!text.contains("secret-name"));
    let stranger = Peer { user: Some(User::new("stranger", &[])), ..Peer::default() };
    assert_eq!(Arc::clone(&server).handle(get("/metrics"), stranger).await.status(), 403);
}

#[tokio::test]
async fn lists_are_counted_by_where_they_come_from() {
    let (server, _) = server().await;
    let list = async |query: &str| {
        let path = format!("/api/v1/namespaces?{query}");
        match server.request(&admin(), "GET", &path, "", "").await.unwrap().body {
            AnswerBody::List(listing) => listing,
            other => panic!("{other:?}"),
        }
    };
    let first = list("").await;
    list("labelSelector=no=where&resourceVersion=0").await;
    server.create("", "namespaces", "", object::value!({"metadata": {"name": "new"}})).await.unwrap();
    // The cache forgets what there was, the store does not.
    let now = server.registry.hub.catch_up().await.unwrap();
    server.registry.hub.forget_before(store::Revision(now));
    let past = list(&format!("resourceVersion={}&resourceVersionMatch=Exact", first.revision)).await;
    assert_eq!(past.items.len(), first.items.len());
    let text = server.exposition.text();
    let of = "group=\"\",resource=\"namespaces\"";
    for sample in [
        format!("apiserver_cache_list_total{{{of},index=\"\"}} "),
        format!("apiserver_cache_list_fetched_objects_total{{{of},index=\"\"}} "),
        format!("apiserver_cache_list_returned_objects_total{{{of}}} "),
        format!("apiserver_storage_list_total{{{of}}} "),
        format!("apiserver_storage_list_fetched_objects_total{{{of}}} "),
        format!("apiserver_storage_list_evaluated_objects_total{{{of}}} "),
        format!("apiserver_storage_list_returned_objects_total{{{of}}} "),
        format!("apiserver_watch_cache_read_wait_seconds_count{{{of}}} "),
        format!("apiserver_watch_cache_consistent_read_total{{{of},success=\"true\",fallback=\"false\"}} "),
        format!("etcd_requests_total{{operation=\"create\",{of}}} "),
        format!("apiserver_storage_events_received_total{{{of}}} "),
        format!("watch_cache_capacity{{{of}}} "),
        format!("apiserver_watch_cache_resource_version{{{of}}} "),
    ] {
        let value =
            text.lines().find_map(|line| line.strip_prefix(&sample)).map(|value| value.parse::<f64>());
        assert!(value.is_some_and(|value| value.is_ok_and(|value| value > 0.0)), "no {sample} in\n{text}");
    }
}
