//! The way to a webhook: URLs, Services and connections.

use std::net::SocketAddr;
use std::sync::OnceLock;

use apiserver::Extensions;
use apiserver::dial::{Dial, Stream};
use async_trait::async_trait;
use rcgen::{BasicConstraints, IsCa};
use tokio::net::TcpStream;

use super::*;

/// A network in which every address but some leads to one port of the loopback.
#[derive(Clone, Default)]
struct Pods {
    port: Arc<OnceLock<u16>>,
    dialed: Arc<Mutex<Vec<SocketAddr>>>,
}

#[async_trait]
impl Dial for Pods {
    async fn dial(&self, address: SocketAddr) -> std::io::Result<Box<dyn Stream>> {
        self.dialed.lock().push(address);
        if address.ip().to_string().ends_with(".99") {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        Ok(Box::new(TcpStream::connect(("127.0.0.1", *self.port.get().unwrap())).await?))
    }
}

const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// A Service `hook` with a port 443 and one of another name.
async fn service(server: &TestServer) {
    let service = value!({"metadata": {"name": "hook"}, "spec": {"ports": [
        {"name": "https", "port": 443i64, "targetPort": 8443i64}, {"name": "other", "port": 9443i64}
    ]}});
    call(server, "POST", SERVICES, &service).await.success();
    server.registry.hub.catch_up().await.unwrap();
}

/// Its endpoints, each with an address and whether it is ready.
async fn endpoints(server: &TestServer, all: &[(&str, bool)]) {
    let one =
        |(address, ready): &(&str, bool)| value!({"addresses": [*address], "conditions": {"ready": *ready}});
    let slice = value!({
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "ports": [{"name": "https", "port": 8443i64}, {"name": "other", "port": 9000i64}],
        "endpoints": all.iter().map(one).collect::<Vec<Value>>()
    });
    let own = format!("{SLICES}/hook-1");
    match get(server, &own).await.code {
        404 => call(server, "POST", SLICES, &slice).await.success(),
        _ => call(server, "PATCH", &own, &slice).await.success(),
    };
    server.registry.hub.catch_up().await.unwrap();
}

fn behind(hook: &Webhook, service: Value) -> Value {
    let service = merge_patch(value!({"namespace": "default", "name": "hook"}), service).unwrap();
    hook.hook("/", value!({"clientConfig": {"url": null, "service": service}}))
}

#[tokio::test]
async fn services_lead_to_their_ready_endpoints() {
    let pods = Pods::default();
    let dialer: Arc<dyn Dial> = Arc::new(pods.clone());
    let server = TestServer::with(Extensions { webhook_dialer: Some(dialer), ..Extensions::default() }).await;
    let hook = Webhook::start(|_, _| allow()).await;
    pods.port.set(hook.port).unwrap();
    let fails = async |service: Value| {
        configure(&server, VALIDATING, "w", vec![behind(&hook, service)]).await;
        let why = create_map(&server).await.status().2;
        remove(&server, VALIDATING, "w").await;
        let (_, why) = why.split_once("\": failed to call webhook: Post \"").unwrap();
        why.to_owned()
    };
    let post = |why: &str| format!("https://hook.default.svc:443/?timeout=10s\": {why}");
    assert_eq!(fails(value!({})).await, post("service \"hook\" not found"));
    service(&server).await;
    assert_eq!(fails(value!({})).await, post("no endpoints available for service \"hook\""));
    let why = fails(value!({"port": 444i64})).await;
    assert!(why.ends_with("no service port 444 found for service \"hook\""), "{why}");
    endpoints(&server, &[("10.1.0.1", false)]).await;
    assert_eq!(fails(value!({})).await, post("no endpoints available for service \"hook\""));
    assert!(pods.dialed.lock().is_empty());

    endpoints(&server, &[("10.1.0.1", false), ("10.1.0.2", true)]).await;
    let table = [
        (value!({}), "/", "10.1.0.2:8443"),
        (value!({"path": "/a/b", "port": 9443i64}), "/a/b", "10.1.0.2:9000"),
    ];
    for (service, path, address) in table {
        configure(&server, VALIDATING, "w", vec![behind(&hook, service)]).await;
        create_map(&server).await.success();
        let seen = hook.take().remove(0);
        assert_eq!((seen.path.as_str(), seen.query.as_str()), (path, "timeout=10s"));
        let dialed: Vec<String> = pods.dialed.lock().drain(..).map(|address| address.to_string()).collect();
        assert_eq!(dialed, [address]);
        remove(&server, VALIDATING, "w").await;
    }
}

#[tokio::test]
async fn connections_are_kept_as_long_as_they_lead_to_an_endpoint() {
    let pods = Pods::default();
    let dialer: Arc<dyn Dial> = Arc::new(pods.clone());
    let server = TestServer::with(Extensions { webhook_dialer: Some(dialer), ..Extensions::default() }).await;
    let hook = Webhook::start(|_, _| allow()).await;
    pods.port.set(hook.port).unwrap();
    service(&server).await;
    endpoints(&server, &[("10.1.0.1", true)]).await;
    configure(&server, VALIDATING, "w", vec![behind(&hook, value!({}))]).await;
    for _ in 0..5 {
        create_map(&server).await.success();
    }
    let dialed = || pods.dialed.lock().drain(..).map(|address| address.ip().to_string()).collect::<Vec<_>>();
    assert_eq!(dialed(), ["10.1.0.1"]);
    endpoints(&server, &[("10.1.0.2", true)]).await;
    create_map(&server).await.success();
    assert_eq!(dialed(), ["10.1.0.2"], "the other pod is gone");
    // An endpoint that refuses connections does not stand in the way of others.
    endpoints(&server, &[("10.1.0.3", true), ("10.1.0.99", true)]).await;
    for _ in 0..10 {
        create_map(&server).await.success();
    }
    assert!(dialed().contains(&"10.1.0.3".to_owned()));
}

/// A webhook may ask the server that asks it: no lock is held in the meantime, also not for the numbers of a Service.
#[tokio::test]
async fn webhooks_may_call_back() {
    let server = Arc::new(TestServer::start().await);
    let caller = Arc::downgrade(&server);
    let hook = Webhook::start(move |_, request| {
        let (server, name) = (caller.upgrade().unwrap(), request.str_at("object.metadata.name").to_owned());
        if name.starts_with("made-") {
            return allow();
        }
        let later = async move {
            let spec = value!({"ports": [{"port": 80i64}], "type": "NodePort"});
            let service = value!({"metadata": {"name": format!("made-for-{name}")}, "spec": spec});
            call(&server, "POST", SERVICES, &service).await.success();
            get(&server, SERVICES).await.success();
            value!({"allowed": true})
        };
        Answer::Later(later.boxed())
    })
    .await;
    let rules = value!([(rule("CREATE", "", "v1", "services"))]);
    configure(&server, VALIDATING, "v", vec![hook.hook("/", value!({"rules": rules.clone()}))]).await;
    let make = |index: usize| {
        let server = Arc::clone(&server);
        async move {
            let spec = value!({"ports": [{"port": 80i64}], "type": "NodePort"});
            let service = value!({"metadata": {"name": format!("s{index}")}, "spec": spec});
            call(&server, "POST", SERVICES, &service).await.success();
        }
    };
    let all = futures::future::join_all((0..10).map(make));
    tokio::time::timeout(WITHIN, all).await.expect("nobody waits for anybody else");
    assert_eq!(get(&server, SERVICES).await.success().get("items").items().count(), 21);
}

/// `openssl req -x509` makes such certificates: the webhook shows its own authority.
#[tokio::test]
async fn an_authority_may_vouch_for_itself() {
    let server = TestServer::start().await;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let hook = Webhook::with(params.clone(), |_, _| allow()).await;
    configure(&server, VALIDATING, "w", vec![hook.hook("/", value!({}))]).await;
    create_map(&server).await.success();
    assert_eq!(hook.take().len(), 1);
    remove(&server, VALIDATING, "w").await;
    let expired = {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Webhook::with(params.clone(), |_, _| allow()).await
    };
    let other_name =
        hook.hook("/", value!({"clientConfig": {"url": format!("https://127.0.0.1:{}/", hook.port)}}));
    let mut stranger = hook.hook("/", value!({}));
    stranger.get_mut("clientConfig").unwrap().set("caBundle", expired.bundle.clone());
    for hook in [expired.hook("/", value!({})), other_name, stranger] {
        configure(&server, VALIDATING, "w", vec![hook]).await;
        let why = create_map(&server).await.status().2;
        assert!(why.contains("tls: failed to verify certificate: x509: "), "{why}");
        remove(&server, VALIDATING, "w").await;
    }
    assert!(hook.take().is_empty() && expired.take().is_empty());
}
