//! A path to a server that can be broken: each connection is forwarded through one that begins in a network's
//! namespace.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use hostnet::NetNs;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::cannot;
use crate::{Network, TestbedError};

/// The network's router, where relays listen.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// How much is read before it is passed on.
const BUFFER_BYTES: usize = 1 << 14;

/// The state of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// It is passed on.
    Open,
    /// Data are held back: connections stay and are still accepted, but nothing is forwarded. Data received in the
    /// meantime are forwarded when the relay opens again.
    Silent,
    /// Connections end, and new ones are refused.
    Closed,
}

/// A relay of TCP connections that listens in a [`Network`], until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Option<watch::Sender<RelayState>>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Forwards connections from a free port of the network's router to `target`.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(network: &Network, target: SocketAddr) -> Result<Relay, TestbedError> {
        let namespace = NetNs::open(&network.network_namespace())?;
        let listen = || std::net::TcpListener::bind((ADDRESS, 0));
        let listener =
            namespace.block_on(|| std::future::ready(listen()))?.map_err(cannot("listen for a relay"))?;
        let address = listener.local_addr().map_err(cannot("listen for a relay"))?;
        listener.set_nonblocking(true).map_err(cannot("listen for a relay"))?;
        let (sender, state) = watch::channel(RelayState::Open);
        let connections = Arc::<AtomicUsize>::default();
        let way = Way { target, state, connections: Arc::clone(&connections) };
        let thread = std::thread::spawn(move || {
            let serve = || way.serve(address, listener);
            if let Err(error) = namespace.block_on(serve) {
                eprintln!("the relay at {address} ended: {error}");
            }
        });
        Ok(Relay { address, state: Some(sender), connections, thread: Some(thread) })
    }

    /// Where hosts of the network find the relay.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does otherwise from now on, with connections that stand too.
    pub fn set(&self, state: RelayState) {
        if let Some(sender) = &self.state {
            sender.send_replace(state);
        }
    }

    /// How many connections to the target stand.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The thread ends when the state can no longer be changed.
        drop(self.state.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The context of each connection of a relay.
#[derive(Clone, Debug)]
struct Way {
    target: SocketAddr,
    state: watch::Receiver<RelayState>,
    connections: Arc<AtomicUsize>,
}

impl Way {
    /// Serves until the relay is dropped.
    async fn serve(self, address: SocketAddr, listener: std::net::TcpListener) {
        let mut listener = TcpListener::from_std(listener).ok();
        let mut state = self.state.clone();
        while let Some(listening) = listener.take() {
            if !self.serve_until_closed(&listening).await {
                return;
            }
            drop(listening);
            if state.wait_for(|state| *state != RelayState::Closed).await.is_err() {
                return;
            }
            listener = TcpListener::bind(address).await.ok();
        }
        eprintln!("the relay at {address} cannot listen any more");
    }

    /// Whether the relay is to open again; all connections have ended then.
    async fn serve_until_closed(&self, listener: &TcpListener) -> bool {
        let mut connections = JoinSet::new();
        let mut state = self.state.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((client, _)) = accepted {
                    connections.spawn(self.clone().pass_on(client));
                },
                closed = state.wait_for(|state| *state == RelayState::Closed) => return closed.is_ok(),
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn pass_on(self, client: TcpStream) {
        let is_open = |state: &RelayState| *state == RelayState::Open;
        if self.state.clone().wait_for(is_open).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(self.target).await else { return };
        let _counted = Counted::new(&self.connections);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let sent = copy(from_client, to_server, self.state.clone());
        let received = copy(from_server, to_client, self.state);
        let _ = tokio::try_join!(sent, received);
    }
}

/// Copies one direction to its end, while the relay is open.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<RelayState>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        let opened = state.wait_for(|state| *state == RelayState::Open).await;
        opened.map_err(std::io::Error::other)?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// Counts one connection while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
