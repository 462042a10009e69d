//! Connections to one webhook that wait for their next request.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How many connections wait, and for how long: as upstream's client.
const IDLE_MAX: usize = 25;
const IDLE_FOR: Duration = Duration::from_secs(90);

/// A connection.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// The endpoint of a Service that it leads to; `None` outside of the cluster.
    pub(super) to: Option<SocketAddr>,
}

/// The connections, each with the time of its last answer. They end with the pool.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<(Connection, Instant)>>);

impl Pool {
    /// A connection to this endpoint that is ready for a request, if there is one. Those that have waited for too long
    /// end, wherever they lead: so do those to endpoints that are gone.
    pub(super) async fn take(&self, to: Option<SocketAddr>) -> Option<Connection> {
        loop {
            let mut connection = self.pop(to)?;
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn pop(&self, to: Option<SocketAddr>) -> Option<Connection> {
        let mut idle = self.0.lock();
        idle.retain(|(connection, since)| !connection.sender.is_closed() && since.elapsed() <= IDLE_FOR);
        let at = idle.iter().rposition(|(connection, _)| connection.to == to)?;
        Some(idle.remove(at).0)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn give(&self, connection: Connection) {
        let mut idle = self.0.lock();
        if connection.sender.is_closed() {
            return;
        }
        if idle.len() >= IDLE_MAX {
            // The one that has waited for longest may lead to an endpoint that is gone.
            idle.remove(0);
        }
        idle.push((connection, Instant::now()));
    }
}
