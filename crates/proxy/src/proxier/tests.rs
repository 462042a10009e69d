use serde_json::{Value as Json, json};

use super::*;

mod packets;

pub(super) fn config() -> ProxyConfig {
    ProxyConfig::new("here", vec!["10.42.0.0/16".parse().unwrap()])
}

/// A Service `default/web` with `spec`, where a cluster IP is added.
pub(super) fn service(spec: Json) -> Option<Arc<Service>> {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ports": [{"port": 80, "targetPort": 80}]},
    });
    for (field, value) in spec.as_object().unwrap() {
        service["spec"][field] = value.clone();
    }
    if let Some(status) = service["spec"].as_object_mut().unwrap().remove("status") {
        service["status"] = status;
    }
    Some(Arc::new(serde_json::from_value(service).unwrap()))
}

/// A slice of `default/web` with endpoints (address, node, condition).
pub(super) fn slice(protocol: &str, endpoints: &[(&str, &str, &str)]) -> Option<Arc<EndpointSlice>> {
    let endpoints: Vec<Json> = endpoints.iter().map(|(address, node, condition)| {
        let ready = *condition == "ready";
        let conditions = json!({
            "ready": ready, "serving": ready || *condition == "serving", "terminating": *condition == "serving",
        });
        json!({"addresses": [address], "nodeName": node, "conditions": conditions})
    }).collect();
    let v6 = endpoints.first().is_some_and(|e| e["addresses"][0].as_str().unwrap().contains(':'));
    Some(Arc::new(serde_json::from_value(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": if v6 { "IPv6" } else { "IPv4" },
        "ports": [{"name": "", "port": 80, "protocol": protocol}],
        "endpoints": endpoints,
    })).unwrap()))
}

pub(super) fn web() -> ServiceKey {
    ServiceKey::new("default", "web")
}

pub(super) fn web_slice() -> ServiceKey {
    ServiceKey::new("default", "web-1")
}

/// Plans, returns the transaction, and considers it applied.
fn step(proxier: &mut Proxier) -> String {
    proxier.replan();
    let text = proxier.transaction();
    proxier.commit();
    text
}

/// A proxier whose first, full transaction is done.
fn started() -> Proxier {
    let mut proxier = Proxier::new(&config());
    assert!(
        step(&mut proxier).starts_with("add table ip ironhull-services\ndelete table ip ironhull-services\n")
    );
    proxier
}

#[test]
fn a_change_is_written_as_its_difference() {
    let mut proxier = started();
    proxier.service_changed(&web(), service(json!({})));
    assert_eq!(
        step(&mut proxier),
        "add element ip ironhull-services cluster_ips { 10.43.0.5, }\n\
         add element ip ironhull-services refused_services { 10.43.0.5 . tcp . 80 : goto refuse, }\n"
    );
    let two = [("10.42.0.2", "here", "ready"), ("10.42.1.2", "there", "ready")];
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &two));
    assert_eq!(
        step(&mut proxier),
        "add chain ip ironhull-services service_tcp_2\n\
         flush chain ip ironhull-services service_tcp_2\n\
         add rule ip ironhull-services service_tcp_2 dnat ip to ip daddr . tcp dport . \
         numgen random mod 2 map @endpoints_tcp\n\
         delete element ip ironhull-services refused_services { 10.43.0.5 . tcp . 80 : goto refuse, }\n\
         add element ip ironhull-services endpoints_tcp { 10.43.0.5 . 80 . 0 : 10.42.0.2 . 80,\
         10.43.0.5 . 80 . 1 : 10.42.1.2 . 80, }\n\
         add element ip ironhull-services hairpin { 10.42.0.2 . 10.42.0.2, }\n\
         add element ip ironhull-services services { 10.43.0.5 . tcp . 80 : goto service_tcp_2, }\n"
    );
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &two));
    assert_eq!(step(&mut proxier), "", "nothing changed");
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &two[1..]));
    let text = step(&mut proxier);
    assert!(text.contains(
        "delete element ip ironhull-services endpoints_tcp { 10.43.0.5 . 80 . 0 : 10.42.0.2 . 80,"
    ));
    assert!(
        text.contains(
            "add element ip ironhull-services endpoints_tcp { 10.43.0.5 . 80 . 0 : 10.42.1.2 . 80, }"
        )
    );
    proxier.service_changed(&web(), None);
    proxier.endpoint_slice_changed(&web_slice(), None);
    let text = step(&mut proxier);
    assert!(text.lines().all(|line| line.starts_with("delete element ")), "{text}");
    assert!(proxier.services.is_empty() && proxier.slices.is_empty());
    assert!(proxier.elements.all().is_empty());
}

