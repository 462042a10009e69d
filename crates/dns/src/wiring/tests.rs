use std::time::Duration;

use client::testing::MemoryServer;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use serde_json::json;

use super::*;
use crate::forward::Transport;
use crate::resolver::Reply;

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
    let server = MemoryServer::new(Clock::system());
    let service = |address: &str| -> Service {
        let spec = json!({"clusterIP": address});
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}))
            .unwrap()
    };
    server.put(&service("None"));
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.42.0.9"]}],
    }))
    .unwrap();
    server.put(&slice);
    let informers = Informers::new(server.client());
    let zone = Zone::new("cluster.local", Vec::new()).unwrap();
    let resolver = follow(DnsConfig::new(zone, Vec::new()), &informers, Clock::system()).await;
    let name = "web.default.svc.cluster.local.";
    assert_eq!(answers(&resolver, name), ["10.42.0.9"], "known from the start");
    server.put(&service("10.43.0.5"));
    let changed = async {
        while answers(&resolver, name) != ["10.43.0.5"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("the change becomes visible");
}
