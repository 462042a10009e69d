//! A watch on its way to a component.

use std::sync::Arc;

use client::{ClientError, WatchEvent, WatchStream};
use futures::{StreamExt, stream};
use object::Status;
use tokio_util::sync::CancellationToken;

use crate::Journal;
use crate::faults::{ConnectionFaults, WatchFate};

pub(super) struct Watch {
    pub(super) events: WatchStream,
    pub(super) faults: Option<Arc<ConnectionFaults>>,
    /// The events that break the connection: the end of the server, of the component, of all watches.
    pub(super) cuts: [CancellationToken; 3],
    pub(super) plural: String,
    /// The version of the last event; 0 if the watch began with the present objects, in no order.
    pub(super) version: u64,
    pub(super) journal: Journal,
}

impl Watch {
    pub(super) fn into_stream(self) -> WatchStream {
        Box::pin(stream::unfold(Some(self), |watch| async { watch?.next().await }))
    }

    async fn next(mut self) -> Option<(Result<WatchEvent, ClientError>, Option<Watch>)> {
        loop {
            let [up, ended, all] = self.cuts.clone();
            let next = up
                .run_until_cancelled(ended.run_until_cancelled(all.run_until_cancelled(self.events.next())));
            let event = match next.await.flatten().flatten() {
                None => {
                    return Some((
                        Err(ClientError::transport("read the watch", "the connection broke")),
                        None,
                    ));
                }
                Some(None) => return None,
                Some(Some(Err(error))) => return Some((Err(error), None)),
                Some(Some(Ok(event))) => event,
            };
            self.check(&event);
            let Some(faults) = &self.faults else { return Some((Ok(event), Some(self))) };
            faults.released(&self.plural).await;
            let latency = faults.latency() + faults.lateness();
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            let is_bookmark = matches!(event, WatchEvent::Bookmark { .. });
            match faults.watch_fate(&self.plural) {
                WatchFate::Forgets if !is_bookmark => {
                    self.journal.note(format!("{}: forgot {}", faults.who, summary(&event)));
                }
                WatchFate::Breaks => {
                    let error = ClientError::transport("read the watch", "a fault of the simulation");
                    return Some((Err(error), None));
                }
                WatchFate::Expires => {
                    let status =
                        Status::resource_expired("too old resource version: a fault of the simulation");
                    return Some((Err(status.into()), None));
                }
                WatchFate::Delivers | WatchFate::Forgets => return Some((Ok(event), Some(self))),
            }
        }
    }

    /// Versions of a watch only grow.
    fn check(&mut self, event: &WatchEvent) {
        let (version, is_bookmark) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                (object.resource_version(), false)
            }
            WatchEvent::Bookmark { resource_version } => (resource_version.parse().unwrap_or(0), true),
        };
        if self.version == 0 {
            return;
        }
        if version < self.version || (version == self.version && !is_bookmark) {
            let last = self.version;
            let what = summary(event);
            self.journal.violate(format!("a watch of {} told of {what} after version {last}", self.plural));
        }
        self.version = version;
    }
}

fn summary(event: &WatchEvent) -> String {
    let (verb, object) = match event {
        WatchEvent::Added(object) => ("ADDED", object),
        WatchEvent::Modified(object) => ("MODIFIED", object),
        WatchEvent::Deleted(object) => ("DELETED", object),
        WatchEvent::Bookmark { resource_version } => return format!("BOOKMARK {resource_version}"),
    };
    format!("{verb} {} {} at {}", object.kind(), object.key(), object.resource_version())
}
