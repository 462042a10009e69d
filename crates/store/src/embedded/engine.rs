//! The one writer: checks preconditions, assigns revisions, makes batches durable, publishes them.
//!
//! It owns the log and the newest view. A batch changes the private view first, then goes to the log in one
//! transaction, and only then becomes visible to readers, watchers and the callers that wait for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imbl::OrdSet;
use texts::Text;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::loaded::Loaded;
use super::shared::Shared;
use super::space::Space;
use super::view::{Lease, View, deletion};
use crate::disk::LogError;
use crate::log::{Log, Record};
use crate::{Event, Expect, KeyValue, LeaseId, Metrics, Revision, StoreError, Write, WriteOp, WriteOutcome};

/// Superseded records that are removed from the log in one transaction.
const COMPACTION_CHUNK: usize = 2048;
/// The number of keys of an expired lease that are deleted at once, so that other writes can come in between.
const EXPIRY_KEYS: usize = 128;

/// A change that callers ask the writer for.
pub(super) enum Command {
    /// Put or delete a key.
    Write(Write),
    /// Create a lease, which expires at the deadline (seconds since 1970) unless it is kept alive.
    GrantLease { lease: LeaseId, ttl: Duration, deadline: i64 },
    /// Record that a lease is kept alive.
    KeepLease(LeaseId),
    /// End a lease and delete its keys.
    RevokeLease(LeaseId),
    /// Delete some keys of a lease that expired, and end it with the last.
    ExpireLease(LeaseId),
    /// Drop history before a revision.
    Compact(Revision),
}

impl Command {
    /// Whether it is carried out on a full disk too.
    fn makes_space(&self) -> bool {
        match self {
            Command::Write(write) => write.makes_space || write.op == WriteOp::Delete,
            Command::GrantLease { .. } | Command::KeepLease(_) => false,
            Command::RevokeLease(_) | Command::ExpireLease(_) | Command::Compact(_) => true,
        }
    }
}

/// The answer to a command; all commands except writes answer with a committed outcome without a previous value.
pub(super) type Reply = Result<WriteOutcome, StoreError>;

/// A command and its waiting caller.
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// See the module.
pub(super) struct Engine {
    log: Box<dyn Log>,
    view: View,
    shared: Arc<Shared>,
    space: Space,
    /// The maximum history to keep, in bytes.
    history_bytes_max: usize,
    /// Records of the log that no kept revision needs, each after those of its key that it superseded.
    superseded: VecDeque<Revision>,
    /// Whether a compaction was requested, which removes even the last few superseded records and returns space to the
    /// file system.
    compacting: bool,
    /// Whether the last piece of housekeeping found the disk full; the next batch clears it.
    stuck: bool,
    metrics: Metrics,
}

impl Engine {
    /// Continues with the content of `log`.
    pub(super) fn new(log: Box<dyn Log>, loaded: Loaded, space: Space, history_bytes_max: usize) -> Engine {
        let Loaded { view, superseded, .. } = loaded;
        let shared = Arc::new(Shared::new(view.clone()));
        shared.set_full(space.is_full());
        let (compacting, stuck) = (false, false);
        let mut engine = Engine {
            log,
            view,
            shared,
            space,
            history_bytes_max,
            superseded,
            compacting,
            stuck,
            metrics: Metrics::default(),
        };
        engine.limit_history();
        engine.shared.publish(&engine.view, &[]);
        engine
    }

    /// The engine, measured by this.
    pub(super) fn measured_by(self, metrics: Metrics) -> Engine {
        Engine { metrics, ..self }
    }

    /// What readers see.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Carries out a batch and answers each request once its change is durable.
    ///
    /// After an error no caller was answered, and the engine must not be used again.
    pub(super) fn commit(&mut self, batch: Vec<Request>) -> Result<(), LogError> {
        self.stuck = false;
        if self.space.is_full() && batch.iter().any(|request| !request.command.makes_space()) {
            self.space.recover();
        }
        let (changes, answers) = loop {
            match self.try_commit(&batch) {
                Err(LogError::Full(_)) if self.space.release() => self.shrink()?,
                Err(LogError::Full(_)) => {
                    break (Changes::default(), batch.iter().map(|_| Err(StoreError::Full)).collect());
                }
                done => break done?,
            }
        };
        self.shared.set_full(self.space.is_full());
        self.limit_history();
        self.shared.publish(&self.view, &changes.events);
        assert_eq!(answers.len(), batch.len(), "every request of a batch is answered, once");
        for (request, answer) in batch.into_iter().zip(answers) {
            // The caller may be gone and not need the answer.
            let _ = request.reply.send(answer);
        }
        Ok(())
    }

