//! Random operations on a store and on a model of it, which must always agree: ranges at every revision, watches,
//! compaction, reopening.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use clock::Clock;
use futures::StreamExt;
use proptest::prelude::*;
use proptest::test_runner::Config;
use store::{
    Embedded, Event, Expect, KeyRange, KeyValue, Options, RangeRequest, Revision, Store, StoreError,
    WatchRequest, WatchStream, Write, WriteOp, WriteOutcome,
};

const KEYS: [&str; 6] = ["/a", "/a/1", "/a/2", "/a/22", "/b/1", "/b/2"];
const PREFIXES: [&str; 5] = ["", "/a", "/a/", "/a/2", "/c"];

/// How an operation chooses the precondition; revisions are relative, so that they often fit.
#[derive(Clone, Copy, Debug)]
enum Condition {
    None,
    Absent,
    Current,
    Stale,
}

#[derive(Clone, Debug)]
enum Operation {
    Put {
        key: usize,
        value: u8,
        condition: Condition,
    },
    Delete {
        key: usize,
        condition: Condition,
    },
    /// A list at an earlier revision, by offset from the current one, in pages.
    List {
        prefix: usize,
        back: u64,
        page: usize,
    },
    /// A watch from an earlier revision, by offset, compared at its end.
    Watch {
        prefix: usize,
        back: u64,
    },
    Compact {
        back: u64,
    },
    Reopen,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let condition = prop_oneof![
        3 => Just(Condition::None),
        1 => Just(Condition::Absent),
        3 => Just(Condition::Current),
        1 => Just(Condition::Stale),
    ];
    let operation = prop_oneof![
        10 => (0..KEYS.len(), any::<u8>(), condition.clone())
            .prop_map(|(key, value, condition)| Operation::Put { key, value, condition }),
        4 => (0..KEYS.len(), condition).prop_map(|(key, condition)| Operation::Delete { key, condition }),
        6 => (0..PREFIXES.len(), 0..20_u64, 1..4_usize)
            .prop_map(|(prefix, back, page)| Operation::List { prefix, back, page }),
        2 => (0..PREFIXES.len(), 0..20_u64).prop_map(|(prefix, back)| Operation::Watch { prefix, back }),
        1 => (0..12_u64).prop_map(|back| Operation::Compact { back }),
        1 => Just(Operation::Reopen),
    ];
    prop::collection::vec(operation, 1..80)
}

/// The whole history, stored in the simplest way.
struct Model {
    /// The keyspace at each revision, from [`Revision::EMPTY`].
    states: Vec<BTreeMap<String, Arc<KeyValue>>>,
    events: Vec<Event>,
    compacted: Revision,
}

impl Model {
    fn new() -> Model {
        Model { states: vec![BTreeMap::new()], events: Vec::new(), compacted: Revision::EMPTY }
    }

    fn revision(&self) -> Revision {
        Revision(self.states.len() as u64)
    }

    fn back(&self, by: u64) -> Revision {
        Revision(self.revision().0.saturating_sub(by))
    }

    fn at(&self, revision: Revision) -> &BTreeMap<String, Arc<KeyValue>> {
        &self.states[revision.0 as usize - 1]
    }

    fn write(&mut self, write: &Write) -> WriteOutcome {
        let key = String::from_utf8(write.key.to_vec()).unwrap();
        let revision = self.revision();
        let current = self.at(revision).get(&key).cloned();
        let met = match write.expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::ModRevision(expected) => current.as_ref().map(|kv| kv.mod_revision) == Some(expected),
        };
        if !met {
            return WriteOutcome::Conflict { current, revision };
        }
        let next = revision.next();
        let mut state = self.at(revision).clone();
        match (&write.op, &current) {
            (WriteOp::Put(value), _) => {
                let kv = Arc::new(KeyValue {
                    key: write.key.clone(),
                    value: value.clone(),
                    create_revision: current.as_ref().map_or(next, |kv| kv.create_revision),
                    mod_revision: next,
                    version: current.as_ref().map_or(0, |kv| kv.version) + 1,
                    lease: None,
                });
                state.insert(key, kv.clone());
                self.events.push(Event::Put { kv, prev: current.clone() });
            }
            (WriteOp::Delete, Some(prev)) => {
                state.remove(&key);
                self.events.push(Event::Delete {
                    key: write.key.clone(),
                    revision: next,
                    prev: Some(prev.clone()),
                });
            }
            (WriteOp::Delete, None) => return WriteOutcome::Committed { revision, previous: None },
        }
        self.states.push(state);
        WriteOutcome::Committed { revision: next, previous: current }
    }
}

/// A watch and its expected events.
struct Watched {
    stream: WatchStream,
    range: KeyRange,
    from: Revision,
}

/// The store and its model.
struct Pair {
    directory: tempfile::TempDir,
    store: Option<Embedded>,
    model: Model,
    watches: Vec<Watched>,
}

