//! Which parts of a request pods, Services and nodes receive, and which addresses requests are forwarded to.

use std::net::SocketAddr;
use std::sync::Arc;

use apiserver::body;
use apiserver::dial::{Dial, Stream};
use apiserver::handler::Peer;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use super::*;

/// A request as it arrived somewhere.
#[derive(Clone, Debug)]
struct Arrived {
    address: SocketAddr,
    /// Method, path and query; `TLS` if the connection used TLS.
    line: String,
    headers: HeaderMap,
}

/// A server behind every address, which keeps what arrives.
#[derive(Clone, Default)]
struct Backend {
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Backend {
    fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.arrived.lock())
    }
}

#[async_trait]
impl Dial for Backend {
    async fn dial(&self, address: SocketAddr) -> std::io::Result<Box<dyn Stream>> {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let arrived = Arc::clone(&self.arrived);
        tokio::spawn(async move {
            // The node's own server speaks TLS.
            if address.port() == 10250 {
                let first = far.read_u8().await.unwrap();
                assert_eq!(first, 0x16, "a handshake begins");
                let line = "TLS".to_owned();
                arrived.lock().push(Arrived { address, line, headers: HeaderMap::new() });
                return;
            }
            let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
                let (parts, _) = request.into_parts();
                let line = format!("{} {}", parts.method, parts.uri);
                let redirects = parts.uri.path() == "/redirect";
                arrived.lock().push(Arrived { address, line, headers: parts.headers });
                let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
                let headers = response.headers_mut();
                for (name, value) in [
                    ("access-control-allow-origin", "*"),
                    ("access-control-allow-credentials", "true"),
                    ("keep-alive", "timeout=5"),
                    ("x-own", "1"),
                ] {
                    headers.insert(name, value.parse().unwrap());
                }
                if redirects {
                    headers.insert("location", "http://192.0.2.9/".parse().unwrap());
                    *response.status_mut() = StatusCode::FOUND;
                }
                async { Ok::<_, std::convert::Infallible>(response) }
            });
            // The client may go before the answer is read.
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer).await;
        });
        Ok(Box::new(near))
    }
}

const POD_ADDRESS: &str = "10.1.0.5";
const NODE_ADDRESS: &str = "192.0.2.20";
const BASE: &str = "/api/v1/namespaces/default";

