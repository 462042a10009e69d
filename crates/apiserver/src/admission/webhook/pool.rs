//! Connections to one webhook that wait for their next request.

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
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// The connections, each with the time of its last answer. They end with the pool.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<(Sender, Instant)>>);

impl Pool {
    /// A connection that is ready for a request, if there is one. Those that have waited for too long end.
    pub(super) async fn take(&self) -> Option<Sender> {
        loop {
            let (mut sender, since) = self.0.lock().pop()?;
            if since.elapsed() > IDLE_FOR {
                // Those below have waited even longer.
                self.0.lock().clear();
                return None;
            }
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn give(&self, sender: Sender) {
        let mut idle = self.0.lock();
        if !sender.is_closed() && idle.len() < IDLE_MAX {
            idle.push((sender, Instant::now()));
        }
    }
}