impl Pair {
    async fn new() -> Pair {
        let mut pair = Pair {
            directory: tempfile::tempdir().unwrap(),
            store: None,
            model: Model::new(),
            watches: Vec::new(),
        };
        pair.reopen().await;
        pair
    }

    fn store(&self) -> &Embedded {
        self.store.as_ref().unwrap()
    }

    async fn reopen(&mut self) {
        self.compare_watches().await;
        drop(self.store.take());
        let options = Options::new(self.directory.path(), Clock::system());
        self.store = Some(Embedded::open(options).await.unwrap());
        assert_eq!(self.store().current_revision().await.unwrap(), self.model.revision());
    }

    async fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Put { key, value, condition } => {
                let value = vec![value; usize::from(value)];
                let write = Write::put(KEYS[key], value, self.expect(key, condition));
                self.write(write).await;
            }
            Operation::Delete { key, condition } => {
                self.write(Write::delete(KEYS[key], self.expect(key, condition))).await;
            }
            Operation::List { prefix, back, page } => self.list(PREFIXES[prefix], back, page).await,
            Operation::Watch { prefix, back } => self.watch(PREFIXES[prefix], back).await,
            Operation::Compact { back } => self.compact(back).await,
            Operation::Reopen => self.reopen().await,
        }
    }

    fn expect(&self, key: usize, condition: Condition) -> Expect {
        let current = self.model.at(self.model.revision()).get(KEYS[key]);
        match (condition, current) {
            (Condition::None, _) => Expect::Any,
            (Condition::Absent, _) | (Condition::Current, None) => Expect::Absent,
            (Condition::Current, Some(kv)) => Expect::ModRevision(kv.mod_revision),
            (Condition::Stale, _) => Expect::ModRevision(self.model.back(1)),
        }
    }

    async fn write(&mut self, write: Write) {
        let outcome = self.store().write(write.clone()).await.unwrap();
        assert_eq!(outcome, self.model.write(&write), "{write:?}");
    }

    async fn list(&self, prefix: &'static str, back: u64, page: usize) {
        let revision = self.model.back(back);
        let mut request = RangeRequest::prefix(prefix).at(revision).limit(page).counted();
        if revision < self.model.compacted {
            let result = self.store().range(request).await;
            assert!(matches!(result, Err(StoreError::Compacted { .. })), "{result:?}");
            return;
        }
        let mut remaining: Vec<_> =
            self.model.at(revision).values().filter(|kv| request.range.contains(&kv.key)).cloned().collect();
        loop {
            let response = self.store().range(request.clone()).await.unwrap();
            assert_eq!((response.count, response.revision), (Some(remaining.len()), revision));
            let rest = remaining.split_off(remaining.len().min(page));
            assert_eq!(response.kvs, remaining, "{request:?}");
            assert_eq!(response.more, !rest.is_empty());
            let Some(last) = response.kvs.last().filter(|_| response.more) else { break };
            request = request.after(last.key.clone());
            remaining = rest;
        }
    }

    async fn watch(&mut self, prefix: &'static str, back: u64) {
        let from = self.model.back(back);
        let request = WatchRequest::prefix(prefix).from(from).progress().previous();
        let range = request.range.clone();
        match self.store().watch(request).await {
            Ok(stream) => {
                assert!(from >= self.model.compacted);
                self.watches.push(Watched { stream, range, from });
            }
            Err(StoreError::Compacted { .. }) => assert!(from < self.model.compacted),
            Err(other) => panic!("{other}"),
        }
    }

    async fn compact(&mut self, back: u64) {
        let revision = self.model.back(back);
        // A watch may lose events that it has not read yet.
        self.compare_watches().await;
        let result = self.store().compact(revision).await;
        if revision > self.model.compacted {
            result.unwrap();
            self.model.compacted = revision;
        } else {
            assert!(matches!(result, Err(StoreError::Compacted { .. })), "{result:?}");
        }
    }

    /// Ends all watches, after comparing their events so far.
    async fn compare_watches(&mut self) {
        let watches = std::mem::take(&mut self.watches);
        if watches.is_empty() {
            return;
        }
        self.store().request_progress().await.unwrap();
        for Watched { mut stream, range, from } in watches {
            let mut events = Vec::new();
            loop {
                let batch = stream.next().await.unwrap().unwrap();
                let is_progress = batch.events.is_empty();
                events.extend(batch.events);
                if is_progress && batch.revision == self.model.revision() {
                    break;
                }
            }
            let expected: Vec<_> = self
                .model
                .events
                .iter()
                .filter(|event| event.revision() > from && range.contains(event.key()))
                .cloned()
                .collect();
            assert_eq!(events, expected, "{range:?} from {from}");
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 40, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_store_is_its_model(operations in operations()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            for operation in operations {
                pair.run(operation).await;
            }
            // A last look at everything, before and after a restart.
            for _ in 0..2 {
                for back in 0..pair.model.revision().0 {
                    pair.list("", back, 100).await;
                }
                pair.reopen().await;
            }
        });
    }
}
