//! All writes in order, with notes from the test.
//!
//! The journal follows the store itself, so that it misses nothing, whatever faults there are between the server and
//! its clients. Its hash distinguishes two runs; its last entries go into the report of a violation.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use client::Request;
use clock::Clock;
use futures::StreamExt;
use jiff::Timestamp;
use object::Value;
use parking_lot::Mutex;
use store::{Event, Revision, Store, WatchRequest};
use tokio::sync::watch;
use xxhash_rust::xxh3::Xxh3Default;

/// Where all objects are in the store.
const ROOT: &str = "/registry/";
/// How many entries are kept for a report.
const KEPT: usize = 300;

/// One change of one object, as it was written.
#[derive(Clone, Debug)]
pub struct Change {
    /// When it was seen, which is at most a moment after it was written.
    pub at: Timestamp,
    /// The store's revision.
    pub revision: u64,
    /// The key in the store, below `/registry/`.
    pub key: String,
    /// The object before; null if it is new.
    pub old: Value,
    /// The object after; null if it is gone.
    pub new: Value,
}

impl Change {
    /// The object after the change, or the last one before it went.
    pub fn object(&self) -> &Value {
        if self.new.is_null() { &self.old } else { &self.new }
    }

    /// Whether it is of this collection, such as `pods` or `services/specs`.
    pub fn is_in(&self, collection: &str) -> bool {
        self.key.strip_prefix(collection).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// A test's check of every change.
pub trait Observer: Send {
    /// Checks the next change; returns the violation, if any.
    ///
    /// # Errors
    /// The violation, in words.
    fn observe(&mut self, change: &Change) -> Result<(), String>;
}

/// A write whose outcome its sender does not know, because the response was lost.
#[derive(Clone, Debug)]
pub struct LostWrite {
    /// `verb path`.
    pub what: String,
    /// The body, null if there is none.
    pub body: Value,
}

/// The journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Up to which revision everything was seen; and the first violation.
    seen: watch::Sender<(u64, Option<String>)>,
}

struct State {
    kept: usize,
    hash: Xxh3Default,
    last: VecDeque<String>,
    observers: Vec<Box<dyn Observer>>,
    /// The newest change of each existing object.
    present: BTreeMap<String, Change>,
    lost: Vec<LostWrite>,
}

impl Journal {
    /// A journal that is not written to yet.
    pub(crate) fn new(clock: Clock) -> Journal {
        let state = State {
            kept: KEPT,
            hash: Xxh3Default::new(),
            last: VecDeque::new(),
            observers: Vec::new(),
            present: BTreeMap::new(),
            lost: Vec::new(),
        };
        Journal {
            shared: Arc::new(Shared { clock, state: Mutex::new(state), seen: watch::Sender::new((0, None)) }),
        }
    }

    /// Follows the store from here on, in a separate task.
    pub(crate) async fn follow(&self, store: &Arc<dyn Store>) {
        let from = store.current_revision().await.expect("a store in memory is open while it is held");
        let request = WatchRequest::prefix(ROOT).from(from);
        let mut batches = store.watch(request).await.expect("the present revision can be watched from");
        let journal = self.clone();
        tokio::spawn(async move {
            let mut last = from;
            while let Some(Ok(batch)) = batches.next().await {
                for event in &batch.events {
                    journal.take(event, &mut last);
                }
                journal.shared.seen.send_modify(|seen| seen.0 = batch.revision.0);
            }
        });
    }

