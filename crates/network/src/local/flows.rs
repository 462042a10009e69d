//! What connection tracking knows of pods that are gone.
//!
//! A flow outlives its ends. When an address is given to another pod, an old flow would lead packets to it that were
//! meant for the former one, past the rules that look at a flow's first packet alone, or translate its own packets as
//! those of the former one.

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;

use hostnet::conntrack;
use parking_lot::Mutex;

/// Ends flows. Those of pods that go at the same time are ended in one pass over the kernel's table.
#[derive(Debug, Default)]
pub(super) struct Flows {
    waiting: Mutex<BTreeSet<IpAddr>>,
    /// Held during a pass.
    pass: tokio::sync::Mutex<()>,
}

impl Flows {
    /// Ends the flows of addresses that lead nowhere any more. A kernel that refuses is no hindrance: the flows end by
    /// themselves, later.
    pub(super) async fn end(&self, addresses: Vec<IpAddr>) {
        self.waiting.lock().extend(addresses);
        let _alone = self.pass.lock().await;
        let addresses = mem::take(&mut *self.waiting.lock());
        if addresses.is_empty() {
            // The pass before had them.
            return;
        }
        let done = tokio::task::spawn_blocking(move || conntrack::end_of_addresses(&addresses)).await;
        match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            Ok(0) => {}
            Ok(flows) => tracing::debug!(flows, "ended flows of pods that are gone"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot end the flows of pods that are gone"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
