use hostnet::NetNs;
use k8s_openapi::api::core::v1::Event;
use simulation::{Server, network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// The status line's code, and the body.
async fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((code, answer.split_once("\r\n\r\n").unwrap().1.to_owned()))
}

fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let namespace = NetNs::create().unwrap();
    hostnet::testing::ip(&namespace, "link set lo up");
    namespace.block_on(test).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_proxy_is_sick_when_a_change_waits_too_long() {
    let health = Health::new(Clock::system());
    let code = |path| health.answer(path).map(|(status, _)| status.as_u16());
    assert_eq!([code("/healthz"), code("/livez"), code("/else")], [Some(200), Some(200), None]);
    health.queued();
    tokio::time::advance(LATE_AFTER / 2).await;
    health.queued();
    assert_eq!(code("/healthz"), Some(200));
    tokio::time::advance(LATE_AFTER / 2).await;
    assert_eq!([code("/healthz"), code("/livez")], [Some(503), Some(503)], "since the first of them");
    health.written();
    assert_eq!(code("/healthz"), Some(200));
    let taint = json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": TO_BE_DELETED, "effect": "NoSchedule"}]}});
    health.node_changed(Some(&serde_json::from_value(taint).unwrap()));
    assert_eq!(
        [code("/healthz"), code("/livez")],
        [Some(503), Some(200)],
        "the node leaves, the proxy is well"
    );
    assert!(health.answer("/healthz").unwrap().1.contains(r#""nodeEligible":false"#));
    health.node_changed(Some(&Node::default()));
    assert_eq!(code("/healthz"), Some(200));
}

#[test]
fn balancers_learn_whether_a_node_has_endpoints() {
    in_namespace(|| async {
        let server = Server::start_in_real_time().await;
        let health = Arc::new(Health::new(Clock::system()));
        let recorder = Recorder::start(server.client(network("here")), "kube-proxy", "here");
        let mut checks = Checks::new(health, recorder, &ProxyConfig::new("here", Vec::new()));
        let [web, other] = ["web", "other"].map(|name| ServiceKey::new("default", name));
        let check = |port, endpoints| Some(Check { port, endpoints });
        checks.change(vec![(web.clone(), check(31000, 2))]).await;
        let (code, body) = get(31000, "/").await.unwrap();
        assert_eq!(code, 200);
        let expected = json!({
            "service": {"namespace": "default", "name": "web"}, "localEndpoints": 2, "serviceProxyHealthy": true,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
        checks.change(vec![(web.clone(), check(31000, 0))]).await;
        assert_eq!(get(31000, "/anything").await.unwrap().0, 503);
        // A port can move from one Service to another in one step.
        let all = vec![(other.clone(), check(31000, 1)), (web.clone(), check(31001, 1))];
        checks.change(all).await;
        assert!(get(31001, "/").await.unwrap().1.contains("\"web\""));
        checks.change(vec![(web, None)]).await;
        assert!(get(31001, "/").await.is_err());
    });
}

#[test]
fn a_port_that_is_taken_is_told() {
    in_namespace(|| async {
        let server = Server::start_in_real_time().await;
        let health = Arc::new(Health::new(Clock::system()));
        let recorder = Recorder::start(server.client(network("here")), "kube-proxy", "here");
        let taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 31000)).await.unwrap();
        let mut checks = Checks::new(health, recorder, &ProxyConfig::new("here", Vec::new()));
        checks
            .change(vec![(ServiceKey::new("default", "web"), Some(Check { port: 31000, endpoints: 1 }))])
            .await;
        let told = async {
            loop {
                if let Some(event) = server.list::<Event>().await.pop() {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        };
        let event = tokio::time::timeout(Duration::from_secs(90), told).await.expect("it is told");
        assert_eq!(event.reason.as_deref(), Some("FailedToStartServiceHealthcheck"));
        assert_eq!(event.involved_object.name.as_deref(), Some("web"));
        drop(taken);
        assert!(checks.should_retry());
        checks.change(Vec::new()).await;
        assert!(!checks.should_retry());
        assert_eq!(get(31000, "/").await.unwrap().0, 200);
    });
}

#[test]
fn health_check_ports_answer_where_node_ports_do() {
    in_namespace(|| async {
        let server = Server::start_in_real_time().await;
        let recorder = Recorder::start(server.client(network("here")), "kube-proxy", "here");
        let config = ProxyConfig {
            node_port_addresses: watch::Sender::new(vec!["127.0.0.1/32".parse().unwrap()]).subscribe(),
            ..ProxyConfig::new("here", Vec::new())
        };
        let mut checks = Checks::new(Arc::new(Health::new(Clock::system())), recorder, &config);
        checks
            .change(vec![(ServiceKey::new("default", "web"), Some(Check { port: 31000, endpoints: 1 }))])
            .await;
        assert_eq!(get(31000, "/").await.unwrap().0, 200);
        let mut stream = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), 31000)).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    });
}

/// One client that keeps connections open could take every place for as long as it wished.
#[test]
fn idle_clients_of_one_address_keep_nobody_out() {
    in_namespace(|| async {
        let health = Arc::new(Health::new(Clock::system()));
        let _serving = serve_proxy_health(health, 31000).await.unwrap();
        let mut idle = Vec::new();
        for _ in 0..CLIENTS_MAX {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
            idle.push(socket.connect("127.0.0.1:31000".parse().unwrap()).await.unwrap());
        }
        let answer = tokio::time::timeout(CLIENT_WITHIN / 2, get(31000, "/healthz")).await;
        assert_eq!(answer.expect("the places are taken").unwrap().0, 200);
        drop(idle);
    });
}
