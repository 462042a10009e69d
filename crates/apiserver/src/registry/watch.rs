//! Watching collections.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use object::{Status, Versioned};
use tokio::time::{Instant, Sleep};

use super::read::{Filter, check_damage, watch_error};
use super::{Answer, AnswerBody, Call, Endpoint, Registry};
use crate::cache::{CacheError, Change, ChangeKind, Collection, Hub, Watcher};
use crate::errors::from_cache;
use crate::options::Query;

/// The shortest time a watch lasts if the client names none; the longest is twice that.
const TIMEOUT_MIN: Duration = Duration::from_secs(1800);
/// How often a client that asked for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How many of the objects that a watch begins with are taken at a time.
const INITIAL_MAX: usize = 64;
/// How long before its end a watch sends its last bookmark.
const LAST_BOOKMARK_BEFORE: Duration = Duration::from_secs(2);

/// One event of a watch.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// An object started to match.
    Added(Versioned),
    /// It changed.
    Modified(Versioned),
    /// It was deleted, or no longer matches.
    Deleted(Versioned),
    /// Everything up to this version has been sent.
    Bookmark {
        /// The version.
        revision: u64,
        /// This ends the initial events of a streamed list.
        ends_initial: bool,
    },
}

/// An open watch.
pub struct WatchReply {
    endpoint: Arc<Endpoint>,
    hub: Arc<Hub>,
    filter: Filter,
    watcher: Watcher,
    /// The objects that it begins with, as far as they have not been told.
    initial: Option<Box<Initial>>,
    /// The next events, as stored.
    ready: VecDeque<WatchItem>,
    next_bookmark: Instant,
    ends: Instant,
    /// Runs until the next bookmark, or the end if that is sooner. It is kept, because each event would otherwise
    /// register another.
    timer: Pin<Box<Sleep>>,
    /// The version up to which everything has been sent.
    told: u64,
    /// It begins with all objects, and a bookmark behind them.
    begins_with_list: bool,
    /// The version that it began at.
    begun_at: u64,
    /// Why it ends before its first event.
    failure: Option<Box<Status>>,
    /// Values that are dropped with the watch.
    companion: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for WatchReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "watch of {} after {}", self.endpoint.def.plural, self.told)
    }
}

impl Registry {
    /// Opens a watch. Where it cannot begin, its first event says why.
    ///
    /// # Errors
    /// 422 for options that do not go together, 429 while the cache is read again.
    pub async fn watch(
        &self,
        endpoint: &Arc<Endpoint>,
        call: &Call<'_>,
        query: &Query,
    ) -> Result<Answer, Status> {
        let query = &query.as_watch();
        query.check_list()?;
        let collection = endpoint.stored("watch")?;
        let filter = Filter::new(endpoint, call, query)?;
        self.hub.check_warm().map_err(from_cache)?;
        check_damage(endpoint, collection, call)?;
        let Begun { watcher, told, initial, failure } = match self.begin(collection, query).await {
            Ok(begun) => begun,
            Err(status) => Begun { failure: Some(Box::new(status)), ..Begun::now(collection, &self.hub) },
        };
        let timeout = query.timeout_seconds.map_or_else(
            || TIMEOUT_MIN + Duration::from_secs(self.clock.random_below(TIMEOUT_MIN.as_secs())),
            Duration::from_secs,
        );
        let now = Instant::now();
        let ends = now + timeout.min(Duration::from_secs(86_400));
        let next_bookmark = (now + BOOKMARK_EVERY).min(ends - LAST_BOOKMARK_BEFORE.min(timeout));
        let wakes = if query.bookmarks { next_bookmark.min(ends) } else { ends };
        Ok(Answer::ok(AnswerBody::Watch(WatchReply {
            endpoint: Arc::clone(endpoint),
            hub: Arc::clone(&self.hub),
            filter,
            watcher,
            initial,
            ready: VecDeque::new(),
            next_bookmark,
            ends,
            timer: Box::pin(tokio::time::sleep_until(wakes)),
            told,
            begins_with_list: query.initial_events == Some(true) && query.bookmarks,
            begun_at: told,
            failure,
            companion: None,
        })))
    }

    /// The beginning of a watch.
    async fn begin(&self, collection: &Arc<Collection>, query: &Query) -> Result<Begun, Status> {
        if query.initial_events == Some(true) {
            self.freshen(collection, query.resource_version).await?;
            let (snapshot, watcher) = Watcher::with_snapshot(collection, &self.hub);
            let told = snapshot.revision;
            let end = query.bookmarks.then_some(WatchItem::Bookmark { revision: told, ends_initial: true });
            let initial = Some(Box::new(Initial { objects: snapshot.objects, after: None, end }));
            return Ok(Begun { watcher, told, initial, failure: None });
        }
        match query.resource_version {
            // From any state, such as that of the cache.
            Some(0) => Ok(Begun::now(collection, &self.hub)),
            None => {
                self.freshen(collection, None).await?;
                Ok(Begun::now(collection, &self.hub))
            }
            Some(told) => {
                if told > self.hub.revision() {
                    self.freshen(collection, Some(told)).await?;
                }
                let watcher = Watcher::after(collection, told).map_err(from_cache)?;
                Ok(Begun { watcher, told, initial: None, failure: None })
            }
        }
    }
}

/// The objects that a watch begins with. They are shared with the cache, and told a few at a time.
struct Initial {
    objects: OrdMap<Arc<str>, Versioned>,
    /// The key of the last one that was looked at.
    after: Option<Arc<str>>,
    /// What follows them.
    end: Option<WatchItem>,
}

