//! The table of a port's connections, and the choice of the one to close when it is full.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Limits;

/// When room is made, this part of what could go does, so that the search pays.
const EVICTED_PART: usize = 32;

/// The identity that a connection's peer has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rank {
    /// The handshake is in progress.
    Handshaking = 0,
    /// It has shown nothing.
    Anonymous = 1,
    /// It has proved who it is.
    Known = 2,
    /// It may do everything.
    Administrator = 3,
}

impl Rank {
    fn from_u8(rank: u8) -> Rank {
        match rank {
            0 => Rank::Handshaking,
            1 => Rank::Anonymous,
            2 => Rank::Known,
            _ => Rank::Administrator,
        }
    }
}

/// How easily a connection is given up, the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Unidentified, without a request.
    Cheap,
    /// Identified, without a request.
    Idle,
    /// Unidentified, with a request.
    Asking,
    /// Identified, with a request.
    Working,
    /// Never closed for others.
    Kept,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    client: IpAddr,
    start: Instant,
    rank: AtomicU8,
    /// Requests in progress.
    requests: AtomicU32,
    /// It has asked something once.
    has_asked: AtomicBool,
    /// When a request began or ended last, in milliseconds after `start`.
    touched_ms: AtomicU64,
    /// How long sending may stall, in milliseconds.
    stall_ms: AtomicU64,
    /// When the present answer must have been read, in milliseconds after `start`; `u64::MAX` without such a time.
    until_ms: AtomicU64,
    evicted: AtomicBool,
    pub(crate) reader: AtomicWaker,
    pub(crate) writer: AtomicWaker,
}

impl Entry {
    pub(crate) fn raise(&self, rank: Rank) {
        self.rank.fetch_max(rank as u8, Ordering::Relaxed);
    }

    fn rank(&self) -> Rank {
        Rank::from_u8(self.rank.load(Ordering::Relaxed))
    }

