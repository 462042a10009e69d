//! Cached answers of upstream servers, for a short time and limited in number.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use tokio::time::Instant;

/// The longest time an answer is kept, whatever its records allow; upstream's cluster DNS has the same.
const KEEP_MAX: Duration = Duration::from_secs(30);

struct Entry {
    answer: Message,
    since: Instant,
    until: Instant,
}

/// The cache. When it is full, the oldest answers go first.
pub(super) struct Cache<K> {
    entries: HashMap<K, Entry>,
    /// The keys in the order of their answers' arrival; each key of `entries` at least once.
    order: VecDeque<(K, Instant)>,
    entries_max: usize,
}

impl<K: Hash + Eq + Clone> Cache<K> {
    pub(super) fn new(entries_max: usize) -> Cache<K> {
        Cache { entries: HashMap::new(), order: VecDeque::new(), entries_max }
    }

    /// The answer to `key`, with the time it was kept taken off its records.
    pub(super) fn get(&self, key: &K) -> Option<Message> {
        let now = Instant::now();
        let entry = self.entries.get(key).filter(|entry| now < entry.until)?;
        let mut answer = entry.answer.clone();
        let kept = u32::try_from((now - entry.since).as_secs()).unwrap_or(u32::MAX);
        let records = answer.answers.iter_mut().chain(&mut answer.authorities).chain(&mut answer.additionals);
        for record in records {
            record.decrement_ttl(kept);
        }
        Some(answer)
    }

    /// Keeps `answer` as long as its records allow.
    pub(super) fn put(&mut self, key: K, answer: &Message) {
        let keep = lifetime(answer).min(KEEP_MAX);
        if keep.is_zero() || self.entries_max == 0 {
            return;
        }
        while self.order.len() >= self.entries_max {
            let Some((oldest, since)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.since == since) {
                self.entries.remove(&oldest);
            }
        }
        let since = Instant::now();
        self.order.push_back((key.clone(), since));
        self.entries.insert(key, Entry { answer: answer.clone(), since, until: since + keep });
    }
}

/// How long an answer is good: as long as its shortest record; an answer that there is nothing, as its SOA says
/// (RFC 2308).
fn lifetime(answer: &Message) -> Duration {
    if answer.metadata.truncation {
        return Duration::ZERO;
    }
    let seconds = match (answer.metadata.response_code, answer.answers.is_empty()) {
        (ResponseCode::NoError, false) => answer.answers.iter().map(|record| record.ttl).min(),
        (ResponseCode::NoError | ResponseCode::NXDomain, _) => {
            answer.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })
        }
        _ => None,
    };
    Duration::from_secs(u64::from(seconds.unwrap_or_default()))
}
