//! EventRateLimit: who writes events too fast is told to wait (upstream: `plugin/pkg/admission/eventratelimit`).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use async_trait::async_trait;
use object::field::{Errors, Path};
use object::{Status, Value};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::admission::document::{Accepted, DocumentError};
use crate::admission::{Attributes, Operation, Plugin};

const DOCUMENT: Accepted =
    Accepted { shown: ("eventratelimit.admission.k8s.io/v1alpha1", "Configuration"), others: &[] };
const TYPES: [&str; 4] = ["Namespace", "Server", "SourceAndObject", "User"];
/// How many keys a limit counts, unless its configuration says otherwise.
const KEYS: i64 = 4096;
/// How many it counts whatever its configuration says.
const KEYS_MAX: i64 = 1 << 16;

/// The plugin's configuration.
#[derive(Clone, Debug, Default)]
pub struct Config(Vec<Limit>);

#[derive(Clone, Debug)]
struct Limit {
    /// What is counted.
    kind: String,
    /// Per second, in the long run.
    rate: f64,
    /// At once.
    burst: f64,
    keys_max: usize,
}

impl Config {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_document(document: &Value) -> Result<Config, DocumentError> {
        DOCUMENT.check(document)?;
        DOCUMENT.check_members(document, &["limits"])?;
        let (mut errors, root) = (Errors::new(), Path::root("limits"));
        let limits = document.get("limits");
        if limits.is_empty() {
            errors.invalid(&root, Value::from(Vec::new()), "must not be empty");
        }
        let mut read = Vec::new();
        for (index, limit) in limits.items().enumerate() {
            let path = root.index(index);
            let (kind, number) =
                (limit.str_at("type"), |member: &str| limit.get(member).as_i64().unwrap_or(0));
            if !TYPES.contains(&kind) {
                errors.not_supported(&path.child("type"), kind, &TYPES);
            }
            for member in ["burst", "qps"] {
                if number(member) <= 0 {
                    errors.invalid(&path.child(member), number(member), "must be positive");
                }
            }
            if kind != "Server" && number("cacheSize") < 0 {
                errors.invalid(&path.child("cacheSize"), number("cacheSize"), "must not be negative");
            }
            let keys = match number("cacheSize") {
                0 => KEYS,
                given => given.clamp(1, KEYS_MAX),
            };
            let exact = |member: &str| f64::from(u32::try_from(number(member)).unwrap_or(u32::MAX));
            read.push(Limit {
                kind: kind.to_owned(),
                rate: exact("qps"),
                burst: exact("burst"),
                keys_max: usize::try_from(keys).unwrap_or(1),
            });
        }
        DOCUMENT.check_values(errors)?;
        Ok(Config(read))
    }
}

/// The plugin.
pub struct EventRateLimit {
    limits: Vec<(Limit, Mutex<Buckets>)>,
}

/// What is left, by key; and the order in which keys were used.
#[derive(Default)]
struct Buckets {
    /// By the hash of the key, which may be as long as an event.
    by_key: HashMap<u64, Bucket>,
    hasher: RandomState,
    uses: u64,
}

struct Bucket {
    left: f64,
    since: Instant,
    used: u64,
}

impl EventRateLimit {
    /// The plugin with its configuration; without limits it refuses nothing.
    pub fn new(config: Config) -> EventRateLimit {
        EventRateLimit { limits: config.0.into_iter().map(|limit| (limit, Mutex::default())).collect() }
    }
}

#[async_trait]
impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        // As upstream, those of `events.k8s.io` are not limited, nor what is not stored.
        let is_event = what.kind.group.is_empty() && what.kind.kind == "Event";
        let is_write = matches!(what.operation, Operation::Create | Operation::Update) && !what.dry_run;
        if !is_event || !is_write {
            return Ok(());
        }
        let mut refusals = Vec::new();
        // Each of them counts, whatever another has said.
        for (limit, buckets) in &self.limits {
            let key = key(limit, what, object);
            if !buckets.lock().take(limit, &key) {
                let why = format!("limit reached on type {} for key {key}", limit.kind);
                if !refusals.contains(&why) {
                    refusals.push(why);
                }
            }
        }
        let why = match refusals.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        Err(Status::failure(object::Reason::TooManyRequests, format!("Too many requests: {why}")))
    }
}

fn key(limit: &Limit, what: &Attributes<'_>, event: &Value) -> String {
    match limit.kind.as_str() {
        "Namespace" => what.namespace.to_owned(),
        "User" => what.user.name.clone(),
        "SourceAndObject" => {
            let (about, source) = (event.get("involvedObject"), event.get("source"));
            let parts = [source.str_at("component"), source.str_at("host")];
            let members = ["kind", "namespace", "name", "uid", "apiVersion"];
            parts.into_iter().chain(members.map(|member| about.str_at(member))).collect()
        }
        _ => String::new(),
    }
}

impl Buckets {
    /// Whether there is something left for a key, which is less by one then.
    fn take(&mut self, limit: &Limit, key: &str) -> bool {
        let (now, used) = (Instant::now(), self.uses);
        self.uses += 1;
        let key = self.hasher.hash_one(key);
        if !self.by_key.contains_key(&key) && self.by_key.len() >= limit.keys_max {
            let oldest = self.by_key.iter().min_by_key(|(_, bucket)| bucket.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.by_key.remove(&oldest);
            }
        }
        let full = || Bucket { left: limit.burst, since: now, used };
        let bucket = self.by_key.entry(key).or_insert_with(full);
        let more = now.duration_since(bucket.since).as_secs_f64() * limit.rate;
        bucket.left = (bucket.left + more).min(limit.burst);
        (bucket.since, bucket.used) = (now, used);
        let takes = bucket.left >= 1.0;
        if takes {
            bucket.left -= 1.0;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_comes_back_with_time() {
        let limit = Limit { kind: "User".to_owned(), rate: 1.0, burst: 2.0, keys_max: 1 };
        let mut buckets = Buckets::default();
        let mut takes = |key: &str| buckets.take(&limit, key);
        assert_eq!([takes("a"), takes("a"), takes("a")], [true, true, false]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([takes("a"), takes("a")], [true, false]);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!([takes("a"), takes("a"), takes("a")], [true, true, false]);
        // Of more keys than are kept, the one that was not used for longest starts anew.
        assert_eq!([takes("b"), takes("a"), takes("a"), takes("a")], [true, true, true, false]);
    }
}