    fn worth(&self) -> Worth {
        match (self.rank(), self.is_busy()) {
            (Rank::Handshaking, _) | (Rank::Anonymous, false) => Worth::Cheap,
            (Rank::Known, false) => Worth::Idle,
            (Rank::Anonymous, true) => Worth::Asking,
            (Rank::Known, true) => Worth::Working,
            (Rank::Administrator, _) => Worth::Kept,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.touched_ms.store(elapsed, Ordering::Relaxed);
    }

    /// Whether it must end, to make room for others.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    pub(crate) fn stall_max(&self) -> Duration {
        Duration::from_millis(self.stall_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn set_stall_max(&self, stall: Duration) {
        self.stall_ms.store(u64::try_from(stall.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When writing ends if the client takes nothing more from now on.
    pub(crate) fn write_until(&self) -> Instant {
        let stalled = Instant::now() + self.stall_max();
        match self.until_ms.load(Ordering::Relaxed) {
            u64::MAX => stalled,
            until => stalled.min(self.start + Duration::from_millis(until)),
        }
    }

    pub(crate) fn set_until(&self, until: Option<Instant>) {
        let after = |until: Instant| until.saturating_duration_since(self.start).as_millis();
        let until = until.map_or(u64::MAX, |until| u64::try_from(after(until)).unwrap_or(u64::MAX));
        self.until_ms.store(until, Ordering::Relaxed);
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.has_asked.store(true, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Busy(Arc::clone(self))
    }

    /// Returns once nothing was asked for too long.
    pub(crate) async fn quiet(&self, limits: &Limits) {
        loop {
            let allowed = match self.has_asked.load(Ordering::Relaxed) {
                true => limits.idle_max,
                false => limits.first_request_within,
            };
            let since = match self.is_busy() {
                true => Instant::now(),
                false => self.start + Duration::from_millis(self.touched_ms.load(Ordering::Relaxed)),
            };
            let until = since + allowed;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Entry>);

impl Busy {
    /// The connection stays busy to its end.
    pub(crate) fn keep(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touch();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's place in the table, until it is dropped.
pub(crate) struct Slot {
    connections: Arc<Connections>,
    pub(crate) entry: Arc<Entry>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.table.lock().remove(&self.entry);
        self.connections.sockets.fetch_sub(1, Ordering::AcqRel);
        self.connections.closed.notify_one();
    }
}

#[derive(Default)]
struct Table {
    entries: HashMap<u64, Arc<Entry>>,
    of_client: HashMap<IpAddr, usize>,
    handshakes: usize,
    next_id: u64,
}

/// All connections of a port.
pub(crate) struct Connections {
    pub(crate) limits: Limits,
    table: Mutex<Table>,
    /// Sockets that are open, with those of connections that left the table.
    sockets: AtomicUsize,
    closed: Notify,
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Arc<Connections> {
        Arc::new(Connections {
            limits,
            table: Mutex::default(),
            sockets: AtomicUsize::new(0),
            closed: Notify::new(),
        })
    }

    /// Waits until there may be one socket more.
    pub(crate) async fn room(&self) {
        while self.sockets.load(Ordering::Acquire) >= self.limits.sockets_max() {
            self.closed.notified().await;
        }
    }

    /// Accepts a client, if necessary in another's place; `None` if there is no place.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Slot> {
        let client = client.to_canonical();
        let limits = &self.limits;
        let mut table = self.table.lock();
        let own = table.of_client.get(&client).copied().unwrap_or_default();
        if own >= limits.of_client_max
            && !client.is_loopback()
            && !table.evict(|entry| entry.client == client && entry.worth() == Worth::Cheap)
        {
            return None;
        }
        if table.handshakes >= limits.handshakes_max {
            table.evict(|entry| entry.rank() == Rank::Handshaking);
        }
        if table.entries.len() >= limits.connections_max
            && !table.make_room(Worth::Asking, None)
            && table.entries.len() >= limits.connections_max + limits.reserve
        {
            return None;
        }
        let entry = Arc::new(Entry {
            id: table.next_id,
            client,
            start: Instant::now(),
            rank: AtomicU8::new(Rank::Handshaking as u8),
            requests: AtomicU32::new(0),
            has_asked: AtomicBool::new(false),
            touched_ms: AtomicU64::new(0),
            stall_ms: AtomicU64::new(0),
            until_ms: AtomicU64::new(u64::MAX),
            evicted: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        });
        entry.set_stall_max(limits.stall_max);
        table.insert(Arc::clone(&entry));
        drop(table);
        self.sockets.fetch_add(1, Ordering::AcqRel);
        Some(Slot { connections: Arc::clone(self), entry })
    }

    /// The handshake has ended, and shown who it is. Whether the connection may stay.
    pub(crate) fn settle(&self, entry: &Entry, rank: Rank) -> bool {
        let mut table = self.table.lock();
        if entry.is_evicted() {
            return false;
        }
        entry.touch();
        if entry.rank() == Rank::Handshaking {
            table.handshakes -= 1;
        }
        entry.raise(rank.max(Rank::Anonymous));
        let (len, limits) = (table.entries.len(), &self.limits);
        match rank {
            Rank::Administrator => {
                if len > limits.connections_max + limits.reserve / 2 {
                    table.make_room(Worth::Working, Some(entry.id));
                }
                true
            }
            _ => len <= limits.connections_max || table.make_room(Worth::Idle, Some(entry.id)),
        }
    }

    /// Closes some of the connections that are worth least, as the process is short of descriptors.
    pub(crate) fn relieve(&self) {
        self.table.lock().make_room(Worth::Asking, None);
    }

    /// How many connections there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.lock().entries.len()
    }
}

impl Table {
    fn insert(&mut self, entry: Arc<Entry>) {
        self.next_id += 1;
        self.handshakes += 1;
        *self.of_client.entry(entry.client).or_default() += 1;
        self.entries.insert(entry.id, entry);
    }

    fn remove(&mut self, entry: &Entry) {
        if self.entries.remove(&entry.id).is_none() {
            return;
        }
        if entry.rank() == Rank::Handshaking {
            self.handshakes -= 1;
        }
        if let Some(count) = self.of_client.get_mut(&entry.client) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&entry.client);
            }
        }
    }

    /// Closes connections of the least worth that some have, up to this one.
    fn make_room(&mut self, up_to: Worth, except: Option<u64>) -> bool {
        [Worth::Cheap, Worth::Idle, Worth::Asking, Worth::Working]
            .into_iter()
            .filter(|worth| *worth <= up_to)
            .any(|worth| self.evict(|entry| entry.worth() == worth && Some(entry.id) != except))
    }

    /// Closes the quietest connections of the client that has most of these; whether there were any.
    fn evict(&mut self, is_candidate: impl Fn(&Entry) -> bool) -> bool {
        let candidates = || self.entries.values().filter(|entry| is_candidate(entry));
        let mut of_client: HashMap<IpAddr, usize> = HashMap::new();
        candidates().for_each(|entry| *of_client.entry(entry.client).or_default() += 1);
        let Some((client, count)) = of_client.into_iter().max_by_key(|(_, count)| *count) else {
            return false;
        };
        let moment =
            |entry: &Entry| entry.start + Duration::from_millis(entry.touched_ms.load(Ordering::Relaxed));
        let mut quietest: Vec<(Instant, u64)> = candidates()
            .filter(|entry| entry.client == client)
            .map(|entry| (moment(entry), entry.id))
            .collect();
        let wanted = (count / EVICTED_PART).max(1);
        quietest.select_nth_unstable(wanted - 1);
        for (_, id) in &quietest[..wanted] {
            if let Some(entry) = self.entries.get(id).cloned() {
                self.remove(&entry);
                entry.evict();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
