//! The content of a log in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use imbl::OrdSet;

use super::view::{Lease, View, deletion};
use crate::damage::Damage;
use crate::disk::LogError;
use crate::log::{Log, Record};
use crate::{Event, KeyValue, Revision};

/// The content of a log.
pub(super) struct Loaded {
    pub(super) view: View,
    /// Records that no kept revision needs, each after those of its key that it superseded.
    pub(super) superseded: VecDeque<Revision>,
    /// The first revision at which the history has a gap; from there the view has none.
    gap: Option<Revision>,
}

impl Loaded {
    /// Reads everything. If the log is damaged, the view contains the readable part, without history after the damage.
    pub(super) fn read(log: &mut dyn Log) -> Result<(Loaded, Damage), LogError> {
        let view = View::new(log.compacted()?);
        let mut loaded = Loaded { view, superseded: VecDeque::new(), gap: None };
        let mut damage = log.scan(&mut |record| {
            loaded.take(record);
            Ok(())
        })?;
        if let Some(gap) = loaded.gap.filter(|_| damage.is_empty()) {
            damage = Damage::problem(format!("revision {gap} does not match the records before it"));
        }
        Ok((loaded, damage))
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::GrantLease { lease, ttl, deadline } => {
                self.view.leases.insert(lease, Lease { ttl, deadline, keys: OrdSet::new() });
            }
            Record::RevokeLease { lease } => {
                self.view.leases.remove(&lease);
            }
            Record::Put(kv) if self.is_without_history(kv.mod_revision) => self.settle_put(kv),
            Record::Delete { key, revision } if self.is_without_history(revision) => {
                self.superseded.extend(self.view.unload(&key).map(|old| old.mod_revision));
                self.superseded.push_back(revision);
                self.view.revision = self.view.revision.max(revision);
            }
            Record::Put(kv) => {
                let prev = self.view.get(&kv.key).cloned();
                self.view.apply(Event::Put { kv, prev });
            }
            Record::Delete { key, revision } => match self.view.get(&key).cloned() {
                Some(prev) => self.view.apply(deletion(prev, revision)),
                None => {
                    self.gap = Some(revision);
                    self.view.revision = revision;
                }
            },
        }
    }

    /// Whether a record is compacted, or behind a gap.
    fn is_without_history(&mut self, revision: Revision) -> bool {
        if revision > self.view.compacted && self.gap.is_none() && revision != self.view.revision.next() {
            self.gap = Some(revision);
        }
        revision <= self.view.compacted || self.gap.is_some()
    }

    fn settle_put(&mut self, kv: Arc<KeyValue>) {
        self.view.revision = self.view.revision.max(kv.mod_revision);
        self.superseded.extend(self.view.load(kv).map(|old| old.mod_revision));
    }
}
