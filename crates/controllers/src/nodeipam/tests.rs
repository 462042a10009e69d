use super::*;

/// A node with these ranges, separated by commas.
fn node(name: &str, cidrs: Option<&str>) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.into());
    let all: Option<Vec<String>> = cidrs.map(|cidrs| cidrs.split(',').map(str::to_owned).collect());
    let spec = node.spec.get_or_insert_default();
    spec.pod_cidr = all.as_ref().map(|all| all[0].clone());
    spec.pod_cidrs = all;
    node
}

fn assigned(cluster: &str, nodes: Vec<Node>) -> Vec<String> {
    let snapshot = Snapshot {
        cluster: cluster.split(',').map(|text| text.parse().unwrap()).collect(),
        nodes: nodes.into_iter().map(Arc::new).collect(),
    };
    let plan = plan(&snapshot);
    let shown = plan.actions().into_iter().map(|action| match action {
        Action::Patch { key, patch: Patch::Merge(change), .. } => {
            let spec = &change["spec"];
            assert_eq!(spec["podCIDR"], spec["podCIDRs"][0]);
            let all: Vec<&str> =
                spec["podCIDRs"].as_array().unwrap().iter().map(|cidr| cidr.as_str().unwrap()).collect();
            format!("{key} {}", all.join(","))
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
fn a_node_gets_a_range_of_each_family() {
    let nodes = || vec![node("a", Some("10.42.0.0/24,fd42::/64")), node("b", None), node("c", None)];
    assert_eq!(
        assigned("10.42.0.0/16,fd42::/56", nodes()),
        ["b 10.42.1.0/24,fd42:0:0:1::/64", "c 10.42.2.0/24,fd42:0:0:2::/64"]
    );
    assert_eq!(assigned("fd42::/48", nodes()), ["b fd42:0:0:1::/64", "c fd42:0:0:2::/64"]);
    assert_eq!(
        assigned("fd42::/63,10.42.0.0/16", nodes()),
        ["Node c status is now: CIDRNotAvailable", "b fd42:0:0:1::/64,10.42.1.0/24"],
        "both or none"
    );
    assert_eq!(assigned("fd42::/112", vec![node("a", None)]), ["a fd42::/112"]);
}

#[test]
fn ranges_of_other_sizes_are_kept_clear_of() {
    let nodes = vec![node("a", Some("10.42.0.0/23")), node("b", Some("10.42.2.128/25")), node("c", None)];
    assert_eq!(assigned("10.42.0.0/16", nodes), ["c 10.42.3.0/24"]);
    // The search is short however large the taken ranges are.
    let nodes = vec![node("a", Some("fd00::/9")), node("b", Some("fd80::/96")), node("c", None)];
    assert_eq!(assigned("fd00::/8", nodes), ["c fd80:0:0:1::/64"]);
    assert_eq!(
        assigned("fd00::/8", vec![node("a", Some("::/0")), node("b", None)]),
        ["Node b status is now: CIDRNotAvailable"]
    );
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
