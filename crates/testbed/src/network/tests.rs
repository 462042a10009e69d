use std::net::UdpSocket;
use std::time::Duration;

use super::*;
use crate::Host;

const LIMIT: Duration = Duration::from_secs(20);

fn hosts() -> (Arc<Network>, Host, Host) {
    let network = Network::new().unwrap();
    let (one, two) = (Host::on(&network, "one").unwrap(), Host::on(&network, "two").unwrap());
    (network, one, two)
}

fn run(host: &Host, script: &str) -> Result<String, TestbedError> {
    output(host.command("sh").args(["-ec", script]))
}

/// One echo, by which a packet crosses each way.
fn ping(from: &Host, to: IpAddr) -> Result<(), String> {
    let mut ping = from.command("busybox");
    output(ping.args(["ping", "-c", "1", "-W", "1", &to.to_string()])).map(drop).map_err(|e| e.to_string())
}

fn reaches(from: &Host, to: IpAddr) {
    crate::until("an echo", LIMIT, || ping(from, to)).unwrap();
}

/// A socket of a host for datagrams.
fn datagrams(host: &Host) -> UdpSocket {
    let namespace = NetNs::open(&host.network_namespace()).unwrap();
    let bind = || async { UdpSocket::bind((host.address(), 4000)).unwrap() };
    let socket = namespace.block_on(bind).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

#[test]
fn hosts_of_a_network_reach_each_other() {
    let (network, one, two) = hosts();
    let (_, other, others) = hosts();
    assert_eq!(one.address().to_string(), "198.51.100.2");
    assert_eq!(two.address().to_string(), "198.51.100.3");
    assert_eq!(run(&two, "hostname").unwrap(), "two\n");
    for address in two.addresses() {
        reaches(&one, address);
    }
    for address in [IpAddr::from(OUTSIDE_ADDRESS), OUTSIDE_ADDRESS_V6.into()] {
        reaches(&two, address);
    }
    // The other network's first host has this one's address, and neither is disturbed.
    assert_eq!(other.address(), one.address());
    reaches(&other, others.address());
    output(network.command("busybox").args(["ping", "-c", "1", "-W", "5", "198.51.100.3"])).unwrap();
}

#[test]
fn hosts_are_cut_off_and_reconnected() {
    let (_, one, two) = hosts();
    let there = two.address();
    reaches(&one, there);
    for cut in [Cut::Both, Cut::Sent, Cut::Received] {
        two.cut(cut).unwrap();
        ping(&one, there).unwrap_err();
        two.reconnect().unwrap();
        reaches(&one, there);
    }
    two.unplug().unwrap();
    ping(&one, there).unwrap_err();
    assert!(run(&two, "ip link show uplink").unwrap().contains("NO-CARRIER"));
    two.reconnect().unwrap();
    reaches(&one, there);
    two.lose(100).unwrap();
    ping(&one, there).unwrap_err();
    two.lose(50).unwrap();
    // Half of the packets come through.
    reaches(&one, there);
}

#[test]
fn a_half_open_cut_loses_one_direction() {
    let (_, one, two) = hosts();
    // Both know each other's link address: no question has to be answered first.
    reaches(&one, two.address());
    let capture = one.capture().unwrap();
    two.cut(Cut::Received).unwrap();
    let (here, there) = (datagrams(&one), datagrams(&two));
    here.send_to(b"to-the-deaf", there.local_addr().unwrap()).unwrap();
    there.send_to(b"from-the-deaf", here.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 64];
    let (length, _) = here.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"from-the-deaf");
    there.set_nonblocking(true).unwrap();
    assert_eq!(there.recv_from(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let holds = |frame: &Frame, word: &[u8]| frame.bytes.windows(word.len()).any(|part| part == word);
    let sent = capture.until("a packet", LIMIT, |frame| holds(frame, b"to-the-deaf")).unwrap();
    let received = capture.until("a packet", LIMIT, |frame| holds(frame, b"from-the-deaf")).unwrap();
    assert!(sent.is_sent && !received.is_sent);
}

#[test]
fn a_host_keeps_its_disk_when_it_is_turned_off() {
    let (_, one, two) = hosts();
    let boot = || run(&two, "cat /proc/sys/kernel/random/boot_id").unwrap();
    let first = boot();
    run(&two, "echo kept > /var/lib/kept; echo gone > /run/gone; ip link add gone type bridge").unwrap();
    let mut sleeper = two.command("sleep");
    sleeper.arg("1000");
    let mut sleeper = two.start("sleeper", sleeper).unwrap();
    two.power_off();
    assert!(!two.is_on());
    sleeper.wait(LIMIT).unwrap();
    run(&two, "true").unwrap_err();
    ping(&one, two.address()).unwrap_err();
    two.power_on().unwrap();
    reaches(&one, two.address());
    let seen = "cat /var/lib/kept; test ! -e /run/gone; ! ip link show gone 2>/dev/null; hostname";
    assert_eq!(run(&two, seen).unwrap(), "kept\ntwo\n");
    assert_ne!(boot(), first);
}

#[test]
fn a_host_returns_with_another_address() {
    let (_, one, two) = hosts();
    let old = two.addresses();
    reaches(&one, old[0]);
    two.change_address().unwrap();
    assert_ne!(two.addresses(), old);
    for (old, new) in old.into_iter().zip(two.addresses()) {
        reaches(&one, new);
        ping(&one, old).unwrap_err();
    }
    // It keeps them.
    two.power_off();
    two.power_on().unwrap();
    reaches(&one, two.address());
}

#[test]
fn all_programs_of_a_host_are_killed_and_none_besides() {
    let (_, one, two) = hosts();
    let sleep = |host: &Host| {
        let mut command = host.command("sleep");
        command.arg("1000");
        host.start("sleeper", command).unwrap()
    };
    let (mut other, mut own) = (sleep(&one), sleep(&two));
    two.kill_all().unwrap();
    own.wait(LIMIT).unwrap();
    other.check().unwrap();
    assert_eq!(run(&two, "hostname").unwrap(), "two\n");
}
