//! How long old versions of objects are kept: in the store, and by the cache over it.
//!
//! Watches and lists can continue from old versions for five minutes, as upstream. After a burst that would be too
//! much, so only the newest thousand changes older than a minute are kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use apiserver::cache::Hub;
use store::{Revision, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::memory;

/// How often to check.
const EVERY: Duration = Duration::from_secs(30);
/// How long history is kept.
const KEPT: Duration = Duration::from_secs(300);
/// How long all of it is kept, regardless of the amount.
const KEPT_WHOLE: Duration = Duration::from_secs(60);
/// How many changes older than that are kept.
const CHANGES_MAX: u64 = 1000;

/// Drops old history until it is stopped.
pub async fn limit(hub: Arc<Hub>, stop: CancellationToken) {
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let store = hub.store();
        let Ok(now) = store.current_revision().await else { return };
        let Some(oldest) = seen.oldest_kept(Instant::now(), now) else { continue };
        match store.compact(oldest).await {
            // The store limits the memory of its history, and may have dropped this already.
            Ok(()) | Err(StoreError::Compacted { .. }) => {
                hub.forget_before(oldest);
                memory::give_back_now().await;
            }
            Err(error) => tracing::warn!(%error, "cannot drop old history"),
        }
    }
}

/// Past revisions, with the times at which they were current.
#[derive(Default)]
struct Seen {
    at: VecDeque<(Instant, Revision)>,
    dropped: Revision,
    dropped_at: Option<Instant>,
}

impl Seen {
    /// Records the current revision; returns the revision before which history can be dropped now, if any.
    fn oldest_kept(&mut self, now: Instant, current: Revision) -> Option<Revision> {
        self.at.push_back((now, current));
        let before = |age: Duration| {
            self.at.iter().rev().find(|(at, _)| now.duration_since(*at) >= age).map(|(_, revision)| *revision)
        };
        let old = before(KEPT);
        let much =
            before(KEPT_WHOLE).map(|revision| revision.min(Revision(current.0.saturating_sub(CHANGES_MAX))));
        let oldest = old.max(much)?;
        while self.at.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= KEPT) {
            self.at.pop_front();
        }
        // Rarely for a few changes, because each time costs a write.
        let is_time = self.dropped_at.is_none_or(|at| now.duration_since(at) >= KEPT);
        let are_many = oldest.0 >= self.dropped.0 + CHANGES_MAX / 2;
        if oldest <= self.dropped || !(is_time && old.is_some() || are_many) {
            return None;
        }
        (self.dropped, self.dropped_at) = (oldest, Some(now));
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of changes to drop when this many arrive between two checks.
    fn dropped(changes: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
        let (mut seen, start, mut current) = (Seen::default(), Instant::now(), 1);
        let mut dropped = Vec::new();
        for (look, changes) in (0..).zip(changes) {
            current += changes;
            let now = start + EVERY * look;
            dropped.extend(
                seen.oldest_kept(now, Revision(current)).map(|oldest| (u64::from(look) * 30, oldest.0)),
            );
        }
        dropped
    }

    #[test]
    fn little_is_kept_for_five_minutes_and_much_for_one() {
        assert_eq!(dropped(std::iter::repeat_n(0, 100)), [(300, 1)]);
        let little = dropped(std::iter::repeat_n(10, 20));
        assert_eq!(little, [(300, 11)]);
        // A burst of 3,000 changes at the first check.
        let much = dropped(std::iter::once(3000).chain(std::iter::repeat_n(0, 4)));
        assert_eq!(much, [(60, 2001)]);
    }
}
