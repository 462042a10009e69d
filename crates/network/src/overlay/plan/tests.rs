use super::*;

fn route(destination: &str, gateway: &str, exit: Exit) -> Item {
    Item::Route {
        table: MAIN_TABLE,
        destination: destination.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
        exit,
    }
}

fn neighbour(address: &str, mac: &str) -> Item {
    Item::Neighbour { address: address.parse().unwrap(), mac: mac.parse().unwrap() }
}

fn found(items: &[Item], genuine: bool) -> impl Iterator<Item = Found> {
    items.iter().map(move |item| Found { item: item.clone(), genuine })
}

#[test]
fn what_is_planned_and_there_costs_nothing() {
    let items =
        [neighbour("10.42.1.1", "06:00:00:00:00:01"), route("10.42.1.0/24", "10.42.1.1", Exit::Device)];
    let plan = Plan { items: items.clone().into(), ..Plan::default() };
    assert_eq!(steps(&found(&items, true).collect(), &plan), []);
    let put: Vec<Step> = items.iter().cloned().map(Step::Put).collect();
    assert_eq!(steps(&BTreeSet::new(), &plan), put, "what a route needs is made before it");
    assert_eq!(steps(&found(&items, false).collect(), &plan), put, "an impostor is replaced");
    let gone: Vec<Step> = items.iter().rev().cloned().map(Step::Delete).collect();
    assert_eq!(steps(&found(&items, true).collect(), &Plan::default()), gone);
}

#[test]
fn a_changed_way_is_replaced_and_not_deleted() {
    let old = [neighbour("10.42.1.1", "06:00:00:00:00:01"), route("10.42.1.0/24", "10.42.1.1", Exit::Device)];
    let new = [route("10.42.1.0/24", "192.0.2.2", Exit::Uplink)];
    let plan = Plan { items: new.clone().into(), ..Plan::default() };
    let expected = [Step::Put(new[0].clone()), Step::Delete(old[0].clone())];
    assert_eq!(steps(&found(&old, true).collect(), &plan), expected);
}

#[test]
fn the_former_way_to_a_node_that_is_not_ready_stays() {
    let old =
        [route("10.42.1.0/24", "192.0.2.2", Exit::Uplink), route("10.42.2.0/24", "192.0.2.3", Exit::Uplink)];
    let plan = Plan { pending: ["10.42.1.0/24".parse().unwrap()].into(), ..Plan::default() };
    assert_eq!(steps(&found(&old, true).collect(), &plan), [Step::Delete(old[1].clone())]);
}
