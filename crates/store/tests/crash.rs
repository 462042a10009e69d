//! A process that is killed at any moment loses no acknowledged write.
//!
//! The test runs itself again as a child with sixteen writers that report each acknowledged write on a pipe, kills the
//! child with SIGKILL after a random number of reports (sometimes while it still starts), opens the store and compares.
//! It does this a hundred times on the same store, which is compacted in the meantime.
//!
//! A store must not be refused after a kill either: opening checks everything against the high-water mark, and a false
//! refusal fails the test just as a loss does. Every few rounds, the beginning of a write is appended to the
//! write-ahead log.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use clock::Clock;
use store::{
    Embedded, Expect, KeyValue, Options, RangeRequest, Revision, Store, Write, WriteOp, WriteOutcome,
};

const KILLS: usize = 100;
const WRITERS: u64 = 16;
const KEYS_PER_WRITER: u64 = 8;
/// Set for the child: the store's directory.
const CHILD: &str = "STORE_CRASH_TEST_DIRECTORY";
/// The prefix of a report; the child's other output is the test harness's.
const REPORT: &str = "acknowledged";

#[test]
fn a_killed_process_loses_no_acknowledged_write() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(directory) = env::var_os(CHILD) {
        return runtime.block_on(write_until_killed(Path::new(&directory)));
    }
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let mut expected = Expected::default();
    for round in 0..KILLS {
        let reports_min = clock.random_below(if round % 10 == 0 { 2 } else { 400 });
        let reports = run_and_kill(directory.path(), reports_min);
        expected.take(&reports, round);
        if round % 4 == 0 {
            begin_a_write(directory.path(), &clock);
        }
        runtime.block_on(async {
            let store = open(directory.path()).await;
            expected.compare(&store, round).await;
        });
    }
    assert!(expected.last.len() as u64 > WRITERS * KEYS_PER_WRITER / 2, "the children wrote");
}

async fn open(directory: &Path) -> Embedded {
    let options = Options { history_bytes: 512 << 10, ..Options::new(directory, Clock::system()) };
    Embedded::open(options).await.unwrap()
}

// ---- The child ----

async fn write_until_killed(directory: &Path) {
    let store = Arc::new(open(directory).await);
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write_for_ever(store.clone(), writer))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn write_for_ever(store: Arc<Embedded>, writer: u64) {
    // Sequence numbers continue where the previous process stopped, so that a value shows its age.
    let own = store.range(RangeRequest::prefix(format!("/{writer:02}/"))).await.unwrap();
    let last = own.kvs.iter().map(|kv| Value::parse(&kv.value.to_cow()).sequence).max();
    let mut sequence = last.unwrap_or(0) + 1_000_000;
    loop {
        let key = format!("/{writer:02}/{}", sequence % KEYS_PER_WRITER);
        let op = match sequence % 7 {
            0 => WriteOp::Delete,
            _ => WriteOp::Put(Value::new(writer, sequence).text().into()),
        };
        let kind = if op == WriteOp::Delete { "delete" } else { "put" };
        let write =
            Write { key: key.clone().into(), op, expect: Expect::Any, lease: None, makes_space: false };
        let WriteOutcome::Committed { revision, previous } = store.write(write).await.unwrap() else {
            panic!("a write without precondition was refused");
        };
        sequence += 1;
        if sequence.is_multiple_of(100) {
            // Refused if another writer compacted further in the meantime.
            let _ = store.compact(Revision(revision.0.saturating_sub(50))).await;
        }
        if kind == "delete" && previous.is_none() {
            continue; // Nothing was there, so nothing was written.
        }
        // One write of less than a pipe's buffer: the parent gets whole lines or none.
        let line = format!("\n{REPORT} {writer} {key} {} {revision} {kind}\n", sequence - 1);
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        std::io::stdout().lock().flush().unwrap();
    }
}

/// A value that shows whether it is intact.
#[derive(PartialEq, Eq, Debug)]
struct Value {
    writer: u64,
    sequence: u64,
}

impl Value {
    fn new(writer: u64, sequence: u64) -> Value {
        Value { writer, sequence }
    }

    /// Header, filling of a length and content that follow from it, checksum.
    fn text(&self) -> String {
        let body =
            format!("{} {} {}", self.writer, self.sequence, "x".repeat((self.sequence * 37 % 4000) as usize));
        format!("{body} {:016x}", checksum(body.as_bytes()))
    }

