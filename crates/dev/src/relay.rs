//! The connection from the machine's own shell to the API server, which is in a host's network.
//!
//! The machine's network is not changed: the relay listens on a loopback port, and forwards each connection through one
//! that begins in the host's network. It reaches the server even if its host is cut off.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use anyhow::Context;
use hostnet::{NetNs, NetNsError};
use testbed::Host;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// How many connections are passed on at once. More wait.
const CONNECTIONS_MAX: usize = 512;

/// The server's address on its host.
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

/// Listens at a free port of the loopback interface.
///
/// # Errors
/// If there is none.
pub async fn listen() -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on the loopback interface")
}

/// Forwards connections to the server on `host`, for as long as that exists.
pub async fn run(listener: TcpListener, host: Weak<Host>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            // The client went away again, or no file descriptor is left, which takes a moment.
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        // Opened each time: a host that is turned on again has a new one.
        let Some(namespace) = host.upgrade().map(|host| NetNs::open(&host.network_namespace())) else {
            return;
        };
        tokio::spawn(async move {
            if let Err(error) = pass_on(client, namespace).await {
                tracing::debug!(error = format!("{error:#}"), "a connection to the API ended");
            }
            drop(permit);
        });
    }
}

async fn pass_on(mut client: TcpStream, namespace: Result<NetNs, NetNsError>) -> anyhow::Result<()> {
    let socket = namespace?.run(|| async { TcpSocket::new_v4() }).await??;
    let mut server = socket.connect(SERVER).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
