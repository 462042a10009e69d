use super::*;

fn node(name: &str, cidr: Option<&str>) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.into());
    node.spec.get_or_insert_default().pod_cidr = cidr.map(str::to_owned);
    node
}

fn assigned(cluster: &str, nodes: Vec<Node>) -> Vec<String> {
    let snapshot =
        Snapshot { cluster: cluster.parse().unwrap(), nodes: nodes.into_iter().map(Arc::new).collect() };
    let plan = plan(&snapshot);
    let shown = plan.actions().into_iter().map(|action| match action {
        Action::Patch { key, patch: Patch::Merge(change), .. } => {
            format!("{key} {}", change["spec"]["podCIDRs"][0].as_str().unwrap())
        }
        Action::Record(note) => note.message.clone(),
        other => panic!("{other:?}"),
    });
    shown.collect()
}

#[test]
fn nodes_get_the_lowest_free_ranges() {
    let nodes = vec![node("a", Some("10.42.1.0/24")), node("b", None), node("c", None), node("d", None)];
    assert_eq!(assigned("10.42.0.0/16", nodes), ["b 10.42.0.0/24", "c 10.42.2.0/24", "d 10.42.3.0/24"]);
}

#[test]
fn ranges_of_other_sizes_are_kept_clear_of() {
    let nodes = vec![node("a", Some("10.42.0.0/23")), node("b", Some("10.42.2.128/25")), node("c", None)];
    assert_eq!(assigned("10.42.0.0/16", nodes), ["c 10.42.3.0/24"]);
}

#[test]
fn a_full_cluster_says_so() {
    let nodes = vec![node("a", Some("10.42.0.0/24")), node("b", Some("10.42.1.0/24")), node("c", None)];
    assert_eq!(assigned("10.42.0.0/23", nodes), ["Node c status is now: CIDRNotAvailable"]);
}

#[test]
fn nodes_with_ranges_keep_them() {
    assert!(assigned("10.42.0.0/16", vec![node("a", Some("192.168.0.0/24"))]).is_empty());
}

#[test]
fn ranges_are_read_strictly() {
    for bad in ["", "10.42.0.0", "10.42.0.0/33", "10.42.0.0/0", "fd00::/64", "x/24"] {
        assert!(bad.parse::<Cidr>().is_err(), "{bad}");
    }
    assert_eq!("10.42.3.4/16".parse::<Cidr>().unwrap().to_string(), "10.42.0.0/16");
}