/// A pod on a node behind a Service.
async fn cluster() -> (TestServer, Backend) {
    let backend = Backend::default();
    let server = TestServer::dialing(backend.clone()).await;
    let account = value!({"metadata": {"name": "default"}});
    server.create("", "serviceaccounts", "default", account).await.unwrap();
    server.create("", "nodes", "", value!({"metadata": {"name": "n"}})).await.unwrap();
    set_status(
        &server,
        "/api/v1/nodes/n",
        value!({
            "addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250i64}}
        }),
    )
    .await;
    let mut object = pod("p");
    object.set_path(&["spec", "nodeName"], "n".into());
    call(&server, "POST", PODS, &object).await.success();
    set_address(&server, "p", POD_ADDRESS).await;
    let service = value!({"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80i64}]}});
    call(&server, "POST", &format!("{BASE}/services"), &service).await.success();
    (server, backend)
}

async fn set_status(server: &TestServer, path: &str, status: Value) {
    call(server, "PATCH", &format!("{path}/status"), &value!({"status": status})).await.success();
    server.registry.hub.catch_up().await.unwrap();
}

async fn set_address(server: &TestServer, pod: &str, address: &str) {
    let status = value!({"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"});
    set_status(server, &format!("{PODS}/{pod}"), status).await;
}

/// Sets the endpoints of the Service `web`.
async fn set_slice(server: &TestServer, kind: &str, endpoints: Value) {
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    call(server, "DELETE", &format!("{path}/web"), &Value::Null).await;
    let slice = value!({
        "metadata": {"name": "web", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": kind, "endpoints": endpoints, "ports": [{"name": "http", "port": 8080i64}]
    });
    call(server, "POST", path, &slice).await.success();
    server.registry.hub.catch_up().await.unwrap();
}

fn of_pod(address: &str, pod: &str) -> Value {
    value!([{"addresses": [address], "targetRef": {"kind": "Pod", "namespace": "default", "name": pod}}])
}

#[tokio::test]
async fn targets_see_the_request_and_no_credentials() {
    let (server, backend) = cluster().await;
    set_slice(&server, "IPv4", of_pod(POD_ADDRESS, "p")).await;
    let secret = [
        ("authorization", "Bearer secret"),
        ("impersonate-user", "jane"),
        ("impersonate-group", "system:masters"),
        ("impersonate-uid", "1"),
        ("impersonate-extra-scopes", "secret"),
        ("x-remote-user", "secret"),
        ("x-remote-group", "secret"),
        ("x-remote-uid", "secret"),
        ("x-remote-extra-scopes", "secret"),
        ("proxy-authorization", "Basic secret"),
        ("x-listed", "secret"),
        ("connection", "upgrade, x-listed"),
        ("upgrade", "websocket"),
        ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, chat"),
        ("cookie", "session=1"),
        ("x-own", "1"),
    ];
    for path in [
        "pods/p:8080/proxy/a%3Fb/?command=x&command=y",
        "services/web:http/proxy/a%3Fb/?command=x&command=y",
        "../../nodes/n:8080/proxy/a%3Fb/?command=x&command=y",
    ] {
        let path = format!("{BASE}/{path}").replace("/namespaces/default/../../", "/");
        let mut request = Request::builder().method("POST").uri(&path);
        for (name, value) in secret {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from_static(b"body"))).unwrap();
        let address = "192.0.2.77:5000".parse().unwrap();
        let peer = Peer { user: Some(admin()), address: Some(address), ..Peer::default() };
        let response: Response<body::Body> = Arc::clone(&server).handle(request, peer).await;
        // The backend does not upgrade, and a client that asked for it must not take the answer for one that did.
        assert_eq!(response.status(), 500, "{path}");
        let arrived = backend.take();
        let [arrived] = arrived.as_slice() else { panic!("{path}: {arrived:?}") };
        assert_eq!(arrived.line, "POST /a%3Fb/?command=x&command=y", "{path}");
        assert_eq!(arrived.address.port(), 8080);
        let mut names: Vec<&str> = arrived.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "connection",
            "content-length",
            "cookie",
            "host",
            "sec-websocket-protocol",
            "upgrade",
            "x-forwarded-for",
            "x-own",
        ];
        assert_eq!(names, expected, "{path}");
        let text = |name: &str| arrived.headers[name].to_str().unwrap().to_owned();
        assert_eq!(text("sec-websocket-protocol"), "chat");
        assert_eq!(text("x-forwarded-for"), "192.0.2.77");
        assert_eq!(text("host"), arrived.address.to_string());
        assert!(!format!("{:?}", arrived.headers).contains("secret"), "{:?}", arrived.headers);
    }
}

#[tokio::test]
async fn answers_come_back_without_what_would_open_this_server() {
    let (server, backend) = cluster().await;
    let reply = get(&server, &format!("{BASE}/pods/p/proxy/x")).await;
    assert_eq!((reply.code, &reply.bytes[..]), (200, &b"hello"[..]));
    for name in ["access-control-allow-origin", "access-control-allow-credentials", "keep-alive"] {
        assert!(!reply.headers.contains_key(name), "{name}");
    }
    assert_eq!(reply.headers["x-own"], "1");
    let reply = get(&server, &format!("{BASE}/pods/p/proxy/redirect")).await;
    assert_eq!(reply.code, 302);
    backend.take();
}

#[tokio::test]
async fn pods_are_reached_at_addresses_that_pods_have() {
    let (server, backend) = cluster().await;
    let path = format!("{BASE}/pods/https:p:8443/proxy/");
    for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "fe80::1"] {
        set_address(&server, "p", address).await;
        let (code, _, message) = get(&server, &path).await.status();
        assert_eq!((code, message.as_str()), (400, "address not allowed"), "{address}");
    }
    // Addresses of a node's host, and this server's own, never belong to a pod ...
    for address in [NODE_ADDRESS, "192.0.2.10"] {
        set_address(&server, "p", address).await;
        assert_eq!(get(&server, &path).await.code, 400, "{address}");
    }
    // ... but of one on its host's network.
    for (name, address, code) in
        [("host", NODE_ADDRESS, 200), ("thief", "192.0.2.10", 400), ("lost", "127.0.0.1", 400)]
    {
        let mut object = pod(name);
        object.set_path(&["spec", "nodeName"], "n".into());
        object.set_path(&["spec", "hostNetwork"], true.into());
        call(&server, "POST", PODS, &object).await.success();
        set_address(&server, name, address).await;
        let reply = get(&server, &format!("{BASE}/pods/{name}:9100/proxy/metrics")).await;
        assert_eq!(reply.code, code, "{name}: {:?}", reply.bytes);
    }
    let arrived = backend.take();
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    assert_eq!(arrived[0].address, format!("{NODE_ADDRESS}:9100").parse().unwrap());
    for name in ["ftp:p:21", "a:b:c:d", ":80"] {
        let (code, _, message) = get(&server, &format!("{BASE}/pods/{name}/proxy/")).await.status();
        assert_eq!((code, message), (400, format!("invalid pod request {name:?}")));
    }
}

