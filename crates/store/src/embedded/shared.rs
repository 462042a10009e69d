//! Published by the writer: the current view, and wake-ups for the affected watchers.
//!
//! A watcher has no queue. The writer notes the relevant revisions in its mailbox, and the watcher reads those events
//! from the history of the view when it runs. So a slow watcher costs nothing, and one that falls behind the kept
//! history ends with [`StoreError::Compacted`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use futures::stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::view::View;
use crate::{Event, KeyRange, Revision, StoreError, WatchBatch, WatchRequest, WatchStream};

/// Events in one batch of a watch.
const BATCH_EVENTS: usize = 1000;

/// See the module.
pub(super) struct Shared {
    view: ArcSwap<View>,
    watchers: Mutex<Vec<Arc<Watcher>>>,
    closed: AtomicBool,
    full: AtomicBool,
}

impl Shared {
    pub(super) fn new(view: View) -> Shared {
        Shared {
            view: ArcSwap::from_pointee(view),
            watchers: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }

    /// The current view.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Makes `view`, which differs from the last one by `events`, visible.
    pub(super) fn publish(&self, view: &View, events: &[Event]) {
        let watchers = self.watchers.lock();
        // Mailboxes first: a watcher that sees the view must find all notes about it.
        let concerned: Vec<_> = watchers.iter().filter(|watcher| watcher.note(events)).collect();
        self.view.store(Arc::new(view.clone()));
        for watcher in concerned {
            watcher.wake.notify_one();
        }
    }

    /// Asks the watchers that take progress batches for one.
    pub(super) fn request_progress(&self) {
        for watcher in self.watchers.lock().iter().filter(|watcher| watcher.progress) {
            watcher.mailbox.lock().progress_requested = true;
            watcher.wake.notify_one();
        }
    }

    /// Ends all watches and refuses new requests.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for watcher in self.watchers.lock().iter() {
            watcher.wake.notify_one();
        }
    }

    /// Notes whether the disk is full.
    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// Whether the disk is full.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Fails once the store is closed.
    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Starts a watch.
    pub(super) fn watch(self: &Arc<Self>, request: WatchRequest) -> Result<WatchStream, StoreError> {
        // Under the lock no batch is being published: view and registration are of the same moment.
        let mut watchers = self.watchers.lock();
        self.check_open()?;
        let view = self.view.load();
        let from = request.from.unwrap_or(view.revision);
        view.check(from)?;
        let watcher = Arc::new(Watcher {
            range: request.range,
            progress: request.progress,
            previous: request.previous,
            mailbox: Mutex::new(Mailbox::default()),
            wake: Notify::new(),
        });
        watchers.push(watcher.clone());
        let backlog = (from < view.revision).then(|| from.next());
        let cursor = Cursor { shared: self.clone(), watcher, backlog, progress_due: false };
        Ok(Box::pin(stream::unfold(Some(cursor), |cursor| async {
            let mut cursor = cursor?;
            match cursor.next().await {
                Ok(batch) => Some((Ok(batch), Some(cursor))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }
}

/// One watch as the writer sees it.
struct Watcher {
    range: KeyRange,
    progress: bool,
    previous: bool,
    mailbox: Mutex<Mailbox>,
    wake: Notify,
}

/// The writer's notes for a watcher since its last look.
#[derive(Default)]
struct Mailbox {
    /// The first and the last event that concern it.
    events: Option<(Revision, Revision)>,
    progress_requested: bool,
}

impl Watcher {
    /// Notes the events that concern this watcher; whether there are any.
    fn note(&self, events: &[Event]) -> bool {
        let concerns = |event: &&Event| self.range.contains(event.key());
        let (Some(first), Some(last)) = (events.iter().find(concerns), events.iter().rfind(concerns)) else {
            return false;
        };
        let mut mailbox = self.mailbox.lock();
        let first = mailbox.events.map_or(first.revision(), |(first, _)| first);
        mailbox.events = Some((first, last.revision()));
        true
    }
}

/// One watch as its reader sees it.
struct Cursor {
    shared: Arc<Shared>,
    watcher: Arc<Watcher>,
    /// The first revision that may concern the watch and was not delivered.
    backlog: Option<Revision>,
    /// Whether a progress batch is owed.
    progress_due: bool,
}

impl Cursor {
    async fn next(&mut self) -> Result<WatchBatch, StoreError> {
        loop {
            self.shared.check_open()?;
            let (view, noted) = self.look();
            if let Some(first) = self.backlog.filter(|first| *first <= view.revision) {
                if first <= view.compacted {
                    return Err(StoreError::Compacted { requested: first, oldest: view.compacted });
                }
                let (mut events, revision) = view.events_from(first, &self.watcher.range, BATCH_EVENTS);
                if !self.watcher.previous {
                    events = events.into_iter().map(Event::without_previous).collect();
                }
                // Notes are made before their view is published, so some may be about later revisions.
                let later = noted.is_some_and(|last| last > revision) || revision < view.revision;
                self.backlog = later.then(|| revision.next());
                if !events.is_empty() {
                    return Ok(WatchBatch { events, revision });
                }
            } else if std::mem::take(&mut self.progress_due) {
                return Ok(WatchBatch { events: Vec::new(), revision: view.revision });
            } else {
                self.watcher.wake.notified().await;
            }
        }
    }

    /// Empties the mailbox; returns the matching view, and the last revision noted.
    fn look(&mut self) -> (Arc<View>, Option<Revision>) {
        let mut mailbox = self.watcher.mailbox.lock();
        // Loaded under the lock: every note about this view is in the mailbox or was taken before, and the view is not
        // older than the request for progress.
        let view = self.shared.view();
        self.progress_due |= std::mem::take(&mut mailbox.progress_requested);
        let noted = mailbox.events.take();
        drop(mailbox);
        if let Some((first, _)) = noted {
            self.backlog.get_or_insert(first);
        }
        (view, noted.map(|(_, last)| last))
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.watchers.lock().retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
    }
}
