//! Objects that expire: their time to live, as leases of the store.
//!
//! One lease per object would be too many. As upstream does, objects written within a short time share a lease: within
//! a twentieth of their time to live, but at most a minute, and at most a thousand objects. So an object may live a
//! little longer than its time to live.

use std::time::Duration;

use clock::Clock;
use jiff::Timestamp;
use store::{Expect, KeyValue, LeaseId, RangeRequest, Store, StoreError, Write};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a lease takes new objects at most.
const SHARED_MAX: Duration = Duration::from_secs(60);
/// The part of the time to live for which a lease takes new objects.
const SHARED_PART: u32 = 20;
/// How many objects a lease takes.
const OBJECTS_MAX: usize = 1000;

/// How many objects are checked at a time.
const PAGE: usize = 200;

/// The leases of a collection whose objects expire.
pub struct Leases {
    ttl: Duration,
    current: Mutex<Option<Current>>,
}

/// The lease that takes new objects.
struct Current {
    lease: LeaseId,
    until: Instant,
    objects: usize,
}

impl Leases {
    /// Leases of objects that live for this long.
    pub fn new(ttl: Duration) -> Leases {
        Leases { ttl, current: Mutex::default() }
    }

    /// How long objects live.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The lease of an object that is written now.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn of_now(&self, store: &dyn Store) -> Result<LeaseId, StoreError> {
        let mut current = self.current.lock().await;
        let now = Instant::now();
        if let Some(current) = current.as_mut().filter(|c| now < c.until && c.objects < OBJECTS_MAX) {
            current.objects += 1;
            return Ok(current.lease);
        }
        let shared = (self.ttl / SHARED_PART).min(SHARED_MAX);
        let lease = store.grant_lease(self.ttl + shared).await?;
        *current = Some(Current { lease, until: now + shared, objects: 1 });
        Ok(lease)
    }

    /// Forgets a lease that the store does not know any more.
    pub async fn forget(&self, lease: LeaseId) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|current| current.lease == lease) {
            *current = None;
        }
    }
}

/// Gives a lease to objects below `prefix` without one, or deletes them if they have expired: objects from before there
/// were leases.
///
/// # Errors
/// The store's errors.
pub async fn adopt(
    leases: &Leases,
    prefix: &str,
    store: &dyn Store,
    clock: &Clock,
) -> Result<usize, StoreError> {
    let (mut after, mut adopted) = (String::new().into_bytes(), 0);
    loop {
        let page = store.range(RangeRequest::prefix(prefix.to_owned()).after(after).limit(PAGE)).await?;
        let Some(last) = page.kvs.last() else { return Ok(adopted) };
        after = last.key.to_vec();
        let mut writes = Vec::new();
        for kv in page.kvs.iter().filter(|kv| kv.lease.is_none()) {
            let expect = Expect::ModRevision(kv.mod_revision);
            writes.push(if is_over(kv, leases.ttl, clock) {
                Write::delete(kv.key.clone(), expect)
            } else {
                let lease = leases.of_now(store).await?;
                Write::put(kv.key.clone(), kv.value.clone(), expect).lease(lease)
            });
        }
        adopted += writes.len();
        // An object that changed in the meantime has a lease from that write.
        futures::future::try_join_all(writes.into_iter().map(|write| store.write(write))).await?;
    }
}

/// Whether an object's last update is longer ago than its time to live.
fn is_over(kv: &KeyValue, ttl: Duration, clock: &Clock) -> bool {
    let Ok(object) = object::json::parse(&kv.value.to_cow()) else { return false };
    let time = |path: &str| object.at(path).as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let paths = ["metadata.creationTimestamp", "lastTimestamp", "eventTime", "series.lastObservedTime"];
    let last = paths.into_iter().filter_map(time).max();
    last.is_some_and(|last| clock.now().duration_since(last).as_secs() >= ttl.as_secs().cast_signed())
}
