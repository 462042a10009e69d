//! The one writer: checks preconditions, assigns revisions, makes batches durable, publishes them.
//!
//! It owns the log and the newest view. A batch changes the private view first, then goes to the log in one
//! transaction, and only then becomes visible to readers, watchers and the callers that wait for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imbl::OrdSet;
use tokio::sync::oneshot;

use super::shared::Shared;
use super::view::{Lease, View};
use crate::log::{Log, LogError, Record};
use crate::{Event, Expect, KeyValue, LeaseId, Revision, StoreError, Write, WriteOp, WriteOutcome};

/// Superseded records that are removed from the log in one transaction.
const COMPACTION_CHUNK: usize = 2048;

/// A change that callers ask the writer for.
pub(super) enum Command {
    /// Put or delete a key.
    Write(Write),
    /// Make a lease.
    GrantLease { lease: LeaseId, ttl: Duration },
    /// End a lease and delete its keys.
    RevokeLease(LeaseId),
    /// Drop history before a revision.
    Compact(Revision),
}

/// The answer to a command; all but writes answer with a committed outcome without previous value.
pub(super) type Reply = Result<WriteOutcome, StoreError>;

/// A command and who waits for it.
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// See the module.
pub(super) struct Engine {
    log: Box<dyn Log>,
    view: View,
    shared: Arc<Shared>,
    /// Bytes of history to keep at most.
    history_bytes_max: usize,
    /// Records of the log that no kept revision needs, each after those of its key that it superseded.
    superseded: VecDeque<Revision>,
    /// Whether a compaction was asked for, which removes even the last few superseded records and gives
    /// space back to the file system.
    compacting: bool,
}

impl Engine {
    /// Reads the log into memory.
    pub(super) fn load(mut log: Box<dyn Log>, history_bytes_max: usize) -> Result<Engine, LogError> {
        let compacted = log.compacted()?;
        let mut view = View::new(compacted);
        let mut superseded = VecDeque::new();
        log.scan(&mut |record| load_record(&mut view, &mut superseded, record))?;
        let shared = Arc::new(Shared::new(view.clone()));
        let mut engine = Engine { log, view, shared, history_bytes_max, superseded, compacting: false };
        engine.limit_history();
        engine.shared.publish(&engine.view, &[]);
        Ok(engine)
    }

    /// What readers see.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Carries out a batch and answers each request once its change is durable.
    ///
    /// After an error nobody was answered and the engine must not be used again.
    pub(super) fn commit(&mut self, batch: impl Iterator<Item = Request>) -> Result<(), LogError> {
        let mut changes = Changes::default();
        let answers: Vec<_> =
            batch.map(|request| (request.reply, self.execute(request.command, &mut changes))).collect();
        if !changes.records.is_empty() {
            self.log.append_batch(&changes.records)?;
        }
        self.limit_history();
        self.shared.publish(&self.view, &changes.events);
        for (reply, answer) in answers {
            // A caller that went away does not want its answer.
            let _ = reply.send(answer);
        }
        Ok(())
    }

    /// Whether [`Engine::keep_house`] has a compaction to go on with.
    pub(super) fn is_compacting(&self) -> bool {
        self.compacting || self.superseded.len() >= COMPACTION_CHUNK
    }

    /// Does one bounded piece of housekeeping.
    pub(super) fn keep_house(&mut self) -> Result<(), LogError> {
        if self.is_compacting() {
            let count = self.superseded.len().min(COMPACTION_CHUNK);
            let chunk: Vec<_> = self.superseded.drain(..count).collect();
            let more = self.log.compact(self.view.compacted, &chunk)?;
            self.compacting = self.compacting && (more || !self.superseded.is_empty());
        }
        self.log.tidy()
    }

    fn execute(&mut self, command: Command, changes: &mut Changes) -> Reply {
        match command {
            Command::Write(write) => self.write(write, changes),
            Command::GrantLease { lease, ttl } => {
                self.view.leases.insert(lease, Lease { ttl, keys: OrdSet::new() });
                changes.records.push(Record::GrantLease { lease, ttl });
                Ok(self.done())
            }
            Command::RevokeLease(lease) => self.revoke(lease, changes),
            Command::Compact(revision) => self.compact(revision),
        }
    }

