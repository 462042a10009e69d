use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::until;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server in the network that sends everything back.
fn echo(namespace: &NetNs) -> SocketAddr {
    let listener = namespace.block_on(|| async { TcpListener::bind((ADDRESS, 0)).unwrap() }).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // It lives as long as the test's process.
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut from, &mut stream);
            });
        }
    });
    address
}

fn connect(namespace: &NetNs, address: SocketAddr) -> std::io::Result<TcpStream> {
    let connected = namespace.block_on(|| async { TcpStream::connect(address) }).unwrap();
    connected.inspect(|stream| stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap())
}

#[test]
fn a_relay_passes_on_is_silent_and_ends() {
    let network = Network::new().unwrap();
    let namespace = NetNs::open(&network.network_namespace()).unwrap();
    let relay = Relay::start(&network, echo(&namespace)).unwrap();
    let heard = |stream: &mut TcpStream, text: &str| -> String {
        stream.write_all(text.as_bytes()).unwrap();
        until("an answer", PATIENCE, || {
            let mut answer = [0; 16];
            match stream.read(&mut answer) {
                Ok(length) => Ok(String::from_utf8_lossy(&answer[..length]).into_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .unwrap()
    };
    let mut first = connect(&namespace, relay.address()).unwrap();
    assert_eq!(heard(&mut first, "one"), "one");
    assert_eq!(relay.connections(), 1);

    relay.set(RelayState::Silent);
    let mut second = connect(&namespace, relay.address()).unwrap();
    for stream in [&mut first, &mut second] {
        stream.write_all(b"two").unwrap();
        let error = stream.read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    // The data that were held back arrive after all.
    relay.set(RelayState::Open);
    assert_eq!(heard(&mut first, ""), "two");
    assert_eq!(heard(&mut second, ""), "two");

    relay.set(RelayState::Closed);
    until("the end of the connections", PATIENCE, || match relay.connections() {
        0 => Ok(()),
        left => Err(left.to_string()),
    })
    .unwrap();
    assert_eq!(first.read(&mut [0; 16]).unwrap_or_default(), 0);
    until("a refusal", PATIENCE, || match connect(&namespace, relay.address()) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .unwrap();
    relay.set(RelayState::Open);
    let mut third = until("a connection", PATIENCE, || {
        connect(&namespace, relay.address()).map_err(|error| error.to_string())
    })
    .unwrap();
    assert_eq!(heard(&mut third, "three"), "three");
}