#[tokio::test]
async fn services_are_reached_at_the_addresses_of_their_pods() {
    let (server, backend) = cluster().await;
    let path = format!("{BASE}/services/web:80/proxy/");
    let elsewhere = value!([{"addresses": [POD_ADDRESS], "targetRef": {"kind": "Pod", "namespace": "kube-system", "name": "p"}}]);
    // An endpoint in a slice is not used unless a pod has its address.
    let refused = [
        ("IPv4", value!([{"addresses": [POD_ADDRESS]}])),
        ("IPv4", value!([{"addresses": [POD_ADDRESS], "targetRef": {"kind": "Node", "name": "n"}}])),
        ("IPv4", elsewhere),
        ("IPv4", of_pod("10.1.0.6", "p")),
        ("IPv4", of_pod(POD_ADDRESS, "missing")),
        ("IPv4", of_pod(NODE_ADDRESS, "p")),
        ("FQDN", of_pod("metadata.example.com", "p")),
    ];
    for (kind, endpoints) in refused {
        set_slice(&server, kind, endpoints.clone()).await;
        let (code, _, message) = get(&server, &path).await.status();
        assert_eq!(code, 503, "{endpoints:?}");
        assert_eq!(message, "no endpoints available for service \"web:80\"");
    }
    // Nor if the pod's status claims the same.
    set_address(&server, "p", NODE_ADDRESS).await;
    set_slice(&server, "IPv4", of_pod(NODE_ADDRESS, "p")).await;
    assert_eq!(get(&server, &path).await.code, 503);
    assert!(backend.take().is_empty());
    set_address(&server, "p", POD_ADDRESS).await;
    set_slice(&server, "IPv4", of_pod(POD_ADDRESS, "p")).await;
    for name in ["web", "web:80", "web:http", "http:web:http"] {
        assert_eq!(get(&server, &format!("{BASE}/services/{name}/proxy/")).await.code, 200, "{name}");
        assert_eq!(backend.take()[0].address, format!("{POD_ADDRESS}:8080").parse().unwrap());
    }
    for (name, code, expected) in [
        ("web:81", 503, "no service port 81 found for service \"web\""),
        ("http:web", 404, "services \"http\" not found"),
        ("ftp:web:80", 400, "invalid service request \"ftp:web:80\""),
    ] {
        let (got, _, message) = get(&server, &format!("{BASE}/services/{name}/proxy/")).await.status();
        assert_eq!((got, message.as_str()), (code, expected));
    }
    // The server's own Service has no pods.
    assert_eq!(get(&server, &format!("{BASE}/services/https:kubernetes:https/proxy/")).await.code, 503);
}