    fn take(&self, event: &Event, last: &mut Revision) {
        let mut state = self.shared.state.lock();
        if event.revision() <= *last {
            self.violate(format!("revision {} comes after {last}", event.revision()));
        }
        *last = event.revision();
        let bytes = match event {
            Event::Put { kv, .. } => kv.value.to_bytes(),
            Event::Delete { .. } => store::Bytes::new(),
        };
        let change = self.change(event, &bytes, &mut state);
        state.hash.update(&event.revision().0.to_le_bytes());
        state.hash.update(event.key());
        state.hash.update(&bytes);
        let verb = match (change.old.is_null(), change.new.is_null()) {
            (true, _) => "create",
            (false, false) => "update",
            (false, true) => "delete",
        };
        let version = String::from_utf8_lossy(&bytes);
        state.push(format!("{} {:6} {verb} {} {version}", change.at, change.revision, change.key));
        let mut observers = std::mem::take(&mut state.observers);
        drop(state);
        for observer in &mut observers {
            if let Err(violation) = observer.observe(&change) {
                self.violate(format!("revision {}: {violation}", change.revision));
            }
        }
        self.shared.state.lock().observers = observers;
    }

    fn change(&self, event: &Event, bytes: &[u8], state: &mut State) -> Change {
        let key = String::from_utf8_lossy(event.key()).into_owned();
        let key = key.strip_prefix(ROOT).map(str::to_owned).unwrap_or(key);
        let old = state.present.remove(&key).map(|change| change.new).unwrap_or_default();
        let new = object::json::parse(bytes).unwrap_or_default();
        let change = Change { at: self.shared.clock.now(), revision: event.revision().0, key, old, new };
        if !change.new.is_null() {
            let present = Change { old: Value::Null, ..change.clone() };
            state.present.insert(change.key.clone(), present);
        }
        change
    }

    /// Records that something is wrong.
    pub(crate) fn violate(&self, violation: String) {
        self.shared.seen.send_modify(|seen| {
            seen.1.get_or_insert(violation);
        });
    }

    /// Checks every change from here on, and first all existing objects, as if they were created now.
    pub fn observe(&self, mut observer: impl Observer + 'static) {
        let mut state = self.shared.state.lock();
        for present in state.present.values() {
            if let Err(violation) = observer.observe(present) {
                self.violate(violation);
            }
        }
        state.observers.push(Box::new(observer));
    }

    /// Records something other than a change of an object.
    pub fn note(&self, text: impl AsRef<str>) {
        let mut state = self.shared.state.lock();
        state.hash.update(text.as_ref().as_bytes());
        let line = format!("{} {:>6} {}", self.shared.clock.now(), "-", text.as_ref());
        state.push(line);
    }

    /// Records a write that may or may not have happened.
    pub(crate) fn note_lost(&self, who: &str, request: &Request) {
        let what = format!("{} {}", request.verb.as_str(), request.target.path());
        self.note(format!("{who}: no answer to {what}"));
        self.shared.state.lock().lost.push(LostWrite { what, body: request.body.clone() });
    }

    /// The writes so far whose senders do not know the outcome.
    pub fn lost_writes(&self) -> Vec<LostWrite> {
        self.shared.state.lock().lost.clone()
    }

    /// The first violation so far.
    pub fn violation(&self) -> Option<String> {
        self.shared.seen.borrow().1.clone()
    }

    /// Waits for a violation.
    pub async fn violated(&self) -> String {
        let mut seen = self.shared.seen.subscribe();
        let found = seen.wait_for(|seen| seen.1.is_some()).await.map(|seen| seen.1.clone());
        found
            .ok()
            .flatten()
            .expect("the sender lives as long as `self`, and the condition is that there is one")
    }

    /// Waits until everything up to a revision was looked at.
    pub async fn caught_up(&self, revision: u64) {
        let mut seen = self.shared.seen.subscribe();
        // The sender lives as long as `self`, so this ends only when the condition is true.
        let _ = seen.wait_for(|seen| seen.0 >= revision).await.is_ok();
    }

    /// The value that distinguishes this run from others.
    pub fn hash(&self) -> u64 {
        self.shared.state.lock().hash.digest()
    }

    /// Keeps all entries from here on, not just the last few hundred.
    pub fn keep_all(&self) {
        self.shared.state.lock().kept = usize::MAX;
    }

    /// The last entries, oldest first.
    pub fn tail(&self) -> String {
        let state = self.shared.state.lock();
        state.last.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

impl State {
    fn push(&mut self, line: String) {
        if self.last.len() == self.kept {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
