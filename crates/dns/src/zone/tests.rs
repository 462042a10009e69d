use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::index::Index;

fn put(index: &mut Index, name: &str, spec: Json) {
    let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    let service = serde_json::from_value(service).unwrap();
    index.service_changed(&ServiceKey::new("shop", name), Some(Arc::new(service)));
}

fn put_slice(index: &mut Index, name: &str, service: &str, body: Json) {
    let mut slice = json!({"metadata": {
        "name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service},
    }});
    slice.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let slice = serde_json::from_value(slice).unwrap();
    index.endpoint_slice_changed(&ServiceKey::new("shop", name), Some(Arc::new(slice)));
}

fn cluster() -> Index {
    let mut index = Index::new();
    let port =
        json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"port": 9}]);
    put(
        &mut index,
        "web",
        json!({"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5", "fd43::5"], "ports": port}),
    );
    put(&mut index, "old", json!({"clusterIP": "10.43.0.6"}));
    put(&mut index, "pending", json!({}));
    put(&mut index, "out", json!({"type": "ExternalName", "externalName": "Shop.example.com"}));
    put(&mut index, "inner", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"}));
    let headless = json!({"clusterIP": "None", "clusterIPs": ["None"]});
    put(&mut index, "db", headless.clone());
    put(&mut index, "empty", headless.clone());
    let mut early = headless;
    early["publishNotReadyAddresses"] = true.into();
    put(&mut index, "early", early);
    let endpoints = json!([
        {"addresses": ["10.42.0.7"], "hostname": "db-0", "conditions": {"ready": true}},
        {"addresses": ["10.42.0.8"], "conditions": {"ready": true}},
        {"addresses": ["10.42.0.9"], "hostname": "db-2", "conditions": {"ready": false}},
    ]);
    let ports = json!([{"name": "sql", "port": 5432}]);
    put_slice(
        &mut index,
        "db-1",
        "db",
        json!({"addressType": "IPv4", "ports": ports, "endpoints": endpoints}),
    );
    // A change that moves an endpoint from slice to slice shows it twice.
    put_slice(
        &mut index,
        "db-2",
        "db",
        json!({"addressType": "IPv4", "ports": ports, "endpoints": [endpoints[0]]}),
    );
    let named = json!([
        {"addresses": ["10.42.0.20"], "hostname": "web-0"}, {"addresses": ["10.42.0.21"]},
    ]);
    put_slice(
        &mut index,
        "web-1",
        "web",
        json!({"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": named}),
    );
    put(&mut index, "numbers", json!({"type": "ExternalName", "externalName": "192.0.2.1"}));
    put_slice(&mut index, "early-1", "early", json!({"addressType": "IPv4", "endpoints": [endpoints[2]]}));
    index.namespace_changed("shop", true);
    index.namespace_changed("bare", true);
    index.publish();
    index
}

fn zone() -> Zone {
    Zone::new("Cluster.Local", vec!["10.43.0.10".parse().unwrap()]).unwrap()
}

/// The answer in one line.
fn told(lookup: Lookup) -> String {
    match lookup {
        Lookup::Found { answers, additionals } => {
            let extra = additionals.iter().map(|record| format!("+{} {}", record.name, record.data));
            answers.iter().map(RData::to_string).chain(extra).collect::<Vec<_>>().join(", ")
        }
        Lookup::Alias(name) => format!("alias {name}"),
        Lookup::NoData => "nodata".to_owned(),
        Lookup::NoName => "nxdomain".to_owned(),
        Lookup::Elsewhere => "elsewhere".to_owned(),
    }
}

