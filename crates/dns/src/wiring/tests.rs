use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use object::ObjectKey;
use serde_json::json;
use simulation::Server;

use super::*;
use crate::forward::Transport;
use crate::resolver::Reply;

/// No step takes longer unless it hangs.
const LIMIT: Duration = Duration::from_secs(90);

fn answers(resolver: &Resolver, name: &str) -> Vec<String> {
    let mut request = Message::new(1, MessageType::Query, OpCode::Query);
    request.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let Reply::Now(response) = resolver.begin(&request.to_vec().unwrap(), Transport::Udp) else {
        panic!("{name} is not the cluster's");
    };
    Message::from_vec(&response).unwrap().answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn objects_of_the_server_become_names() {
    let server = Server::start_in_real_time().await;
    let service = |address: &str| -> Service {
        let spec = json!({"clusterIP": address, "ports": [{"port": 80}]});
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}))
            .unwrap()
    };
    server.create(&service("None")).await;
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.42.0.9"]}],
    }))
    .unwrap();
    server.create(&slice).await;
    let informers = Informers::new(server.client(simulation::network("n")));
    let zone = Zone::new("cluster.local", Vec::new()).unwrap();
    let following = follow(DnsConfig::new(zone, Vec::new()), &informers, Clock::system(), None).await;
    let resolver = Arc::clone(&following.resolver);
    let name = "web.default.svc.cluster.local.";
    assert_eq!(answers(&resolver, name), ["10.42.0.9"], "known from the start");
    // A Service keeps its address; another one has its own.
    server.remove::<Service>(&ObjectKey::namespaced("default", "web")).await;
    server.create(&service("10.43.0.5")).await;
    let changed = async {
        while answers(&resolver, name) != ["10.43.0.5"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, changed).await.expect("the change becomes visible");
    drop(following);
    assert_eq!(Arc::strong_count(&resolver), 1, "no handler is left that would feed it");
}

/// An upstream server that answers every name with 192.0.2.1.
async fn forwarded(resolver: &Resolver, name: &str) -> bool {
    let mut request = Message::new(1, MessageType::Query, OpCode::Query);
    request.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let Reply::Later(unfinished) = resolver.begin(&request.to_vec().unwrap(), Transport::Udp) else {
        panic!("{name} is the cluster's");
    };
    !Message::from_vec(&resolver.finish(*unfinished).await).unwrap().answers.is_empty()
}

#[tokio::test]
async fn the_config_map_is_followed_and_a_wrong_one_changes_nothing() {
    let upstream = crate::forward::tests::Upstream::start(crate::forward::tests::found).await;
    let server = Server::start_in_real_time().await;
    let client = server.client(simulation::network("n"));
    let informers = Informers::new(client.clone());
    let zone = Zone::new("cluster.local", Vec::new()).unwrap();
    let config = DnsConfig { zone, forward: crate::forward::tests::config(Vec::new()) };
    let recorder = Recorder::start(client, "dns", "n");
    let following = follow(config, &informers, Clock::system(), Some(recorder)).await;
    let resolver = Arc::clone(&following.resolver);
    assert!(!forwarded(&resolver, "a.corp.example.").await, "nobody is known to ask");
    let put = async |stubs: String| {
        let config: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": "kube-dns", "namespace": "kube-system"}, "data": {"stubDomains": stubs},
        }))
        .unwrap();
        server.put(&config).await;
    };
    let good = json!({"corp.example": [upstream.address.to_string()]}).to_string();
    put(good).await;
    let known = async {
        let mut n = 0;
        while !forwarded(&resolver, &format!("a{n}.corp.example.")).await {
            n += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, known).await.expect("the stub domain is known");
    put("banana".to_owned()).await;
    let told = async {
        let is_told =
            |event: &k8s_openapi::api::core::v1::Event| event.reason.as_deref() == Some("InvalidDNSConfig");
        while !server.list().await.iter().any(is_told) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, told).await.expect("an event tells of it");
    assert!(forwarded(&resolver, "b.corp.example.").await, "what it said before stays");
}
