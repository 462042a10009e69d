use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Pod, PodCondition, PodIP, PodSpec, PodStatus, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;
use crate::framework::Action;

pub(crate) fn service() -> Service {
    let mut service = Service::default();
    service.metadata.name = Some("web".into());
    service.metadata.namespace = Some("default".into());
    service.metadata.uid = Some("service-uid".into());
    service.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    let port = ServicePort {
        name: Some("http".into()),
        port: 80,
        target_port: Some(IntOrString::String("web".into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    };
    service.spec = Some(ServiceSpec {
        selector: Some([("app".to_owned(), "web".to_owned())].into()),
        cluster_ip: Some("10.43.0.7".into()),
        ip_families: Some(vec!["IPv4".into()]),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    });
    service
}

/// A ready pod whose port `web` has the given number.
pub(crate) fn pod(index: usize, port: i32) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(format!("web-{index:03}"));
    pod.metadata.namespace = Some("default".into());
    pod.metadata.uid = Some(format!("uid-{index}"));
    pod.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
    let named = ContainerPort { name: Some("web".into()), container_port: port, ..ContainerPort::default() };
    let container = Container { ports: Some(vec![named]), ..Container::default() };
    pod.spec =
        Some(PodSpec { node_name: Some("n1".into()), containers: vec![container], ..PodSpec::default() });
    let ready = PodCondition { type_: "Ready".into(), status: "True".into(), ..PodCondition::default() };
    let ip = format!("10.42.{}.{}", index / 250, index % 250 + 1);
    pod.status = Some(PodStatus {
        phase: Some("Running".into()),
        conditions: Some(vec![ready]),
        pod_ip: Some(ip.clone()),
        pod_ips: Some(vec![PodIP { ip }, PodIP { ip: format!("fd00::{index:x}") }]),
        ..PodStatus::default()
    });
    pod
}

pub(super) fn snapshot(service: Service, pods: Vec<Pod>, slices: Vec<EndpointSlice>) -> Snapshot {
    let mut node = Node::default();
    node.metadata.labels = Some([("topology.kubernetes.io/zone".to_owned(), "z1".to_owned())].into());
    Snapshot {
        service: Arc::new(service),
        pods: pods.iter().map(crate::pods::lean).collect(),
        nodes: [("n1".to_owned(), Arc::new(node))].into(),
        slices: slices.into_iter().map(Arc::new).collect(),
        topology: Topology::default(),
    }
}

/// The slices after a plan is carried out.
pub(super) fn carry_out(snapshot: &Snapshot) -> Vec<EndpointSlice> {
    let mut slices: Vec<EndpointSlice> = snapshot.slices.iter().map(|slice| (**slice).clone()).collect();
    for action in plan::plan(snapshot).actions() {
        match action {
            Action::Create { object, .. } => {
                let mut slice = object.get::<EndpointSlice>().unwrap().clone();
                assert_eq!(slice.metadata.generate_name.as_deref(), Some("web-"));
                let last =
                    slices.last().and_then(|last| last.metadata.uid.as_ref()?.parse().ok()).unwrap_or(0);
                slice.metadata.name = Some(format!("web-{}", last + 1));
                slice.metadata.uid = Some((last + 1).to_string());
                slices.push(slice);
            }
            Action::Update { object, .. } => {
                let slice = object.get::<EndpointSlice>().unwrap();
                let place =
                    slices.iter_mut().find(|other| other.metadata.name == slice.metadata.name).unwrap();
                *place = slice.clone();
            }
            Action::Delete { key, .. } => {
                slices.retain(|slice| slice.metadata.name.as_deref() != Some(&*key.name))
            }
            Action::Record(_) => {}
            other => panic!("{other:?}"),
        }
    }
    slices
}

fn counts(slices: &[EndpointSlice]) -> Vec<usize> {
    slices.iter().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect()
}

#[test]
fn an_endpoint_says_all_about_its_pod() {
    let slices = carry_out(&snapshot(service(), vec![pod(1, 8080)], vec![]));
    let slice = &slices[0];
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "web");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert_eq!(labels["team"], "a");
    assert_eq!(slice.address_type, "IPv4");
    let port = &slice.ports.as_ref().unwrap()[0];
    assert_eq!((port.name.as_deref(), port.port), (Some("http"), Some(8080)));
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    assert_eq!(endpoint.addresses, ["10.42.0.2"]);
    assert_eq!((endpoint.node_name.as_deref(), endpoint.zone.as_deref()), (Some("n1"), Some("z1")));
    assert_eq!(endpoint.target_ref.as_ref().unwrap().uid.as_deref(), Some("uid-1"));
}