#[test]
fn names_mean_what_the_specification_says() {
    use RecordType::{A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT};
    let index = cluster();
    let snapshot = index.snapshots().load_full();
    let cases = [
        ("dns-version.cluster.local.", TXT, "1.1.0"),
        ("dns-version.cluster.local.", A, "nodata"),
        ("cluster.local.", SOA, "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"),
        ("cluster.local.", NS, "ns.dns.cluster.local."),
        ("ns.dns.cluster.local.", A, "10.43.0.10"),
        ("svc.cluster.local.", A, "nodata"),
        ("shop.svc.cluster.local.", A, "nodata"),
        ("none.svc.cluster.local.", A, "nxdomain"),
        ("bare.svc.cluster.local.", A, "nodata"),
        ("bare.pod.cluster.local.", A, "nodata"),
        ("none.pod.cluster.local.", A, "nxdomain"),
        ("10-42-0-7.none.pod.cluster.local.", A, "nxdomain"),
        ("nothing.cluster.local.", A, "nxdomain"),
        // A Service with cluster IPs.
        ("web.shop.svc.cluster.local.", A, "10.43.0.5"),
        ("WEB.Shop.svc.CLUSTER.local.", A, "10.43.0.5"),
        ("web.shop.svc.cluster.local.", AAAA, "fd43::5"),
        ("web.shop.svc.cluster.local.", MX, "nodata"),
        ("old.shop.svc.cluster.local.", A, "10.43.0.6"),
        ("old.shop.svc.cluster.local.", AAAA, "nodata"),
        ("pending.shop.svc.cluster.local.", A, "nxdomain"),
        ("missing.shop.svc.cluster.local.", A, "nxdomain"),
        (
            "_http._tcp.web.shop.svc.cluster.local.",
            SRV,
            "0 100 80 web.shop.svc.cluster.local., +web.shop.svc.cluster.local. 10.43.0.5, \
             +web.shop.svc.cluster.local. fd43::5",
        ),
        ("_http._tcp.web.shop.svc.cluster.local.", A, "nodata"),
        ("_tcp.web.shop.svc.cluster.local.", SRV, "nodata"),
        ("_http._udp.web.shop.svc.cluster.local.", SRV, "nxdomain"),
        ("_sctp.web.shop.svc.cluster.local.", SRV, "nxdomain"),
        ("http._tcp.web.shop.svc.cluster.local.", SRV, "nxdomain"),
        ("any.web.shop.svc.cluster.local.", A, "nxdomain"),
        // All its ports, also that without a name.
        (
            "web.shop.svc.cluster.local.",
            SRV,
            "0 33 80 web.shop.svc.cluster.local., 0 33 53 web.shop.svc.cluster.local., 0 33 9 \
             web.shop.svc.cluster.local., +web.shop.svc.cluster.local. 10.43.0.5, +web.shop.svc.cluster.local. fd43::5",
        ),
        // Its endpoints.
        ("web-0.web.shop.svc.cluster.local.", A, "10.42.0.20"),
        ("10-42-0-21.web.shop.svc.cluster.local.", A, "10.42.0.21"),
        (
            "web-0.web.shop.svc.cluster.local.",
            SRV,
            "0 100 8080 web-0.web.shop.svc.cluster.local., +web-0.web.shop.svc.cluster.local. 10.42.0.20",
        ),
        ("20.0.42.10.in-addr.arpa.", PTR, "web-0.web.shop.svc.cluster.local."),
        ("21.0.42.10.in-addr.arpa.", PTR, "elsewhere"),
        // Headless Services.
        ("db.shop.svc.cluster.local.", A, "10.42.0.7, 10.42.0.8"),
        ("db.shop.svc.cluster.local.", AAAA, "nodata"),
        ("db-0.db.shop.svc.cluster.local.", A, "10.42.0.7"),
        ("db-0.db.shop.svc.cluster.local.", AAAA, "nodata"),
        ("10-42-0-8.db.shop.svc.cluster.local.", A, "10.42.0.8"),
        ("db-2.db.shop.svc.cluster.local.", A, "nxdomain"),
        ("db-2.early.shop.svc.cluster.local.", A, "10.42.0.9"),
        ("empty.shop.svc.cluster.local.", A, "nodata"),
        (
            "_sql._tcp.db.shop.svc.cluster.local.",
            SRV,
            "0 50 5432 db-0.db.shop.svc.cluster.local., 0 50 5432 10-42-0-8.db.shop.svc.cluster.local., \
             +db-0.db.shop.svc.cluster.local. 10.42.0.7, +10-42-0-8.db.shop.svc.cluster.local. 10.42.0.8",
        ),
        // Names that stand for others.
        ("out.shop.svc.cluster.local.", A, "alias Shop.example.com."),
        ("out.shop.svc.cluster.local.", CNAME, "Shop.example.com."),
        ("inner.shop.svc.cluster.local.", A, "alias web.shop.svc.cluster.local."),
        ("x.out.shop.svc.cluster.local.", A, "nxdomain"),
        ("numbers.shop.svc.cluster.local.", A, "nodata"),
        // Pods.
        ("10-42-0-7.shop.pod.cluster.local.", A, "10.42.0.7"),
        ("fd42--7.shop.pod.cluster.local.", AAAA, "fd42::7"),
        ("10-42-0-7.shop.pod.cluster.local.", AAAA, "nodata"),
        ("10-42-0.shop.pod.cluster.local.", A, "nxdomain"),
        ("shop.pod.cluster.local.", A, "nodata"),
        // Addresses.
        ("5.0.43.10.in-addr.arpa.", PTR, "web.shop.svc.cluster.local."),
        ("5.0.43.10.in-addr.arpa.", A, "nodata"),
        ("7.0.42.10.in-addr.arpa.", PTR, "db-0.db.shop.svc.cluster.local."),
        ("8.0.42.10.in-addr.arpa.", PTR, "10-42-0-8.db.shop.svc.cluster.local."),
        (
            "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.d.f.ip6.arpa.",
            PTR,
            "web.shop.svc.cluster.local.",
        ),
        ("0.43.10.in-addr.arpa.", PTR, "elsewhere"),
        ("1.2.0.192.in-addr.arpa.", PTR, "elsewhere"),
        // Others.
        ("example.com.", A, "elsewhere"),
        ("acluster.local.", A, "elsewhere"),
        ("local.", A, "elsewhere"),
    ];
    for (name, kind, expected) in cases {
        let lookup = zone().lookup(&snapshot, &Name::from_ascii(name).unwrap(), kind);
        assert_eq!(told(lookup), expected, "{name} {kind}");
    }
}