#[test]
fn affinity_chains_come_and_go() {
    let mut proxier = started();
    let timeout = json!({"clientIP": {"timeoutSeconds": 7}});
    proxier.service_changed(
        &web(),
        service(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": timeout})),
    );
    let two = [("10.42.0.2", "there", "ready"), ("10.42.1.2", "there", "ready")];
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &two));
    let text = step(&mut proxier);
    let options = "{ type ipv4_addr; flags dynamic,timeout; timeout 7s; }";
    assert!(text.contains(&format!("add set ip ironhull-services clients_3 {options}")), "{text}");
    assert!(
        text.contains("add rule ip ironhull-services endpoint_3 update @clients_3 { ip saddr timeout 7s }"),
        "{text}"
    );
    assert!(
        text.contains("add rule ip ironhull-services cluster_2 ip saddr @clients_4 goto endpoint_4"),
        "{text}"
    );
    assert!(
        text.contains("add rule ip ironhull-services cluster_2 numgen random mod 2 0 goto endpoint_3"),
        "{text}"
    );
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &two[..1]));
    let text = step(&mut proxier);
    let tail = "flush chain ip ironhull-services endpoint_4\ndelete chain ip ironhull-services endpoint_4\n\
                delete set ip ironhull-services clients_4\n";
    assert!(text.ends_with(tail), "{text}");
    assert!(!text.contains("endpoint_3 update"), "what stays is not written again: {text}");
    proxier.service_changed(&web(), service(json!({})));
    let text = step(&mut proxier);
    assert!(text.contains("delete chain ip ironhull-services cluster_2"), "{text}");
}

#[test]
fn services_that_are_not_ours_have_no_rules() {
    let endpoints = [("10.42.0.2", "here", "ready")];
    for spec in [
        json!({"clusterIP": "None", "clusterIPs": ["None"]}),
        json!({"type": "ExternalName", "clusterIP": null, "clusterIPs": null, "externalName": "a.example"}),
    ] {
        let mut proxier = started();
        proxier.service_changed(&web(), service(spec.clone()));
        proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &endpoints));
        assert_eq!(step(&mut proxier), "", "{spec}");
    }
    let mut proxier = started();
    let mut labelled = Service::clone(&service(json!({})).unwrap());
    labelled.metadata.labels =
        Some([("service.kubernetes.io/service-proxy-name".to_owned(), "other".to_owned())].into());
    proxier.service_changed(&web(), Some(Arc::new(labelled)));
    assert_eq!(step(&mut proxier), "");
}

#[test]
fn two_services_with_one_external_address_take_turns() {
    let mut proxier = started();
    let spec = json!({"externalIPs": ["192.0.2.50"]});
    proxier.service_changed(&web(), service(spec.clone()));
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &[("10.42.0.2", "here", "ready")]));
    assert!(step(&mut proxier).contains("192.0.2.50 . tcp . 80 : goto service_tcp_masquerade_1"));
    let mut other = Service::clone(&service(spec).unwrap());
    other.metadata.name = Some("other".to_owned());
    other.spec.as_mut().unwrap().cluster_ips = Some(vec!["10.43.0.6".to_owned()]);
    proxier.service_changed(&ServiceKey::new("default", "other"), Some(Arc::new(other)));
    assert!(!step(&mut proxier).contains("endpoints_tcp { 192.0.2.50"));
    proxier.service_changed(&web(), None);
    let text = step(&mut proxier);
    assert!(text.contains("delete element ip ironhull-services services { 10.43.0.5 . tcp . 80 : goto service_tcp_1,192.0.2.50 . tcp . 80"), "{text}");
}