    fn write(&mut self, write: Write, changes: &mut Changes) -> Reply {
        let current = self.view.get(&write.key).cloned();
        let holds = match write.expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::ModRevision(expected) => current.as_ref().is_some_and(|kv| kv.mod_revision == expected),
        };
        if !holds {
            return Ok(WriteOutcome::Conflict { current, revision: self.view.revision });
        }
        let revision = self.view.revision.next();
        let event = match (write.op, current) {
            (WriteOp::Put(value), prev) => {
                if let Some(lease) = write.lease.filter(|lease| !self.view.leases.contains_key(lease)) {
                    return Err(StoreError::LeaseNotFound(lease));
                }
                Event::Put {
                    kv: Arc::new(successor(prev.as_deref(), &write.key, value, revision, write.lease)),
                    prev,
                }
            }
            (WriteOp::Delete, Some(prev)) => Event::Delete { prev, revision },
            (WriteOp::Delete, None) => return Ok(self.done()),
        };
        let previous = event.prev().cloned();
        self.apply(event, changes);
        Ok(WriteOutcome::Committed { revision, previous })
    }

    fn revoke(&mut self, lease: LeaseId, changes: &mut Changes) -> Reply {
        let Some(Lease { keys, .. }) = self.view.leases.remove(&lease) else {
            return Err(StoreError::LeaseNotFound(lease));
        };
        for key in keys {
            if let Some(prev) = self.view.get(&key).cloned() {
                let revision = self.view.revision.next();
                self.apply(Event::Delete { prev, revision }, changes);
            }
        }
        changes.records.push(Record::RevokeLease { lease });
        Ok(self.done())
    }

    fn compact(&mut self, revision: Revision) -> Reply {
        if revision <= self.view.compacted {
            return Err(StoreError::Compacted { requested: revision, oldest: self.view.compacted });
        }
        self.view.check(revision)?;
        while self.view.compacted < revision {
            self.forget_oldest();
        }
        self.compacting = true;
        Ok(self.done())
    }

    fn apply(&mut self, event: Event, changes: &mut Changes) {
        changes.records.push(Record::from(&event));
        changes.events.push(event.clone());
        self.view.apply(event);
    }

    fn limit_history(&mut self) {
        while self.view.history_bytes() > self.history_bytes_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(event) = self.view.forget_oldest() else { return };
        self.superseded.extend(event.prev().map(|prev| prev.mod_revision));
        if let Event::Delete { revision, .. } = event {
            self.superseded.push_back(revision);
        }
    }

    fn done(&self) -> WriteOutcome {
        WriteOutcome::Committed { revision: self.view.revision, previous: None }
    }
}

/// What a batch changed.
#[derive(Default)]
struct Changes {
    records: Vec<Record>,
    events: Vec<Event>,
}

/// The version that follows `prev`.
fn successor(
    prev: Option<&KeyValue>,
    key: &Bytes,
    value: Bytes,
    revision: Revision,
    lease: Option<LeaseId>,
) -> KeyValue {
    KeyValue {
        // The keys of all versions of an object share one allocation.
        key: prev.map_or(key, |prev| &prev.key).clone(),
        value,
        create_revision: prev.map_or(revision, |prev| prev.create_revision),
        mod_revision: revision,
        version: prev.map_or(1, |prev| prev.version + 1),
        lease,
    }
}

/// Applies a record from the log: what is compacted to the keyspace alone, the rest with its history.
fn load_record(view: &mut View, superseded: &mut VecDeque<Revision>, record: Record) -> Result<(), LogError> {
    let (revision, event) = match record {
        Record::GrantLease { lease, ttl } => {
            view.leases.insert(lease, Lease { ttl, keys: OrdSet::new() });
            return Ok(());
        }
        Record::RevokeLease { lease } => {
            view.leases.remove(&lease);
            return Ok(());
        }
        Record::Put(kv) if kv.mod_revision <= view.compacted => {
            superseded.extend(view.load(kv).map(|old| old.mod_revision));
            return Ok(());
        }
        Record::Delete { key, revision } if revision <= view.compacted => {
            superseded.extend(view.unload(&key).map(|old| old.mod_revision));
            superseded.push_back(revision);
            return Ok(());
        }
        Record::Put(kv) => {
            let prev = view.get(&kv.key).cloned();
            (kv.mod_revision, Some(Event::Put { kv, prev }))
        }
        Record::Delete { key, revision } => {
            (revision, view.get(&key).cloned().map(|prev| Event::Delete { prev, revision }))
        }
    };
    if revision != view.revision.next() {
        return Err(LogError::Damaged { revision, reason: "the revision before it is missing" });
    }
    view.apply(event.ok_or(LogError::Damaged { revision, reason: "it deletes a key that is not there" })?);
    Ok(())
}
