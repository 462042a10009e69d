use std::process::Command;

use super::*;
use crate::NetNs;
use crate::nft;

/// nft as another program, with its own name.
struct Intruder(tempfile::TempDir);

impl Intruder {
    fn new() -> Intruder {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(nft::find_program("nft").unwrap(), directory.path().join("intruder"))
            .unwrap();
        Intruder(directory)
    }

    fn run(&self, arguments: &str) {
        let status =
            Command::new(self.0.path().join("intruder")).args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "nft {arguments}");
    }

    /// Makes a change and expects it to be the next that the watch reports.
    async fn is_told(&self, watch: &mut Watch, arguments: &str) {
        self.run(arguments);
        let limit = Duration::from_secs(20);
        let change = tokio::time::timeout(limit, watch.changed()).await.expect("the change is told").unwrap();
        let program = change.by.as_ref().map(|(program, _)| program.as_str());
        assert_eq!(program, Some("intruder"), "{arguments}: {change}");
    }
}

#[test]
fn changes_of_others_are_told_and_our_own_are_not() {
    let namespace = NetNs::create().unwrap();
    let intruder = Intruder::new();
    let work = || async {
        let table = "table ip mine { set s { type ipv4_addr; }; chain c { accept; }; }";
        nft::apply(table).await.unwrap();
        for change in [
            "add element ip mine s { 192.0.2.1 }",
            "delete element ip mine s { 192.0.2.1 }",
            "insert rule ip mine c drop",
            "flush chain ip mine c",
            "add chain ip mine d",
            "delete table ip mine",
            "flush ruleset",
        ] {
            let mut watch = Watch::open(&[("ip", "mine"), ("ip6", "mine")]).unwrap();
            nft::apply(table).await.unwrap();
            nft::apply("add element ip mine s { 192.0.2.9 }").await.unwrap();
            nft::apply("add table ip other; add table inet mine").await.unwrap();
            intruder.run("add chain ip other c");
            intruder.run("add chain inet mine c");
            intruder.is_told(&mut watch, change).await;
        }
    };
    namespace.block_on(work).unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_fights_with_us_is_answered_ever_later() {
    let mut pacing = Pacing::default();
    assert_eq!(pacing.next(), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pacing.told();
        pauses.push(pacing.next().duration_since(Instant::now()).as_millis());
        tokio::time::advance(pacing.pause).await;
    }
    assert_eq!(pauses[..4], [100, 200, 400, 800]);
    assert_eq!(pauses[11], 30_000);
    tokio::time::advance(PEACE + PAUSE_MAX * 2).await;
    pacing.told();
    assert_eq!(pacing.pause, PAUSE, "peace is forgiving");
}

#[test]
fn a_table_of_many_elements_is_still_our_own() {
    let namespace = NetNs::create().unwrap();
    let intruder = Intruder::new();
    let work = || async {
        let mut watch = Watch::open(&[("ip", "mine")]).unwrap();
        let element = |i: u32| format!("10.{}.{}.{}", i >> 16, (i >> 8) & 255, i & 255);
        let elements: Vec<String> = (0..60_000).map(element).collect();
        let set = format!("set s {{ type ipv4_addr; elements = {{ {} }}; }}", elements.join(","));
        nft::apply(&format!("table ip mine {{ {set}; }}")).await.unwrap();
        intruder.is_told(&mut watch, "delete table ip mine").await;
        assert!(!watch.reader.state.lost, "there was room for all notifications");
    };
    namespace.block_on(work).unwrap();
}

/// A notification as the kernel writes it.
fn message(kind: u8, port: u32, family: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0];
    for (kind, value) in attributes {
        body.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(*value);
        body.resize(netlink::aligned(body.len()), 0);
    }
    let mut message = Vec::from(u32::try_from(body.len() + netlink::HEADER).unwrap().to_ne_bytes());
    message.extend([kind, SUBSYSTEM, 0, 0, 0, 0, 0, 0]);
    message.extend(port.to_ne_bytes());
    message.extend(body);
    message
}

#[test]
fn a_transaction_is_ours_by_its_port_or_its_process() {
    let tables = [(2, "mine".to_owned())];
    let is_own = |processes: [u32; 2]| processes.contains(&7);
    // Port of the socket, process; whether it is reported.
    for (port, process, expected) in [(7, 99, false), (u32::MAX, 7, false), (8, 8, true)] {
        let mut state = State::default();
        let change = message(2, port, 2, &[(TABLE_NAME, b"mine\0")]);
        let end = message(NEW_GENERATION, port, 0, &[(2, &u32::to_be_bytes(process)), (3, b"nft\0")]);
        assert_eq!(state.take(&change, &tables, is_own), None, "the transaction has not ended");
        let told = state.take(&end, &tables, is_own);
        assert_eq!(told.is_some(), expected, "port {port}, process {process}: {told:?}");
        assert_eq!(state.take(&end, &tables, is_own), None, "it is told once");
    }
}