#[test]
fn conditions_tell_ready_serving_and_terminating() {
    let conditions = |change: fn(&mut Pod), early: bool| {
        let (mut service, mut pod) = (service(), pod(1, 80));
        service.spec.as_mut().unwrap().publish_not_ready_addresses = Some(early);
        change(&mut pod);
        let slices = carry_out(&snapshot(service, vec![pod], vec![]));
        let conditions = slices[0].endpoints.as_ref()?.first()?.conditions.clone()?;
        Some((conditions.ready?, conditions.serving?, conditions.terminating?))
    };
    let unready = |pod: &mut Pod| pod.status.as_mut().unwrap().conditions = None;
    let ending = |pod: &mut Pod| pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let ended = |pod: &mut Pod| pod.status.as_mut().unwrap().phase = Some("Succeeded".into());
    let homeless = |pod: &mut Pod| pod.spec.as_mut().unwrap().node_name = Some("gone".into());
    assert_eq!(conditions(|_| {}, false), Some((true, true, false)));
    assert_eq!(conditions(unready, false), Some((false, false, false)));
    assert_eq!(conditions(unready, true), Some((true, false, false)));
    assert_eq!(conditions(ending, false), Some((false, true, true)));
    assert_eq!(conditions(ended, true), None);
    assert_eq!(conditions(homeless, false), None);
}

#[test]
fn a_second_plan_does_nothing() {
    let first = snapshot(service(), (0..250).map(|index| pod(index, 80)).collect(), vec![]);
    let slices = carry_out(&first);
    assert_eq!(counts(&slices), [100, 100, 50]);
    let second = Snapshot { slices: slices.into_iter().map(Arc::new).collect(), ..first };
    assert!(plan::plan(&second).is_empty());
}

#[test]
fn one_change_is_one_write() {
    let mut pods: Vec<_> = (0..250).map(|index| pod(index, 80)).collect();
    let slices = carry_out(&snapshot(service(), pods.clone(), vec![]));
    // One more pod goes into the slice with space left.
    pods.push(pod(250, 80));
    let grown = snapshot(service(), pods.clone(), slices);
    assert_eq!(plan::plan(&grown).actions().len(), 1);
    let slices = carry_out(&grown);
    assert_eq!(counts(&slices), [100, 100, 51]);
    // A pod is replaced: the slice that changes anyway takes the new one.
    pods.remove(5);
    pods.push(pod(251, 80));
    let replaced = snapshot(service(), pods, slices);
    assert_eq!(plan::plan(&replaced).actions().len(), 1);
    assert_eq!(counts(&carry_out(&replaced)), [100, 100, 51]);
}

#[test]
fn pods_with_other_ports_have_slices_of_their_own() {
    let slices = carry_out(&snapshot(service(), vec![pod(1, 80), pod(2, 8080), pod(3, 80)], vec![]));
    let mut counts = counts(&slices);
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let empty = snapshot(service(), vec![], vec![]);
    let slices = carry_out(&empty);
    assert_eq!(counts(&slices), [0]);
    assert!(
        plan::plan(&Snapshot { slices: slices.iter().cloned().map(Arc::new).collect(), ..empty }).is_empty()
    );
    let filled = carry_out(&snapshot(service(), vec![pod(1, 80)], slices));
    assert_eq!(counts(&filled), [1]);
    let emptied = carry_out(&snapshot(service(), vec![], filled));
    assert_eq!(counts(&emptied), [0]);
}

#[test]
fn each_family_has_its_slices() {
    let mut dual = service();
    dual.spec.as_mut().unwrap().ip_families = Some(vec!["IPv4".into(), "IPv6".into()]);
    let slices = carry_out(&snapshot(dual, vec![pod(1, 80)], vec![]));
    let types: Vec<_> = slices.iter().map(|slice| slice.address_type.as_str()).collect();
    assert_eq!(types, ["IPv4", "IPv6"]);
    assert_eq!(slices[1].endpoints.as_ref().unwrap()[0].addresses, ["fd00::1"]);
    let single = carry_out(&snapshot(service(), vec![pod(1, 80)], slices));
    assert_eq!(single.len(), 1);
}

