use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn port(host_ip: Option<&str>, host_port: u16) -> HostPort {
    HostPort {
        host_ip: host_ip.map(|t| t.parse().unwrap()),
        host_port,
        container_port: 80,
        protocol: Protocol::Tcp,
    }
}

fn first(ipam: &mut Ipam, sandbox: &str) -> String {
    ipam.lease(sandbox, &[], None).unwrap().addresses[0].to_string()
}

#[test]
fn released_addresses_come_last_and_leases_survive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.json");
    let subnets = nets(&["10.42.0.0/29", "fd00::/64"]);
    let mut ipam = Ipam::open(&path, &subnets).unwrap();
    let lease = ipam.lease("a", &[], None).unwrap();
    assert_eq!(lease.addresses, ["10.42.0.2", "fd00::2"].map(|t| t.parse::<IpAddr>().unwrap()));
    assert_eq!(first(&mut ipam, "b"), "10.42.0.3");
    assert_eq!(first(&mut ipam, "a"), "10.42.0.2", "a second call changes nothing");
    ipam.release("a").unwrap();
    ipam.release("a").unwrap();
    assert_eq!(first(&mut ipam, "c"), "10.42.0.4");

    let mut ipam = Ipam::open(&path, &subnets).unwrap();
    assert_eq!(ipam.leases().keys().collect::<Vec<_>>(), ["b", "c"]);
    for (sandbox, address) in [("d", "10.42.0.5"), ("e", "10.42.0.6"), ("f", "10.42.0.2")] {
        assert_eq!(first(&mut ipam, sandbox), address);
    }
    assert!(matches!(ipam.lease("g", &[], None), Err(IpamError::Exhausted { .. })));
    ipam.release("c").unwrap();
    assert_eq!(first(&mut ipam, "g"), "10.42.0.4");
}

#[test]
fn no_address_is_given_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.json");
    let subnets = nets(&["10.42.0.0/28"]);
    let mut ipam = Ipam::open(&path, &subnets).unwrap();
    for round in 0..100 {
        if round % 7 == 0 {
            ipam = Ipam::open(&path, &subnets).unwrap();
        }
        let _ = ipam.lease(&format!("s{round}"), &[], None);
        if round % 3 == 0 {
            ipam.release(&format!("s{}", round / 2)).unwrap();
        }
        let all: Vec<_> = ipam.leases().values().map(|l| l.addresses[0]).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|a| subnets[0].contains(a) && *a != gateway(subnets[0])));
    }
}

#[test]
fn host_ports_conflict_unless_their_addresses_differ() {
    let directory = tempfile::tempdir().unwrap();
    let mut ipam = Ipam::open(&directory.path().join("l.json"), &nets(&["10.42.0.0/24"])).unwrap();
    ipam.lease("a", &[port(Some("10.0.0.1"), 80)], None).unwrap();
    ipam.lease("b", &[port(Some("10.0.0.2"), 80)], None).unwrap();
    assert!(matches!(
        ipam.lease("c", &[port(None, 80)], None),
        Err(IpamError::HostPortTaken { port: 80, .. })
    ));
    assert!(ipam.leases().get("c").is_none(), "a refused lease takes no address");
    ipam.lease("a", &[port(Some("10.0.0.1"), 80)], None).unwrap();
    ipam.release("a").unwrap();
    ipam.release("b").unwrap();
    ipam.lease("c", &[port(None, 80)], None).unwrap();
}

#[test]
fn addresses_of_former_subnets_stay_until_they_are_released() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.json");
    let mut ipam = Ipam::open(&path, &nets(&["10.42.0.0/24"])).unwrap();
    for sandbox in ["a", "b"] {
        ipam.lease(sandbox, &[], None).unwrap();
    }
    let both = nets(&["10.42.0.0/24", "fd42::/64"]);
    for now in [nets(&["10.42.1.0/24"]), both] {
        let mut ipam = Ipam::open(&path, &now).unwrap();
        assert_eq!(ipam.leases()["a"].addresses, ["10.42.0.2".parse::<IpAddr>().unwrap()]);
        let new = ipam.lease("c", &[], None).unwrap().addresses;
        assert!(new.len() == now.len() && new.iter().zip(&now).all(|(address, net)| net.contains(address)));
        assert_ne!(new[0], "10.42.0.2".parse::<IpAddr>().unwrap());
        ipam.release("c").unwrap();
    }
    let mut ipam = Ipam::open(&path, &nets(&["10.42.1.0/24"])).unwrap();
    ipam.release("a").unwrap();
    assert!(ipam.leases().get("a").is_none());
    // Connected again.
    assert_eq!(first(&mut ipam, "b"), "10.42.1.2");
}

#[test]
fn small_subnets_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for small in ["10.42.0.0/31", "10.42.0.0/32", "fd00::/127", "fd00::/128"] {
        let path = directory.path().join("small.json");
        assert!(matches!(Ipam::open(&path, &nets(&[small])), Err(IpamError::TooSmall { .. })), "{small}");
    }
}
