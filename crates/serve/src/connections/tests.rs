use super::*;

const FLOOD: [u8; 4] = [10, 0, 0, 66];

fn limits() -> Limits {
    Limits { reserve: 4, of_client_max: 100, handshakes_max: 100, ..Limits::new(20) }
}

/// A connection that has shown this rank.
fn enter(connections: &Arc<Connections>, client: [u8; 4], rank: Rank) -> Option<Slot> {
    let slot = connections.enter(client.into())?;
    (rank == Rank::Handshaking || connections.settle(&slot.entry, rank)).then_some(slot)
}

fn is_in(slot: &Slot) -> bool {
    !slot.entry.is_evicted()
}

#[tokio::test(start_paused = true)]
async fn the_quietest_of_the_client_with_most_goes_first() {
    let connections = Connections::new(limits());
    let other = enter(&connections, [10, 0, 0, 1], Rank::Anonymous).unwrap();
    let known = enter(&connections, FLOOD, Rank::Known).unwrap();
    let flood: Vec<Slot> = (0..18).map(|_| enter(&connections, FLOOD, Rank::Anonymous).unwrap()).collect();
    flood[0].entry.begin();
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    drop(flood[0].entry.begin());
    let newcomer = enter(&connections, [10, 0, 0, 2], Rank::Anonymous).unwrap();
    assert!(is_in(&other) && is_in(&known) && is_in(&newcomer) && is_in(&flood[0]));
    assert_eq!(flood.iter().filter(|slot| !is_in(slot)).count(), 1);
    assert_eq!(connections.len(), 20);
    drop((other, known, newcomer, flood));
    assert_eq!(connections.len(), 0);
    assert!(connections.table.lock().of_client.is_empty() && connections.table.lock().handshakes == 0);
}

#[tokio::test]
async fn administrators_come_in_whatever_the_others_do() {
    let connections = Connections::new(limits());
    let working: Vec<Slot> = (0..20).map(|_| enter(&connections, FLOOD, Rank::Known).unwrap()).collect();
    let requests: Vec<Busy> = working.iter().map(|slot| slot.entry.begin()).collect();
    // No other client does; each is accepted long enough to identify itself.
    for rank in [Rank::Anonymous, Rank::Known] {
        assert!(enter(&connections, [10, 0, 0, 1], rank).is_none());
    }
    let administrators: Vec<Slot> =
        (0..10).map(|_| enter(&connections, FLOOD, Rank::Administrator).unwrap()).collect();
    assert!(administrators.iter().all(is_in));
    assert!(connections.len() <= 24, "{}", connections.len());
    drop(requests);
    assert!(enter(&connections, [10, 0, 0, 1], Rank::Known).is_some());
}

#[tokio::test]
async fn handshakes_do_not_fill_the_table() {
    let connections = Connections::new(Limits { handshakes_max: 5, ..limits() });
    let known: Vec<Slot> = (0..10).map(|_| enter(&connections, FLOOD, Rank::Known).unwrap()).collect();
    let flood: Vec<Slot> = (0..100).filter_map(|_| connections.enter(FLOOD.into())).collect();
    assert!(known.iter().all(is_in));
    assert_eq!((flood.len(), flood.iter().filter(|slot| is_in(slot)).count()), (100, 5));
    // One that was given up may not come back by the end of its handshake.
    assert!(!connections.settle(&flood[0].entry, Rank::Administrator));
    assert_eq!(connections.len(), 15);
}

#[tokio::test]
async fn a_client_has_a_share_unless_it_is_this_machine() {
    let connections = Connections::new(Limits { of_client_max: 3, ..limits() });
    let known: Vec<Slot> = (0..3).map(|_| enter(&connections, FLOOD, Rank::Known).unwrap()).collect();
    assert!(connections.enter(FLOOD.into()).is_none());
    let local: Vec<_> = (0..10).filter_map(|_| enter(&connections, [127, 0, 0, 1], Rank::Known)).collect();
    assert_eq!(local.len(), 10);
    assert!(known.iter().all(is_in));
    // An address that IPv6 writes is the same client.
    let mapped: std::net::Ipv6Addr = std::net::Ipv4Addr::from(FLOOD).to_ipv6_mapped();
    assert!(connections.enter(mapped.into()).is_none());
}

#[tokio::test(start_paused = true)]
async fn only_a_connection_without_requests_becomes_quiet() {
    let connections = Connections::new(limits());
    let slot = enter(&connections, FLOOD, Rank::Known).unwrap();
    let start = Instant::now();
    slot.entry.quiet(&connections.limits).await;
    assert!(start.elapsed().as_secs().abs_diff(32) <= 1);

    let slot = enter(&connections, FLOOD, Rank::Known).unwrap();
    let (busy, start) = (slot.entry.begin(), Instant::now());
    let ends = async {
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        drop(busy);
    };
    tokio::join!(slot.entry.quiet(&connections.limits), ends);
    assert!((3690..3691).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());

    // An upgraded connection stays busy.
    let slot = enter(&connections, FLOOD, Rank::Known).unwrap();
    slot.entry.begin().keep();
    let quiet = slot.entry.quiet(&connections.limits);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(36_000), quiet).await.is_err());
}
