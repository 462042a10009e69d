//! The quotas of one namespace, charged for many requests at once.
//!
//! Requests queue up. The first to get the book serves all that wait: it decides about each in turn, and writes each
//! changed quota once. The write is conditional on the version that was decided on; if the quota has changed, those that
//! need a share of it are decided about again.

use std::collections::HashMap;
use std::sync::Arc;

use object::{Reason, Status, Uid};
use parking_lot::Mutex;
use semantics::quota::ResourceList;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, oneshot};

use super::decide::{Request, Share, decide};
use super::{QUOTAS, Quota};
use crate::admission::{Reader, Writer};

/// How often a decision is made again because a quota has changed in the meantime. Only the quota controller and users
/// change it meanwhile, and other servers.
const TRIES: usize = 10;

/// The access of the request that serves the others.
pub(super) struct Server<'a> {
    pub(super) reader: &'a dyn Reader,
    pub(super) writer: &'a dyn Writer,
}

/// Why a request gets no share.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// A quota forbids it.
    Forbidden(String),
    /// Quotas could not be read or written.
    Failed(Status),
}

/// A share of a quota that a request has.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    quota: String,
    /// The count that the share was added to.
    count: u64,
    amounts: ResourceList,
}

type Answer = Result<Vec<Charge>, Refusal>;

/// The quotas of a namespace.
pub(super) struct Ledger {
    namespace: String,
    waiting: Mutex<Vec<Waiter>>,
    book: tokio::sync::Mutex<Book>,
    /// Held for reading from the charge of a write until its end.
    in_flight: Arc<RwLock<()>>,
}

struct Waiter {
    request: Request,
    answer: oneshot::Sender<Answer>,
    /// What it was charged already, where some quotas could be written and others not.
    charges: Vec<Charge>,
}

/// The newest known versions of the quotas, by name: the cache learns of the server's own writes a moment later.
#[derive(Default)]
struct Book {
    known: HashMap<String, Entry>,
    counts: u64,
}

struct Entry {
    quota: Quota,
    /// Identifies the count in `used`: another one after somebody else has written it.
    count: u64,
}

impl Ledger {
    pub(super) fn new(namespace: &str) -> Ledger {
        Ledger {
            namespace: namespace.to_owned(),
            waiting: Mutex::default(),
            book: tokio::sync::Mutex::default(),
            in_flight: Arc::default(),
        }
    }

    /// Begins a write that a quota may count, until the guard is dropped.
    pub(super) async fn begin(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.in_flight).read_owned().await
    }

    /// Waits until the writes that have begun have ended.
    pub(super) async fn settle(&self) {
        drop(self.in_flight.write().await);
    }

    /// Decides about a request without charging it.
    pub(super) async fn check(&self, request: &Request, server: &Server<'_>) -> Result<(), Refusal> {
        let quotas = self.book.lock().await.refresh(&self.namespace, server);
        decide(&quotas, request, |_| false).map(drop).map_err(Refusal::Forbidden)
    }

    /// Charges a request.
    pub(super) async fn charge(&self, request: Request, server: &Server<'_>) -> Answer {
        let (answer, mut answered) = oneshot::channel();
        self.waiting.lock().push(Waiter { request, answer, charges: Vec::new() });
        let mut book = tokio::select! {
            biased;
            answer = &mut answered => return received(answer),
            book = self.book.lock() => book,
        };
        // All who wait, this one among them unless it was served just now.
        let batch = std::mem::take(&mut *self.waiting.lock());
        book.serve(&self.namespace, batch, server).await;
        drop(book);
        received(answered.await)
    }

    /// Gives back what a write was charged that was not stored. Counts that others have written since contain only what
    /// is stored, so nothing is taken away from those.
    pub(super) async fn give_back(&self, charges: &[Charge], server: &Server<'_>) {
        self.book.lock().await.give_back(&self.namespace, charges, server).await;
    }
}

fn received(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    let gone = || Refusal::Failed(Status::internal_error("resource quota evaluation was abandoned"));
    answer.unwrap_or_else(|_| Err(gone()))
}

impl Book {
    /// The newest versions, in the order of names.
    fn refresh(&mut self, namespace: &str, server: &Server<'_>) -> Vec<Quota> {
        let cached = server.reader.in_namespace(QUOTAS, namespace);
        let mut before = std::mem::take(&mut self.known);
        let mut quotas = Vec::with_capacity(cached.len());
        for version in &cached {
            let entry = match before.remove(version.name()) {
                Some(entry) if is_same(&entry, version.uid()) => {
                    if version.resource_version() > entry.quota.version {
                        let quota = Quota::read(version);
                        let count =
                            if quota.used == entry.quota.used { entry.count } else { self.new_count() };
                        Entry { quota, count }
                    } else {
                        entry
                    }
                }
                _ => Entry { quota: Quota::read(version), count: self.new_count() },
            };
            quotas.push(entry.quota.clone());
            self.known.insert(version.name().to_owned(), entry);
        }
        quotas
    }

    fn new_count(&mut self) -> u64 {
        self.counts += 1;
        self.counts
    }

