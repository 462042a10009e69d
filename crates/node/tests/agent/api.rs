//! The node API, as the API server calls it.

use std::fs;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use libtest_mimic::Trial;
use node::ServingTls;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tls::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Host, LIMIT, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("logs_are_read_and_strangers_are_refused", logs_are_read_and_strangers_are_refused),
        trial("exec_speaks_websocket", exec_speaks_websocket),
        trial("attach_succeeds_however_the_container_ends", attach_succeeds_however_the_container_ends),
        trial("ports_are_forwarded_by_channels", ports_are_forwarded_by_channels),
        trial("usage_is_told", usage_is_told),
    ]
}

/// Signs the certificates of one test.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

type Keyed = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, organization: &str) -> Keyed {
        let (certificate, key) = self.issue_pem(organization);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        (certificate, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
    }

    fn issue_pem(&self, organization: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test");
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub fn serving(&self) -> ServingTls {
        let (certificate, key) = self.issue_pem("node");
        ServingTls {
            identity: Identity::from_pem(&certificate, &key).unwrap(),
            client_authorities: vec![self.certificate.clone()],
        }
    }
}

impl Host {
    /// Connects as a member of a group, or anonymously.
    async fn connect(&self, group: Option<&str>) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match group {
            Some(group) => {
                let (certificate, key) = self.authority.issue(group);
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let port = self.agent.as_ref().unwrap().port();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// The whole answer to a GET request, head and body.
    pub async fn get(&self, group: Option<&str>, path: &str) -> String {
        let mut stream = self.connect(group).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The server may close without a close message.
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn exec(&self, query: &str, protocol: &str) -> WebSocketStream<TlsStream<TcpStream>> {
        self.web_socket(&format!("/exec/default/web/c?{query}"), protocol).await
    }

    async fn web_socket(&self, path: &str, protocol: &str) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = self.connect(Some("system:masters")).await;
        let mut request = format!("wss://127.0.0.1{path}").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        socket
    }

    async fn run_web(&self, script: &str) -> Value {
        let container = json!({"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", script]});
        self.create("web", json!({"containers": [container]})).await;
        self.until_ready("web").await
    }
}

const SERVER: &str = "trap 'exit 0' TERM; echo one; echo two; while true; do sleep 0.1; done";

async fn logs_are_read_and_strangers_are_refused(host: Host) {
    host.run_web(SERVER).await;
    let path = "/containerLogs/default/web/c?tailLines=1";
    assert!(host.get(None, path).await.starts_with("HTTP/1.1 401 "));
    // The node asks the API server what they may.
    let refused = host.get(Some("strangers"), path).await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let masters = Some("system:masters");
    let wait = async {
        loop {
            let answer = host.get(masters, path).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            if answer.contains("two\n") {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(LIMIT, wait).await.unwrap();
    assert!(!answer.contains("one"), "{answer}");
    let missing = host.get(masters, "/containerLogs/default/none/c").await;
    assert!(missing.starts_with("HTTP/1.1 404 ") && missing.contains("does not exist"), "{missing}");
    let previous = host.get(masters, "/containerLogs/default/web/c?previous=true").await;
    assert!(previous.starts_with("HTTP/1.1 400 "), "{previous}");
    assert!(host.get(masters, "/healthz").await.ends_with("ok"));
}

/// Everything that arrives on the channels until the server closes.
async fn collect(mut socket: WebSocketStream<TlsStream<TcpStream>>) -> [Vec<u8>; 4] {
    let mut channels: [Vec<u8>; 4] = Default::default();
    let read = async {
        while let Some(Ok(Message::Binary(message))) = socket.next().await {
            channels[usize::from(message[0])].extend_from_slice(&message[1..]);
        }
    };
    tokio::time::timeout(LIMIT, read).await.unwrap();
    channels
}

async fn exec_speaks_websocket(host: Host) {
    host.run_web(SERVER).await;
    let query = "command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+3&output=1&error=1";
    let [_, stdout, stderr, error] = collect(host.exec(query, "v5.channel.k8s.io").await).await;
    assert_eq!((stdout.as_slice(), stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let status: Value = serde_json::from_slice(&error).unwrap();
    assert_eq!((&status["status"], &status["reason"]), (&json!("Failure"), &json!("NonZeroExitCode")));
    assert_eq!(status["details"]["causes"], json!([{"reason": "ExitCode", "message": "3"}]));

    let mut socket = host.exec("command=cat&input=1&output=1", "v5.channel.k8s.io").await;
    socket.send(Message::binary(b"\x00hello".to_vec())).await.unwrap();
    // Channel 0 is closed.
    socket.send(Message::binary(vec![255, 0])).await.unwrap();
    let [_, stdout, _, error] = collect(socket).await;
    assert_eq!(stdout, b"hello");
    assert_eq!(serde_json::from_slice::<Value>(&error).unwrap()["status"], "Success");

    // The Python client sends text.
    for (protocol, hello) in [("v4.channel.k8s.io", "\0hello\n"), ("v4.base64.channel.k8s.io", "0aGVsbG8K")] {
        let query = "command=sh&command=-c&command=read+line%3B+echo+$line+1%3E%262&input=1&error=1";
        let mut socket = host.exec(query, protocol).await;
        socket.send(Message::text(hello)).await.unwrap();
        let expected = if protocol.contains("base64") { "2aGVsbG8K" } else { "\u{2}hello\n" };
        let wait = async {
            while let Some(Ok(message)) = socket.next().await {
                if message.into_data() == expected.as_bytes() {
                    return;
                }
            }
            panic!("no answer over {protocol}");
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap();
    }

    // A client that sends more than the command reads still gets the output and the code.
    let query = "command=sh&command=-c&command=echo+hi%3B+exit+3&input=1&output=1";
    let mut socket = host.exec(query, "v4.channel.k8s.io").await;
    let piece = [&[0], &[b'x'; 64 << 10][..]].concat();
    for _ in 0..80 {
        socket.send(Message::binary(piece.clone())).await.unwrap();
    }
    let [_, stdout, _, error] = collect(socket).await;
    assert_eq!(stdout, b"hi\n");
    assert_eq!(serde_json::from_slice::<Value>(&error).unwrap()["reason"], "NonZeroExitCode");
}

async fn attach_succeeds_however_the_container_ends(host: Host) {
    let container = json!({"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "stdin": true,
        "command": ["/bin/sh", "-c", "read line; echo got $line; exit 3"]});
    host.create("web", json!({"containers": [container], "restartPolicy": "Never"})).await;
    host.until_ready("web").await;
    let path = "/attach/default/web/c?input=1&output=1";
    let mut socket = host.web_socket(path, "v4.channel.k8s.io").await;
    socket.send(Message::text("\0hello\n")).await.unwrap();
    let [_, stdout, _, error] = collect(socket).await;
    assert_eq!(stdout, b"got hello\n");
    assert_eq!(serde_json::from_slice::<Value>(&error).unwrap()["status"], "Success");
}

async fn ports_are_forwarded_by_channels(host: Host) {
    host.run_web("trap 'exit 0' TERM; while true; do nc -l -p 8080 -e cat; done").await;
    let wait = async {
        // Until the container listens there is an error on channel 1.
        loop {
            let path = "/portForward/default/web?port=8080";
            let mut socket = host.web_socket(path, "v4.channel.k8s.io").await;
            socket.send(Message::binary(b"\x00hello".to_vec())).await.unwrap();
            let mut messages = Vec::new();
            while messages.len() < 3 {
                match socket.next().await {
                    Some(Ok(Message::Binary(message))) => messages.push(message),
                    _ => break,
                }
            }
            let port = 8080_u16.to_le_bytes();
            assert_eq!(messages[..2], [[0, port[0], port[1]].to_vec(), [1, port[0], port[1]].to_vec()]);
            if messages.get(2).is_some_and(|message| message[0] == 0) {
                return messages.swap_remove(2);
            }
        }
    };
    assert_eq!(tokio::time::timeout(LIMIT, wait).await.unwrap(), &b"\x00hello"[..]);
}

async fn usage_is_told(host: Host) {
    host.run_web(SERVER).await;
    let masters = Some("system:masters");
    let summary = host.get(masters, "/stats/summary").await;
    assert!(summary.contains("\"podRef\":{\"name\":\"web\""), "{summary}");
    let metrics = host.get(masters, "/metrics/resource").await;
    assert!(
        metrics.contains(
            "container_memory_working_set_bytes{container=\"c\",namespace=\"default\",pod=\"web\"}"
        ),
        "{metrics}"
    );
    let body =
        |answer: String| -> Value { serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap() };
    let summary = body(summary);
    let pod = host.pod("web").await.unwrap();
    let started = pod.status.as_ref().unwrap().start_time.as_ref().unwrap().0;
    for start in [&summary["pods"][0]["startTime"], &summary["pods"][0]["containers"][0]["startTime"]] {
        let start: jiff::Timestamp = start.as_str().unwrap().parse().unwrap();
        assert!(start >= started && start <= clock::Clock::system().now(), "{start} {started}");
    }
    for memory in [&summary["node"]["memory"], &summary["pods"][0]["memory"]] {
        assert!(memory["rssBytes"].as_u64() > Some(0) && memory["pageFaults"].as_u64() > Some(0), "{memory}");
    }
    let (node, pod) = (&summary["node"], &summary["pods"][0]);
    for known in [
        &node["cpu"]["usageNanoCores"],
        &node["fs"]["capacityBytes"],
        &node["rlimit"]["maxpid"],
        &pod["cpu"]["usageCoreNanoSeconds"],
        &pod["process_stats"]["process_count"],
        &pod["ephemeral-storage"]["usedBytes"],
    ] {
        assert!(known.as_u64() > Some(0), "{summary}");
    }
    for known in [&pod["cpu"]["usageNanoCores"], &pod["containers"][0]["cpu"]["usageNanoCores"]] {
        assert!(known.is_u64(), "an idle container uses nothing: {summary}");
    }
    assert!(host.get(masters, "/pods").await.contains("\"kind\":\"PodList\""));
    let running = body(host.get(masters, "/runningpods/").await);
    assert_eq!(running["items"][0]["metadata"]["name"], "web");
    assert_eq!(running["items"][0]["spec"]["containers"][0]["name"], "c");
    let configuration = body(host.get(masters, "/configz").await);
    assert_eq!(configuration["kubeletconfig"]["kind"], "KubeletConfiguration");

    fs::create_dir_all(host.dir.join("host-logs/sub")).unwrap();
    fs::write(host.dir.join("host-logs/sub/a.log"), "hello\n").unwrap();
    assert!(host.get(masters, "/logs/").await.contains("<a href=\"sub/\">sub/</a>"));
    assert!(host.get(masters, "/logs/sub").await.contains("location: sub/\r\n"));
    assert!(host.get(masters, "/logs/sub/a.log").await.contains("hello"));
    assert!(host.get(masters, "/logs/none").await.starts_with("HTTP/1.1 404 "));
    assert!(host.get(masters, "/logs/../api.rs").await.starts_with("HTTP/1.1 404 "));
    assert!(host.get(Some("strangers"), "/logs/").await.starts_with("HTTP/1.1 403 "));
}