    /// Changes the view and the log, or neither.
    fn try_commit(&mut self, batch: &[Request]) -> Result<(Changes, Vec<Reply>), LogError> {
        let (before, superseded) = (self.view.clone(), self.superseded.len());
        let mut changes = Changes::default();
        let answers: Vec<_> = batch
            .iter()
            .map(|request| match self.space.is_full() && !request.command.makes_space() {
                true => Err(StoreError::Full),
                false => self.execute(&request.command, &mut changes),
            })
            .collect();
        assert_eq!(
            self.view.revision.0 - before.revision.0,
            changes.events.len() as u64,
            "a batch moves the store on by its events"
        );
        if !changes.records.is_empty() {
            let since = Instant::now();
            if let Err(error) = self.log.append_batch(&changes.records) {
                self.view = before;
                self.superseded.truncate(superseded);
                return Err(error);
            }
            self.metrics.committed(changes.records.len(), since.elapsed());
        }
        Ok((changes, answers))
    }

    /// Whether [`Engine::keep_house`] has a compaction to continue.
    pub(super) fn is_compacting(&self) -> bool {
        !self.stuck && (self.compacting || self.superseded.len() >= COMPACTION_CHUNK)
    }

    /// Does one bounded piece of housekeeping.
    pub(super) fn keep_house(&mut self) -> Result<(), LogError> {
        match self.try_to_keep_house() {
            Err(LogError::Full(_)) => {
                // With the reserve's space it continues at once, without it after the next batch.
                self.stuck = !self.space.release();
                self.shared.set_full(true);
                if self.stuck { Ok(()) } else { self.shrink() }
            }
            done => done,
        }
    }

    /// Releases the log's own space, as far as there is enough space to do so.
    fn shrink(&mut self) -> Result<(), LogError> {
        match self.log.shrink() {
            Err(LogError::Full(_)) => Ok(()),
            done => done,
        }
    }

    fn try_to_keep_house(&mut self) -> Result<(), LogError> {
        if self.is_compacting() {
            let count = self.superseded.len().min(COMPACTION_CHUNK);
            let chunk: Vec<_> = self.superseded.range(..count).copied().collect();
            let more = self.log.compact(self.view.compacted, &chunk)?;
            self.superseded.drain(..count);
            self.compacting = self.compacting && (more || !self.superseded.is_empty());
        }
        self.log.tidy()
    }

    fn execute(&mut self, command: &Command, changes: &mut Changes) -> Reply {
        match command {
            Command::Write(write) => self.write(write.clone(), changes),
            Command::GrantLease { lease, ttl, deadline } => {
                Ok(self.set_lease(*lease, *ttl, Some(*deadline), OrdSet::new(), changes))
            }
            Command::KeepLease(lease) => match self.view.leases.get(lease).cloned() {
                Some(Lease { ttl, keys, .. }) => Ok(self.set_lease(*lease, ttl, None, keys, changes)),
                None => Err(StoreError::LeaseNotFound(*lease)),
            },
            Command::RevokeLease(lease) => self.revoke(*lease, usize::MAX, changes),
            Command::ExpireLease(lease) => self.revoke(*lease, EXPIRY_KEYS, changes),
            Command::Compact(revision) => self.compact(*revision),
        }
    }

    fn set_lease(
        &mut self,
        lease: LeaseId,
        ttl: Duration,
        deadline: Option<i64>,
        keys: OrdSet<Bytes>,
        changes: &mut Changes,
    ) -> WriteOutcome {
        self.view.leases.insert(lease, Lease { ttl, deadline, keys });
        changes.records.push(Record::GrantLease { lease, ttl, deadline });
        self.done()
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
            (WriteOp::Delete, Some(prev)) => deletion(prev, revision),
            (WriteOp::Delete, None) => return Ok(self.done()),
        };
        let previous = event.prev().cloned();
        self.apply(event, changes);
        Ok(WriteOutcome::Committed { revision, previous })
    }

    /// Deletes the keys of a lease, up to a maximum number, and the lease with the last.
    fn revoke(&mut self, lease: LeaseId, keys_max: usize, changes: &mut Changes) -> Reply {
        let Some(Lease { keys, .. }) = self.view.leases.get(&lease).cloned() else {
            return Err(StoreError::LeaseNotFound(lease));
        };
        for key in keys.iter().take(keys_max) {
            if let Some(prev) = self.view.get(key).cloned() {
                let revision = self.view.revision.next();
                self.apply(deletion(prev, revision), changes);
            }
        }
        if keys.len() <= keys_max {
            self.view.leases.remove(&lease);
            changes.records.push(Record::RevokeLease { lease });
        }
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
        self.view.check_event(&event);
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

/// The changes of a batch.
#[derive(Default)]
struct Changes {
    records: Vec<Record>,
    events: Vec<Event>,
}

/// The version that follows `prev`.
fn successor(
    prev: Option<&KeyValue>,
    key: &Bytes,
    value: Text,
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