impl Initial {
    /// The next ones that are selected; fewer than [`INITIAL_MAX`] only at the end.
    fn next(&mut self, filter: &Filter) -> VecDeque<WatchItem> {
        let mut ready = VecDeque::with_capacity(INITIAL_MAX);
        let start = match &self.after {
            Some(after) => Bound::Excluded(Arc::clone(after)),
            None => Bound::Included(filter.prefix().into()),
        };
        let prefix = filter.prefix();
        let range = self.objects.range((start, Bound::Unbounded));
        for (key, object) in range.take_while(|(key, _)| key.starts_with(&prefix)) {
            if filter.matches(object) {
                ready.push_back(WatchItem::Added(object.clone()));
            }
            if ready.len() == INITIAL_MAX {
                self.after = Some(Arc::clone(key));
                break;
            }
        }
        ready
    }
}

/// The beginning of a watch: what it sends first, and where it goes on.
struct Begun {
    watcher: Watcher,
    told: u64,
    initial: Option<Box<Initial>>,
    failure: Option<Box<Status>>,
}

impl Begun {
    /// A watch of what happens from now on.
    fn now(collection: &Arc<Collection>, hub: &Hub) -> Begun {
        let (snapshot, watcher) = Watcher::with_snapshot(collection, hub);
        Begun { watcher, told: snapshot.revision, initial: None, failure: None }
    }
}

impl WatchReply {
    /// Makes the watch keep a value until it is dropped.
    pub(crate) fn accompany(&mut self, companion: impl Any + Send + Sync) {
        self.companion = Some(Box::new(companion));
    }

    /// Whether it begins with all objects, as a list has them.
    pub(crate) fn begins_with_list(&self) -> bool {
        self.begins_with_list
    }

    /// Whether others may be told of this version at the same time: it is new, not only this one watches, and each gets
    /// the same one.
    pub(crate) fn is_shared(&self, version: &Versioned) -> bool {
        let is_new = version.resource_version() > self.begun_at;
        is_new && self.endpoint.conversion.is_none() && self.watcher.has_company()
    }

    /// The endpoint that is watched.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The next event of the watch; `None` when its time is over, or its resource is no longer served.
    ///
    /// # Errors
    /// Why the watch could not begin, or 410 if it was too slow. Nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<WatchItem, Status>> {
        if let Some(status) = self.failure.take() {
            return Some(Err(*status));
        }
        loop {
            if let Some(item) = self.take_ready().await {
                return Some(item);
            }
            tokio::select! {
                biased;
                changes = self.watcher.next() => match changes {
                    // The resource is no longer served, and all of its changes have been sent.
                    Err(CacheError::Ended) => return None,
                    Err(error) => return Some(Err(watch_error(error))),
                    Ok(changes) => {
                        for change in changes {
                            self.told = change.revision;
                            self.ready.extend(self.tell(&change));
                        }
                    }
                },
                () = self.timer.as_mut() => {
                    return (Instant::now() < self.ends).then(|| Ok(self.bookmark()));
                }
            }
        }
    }

    /// The bookmark that is due.
    fn bookmark(&mut self) -> WatchItem {
        let now = Instant::now();
        let last = self.ends.checked_sub(LAST_BOOKMARK_BEFORE).unwrap_or(now);
        self.next_bookmark =
            if now >= last { self.ends + BOOKMARK_EVERY } else { (now + BOOKMARK_EVERY).min(last) };
        self.timer.as_mut().reset(self.next_bookmark.min(self.ends));
        // Read before the log: if nothing is waiting there, everything up to it has been sent.
        let reached = self.hub.revision();
        if self.watcher.is_waiting() {
            self.told = self.told.max(reached);
        }
        WatchItem::Bookmark { revision: self.told, ends_initial: false }
    }

    /// The next event, as the endpoint serves it. It is kept until it is converted, so that a call that is cancelled in
    /// the meantime loses nothing.
    async fn take_ready(&mut self) -> Option<Result<WatchItem, Status>> {
        if self.ready.is_empty()
            && let Some(initial) = &mut self.initial
        {
            self.ready = initial.next(&self.filter);
            if self.ready.len() < INITIAL_MAX {
                self.ready.extend(initial.end.take());
                self.initial = None;
            }
        }
        if self.endpoint.conversion.is_none() {
            return self.ready.pop_front().map(Ok);
        }
        let served = self.serve(self.ready.front()?).await;
        self.ready.pop_front();
        Some(served)
    }

    async fn serve(&self, item: &WatchItem) -> Result<WatchItem, Status> {
        Ok(match item {
            WatchItem::Added(version) => WatchItem::Added(self.endpoint.present(version).await?),
            WatchItem::Modified(version) => WatchItem::Modified(self.endpoint.present(version).await?),
            WatchItem::Deleted(version) => WatchItem::Deleted(self.endpoint.present(version).await?),
            WatchItem::Bookmark { revision, ends_initial } => {
                WatchItem::Bookmark { revision: *revision, ends_initial: *ends_initial }
            }
        })
    }

    /// A change as seen through the selectors: an object that stops matching is deleted for this client.
    fn tell(&self, change: &Change) -> Option<WatchItem> {
        let is_match = change.kind != ChangeKind::Deleted && self.filter.matches(&change.object);
        let was_match = change.previous.as_ref().is_some_and(|previous| self.filter.matches(previous));
        match (was_match, is_match) {
            (false, true) => Some(WatchItem::Added(change.object.clone())),
            (true, true) => Some(WatchItem::Modified(change.object.clone())),
            (true, false) => Some(WatchItem::Deleted(last_state(change))),
            (false, false) => None,
        }
    }
}

/// The last state that matched, with the version of the change.
fn last_state(change: &Change) -> Versioned {
    match &change.previous {
        Some(previous) if change.kind != ChangeKind::Deleted => previous.at_version(change.revision),
        _ => change.object.clone(),
    }
}
