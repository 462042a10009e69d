use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connected;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use object::ObjectKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpListener;

use super::*;
use crate::{ResourceType, Target, WatchEvent};

/// Answers one connection after the other with these texts, and returns the requests.
async fn answering(answers: Vec<String>) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (address, asked)
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn connect(address: SocketAddr) -> HttpConnection {
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    HttpConnection::new(config, "kubelet/v1.37.0").unwrap()
}

fn pods(verb: Verb) -> Request {
    Request::new(verb, Target::collection(ResourceType::of::<Pod>(), "default"))
}

#[tokio::test]
async fn lists_carry_objects_version_and_token() {
    let body = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"12","continue":"more"},
        "items":[{"metadata":{"name":"a","namespace":"default","resourceVersion":"7"}}]}"#;
    let (address, asked) =
        answering(vec![answer("200 OK\r\nwarning: 299 - \"be \\\"careful\\\"\"", body)]).await;
    let page = connect(address).list(pods(Verb::List).query("limit", "1")).await.unwrap();
    assert_eq!((page.resource_version.as_str(), page.continue_token.as_str()), ("12", "more"));
    assert_eq!(
        (page.items[0].key().to_string().as_str(), page.items[0].resource_version()),
        ("default/a", 7)
    );
    assert_eq!(page.items[0].kind(), "Pod");
    let asked = asked.await.unwrap().remove(0);
    assert!(asked.starts_with("GET /api/v1/namespaces/default/pods?limit=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("user-agent: kubelet/v1.37.0\r\n"), "{asked}");
}

#[tokio::test]
async fn warnings_are_read() {
    let (address, _asked) =
        answering(vec![answer("200 OK\r\nwarning: 299 - \"be \\\"careful\\\"\"", "{}")]).await;
    let response = connect(address).call(pods(Verb::Get)).await.unwrap();
    assert_eq!(response.warnings, [r#"be "careful""#]);
}

#[tokio::test]
async fn a_list_without_items_is_empty() {
    let (address, _asked) = answering(vec![answer("200 OK", r#"{"metadata":{},"items":null}"#)]).await;
    assert!(connect(address).list(pods(Verb::List)).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn watches_end_with_the_status_of_an_error_event() {
    let body = concat!(
        r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"1"}}}"#,
        "\n",
        r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"5"}}}"#,
        "\n",
        r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}}"#,
        "\n",
        r#"{"type":"ADDED","object":{"metadata":{"name":"b","resourceVersion":"6"}}}"#,
        "\n",
    );
    let (address, _asked) = answering(vec![answer("200 OK", body)]).await;
    let events: Vec<_> = connect(address).watch(pods(Verb::Watch)).await.unwrap().collect().await;
    assert_eq!(events.len(), 3);
    assert!(matches!(&events[0], Ok(WatchEvent::Added(object)) if object.name() == "a"));
    assert!(matches!(&events[1], Ok(WatchEvent::Bookmark { resource_version }) if resource_version == "5"));
    assert!(events[2].as_ref().unwrap_err().is_expired());
}

#[tokio::test]
async fn errors_become_statuses() {
    let status = object::Status::not_found("", "pods", "a");
    let body = String::from_utf8(object::json::to_vec(&status.to_value())).unwrap();
    let answers =
        vec![answer("404 Not Found", &body), answer("502 Bad Gateway\r\nretry-after: 3", "proxy says no")];
    let (address, _asked) = answering(answers).await;
    let connection = connect(address);
    let request = Request::new(
        Verb::Get,
        Target::object(ResourceType::of::<Pod>(), &ObjectKey::namespaced("default", "a")),
    );
    assert!(connection.call(request.clone()).await.unwrap_err().is_not_found());
    let error = connection.call(request).await.unwrap_err();
    let status = error.status().unwrap();
    assert_eq!((status.code, status.retry_after_seconds()), (502, Some(3)));
}

#[tokio::test]
async fn no_server_is_a_transport_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = connect(address).call(pods(Verb::Get)).await.unwrap_err();
    assert!(matches!(error, ClientError::Transport { .. }));
}

#[tokio::test]
async fn an_error_tells_why_no_answer_came() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = connect(address).list(pods(Verb::List)).await.unwrap_err();
    let why = causes::chain(&error);
    assert!(why.starts_with("send the request: "), "{why}");
    assert_eq!(why.matches("Connection refused").count(), 1, "{why}");
}