#[test]
fn services_that_select_nothing_are_left_alone() {
    let mut manual = service();
    manual.spec.as_mut().unwrap().selector = None;
    let mut external = service();
    external.spec.as_mut().unwrap().type_ = Some("ExternalName".into());
    for service in [manual, external] {
        assert!(plan::plan(&snapshot(service, vec![pod(1, 80)], vec![])).is_empty());
    }
}

#[test]
fn headless_services_may_have_no_ports_and_give_names() {
    let mut headless = service();
    let spec = headless.spec.as_mut().unwrap();
    spec.cluster_ip = Some("None".into());
    spec.ports = None;
    let mut named = pod(1, 80);
    named.spec.as_mut().unwrap().hostname = Some("db-0".into());
    named.spec.as_mut().unwrap().subdomain = Some("web".into());
    let slices = carry_out(&snapshot(headless, vec![named], vec![]));
    assert_eq!(slices[0].endpoints.as_ref().unwrap()[0].hostname.as_deref(), Some("db-0"));
    assert!(slices[0].metadata.labels.as_ref().unwrap().contains_key("service.kubernetes.io/headless"));
    assert_eq!(slices[0].ports, Some(vec![]));
}

#[test]
fn hints_follow_the_traffic_distribution() {
    let hints = |distribution: Option<&str>, ready: bool| {
        let (mut service, mut pod) = (service(), pod(1, 80));
        service.spec.as_mut().unwrap().traffic_distribution = distribution.map(str::to_owned);
        if !ready {
            pod.status.as_mut().unwrap().conditions = None;
        }
        let slices = carry_out(&snapshot(service, vec![pod], vec![]));
        let hints = slices[0].endpoints.as_ref().unwrap()[0].hints.clone()?;
        let zones = hints.for_zones.iter().flatten().map(|zone| zone.name.clone());
        let nodes = hints.for_nodes.iter().flatten().map(|node| node.name.clone());
        Some(zones.chain(nodes).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(hints(None, true), None);
    assert_eq!(hints(Some("PreferClose"), true).as_deref(), Some("z1"));
    assert_eq!(hints(Some("PreferSameZone"), true).as_deref(), Some("z1"));
    assert_eq!(hints(Some("PreferSameNode"), true).as_deref(), Some("z1 n1"));
    assert_eq!(hints(Some("PreferSameNode"), false), None, "only ready endpoints are meant for anybody");
}

#[test]
fn slices_tell_when_what_they_report_happened() {
    let time = |text: &str| Time(text.parse().unwrap());
    let ready_since = |mut pod: Pod, since: &str| {
        let conditions = pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions[0].last_transition_time = Some(time(since));
        pod
    };
    let told = |slices: &[EndpointSlice]| {
        let annotations = slices[0].metadata.annotations.clone();
        annotations.and_then(|annotations| annotations.get(spread::TRIGGER_TIME).cloned())
    };
    let mut service = service();
    service.metadata.creation_timestamp = Some(time("2026-01-01T00:00:00Z"));
    let first = ready_since(pod(1, 80), "2026-01-01T00:00:05Z");
    let slices = carry_out(&snapshot(service.clone(), vec![first.clone()], vec![]));
    assert_eq!(told(&slices).as_deref(), Some("2026-01-01T00:00:00Z"), "the Service is new");
    let second = ready_since(pod(2, 80), "2026-01-01T00:00:09Z");
    let slices = carry_out(&snapshot(service.clone(), vec![first.clone(), second.clone()], slices));
    assert_eq!(told(&slices).as_deref(), Some("2026-01-01T00:00:09Z"), "of the pod that is new");
    let again = snapshot(service.clone(), vec![first.clone(), second], slices.clone());
    assert!(plan::plan(&again).is_empty());
    let slices = carry_out(&snapshot(service, vec![first], slices));
    assert_eq!(told(&slices), None, "nobody knows when a pod was found gone");
}
