//! For any input, the output is a matching response within its limit, or nothing.

use clock::Clock;
use serde_json::json;

use super::*;
use crate::ServiceKey;
use crate::forward::ForwardConfig;
use crate::forward::Upstreams;
use crate::index::Index;
use crate::wiring::DnsConfig;

fn resolver() -> Resolver {
    let mut index = Index::new();
    for (name, spec) in [
        ("web", json!({"clusterIP": "10.43.0.5", "ports": [{"name": "http", "port": 80}]})),
        ("db", json!({"clusterIP": "None"})),
        ("out", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"})),
    ] {
        let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        let service = serde_json::from_value(service).unwrap();
        index.service_changed(&ServiceKey::new("shop", name), Some(Arc::new(service)));
    }
    let endpoints: Vec<_> = (1..=100).map(|n| json!({"addresses": [format!("10.42.0.{n}")]})).collect();
    let slice = json!({
        "metadata": {"name": "db-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "ports": [{"name": "sql", "port": 5432}], "endpoints": endpoints,
    });
    let slice = serde_json::from_value(slice).unwrap();
    index.endpoint_slice_changed(&ServiceKey::new("shop", "db-1"), Some(Arc::new(slice)));
    index.publish();
    let zone = Zone::new("cluster.local", vec!["10.43.0.10".parse().unwrap()]).unwrap();
    let forward =
        ForwardConfig { upstreams: Upstreams::Servers(Vec::new()), ..ForwardConfig::new(Vec::new()) };
    Resolver::over(DnsConfig { zone, forward }, &index, Clock::system())
}

/// Requests of every kind with an answer, and some without.
fn requests() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let names = [
        "web.shop.svc.cluster.local.",
        "db.shop.svc.cluster.local.",
        "_sql._tcp.db.shop.svc.cluster.local.",
        "out.shop.svc.cluster.local.",
        "nothing.shop.svc.cluster.local.",
        "5.0.43.10.in-addr.arpa.",
        "cluster.local.",
        ".",
        "example.com.",
    ];
    for name in names {
        for kind in [
            RecordType::A,
            RecordType::AAAA,
            RecordType::SRV,
            RecordType::ANY,
            RecordType::PTR,
            RecordType::AXFR,
        ] {
            let mut request = Message::new(0x1234, MessageType::Query, OpCode::Query);
            request.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
            all.push(request.to_vec().unwrap());
            let mut edns = Edns::new();
            edns.set_max_payload(900).set_dnssec_ok(true);
            request.set_edns(edns);
            all.push(request.to_vec().unwrap());
        }
    }
    all
}

/// Checks what goes out for a packet.
fn check(resolver: &Resolver, packet: &[u8], transport: Transport) {
    let response = match resolver.begin(packet, transport) {
        Reply::Now(response) => response,
        Reply::Later(unfinished) => Resolver::overloaded(*unfinished),
        Reply::Nothing => return,
    };
    assert!(packet.len() >= 12, "no answer without a header: {packet:?}");
    assert_eq!(response[..2], packet[..2], "the request's id: {packet:?}");
    assert!(response[2] & 0x80 != 0, "a response: {packet:?}");
    let limit =
        if transport == Transport::Tcp { usize::from(u16::MAX) } else { usize::from(UDP_PAYLOAD_MAX) };
    assert!(response.len() <= limit, "{} bytes", response.len());
    Message::from_vec(&response).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
}

#[test]
fn every_kind_of_request_gets_a_response() {
    let resolver = resolver();
    for request in requests() {
        for transport in [Transport::Udp, Transport::Tcp] {
            assert!(!matches!(resolver.begin(&request, transport), Reply::Nothing), "{request:?}");
            check(&resolver, &request, transport);
        }
    }
}

/// Requests that are cut, changed and lengthened, and noise. The seed is fixed: what fails here fails again.
#[test]
fn damaged_packets_do_no_harm() {
    let resolver = resolver();
    let clock = Clock::seeded(0x0dd5, "2026-01-01T00:00:00Z".parse().unwrap());
    let below = |bound: usize| usize::try_from(clock.random_below(bound as u64)).unwrap();
    let requests = requests();
    for round in 0..20_000 {
        let mut packet = requests[below(requests.len())].clone();
        for _ in 0..=below(4) {
            let mut noise = [0];
            clock.fill_random(&mut noise);
            match below(4) {
                0 => packet.truncate(below(packet.len() + 1)),
                1 if !packet.is_empty() => {
                    let place = below(packet.len());
                    packet[place] = noise[0];
                }
                2 => packet.extend(std::iter::repeat_n(noise[0], below(40))),
                _ if packet.len() > 13 => {
                    // A pointer to anywhere, in the place of a label.
                    let place = 12 + below(packet.len() - 13);
                    packet[place] = 0xc0 | (noise[0] & 0x3f);
                }
                _ => {}
            }
        }
        let transport = if round % 2 == 0 { Transport::Udp } else { Transport::Tcp };
        check(&resolver, &packet, transport);
    }
}
