//! The high-water mark: the newest acknowledged revision, in a small file separate from the database.
//!
//! A database that was replaced by an older copy, or whose write-ahead log lost its end, looks like an intact one that
//! is a little older. The mark reveals this, because the database must reach it. It is written after a batch is durable
//! and before the batch is acknowledged, so that it never promises more than the disk holds, and no kill of the process
//! can make an intact database look too short. Writes do not sync it: a thread syncs the file within [`SYNC_WITHIN`],
//! and never while nothing changes. So after a power failure the mark may be behind by that much, which does not lead
//! to a refusal.
//!
//! The file has two slots, which are written in turn; each fits in one sector and has a checksum.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use xxhash_rust::xxh3::xxh3_64;

use crate::Revision;
use crate::disk::{LogError, sync_name};

/// How far the synced mark may be behind.
const SYNC_WITHIN: Duration = Duration::from_secs(1);
const MAGIC: [u8; 8] = *b"ironmark";
const VERSION: u64 = 1;
const RECORD_BYTES: usize = 64;
const SLOT_BYTES: usize = 4096;

/// The content of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The cluster of the store.
    pub(crate) cluster: u128,
    /// Counts the changes of the mark.
    sequence: u64,
    /// The newest acknowledged revision.
    pub(crate) revision: Revision,
    /// How often leases had changed by then.
    pub(crate) lease_changes: u64,
}

impl Reached {
    /// The mark of a new store.
    pub(crate) fn start(cluster: u128, revision: Revision) -> Reached {
        Reached { cluster, sequence: 0, revision, lease_changes: 0 }
    }

    /// Whether nothing was acknowledged yet.
    pub(crate) fn is_start(&self) -> bool {
        self.revision <= Revision::EMPTY && self.lease_changes == 0
    }

    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(&MAGIC);
        record[8..16].copy_from_slice(&VERSION.to_le_bytes());
        record[16..32].copy_from_slice(&self.cluster.to_le_bytes());
        record[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        record[40..48].copy_from_slice(&self.revision.0.to_le_bytes());
        record[48..56].copy_from_slice(&self.lease_changes.to_le_bytes());
        let checksum = xxh3_64(&record[..56]);
        record[56..].copy_from_slice(&checksum.to_le_bytes());
        record
    }

    fn decode(record: &[u8]) -> Option<Reached> {
        let number = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
        let is_whole =
            record.get(..8)? == MAGIC && number(8)? == VERSION && number(56)? == xxh3_64(record.get(..56)?);
        is_whole.then_some(Reached {
            cluster: u128::from_le_bytes(record.get(16..32)?.try_into().ok()?),
            sequence: number(32)?,
            revision: Revision(number(40)?),
            lease_changes: number(48)?,
        })
    }
}

/// The state of the mark file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MarkFound {
    /// No file.
    Nothing,
    /// A file in which no slot is intact.
    Damaged,
    /// A mark.
    Mark(Reached),
}

/// Reads the mark at `path`.
pub(crate) fn find(path: &Path) -> io::Result<MarkFound> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(MarkFound::Nothing),
        Err(error) => return Err(error),
    };
    let slots = [bytes.get(..RECORD_BYTES), bytes.get(SLOT_BYTES..SLOT_BYTES + RECORD_BYTES)];
    let newest = slots.into_iter().flatten().filter_map(Reached::decode).max_by_key(|slot| slot.sequence);
    Ok(newest.map_or(MarkFound::Damaged, MarkFound::Mark))
}

/// Creates the mark at `path`, or replaces it, durably.
pub(crate) fn write(path: &Path, reached: Reached) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    let unfinished = Path::new(&name);
    let mut slots = vec![0; 2 * SLOT_BYTES];
    slots[..RECORD_BYTES].copy_from_slice(&reached.encode());
    slots[SLOT_BYTES..SLOT_BYTES + RECORD_BYTES].copy_from_slice(&reached.encode());
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
    file.write_all_at(&slots, 0)?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)?;
    sync_name(path)
}

/// A mark that a store advances.
pub(crate) struct Mark {
    file: Arc<File>,
    reached: Reached,
    syncer: Arc<Syncer>,
    thread: Option<JoinHandle<()>>,
}

/// The state shared with the syncing thread.
#[derive(Default)]
struct Syncer {
    state: Mutex<SyncerState>,
    changed: Condvar,
}

#[derive(Default)]
struct SyncerState {
    is_behind: bool,
    closing: bool,
    failed: Option<io::Error>,
}

impl Mark {
    /// Continues with the mark found at `path`.
    pub(crate) fn open(path: &Path, reached: Reached) -> io::Result<Mark> {
        let file = Arc::new(OpenOptions::new().write(true).open(path)?);
        let syncer = Arc::new(Syncer::default());
        let (own, synced) = (Arc::clone(&syncer), Arc::clone(&file));
        let thread =
            std::thread::Builder::new().name("store-mark".to_owned()).spawn(move || own.run(&synced))?;
        Ok(Mark { file, reached, syncer, thread: Some(thread) })
    }

    /// Records that everything up to `revision` is durable.
    pub(crate) fn advance(&mut self, revision: Revision, lease_changes: u64) -> Result<(), LogError> {
        if (revision, lease_changes) == (self.reached.revision, self.reached.lease_changes) {
            return Ok(());
        }
        let sequence = self.reached.sequence + 1;
        self.reached = Reached { sequence, revision, lease_changes, ..self.reached };
        let slot = if sequence.is_multiple_of(2) { 0 } else { SLOT_BYTES as u64 };
        self.file.write_all_at(&self.reached.encode(), slot)?;
        let mut state = self.syncer.state.lock();
        if let Some(failed) = state.failed.take() {
            return Err(failed.into());
        }
        if !state.is_behind {
            state.is_behind = true;
            self.syncer.changed.notify_one();
        }
        Ok(())
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.syncer.state.lock().closing = true;
        self.syncer.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Syncer {
    fn run(&self, file: &File) {
        let mut state = self.state.lock();
        loop {
            while !state.is_behind && !state.closing {
                self.changed.wait(&mut state);
            }
            if !state.is_behind {
                return;
            }
            if !state.closing {
                // More batches come along; one sync is for all of them.
                self.changed.wait_for(&mut state, SYNC_WITHIN);
            }
            state.is_behind = false;
            let synced = parking_lot::MutexGuard::unlocked(&mut state, || file.sync_data());
            if let Err(error) = synced {
                // The next batch fails with it, and the process stops.
                state.failed = Some(error);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        assert_eq!(find(&path).unwrap(), MarkFound::Nothing);
        let start = Reached::start(7, Revision::EMPTY);
        write(&path, start).unwrap();
        assert!(start.is_start());
        let mut mark = Mark::open(&path, start).unwrap();
        for revision in 2..=11 {
            mark.advance(Revision(revision), 0).unwrap();
        }
        drop(mark);
        let MarkFound::Mark(reached) = find(&path).unwrap() else { panic!("the mark is whole") };
        assert_eq!((reached.cluster, reached.revision, reached.sequence), (7, Revision(11), 10));

        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 2 * SLOT_BYTES);
        // The newest revision is in the first slot: if it is damaged, the second counts.
        let mut flipped = whole.clone();
        flipped[41] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let MarkFound::Mark(reached) = find(&path).unwrap() else { panic!("one slot is whole") };
        assert_eq!(reached.revision, Revision(10));
        flipped[SLOT_BYTES + 41] ^= 1;
        for damaged in [&flipped[..], &[], &whole[..RECORD_BYTES - 1]] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(find(&path).unwrap(), MarkFound::Damaged);
        }
    }
}
