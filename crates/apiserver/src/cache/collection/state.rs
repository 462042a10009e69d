//! The state of a collection: its objects, and its last changes.

use std::collections::VecDeque;
use std::sync::Arc;

use imbl::OrdMap;
use object::Versioned;

use super::super::snapshot::{Counts, Snapshot};
use super::super::{Change, ChangeKind};

/// How many changes a collection remembers at most.
pub(crate) const LOG_CHANGES_MAX: usize = 8192;
/// The maximum number of bytes in those changes; the newest change is always kept.
const LOG_BYTES_MAX: usize = 16 << 20;

/// All objects, and what happened to them last.
#[derive(Default)]
pub(super) struct State {
    pub(super) objects: OrdMap<Arc<str>, Versioned>,
    pub(super) counts: Counts,
    pub(super) log: VecDeque<Arc<Change>>,
    pub(super) log_bytes: usize,
    /// The sequence number of the log's first entry.
    pub(super) log_start: u64,
    /// The revision from which on the log is complete: watches may start from here.
    pub(super) complete_from: u64,
    /// Snapshots of lists that have not been read to the end.
    pub(super) pinned: VecDeque<Snapshot>,
    /// The revision before which the store has dropped its history.
    pub(super) compacted: u64,
    /// The revision that the collection was loaded at: it has everything up to there.
    pub(super) loaded: u64,
    /// The resource is not served any more: no change follows.
    pub(super) ended: bool,
}

impl State {
    pub(super) fn snapshot(&self, reached: u64) -> Snapshot {
        let newest = self.log.back().map_or(0, |change| change.revision);
        let (objects, counts) = (self.objects.clone(), self.counts.clone());
        Snapshot { objects, counts, revision: reached.max(newest) }
    }

    /// The position behind the log's last entry.
    pub(super) fn end(&self) -> u64 {
        self.log_start + self.log.len() as u64
    }

    /// Replaces the previous version of an object.
    pub(super) fn put(&mut self, key: &str, object: Versioned) -> Option<Versioned> {
        if let Some(known) = self.objects.get_mut(key) {
            return Some(std::mem::replace(known, object));
        }
        self.objects.insert(key.into(), object);
        if let Some(namespace) = namespace_of(key) {
            match self.counts.get_mut(namespace) {
                Some(count) => *count += 1,
                None => drop(self.counts.insert(namespace.into(), 1)),
            }
        }
        None
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Versioned> {
        let previous = self.objects.remove(key)?;
        if let Some(namespace) = namespace_of(key) {
            let count = self.counts.get_mut(namespace).expect("an object is counted for its namespace");
            *count -= 1;
            if *count == 0 {
                self.counts.remove(namespace);
            }
        }
        Some(previous)
    }

    pub(super) fn append(&mut self, change: Arc<Change>) {
        // Several keys may change at one revision.
        let in_order = match self.log.back() {
            Some(last) => change.revision >= last.revision,
            None => change.revision > self.complete_from,
        };
        assert!(in_order, "changes come in the order of their revisions");
        debug_assert_eq!(change.previous.is_some(), !matches!(change.kind, ChangeKind::Added));
        self.log_bytes += change.bytes();
        self.log.push_back(change);
        while self.log.len() > LOG_CHANGES_MAX || (self.log_bytes > LOG_BYTES_MAX && self.log.len() > 1) {
            self.forget_oldest();
        }
    }

    pub(super) fn forget_oldest(&mut self) {
        let Some(evicted) = self.log.pop_front() else { return };
        assert!(evicted.revision > self.complete_from, "the log is forgotten from its old end");
        self.log_bytes -= evicted.bytes();
        debug_assert_eq!(self.log.is_empty(), self.log_bytes == 0, "only changes cost bytes");
        self.log_start += 1;
        self.complete_from = evicted.revision;
    }

    /// The present objects, and the changes after a revision, the newest last; see [`super::Collection::snapshot_at`].
    pub(super) fn before(&self, revision: u64, reached: u64) -> Option<(State, Vec<Arc<Change>>)> {
        if revision > reached || revision < self.complete_from.max(self.compacted) {
            return None;
        }
        let kept = self.log.partition_point(|change| change.revision <= revision);
        let present =
            State { objects: self.objects.clone(), counts: self.counts.clone(), ..State::default() };
        Some((present, self.log.iter().skip(kept).cloned().collect()))
    }

    /// The state before its last changes.
    pub(super) fn without(mut self, changes: &[Arc<Change>], revision: u64) -> Snapshot {
        for change in changes.iter().rev() {
            let key = change.object.key().to_string();
            match &change.previous {
                Some(previous) => drop(self.put(&key, previous.clone())),
                None => drop(self.remove(&key)),
            }
        }
        Snapshot { objects: self.objects, counts: self.counts, revision }
    }
}

/// The namespace at the beginning of a key after the prefix, if it has one.
fn namespace_of(key: &str) -> Option<&str> {
    key.split_once('/').map(|(namespace, _)| namespace)
}
