//! Counts, aggregates and limits events, as client-go's `tools/record/events_cache.go` does.
//!
//! - A repeated event raises the count of the first.
//! - Ten different messages of one reason about one object within ten minutes become one event, whose message
//!   says so.
//! - A component may write 25 events about an object, and one more every five minutes.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The maximum number of remembered objects and events.
const REMEMBERED_MAX: usize = 4096;
/// From this number of different messages on, they are aggregated ...
const AGGREGATE_FROM: usize = 10;
/// ... unless there was silence for this long.
const AGGREGATE_SILENCE: SignedDuration = SignedDuration::from_secs(600);
/// The size of a burst of events about one object.
const BURST: f64 = 25.0;
/// The time until another one is allowed.
const REFILL_SECONDS: f64 = 300.0;

/// A digest of the event's source and object; of further parts where kinds of events are distinguished. Thousands of
/// events are remembered, so their texts are not kept.
type Key = u128;

/// How to write an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// Create it.
    Create,
    /// Raise the count of the one that was written before.
    Update,
}

/// An event to be written.
#[derive(Debug)]
pub(super) struct Correlated {
    pub(super) event: Event,
    pub(super) write: Write,
    key: Key,
}

#[derive(Default)]
pub(super) struct Correlator {
    digests: Digests,
    groups: Remembered<Group>,
    observed: Remembered<Observation>,
    budgets: Remembered<Budget>,
}

/// Events that differ by message only.
struct Group {
    messages: HashSet<Key>,
    last: Timestamp,
}

/// The event that was written, and how often it happened.
struct Observation {
    name: Option<String>,
    first: Option<Time>,
    count: i32,
}

struct Budget {
    tokens: f64,
    since: Timestamp,
}

impl Correlator {
    /// How an event is to be written; `None` if there were too many.
    pub(super) fn correlate(&mut self, event: Event, now: Timestamp) -> Option<Correlated> {
        let object_key = self.digests.of(&object(&event));
        let (mut event, key) = self.aggregate(event, object_key, now);
        let mut write = Write::Create;
        if let Some(observation) = self.observed.get(key, now) {
            event.metadata.name.clone_from(&observation.name);
            event.first_timestamp.clone_from(&observation.first);
            event.count = Some(observation.count + 1);
            write = Write::Update;
        }
        self.observed.put(key, Observation::of(&event), now);
        self.spend(object_key, now).then_some(Correlated { event, write, key })
    }

    /// Remembers how the server has stored the event.
    pub(super) fn written(&mut self, correlated: Correlated, stored: Event) {
        let now = stored.last_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        self.observed.put(correlated.key, Observation::of(&stored), now);
    }

    /// The event or, if there were many like it, one that stands for all of them; and its key.
    fn aggregate(&mut self, event: Event, object_key: Key, now: Timestamp) -> (Event, Key) {
        let group_key = self.digests.of(&(object_key, &event.type_, &event.reason));
        let message = event.message.as_deref().unwrap_or_default();
        let message_key = self.digests.of(message);
        let fresh = || Group { messages: HashSet::new(), last: now };
        let group = self.groups.get_or_put(group_key, now, fresh);
        if now.duration_since(group.last) > AGGREGATE_SILENCE {
            *group = fresh();
        }
        group.last = now;
        if group.messages.len() < AGGREGATE_FROM - 1 || group.messages.contains(&message_key) {
            group.messages.insert(message_key);
            let key = self.digests.of(&(group_key, &event.involved_object.field_path, message_key));
            return (event, key);
        }
        let message = format!("(combined from similar events): {message}");
        (Event { message: Some(message), ..event }, group_key)
    }

    /// Spends one of the object's events, if one is left.
    fn spend(&mut self, object_key: Key, now: Timestamp) -> bool {
        let budget = self.budgets.get_or_put(object_key, now, || Budget { tokens: BURST, since: now });
        let earned = now.duration_since(budget.since).as_secs_f64() / REFILL_SECONDS;
        budget.tokens = (budget.tokens + earned).min(BURST);
        budget.since = now;
        let left = budget.tokens >= 1.0;
        if left {
            budget.tokens -= 1.0;
        }
        left
    }
}

impl Observation {
    fn of(event: &Event) -> Observation {
        Observation {
            name: event.metadata.name.clone(),
            first: event.first_timestamp.clone(),
            count: event.count.unwrap_or(1),
        }
    }
}

/// The source and object of an event.
fn object(event: &Event) -> [&str; 7] {
    let source = event.source.as_ref();
    let object = &event.involved_object;
    [
        source.and_then(|source| source.component.as_deref()),
        source.and_then(|source| source.host.as_deref()),
        object.kind.as_deref(),
        object.namespace.as_deref(),
        object.name.as_deref(),
        object.uid.as_deref(),
        object.api_version.as_deref(),
    ]
    .map(Option::unwrap_or_default)
}

/// Makes digests, which nobody can foresee who does not know this process's keys.
#[derive(Default)]
struct Digests([RandomState; 2]);

impl Digests {
    fn of<T: Hash + ?Sized>(&self, what: &T) -> Key {
        let [high, low] = self.0.each_ref().map(|keys| u128::from(keys.hash_one(what)));
        high << 64 | low
    }
}

/// A map that evicts the least recently used entry.
struct Remembered<V> {
    values: HashMap<Key, (V, Timestamp)>,
}

impl<V> Default for Remembered<V> {
    fn default() -> Remembered<V> {
        Remembered { values: HashMap::new() }
    }
}

impl<V> Remembered<V> {
    fn get(&mut self, key: Key, now: Timestamp) -> Option<&mut V> {
        let (value, used) = self.values.get_mut(&key)?;
        *used = now;
        Some(value)
    }

    fn put(&mut self, key: Key, value: V, now: Timestamp) {
        self.values.insert(key, (value, now));
        self.forget();
    }

    fn get_or_put(&mut self, key: Key, now: Timestamp, make: impl FnOnce() -> V) -> &mut V {
        if !self.values.contains_key(&key) {
            self.forget();
        }
        let (value, used) = self.values.entry(key).or_insert_with(|| (make(), now));
        *used = now;
        value
    }

    /// Drops the older half when the map is full, so that the cost is spread over many events.
    fn forget(&mut self) {
        if self.values.len() < REMEMBERED_MAX {
            return;
        }
        let mut times: Vec<Timestamp> = self.values.values().map(|(_, used)| *used).collect();
        times.sort_unstable();
        let median = times[times.len() / 2];
        let mut excess = self.values.len() - REMEMBERED_MAX / 2;
        self.values.retain(|_, (_, used)| {
            let drop = *used <= median && excess > 0;
            excess -= usize::from(drop);
            !drop
        });
    }
}
