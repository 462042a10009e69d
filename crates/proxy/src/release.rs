//! Tells a server that is about to stop that no rule refers to it any more.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Asks a running proxy about its rules. Clones ask the same one.
#[derive(Debug, Clone, Default)]
pub struct Release(Arc<Questions>);

#[derive(Debug, Default)]
struct Questions {
    waiting: Mutex<Vec<(BTreeSet<SocketAddr>, oneshot::Sender<()>)>>,
    asked: Notify,
}

impl Release {
    /// Waits until the proxy's rules in the kernel no longer refer to these endpoints, and UDP flows to them have been
    /// deleted. If the proxy is not running, this never returns.
    pub async fn of(&self, endpoints: BTreeSet<SocketAddr>) {
        let (answer, answered) = oneshot::channel();
        self.0.waiting.lock().push((endpoints, answer));
        self.0.asked.notify_one();
        if answered.await.is_err() {
            // The proxy was dropped with the question.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for a question.
    pub(crate) async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// Answers the questions about endpoints that nothing leads to any more.
    pub(crate) fn answer(&self, leads_to: impl Fn(&BTreeSet<SocketAddr>) -> bool) {
        let mut waiting = self.0.waiting.lock();
        for (endpoints, answer) in std::mem::take(&mut *waiting) {
            match leads_to(&endpoints) {
                true => waiting.push((endpoints, answer)),
                // The asker may have given up.
                false => drop(answer.send(())),
            }
        }
    }
}