    /// Answers all waiters.
    async fn serve(&mut self, namespace: &str, mut open: Vec<Waiter>, server: &Server<'_>) {
        let mut why = Status::internal_error("no quota was evaluated");
        let mut given_up = Vec::new();
        for attempt in 0..TRIES {
            if attempt > 0
                && let Err(status) = server.reader.catch_up().await
            {
                why = status;
                break;
            }
            let mut quotas = self.refresh(namespace, server);
            let (shared, refused) = share(&mut quotas, std::mem::take(&mut open));
            given_up.extend(refused);
            let mut failed = HashMap::new();
            for index in changed(&shared) {
                if let Err(status) = self.write(&quotas[index], server).await {
                    failed.insert(index, status);
                }
            }
            let is_final = failed.values().find(|status| status.reason != Reason::Conflict).cloned();
            for (mut waiter, shares) in shared {
                let (unwritten, written): (Vec<Share>, Vec<Share>) =
                    shares.into_iter().partition(|(index, _)| failed.contains_key(index));
                waiter.charges.extend(written.into_iter().filter_map(|share| self.charge_of(&quotas, share)));
                if unwritten.is_empty() {
                    given_up.extend(waiter.succeed());
                } else {
                    open.push(waiter);
                }
            }
            why = is_final.clone().or_else(|| failed.into_values().next()).unwrap_or(why);
            if open.is_empty() || is_final.is_some() {
                break;
            }
        }
        given_up.extend(open.into_iter().flat_map(|waiter| waiter.fail(Refusal::Failed(why.clone()))));
        if !given_up.is_empty() {
            self.give_back(namespace, &given_up, server).await;
        }
    }

    fn charge_of(&self, quotas: &[Quota], (index, amounts): Share) -> Option<Charge> {
        let quota = quotas[index].name.clone();
        let count = self.known.get(&quota)?.count;
        Some(Charge { quota, count, amounts })
    }

    /// Writes what is used of a quota, on the condition that it has not changed.
    async fn write(&mut self, quota: &Quota, server: &Server<'_>) -> Result<(), Status> {
        let written = server.writer.update_status(QUOTAS, quota.to_value()).await?;
        if let Some(entry) = self.known.get_mut(&quota.name) {
            entry.quota = Quota::of(written);
        }
        Ok(())
    }

    async fn give_back(&mut self, namespace: &str, charges: &[Charge], server: &Server<'_>) {
        let mut open = charges.to_vec();
        for _ in 0..TRIES {
            let mut failed = None;
            for mut quota in self.refresh(namespace, server) {
                let count = self.known.get(&quota.name).map(|entry| entry.count);
                let own = |charge: &&Charge| charge.quota == quota.name && Some(charge.count) == count;
                let before = quota.used.clone();
                let less: Vec<&Charge> = open.iter().filter(own).collect();
                less.into_iter().for_each(|charge| quota.used.take_all(&charge.amounts));
                if quota.used == before {
                    continue;
                }
                match self.write(&quota, server).await {
                    Ok(()) => open.retain(|charge| charge.quota != quota.name),
                    Err(status) => failed = Some(status),
                }
            }
            let Some(status) = failed else { return };
            if status.reason != Reason::Conflict || server.reader.catch_up().await.is_err() {
                tracing::warn!(
                    why = status.message,
                    namespace,
                    "a quota stays charged until it is recounted"
                );
                return;
            }
        }
    }
}

fn is_same(entry: &Entry, uid: &Uid) -> bool {
    entry.quota.uid == *uid
}

/// Decides about each waiter in turn, and adds what they get to `used`. Returns those who get something, and what the
/// refused ones had got before.
fn share(quotas: &mut [Quota], waiters: Vec<Waiter>) -> (Vec<(Waiter, Vec<Share>)>, Vec<Charge>) {
    let (mut shared, mut refused) = (Vec::new(), Vec::new());
    for waiter in waiters {
        let has = |quota: &Quota| waiter.charges.iter().any(|charge| charge.quota == quota.name);
        match decide(quotas, &waiter.request, has) {
            Ok(shares) => {
                for (index, amounts) in &shares {
                    quotas[*index].used.add_all(amounts);
                }
                shared.push((waiter, shares));
            }
            Err(why) => refused.extend(waiter.fail(Refusal::Forbidden(why))),
        }
    }
    (shared, refused)
}

/// The quotas that someone gets a share of.
fn changed(shared: &[(Waiter, Vec<Share>)]) -> std::collections::BTreeSet<usize> {
    shared.iter().flat_map(|(_, shares)| shares.iter().map(|(index, _)| *index)).collect()
}

impl Waiter {
    /// Returns what must be given back because nobody waits any more.
    fn succeed(self) -> Vec<Charge> {
        match self.answer.send(Ok(self.charges)) {
            Ok(()) => Vec::new(),
            Err(unheard) => unheard.unwrap_or_default(),
        }
    }

    /// Returns what must be given back.
    fn fail(self, refusal: Refusal) -> Vec<Charge> {
        // Nobody may wait any more.
        let _ = self.answer.send(Err(refusal));
        self.charges
    }
}
