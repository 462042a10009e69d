use std::net::SocketAddr;

use async_trait::async_trait;
use object::value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::dial::{Dial, Stream};
use crate::pki::{Subject, Usage as KeyUsage, Wanted};
use crate::testing::TestServer;

/// Nodes behind TLS, by the port at which they are dialed, each with its answer to every request; one without answer is
/// silent.
struct Nodes {
    answers: Vec<(u16, Option<String>)>,
    acceptor: tokio_rustls::TlsAcceptor,
}

#[async_trait]
impl Dial for Nodes {
    async fn dial(&self, address: SocketAddr) -> std::io::Result<Box<dyn Stream>> {
        let found = self.answers.iter().find(|(port, _)| *port == address.port());
        let (_, answer) = found.ok_or(std::io::ErrorKind::ConnectionRefused)?.clone();
        let (near, far) = duplex(1 << 20);
        tokio::spawn(serve(far, self.acceptor.clone(), answer));
        Ok(Box::new(near))
    }
}

async fn serve(stream: DuplexStream, acceptor: tokio_rustls::TlsAcceptor, answer: Option<String>) {
    let mut stream = acceptor.accept(stream).await.unwrap();
    let mut request = vec![0; 4096];
    let read = stream.read(&mut request).await.unwrap();
    assert!(request[..read].starts_with(b"GET /metrics/resource HTTP/1.1\r\n"));
    let Some(answer) = answer else { return std::future::pending().await };
    // A client that has seen enough of it leaves.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn ok(body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// A server with a node for each answer, named `n-PORT`.
async fn server(answers: Vec<(u16, Option<String>)>) -> TestServer {
    let server = TestServer::start().await;
    for (port, _) in &answers {
        let name = format!("n-{port}");
        let node = value!({"metadata": {"name": name.as_str()}});
        server.create("", "nodes", "", node).await.unwrap();
        let status = value!({"status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": i64::from(*port)}}
        }});
        let mut changed = server.get("", "nodes", "", &name).await.unwrap();
        changed.set("status", status.get("status").clone());
        server.json("PUT", &format!("/api/v1/nodes/{name}/status"), &changed).await.unwrap();
    }
    let subject = Subject {
        common_name: "system:node:n".into(),
        organizations: vec!["system:nodes".into()],
        addresses: vec!["192.0.2.1".parse().unwrap()],
        ..Subject::default()
    };
    let wanted = Wanted::new("serving-kubelet", KeyUsage::NodeServer, subject);
    let certificate = server.pki.kept(&wanted).unwrap();
    let identity = tls::Identity::from_pem(&certificate.certificate, &certificate.key).unwrap();
    let acceptor = crate::server::acceptor(&server.pki, identity).unwrap();
    server.registry.hub.catch_up().await.unwrap();
    server.dial_by(Nodes { answers, acceptor })
}

fn text(seconds: u64, cpu: u64) -> String {
    format!("node_cpu_usage_seconds_total {cpu} {seconds}000\nnode_memory_working_set_bytes 9 {seconds}000\n")
}

#[tokio::test(start_paused = true)]
async fn nodes_are_asked_over_their_own_connection() {
    let figures = "node_cpu_usage_seconds_total 5\nnode_memory_working_set_bytes 9\n";
    let server = server(vec![(1, ok(figures)), (2, None), (3, ok("x"))]).await;
    for node in ["n-1", "n-2", "n-3"] {
        server.registry.measures.take(node, Batch::parse(&text(100, 1), server.clock.now()).unwrap(), 15);
    }
    server.measure_round(RESOLUTION).await;
    let usage = server.registry.measures.node("n-1").unwrap();
    assert_eq!(usage.memory_bytes, 9);
    // Those of nodes that did not answer are gone.
    assert_eq!(
        server.registry.measures.0.read().keys().map(|name| name.to_string()).collect::<Vec<_>>(),
        ["n-1"]
    );
}

#[tokio::test(start_paused = true)]
async fn answers_of_nodes_are_bounded_in_size_and_time() {
    let huge = format!("# {}\n", "x".repeat(ANSWER_BYTES_MAX));
    let server =
        server(vec![(1, ok(&huge)), (2, None), (3, ok("x")), (4, Some("HTTP/1.1 403 X\r\n\r\n".into()))])
            .await;
    let mut why = Vec::new();
    for node in ["n-1", "n-2", "n-3", "n-4", "n-5"] {
        let error = server.scrape(node).await.unwrap_err();
        why.push(causes::chain(&error));
    }
    let expected = [
        "the node refused: an answer of more than 8388608 bytes",
        "no answer within 10 s",
        "cannot read the figures: line 1 is not a sample of a metric",
        "the node refused: HTTP status 403",
        "the node refused: nodes \"n-5\" not found",
    ];
    assert_eq!(why.len(), expected.len());
    for (why, expected) in why.iter().zip(expected) {
        assert!(
            why.contains(expected.strip_prefix("the node refused: ").unwrap_or(expected)),
            "{why}: {expected}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_lost_is_not_asked() {
    let figures = "node_cpu_usage_seconds_total 5\nnode_memory_working_set_bytes 9\n";
    let server = server(vec![(1, ok(figures)), (2, ok(figures))]).await;
    let mut node = server.get("", "nodes", "", "n-2").await.unwrap();
    node.entry("status").set("conditions", vec![value!({"type": "Ready", "status": "Unknown"})]);
    server.json("PUT", "/api/v1/nodes/n-2/status", &node).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    server.measure_round(RESOLUTION).await;
    assert_eq!(server.registry.measures.0.read().len(), 1);
}
