//! Servers, clients and links for tests that send packets between their own namespaces.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::NetNs;

/// How long a client waits for an answer. Refusals come at once; only lost packets take this long.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

/// A server that sends each client its name and the client's address, until it is dropped; then its address is free.
pub struct Greeter {
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Drop for Greeter {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // The test has already seen the server's panic.
            let _ = thread.join();
        }
    }
}

impl Greeter {
    /// Serves TCP at `address` in `namespace`.
    pub fn tcp(namespace: &NetNs, address: SocketAddr, name: &str) -> Greeter {
        let name = name.to_owned();
        Greeter::start(namespace, move |ready| async move {
            let listener = until_free(|| TcpListener::bind(address)).await;
            let _ = ready.send(());
            while let Ok((mut stream, peer)) = listener.accept().await {
                let _ = stream.write_all(format!("{name} {}", peer.ip()).as_bytes()).await;
            }
        })
    }

    /// Serves UDP at `address` in `namespace`.
    pub fn udp(namespace: &NetNs, address: SocketAddr, name: &str) -> Greeter {
        let name = name.to_owned();
        Greeter::start(namespace, move |ready| async move {
            let socket = until_free(|| UdpSocket::bind(address)).await;
            let _ = ready.send(());
            while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]).await {
                let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer).await;
            }
        })
    }

    fn start<F, Fut>(namespace: &NetNs, serve: F) -> Greeter
    where
        F: FnOnce(std::sync::mpsc::Sender<()>) -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let namespace = NetNs::open(&namespace.path()).expect("the namespace is open");
        let thread = std::thread::spawn(move || {
            let work = || async {
                tokio::select! { () = serve(ready) => {}, _ = stopped => {} }
            };
            namespace.block_on(work).expect("the namespace can be entered");
        });
        is_ready.recv().expect("the server started");
        Greeter { running: Some((stop, thread)) }
    }
}

/// Binds as soon as the address is free: a process that another test starts right now holds all sockets until it has its own
/// program.
async fn until_free<T, Fut: Future<Output = io::Result<T>>>(bind: impl Fn() -> Fut) -> T {
    let free = async {
        loop {
            match bind().await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                bound => return bound.expect("the test's address is one of the namespace"),
            }
        }
    };
    timeout(Duration::from_secs(20), free).await.expect("the test's address is free")
}

/// Connects by TCP from the calling thread's namespace and returns the server's answer.
pub async fn ask_tcp(address: SocketAddr) -> io::Result<String> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    within(async {
        let mut answer = String::new();
        socket.connect(address).await?.read_to_string(&mut answer).await?;
        Ok(answer)
    })
    .await
}

/// Sends a datagram from `socket` and returns the answer.
pub async fn ask_udp_from(socket: &UdpSocket, address: SocketAddr) -> io::Result<String> {
    within(async {
        socket.connect(address).await?;
        socket.send(b"?").await?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).await?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
    .await
}

/// As [`ask_udp_from`], from a new socket.
pub async fn ask_udp(address: SocketAddr) -> io::Result<String> {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    ask_udp_from(&UdpSocket::bind((any, 0)).await?, address).await
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(ANSWER_WITHIN, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Runs `ip` (iproute2) with each line's arguments in `namespace`.
///
/// # Panics
/// If one fails.
pub fn ip(namespace: &NetNs, lines: &str) {
    let run = || async {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let output =
                Command::new("ip").args(line.split_whitespace()).output().expect("iproute2 is installed");
            assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    };
    namespace.block_on(run).expect("the namespace can be entered");
}

/// Links two namespaces: `name` with the address `one` (with prefix) in the first, `two` in the second.
pub fn link(first: &NetNs, one: &str, second: &NetNs, two: &str, name: &str) {
    for namespace in [first, second] {
        // Without this, new links have no usable link-local IPv6 address for a second or two.
        let no_detection = || async { std::fs::write("/proc/sys/net/ipv6/conf/default/dad_transmits", "0") };
        namespace.block_on(no_detection).expect("the namespace can be entered").expect("the setting exists");
    }
    let other = second.path();
    ip(first, &format!("link add {name} type veth peer name {name} netns {}", other.display()));
    for (namespace, address) in [(first, one), (second, two)] {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        ip(
            namespace,
            &format!("addr add {address} dev {name} {nodad}\n link set {name} up\n link set lo up"),
        );
    }
}