#[test]
fn changes_show_once_they_are_published_and_leave_nothing_behind() {
    let mut index = cluster();
    let snapshots = index.snapshots();
    let ask =
        |name: &str, kind| told(zone().lookup(&snapshots.load(), &Name::from_ascii(name).unwrap(), kind));
    let web = ServiceKey::new("shop", "web");
    index.service_changed(&web, None);
    assert_eq!(ask("web.shop.svc.cluster.local.", RecordType::A), "10.43.0.5", "not published yet");
    index.publish();
    assert_eq!(ask("web.shop.svc.cluster.local.", RecordType::A), "nxdomain");
    assert_eq!(ask("5.0.43.10.in-addr.arpa.", RecordType::PTR), "elsewhere");
    index.endpoint_slice_changed(&ServiceKey::new("shop", "db-1"), None);
    index.publish();
    assert_eq!(ask("db.shop.svc.cluster.local.", RecordType::A), "10.42.0.7", "of the other slice");
    for name in ["old", "pending", "out", "inner", "db", "empty", "early", "numbers"] {
        index.service_changed(&ServiceKey::new("shop", name), None);
    }
    for name in ["db-2", "early-1", "web-1"] {
        index.endpoint_slice_changed(&ServiceKey::new("shop", name), None);
    }
    index.namespace_changed("shop", false);
    index.namespace_changed("bare", false);
    index.publish();
    assert_eq!(ask("shop.svc.cluster.local.", RecordType::A), "nxdomain");
    assert_eq!(format!("{:?}", snapshots.load()), format!("{:?}", Snapshot::default()));
}

#[test]
fn a_domain_must_be_a_name() {
    assert!(Zone::new("", Vec::new()).is_none());
    assert!(Zone::new(".", Vec::new()).is_none());
    assert!(Zone::new("a..b", Vec::new()).is_none());
}