#[tokio::test]
async fn a_nodes_port_is_the_one_that_is_asked_for() {
    let (server, backend) = cluster().await;
    for (name, port, line) in [
        ("n", 10250, "TLS"),
        ("n:10250", 10250, "TLS"),
        ("http:n:10250", 10250, "TLS"),
        ("n:9100", 9100, "GET /metrics"),
        ("http:n:9100", 9100, "GET /metrics"),
    ] {
        let reply = get(&server, &format!("/api/v1/nodes/{name}/proxy/metrics")).await;
        assert_eq!(reply.code == 200, line != "TLS", "{name}: {:?}", reply.bytes);
        let arrived = backend.take();
        assert_eq!(arrived.len(), 1, "{name}");
        assert_eq!((arrived[0].address.port(), arrived[0].line.as_str()), (port, line), "{name}");
    }
    for name in ["n:x", "n:0", "n:70000", "ftp:n:21"] {
        let (code, _, message) = get(&server, &format!("/api/v1/nodes/{name}/proxy/")).await.status();
        assert_eq!((code, message), (400, format!("invalid node request {name:?}")));
    }
    // Another port of a node that calls itself loopback is this server's own.
    set_status(
        &server,
        "/api/v1/nodes/n",
        value!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}),
    )
    .await;
    assert_eq!(get(&server, "/api/v1/nodes/n:2379/proxy/").await.code, 400);
    assert!(backend.take().is_empty());
}

#[tokio::test]
async fn methods_that_a_stream_does_not_have_are_refused() {
    let (server, backend) = cluster().await;
    let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
    for (method, path, code) in [
        ("DELETE", "pods/p/exec?command=id", 405),
        ("PUT", "pods/p/attach", 405),
        ("PATCH", "pods/p/portforward", 405),
        ("POST", "pods/p/log", 405),
        ("GET", "pods/p/exec?command=id&container=none", 400),
    ] {
        let reply = send(&server, Some(&admin()), method, &format!("{BASE}/{path}"), &headers, "").await;
        assert_eq!(reply.code, code, "{method} {path}: {:?}", reply.bytes);
    }
    assert!(backend.take().is_empty());
    // To open a stream by GET is to create it, or by any other method.
    grant(&server, "reader", vec![rule(&["get"], &[""], &["pods/exec", "pods/log"])]).await;
    let path = format!("{BASE}/pods/p/exec?command=id");
    for method in ["GET", "HEAD"] {
        let (code, _, message) =
            send(&server, Some(&User::new("reader", &[])), method, &path, &headers, "").await.status();
        assert_eq!(code, 403);
        assert!(message.contains("cannot create resource \"pods/exec\""), "{method} {message}");
    }
    // The same through the node's own API, where reading stays reading.
    grant(&server, "monitor", vec![rule(&["get", "update"], &[""], &["nodes/proxy"])]).await;
    let monitor = User::new("monitor", &[]);
    let path = "/api/v1/nodes/n/proxy/exec/default/p/main?command=id";
    for method in ["GET", "HEAD", "PUT"] {
        let (code, _, message) = send(&server, Some(&monitor), method, path, &headers, "").await.status();
        assert_eq!(code, 403);
        assert!(message.contains("cannot create resource \"nodes/proxy\""), "{method} {message}");
    }
    assert!(backend.take().is_empty());
    send_as(&server, &monitor, "GET", "/api/v1/nodes/n/proxy/metrics", &Value::Null).await;
    assert_eq!(backend.take().len(), 1);
}

/// As upstream: the path of a proxy itself leads to the root of its target.
#[tokio::test]
async fn the_root_of_a_target_ends_with_a_slash() {
    let (server, backend) = cluster().await;
    for target in ["pods/p", "pods/http:p:80"] {
        let path = format!("{BASE}/{target}/proxy");
        for method in ["GET", "HEAD"] {
            let reply = send(&server, Some(&admin()), method, &format!("{path}?a=b%20c"), &[], "").await;
            assert_eq!((reply.code, reply.bytes.len()), (301, 0), "{method} {path}");
            assert_eq!(reply.headers["location"], format!("{path}/?a=b%20c"));
        }
        assert!(backend.take().is_empty());
        let reply = send(&server, Some(&admin()), "POST", &path, &[], "").await;
        assert_eq!((reply.code, backend.take()[0].line.as_str()), (200, "POST /"));
        let reply = send(&server, Some(&admin()), "GET", &format!("{path}/"), &[], "").await;
        assert_eq!((reply.code, backend.take()[0].line.as_str()), (200, "GET /"));
    }
    let reply = get(&server, "/api/v1/nodes/n/proxy").await;
    assert_eq!((reply.code, reply.headers["location"].to_str().unwrap()), (301, "/api/v1/nodes/n/proxy/"));
    assert_eq!(get(&server, &format!("{BASE}/pods/none/proxy")).await.code, 404);
}