#[tokio::test]
async fn what_is_served_is_followed_by_the_tags_of_its_documents() {
    let (old, new) = ("200 OK\r\netag: \"1\"", "200 OK\r\netag: \"2\"");
    let same = answer("304 Not Modified", "");
    let (address, asked) = answering(vec![
        answer(old, "{}"),
        answer(old, "{}"),
        same.clone(),
        same.clone(),
        same.clone(),
        answer(new, "{}"),
        "HTTP/1.1 garbage".to_owned(),
    ])
    .await;
    let mut changes = connect(address).ask_for_changes(Duration::from_millis(1)).await.unwrap();
    assert_eq!(changes.next().await, Some(()));
    assert_eq!(changes.next().await, None, "a server that cannot be asked is followed anew");
    let asked = asked.await.unwrap();
    let shown: Vec<_> = asked
        .iter()
        .map(|text| (text.split(' ').nth(1).unwrap(), text.contains("if-none-match: \"1\"")))
        .collect();
    let (core, groups) = ("/api", "/apis");
    let expected = [false, false, true, true, true, true];
    let paths = [core, groups, core, groups, core, groups];
    assert_eq!(shown[..6], paths.into_iter().zip(expected).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_request_is_counted() {
    let exposition = metrics::Exposition::default();
    let counted = exposition.with(RequestMetrics::register);
    let missing = r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#;
    let (address, asked) = answering(vec![answer("200 OK", "{}"), answer("404 Not Found", missing)]).await;
    let connection = connect(address).measured_by(counted);
    connection.get_path("/version", "application/json").await.unwrap();
    connection.call(pods(Verb::Create)).await.unwrap_err();
    asked.await.unwrap();
    // The listener is gone.
    connection.watch(pods(Verb::Watch)).await.err().unwrap();
    let text = exposition.text();
    for (code, method) in [("200", "GET"), ("404", "POST"), ("<error>", "GET")] {
        let sample = format!(
            "rest_client_requests_total{{code=\"{code}\",method=\"{method}\",host=\"{address}\"}} 1\n"
        );
        assert!(text.contains(&sample), "no {sample} in\n{text}");
    }
}

/// A connection in memory, on which HTTP/2 was agreed on.
struct Near(DuplexStream);

impl hyper_util::client::legacy::connect::Connection for Near {
    fn connected(&self) -> Connected {
        Connected::new().negotiated_h2()
    }
}

impl AsyncRead for Near {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Near {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Begins to answer every request with 200 and never ends; answers pings while `alive`.
async fn answer_without_end(mut far: DuplexStream, alive: Arc<AtomicBool>) -> io::Result<()> {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const ACK: u8 = 1;
    const END_HEADERS: u8 = 4;
    far.read_exact(&mut [0; "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
    far.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let head: [u8; 9] = {
            let mut head = [0; 9];
            far.read_exact(&mut head).await?;
            head
        };
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        far.read_exact(&mut payload).await?;
        let answer = match (kind, flags & ACK) {
            // `:status: 200` in HPACK's static table.
            (HEADERS, _) => frame(HEADERS, END_HEADERS, u32::from_be_bytes(stream), &[0x88]),
            (SETTINGS, 0) => frame(SETTINGS, ACK, 0, &[]),
            (PING, 0) if alive.load(Ordering::Relaxed) => frame(PING, ACK, 0, &payload),
            _ => continue,
        };
        far.write_all(&answer).await?;
    }
}

/// A watch is often all that still uses its connection: the pool forgets one that nobody else asked for.
#[tokio::test(start_paused = true)]
async fn the_death_of_a_server_is_noticed_by_the_last_watch_of_a_connection() {
    let alive = Arc::new(AtomicBool::new(true));
    let connector = tower::service_fn({
        let alive = Arc::clone(&alive);
        move |_: Uri| {
            let (near, far) = tokio::io::duplex(1 << 16);
            tokio::spawn(answer_without_end(far, Arc::clone(&alive)));
            futures::future::ready(Ok::<_, Infallible>(TokioIo::new(Near(near))))
        }
    });
    let config = kube::Config::new(Uri::from_static("https://kubernetes"));
    let client = stack(&config, connector, SERVERS_KEEP_ALIVE).unwrap();
    let host = Host::One("kubernetes".into());
    let connection = HttpConnection { client, host, metrics: RequestMetrics::default() };
    let mut events = connection.watch(pods(Verb::Watch)).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(600), events.next()).await;
    assert!(quiet.is_err(), "pings are answered");
    alive.store(false, Ordering::Relaxed);
    let lost = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
    lost.expect("the missing answer is noticed").unwrap().unwrap_err();
}