#[test]
fn changes_of_udp_endpoints_name_the_flows_to_end() {
    let mut proxier = started();
    proxier.service_changed(&web(), service(json!({"ports": [{"port": 80, "protocol": "UDP"}]})));
    let stale = |proxier: &mut Proxier| {
        proxier.replan();
        proxier.commit().into_values().map(|targets| targets.len()).collect::<Vec<_>>()
    };
    let all = [("10.42.0.2", "a", "ready"), ("10.42.0.3", "a", "ready"), ("10.42.0.4", "a", "ready")];
    assert_eq!(stale(&mut proxier), [0], "flows from before the service");
    for (count, expected) in [(1, vec![1]), (2, vec![]), (3, vec![]), (2, vec![2]), (0, vec![0])] {
        proxier.endpoint_slice_changed(&web_slice(), slice("UDP", &all[..count]));
        assert_eq!(stale(&mut proxier), expected, "{count} endpoints");
    }
}

#[test]
fn balancers_are_told_of_ready_endpoints_of_this_node_once_each() {
    let mut proxier = started();
    let spec = |policy: &str| {
        service(json!({
            "type": "LoadBalancer", "externalTrafficPolicy": policy, "healthCheckNodePort": 31000,
            "ports": [{"name": "", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81, "nodePort": 30081}],
        }))
    };
    let told = |proxier: &mut Proxier| {
        proxier.replan();
        proxier
            .take_checks()
            .into_iter()
            .map(|(_, check)| check.map(|check| check.endpoints))
            .collect::<Vec<_>>()
    };
    let all =
        [("10.42.0.2", "here", "ready"), ("10.42.0.3", "here", "serving"), ("10.42.1.2", "there", "ready")];
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &all));
    proxier.service_changed(&web(), spec("Local"));
    assert_eq!(told(&mut proxier), [Some(1)]);
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &all[..1]));
    assert_eq!(told(&mut proxier), [], "nothing changed for this node");
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &all[1..]));
    assert_eq!(told(&mut proxier), [Some(0)]);
    proxier.service_changed(&web(), spec("Cluster"));
    assert_eq!(told(&mut proxier), [None]);
}

#[test]
fn what_is_labelled_as_another_proxys_is_left_alone() {
    for label in ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"] {
        let mut proxier = started();
        let labelled = |service: &Arc<Service>| {
            let mut labelled = Service::clone(service);
            labelled.metadata.labels = Some([(label.to_owned(), String::new())].into());
            Some(Arc::new(labelled))
        };
        let plain = service(json!({})).unwrap();
        proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &[("10.42.0.2", "here", "ready")]));
        proxier.service_changed(&web(), labelled(&plain));
        assert_eq!(step(&mut proxier), "");
        proxier.service_changed(&web(), Some(Arc::clone(&plain)));
        assert!(step(&mut proxier).contains("add element ip ironhull-services services"));
        proxier.service_changed(&web(), labelled(&plain));
        assert!(step(&mut proxier).contains("delete element ip ironhull-services services"));
        // Of a Service of ours, slices of others do not count.
        proxier.service_changed(&web(), Some(plain));
        let mut foreign = EndpointSlice::clone(&slice("TCP", &[("10.42.0.3", "here", "ready")]).unwrap());
        foreign.metadata.labels.as_mut().unwrap().insert(label.to_owned(), String::new());
        proxier.endpoint_slice_changed(&web_slice(), Some(Arc::new(foreign)));
        assert!(step(&mut proxier).contains("add element ip ironhull-services refused_services"));
    }
}