    fn parse(bytes: &[u8]) -> Value {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut fields = text.split(' ').map(|field| field.parse().unwrap_or(0));
        let value = Value { writer: fields.next().unwrap(), sequence: fields.next().unwrap() };
        assert_eq!(value.text(), text, "the value is whole");
        value
    }
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

// ---- The parent ----

/// A write that the child had acknowledged.
#[derive(Clone, Debug)]
struct Report {
    writer: u64,
    key: String,
    sequence: u64,
    revision: Revision,
    deleted: bool,
}

impl Report {
    fn parse(line: &str) -> Option<Report> {
        let mut fields = line.strip_prefix(REPORT)?.split_whitespace();
        Some(Report {
            writer: fields.next()?.parse().ok()?,
            key: fields.next()?.to_owned(),
            sequence: fields.next()?.parse().ok()?,
            revision: Revision(fields.next()?.parse().ok()?),
            deleted: fields.next()? == "delete",
        })
    }
}

/// The child; killed however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // `Child::kill` is SIGKILL; it fails only if the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a child until it has reported `reports_min` writes, kills it, and reads its remaining reports.
fn run_and_kill(directory: &Path, reports_min: u64) -> Vec<Report> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["a_killed_process_loses_no_acknowledged_write", "--exact", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .map(Killed)
        .unwrap();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut reports = Vec::new();
    while (reports.len() as u64) < reports_min {
        let line = lines.next().expect("the child writes until it is killed").unwrap();
        reports.extend(Report::parse(&line));
    }
    drop(child);
    reports.extend(lines.filter_map(|line| Report::parse(&line.unwrap())));
    reports
}

/// Leaves a part of a write, as after a power failure: some bytes.
fn begin_a_write(directory: &Path, clock: &Clock) {
    let wal = directory.join("state.db-wal");
    let Ok(mut wal) = std::fs::OpenOptions::new().append(true).open(wal) else { return };
    let mut bytes = vec![0; clock.random_below(6000) as usize];
    clock.fill_random(&mut bytes);
    wal.write_all(&bytes).unwrap();
}

/// The expected content of the store after the acknowledged writes of all processes.
#[derive(Default)]
struct Expected {
    /// The last acknowledged write of each key.
    last: BTreeMap<String, Report>,
    /// The store's revision when it was last opened.
    revision: Revision,
}

impl Expected {
    /// Takes the reports of one life.
    fn take(&mut self, reports: &[Report], round: usize) {
        let mut revisions: Vec<_> = reports.iter().map(|report| report.revision).collect();
        revisions.sort_unstable();
        assert!(
            revisions.windows(2).all(|pair| pair[0] < pair[1]),
            "round {round}: a revision was given twice"
        );
        if let Some(first) = revisions.first() {
            assert!(
                *first > self.revision,
                "round {round}: {first} was given before, up to {}",
                self.revision
            );
        }
        for report in reports {
            self.last.insert(report.key.clone(), report.clone());
        }
        self.revision = revisions.last().copied().unwrap_or_default().max(self.revision);
    }

    /// Compares with the store: each key has the state of its last acknowledged write, or of its writer's one write in
    /// progress.
    async fn compare(&mut self, store: &Embedded, round: usize) {
        let current = store.current_revision().await.unwrap();
        assert!(current >= self.revision, "round {round}: {current} < {}", self.revision);
        let found = store.range(RangeRequest::prefix("/")).await.unwrap();
        let found: BTreeMap<String, Arc<KeyValue>> =
            found.kvs.into_iter().map(|kv| (String::from_utf8(kv.key.to_vec()).unwrap(), kv)).collect();
        for (key, kv) in &found {
            let value = Value::parse(&kv.value.to_cow());
            assert!(key.starts_with(&format!("/{:02}/", value.writer)), "round {round}: {key} has {value:?}");
            assert!(kv.mod_revision <= current);
        }
        let mut under_way = BTreeMap::<u64, usize>::new();
        for (key, report) in &self.last {
            let kv = found.get(key);
            let as_reported = match kv {
                Some(kv) => !report.deleted && kv.mod_revision == report.revision,
                None => report.deleted,
            };
            if as_reported {
                assert!(kv.is_none_or(|kv| Value::parse(&kv.value.to_cow()).sequence == report.sequence));
                continue;
            }
            *under_way.entry(report.writer).or_default() += 1;
            if let Some(kv) = kv {
                assert!(
                    kv.mod_revision > report.revision,
                    "round {round}: {key} lost {report:?}, has {kv:?}"
                );
            }
        }
        assert!(
            under_way.values().all(|&writes| writes <= 1),
            "round {round}: more than was under way changed"
        );
        self.settle(&found);
        self.revision = current;
    }

    /// It is now known which of the writes in progress have happened.
    fn settle(&mut self, found: &BTreeMap<String, Arc<KeyValue>>) {
        for (key, report) in &mut self.last {
            match found.get(key) {
                Some(kv) => {
                    report.deleted = false;
                    report.revision = kv.mod_revision;
                    report.sequence = Value::parse(&kv.value.to_cow()).sequence;
                }
                None => report.deleted = true,
            }
        }
    }
}
