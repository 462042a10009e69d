//! Lists a collection, watches it, and passes on the changes, for as long as the informer lives.
//!
//! After a lost connection the watch continues from the last version seen. Only if the server has forgotten that
//! version (410), or refuses for another reason, is the collection listed again. It follows client-go's
//! `tools/cache/reflector.go`.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use futures::StreamExt;
use object::Versioned;
use tokio::time::Instant;

use crate::{
    Client, ClientError, ListOptions, Request, Selection, Target, Verb, WatchEvent, WatchOptions, WatchStream,
};

/// Objects per page.
const PAGE_LIMIT: u32 = 500;
/// The number of objects that are decoded before other tasks get their turn.
const DECODE_BATCH: usize = 128;
/// The server is asked to end each watch after this time, or up to twice as long.
const WATCH_SECONDS_MIN: u64 = 300;
/// A watch that ended this soon without an event counts as failed.
const WATCH_SHORTEST: Duration = Duration::from_secs(1);

/// The receiver of the objects: an informer of some kind.
pub(super) trait Sink: Send + Sync {
    /// An object was added or modified.
    fn put(&self, object: &Versioned);
    /// An object was deleted.
    fn remove(&self, object: &Versioned);
    /// Nothing changed up to this version.
    fn advance(&self, resource_version: u64);
    /// All objects are about to be replaced.
    fn replace(self: Arc<Self>) -> Box<dyn Replacement>;
}

/// The objects of a list, for a [`Sink`].
pub(super) trait Replacement: Send {
    /// Takes one object of the list.
    fn push(&mut self, object: &Versioned);
    /// The list is complete.
    fn finish(self: Box<Self>, resource_version: u64);
}

pub(super) struct Reflector {
    pub(super) client: Client,
    pub(super) selection: Selection,
    pub(super) metadata_only: bool,
    pub(super) sink: Arc<dyn Sink>,
}

/// How far the sink is.
enum Position {
    /// Not usable: a list is due, of at least this version (`0`: any, empty: the newest).
    List(String),
    /// It has everything up to this version.
    Watch(String),
}

impl Reflector {
    pub(super) async fn run(self) {
        let mut position = Position::List("0".to_owned());
        let mut backoff = Backoff::new(self.client.clock().clone());
        loop {
            let (next, failed) = match position {
                Position::List(version) => self.list(version).await,
                Position::Watch(version) => self.watch(version).await,
            };
            position = next;
            if failed {
                backoff.wait().await;
            }
        }
    }

    async fn list(&self, version: String) -> (Position, bool) {
        match self.list_into_sink(&version).await {
            Ok(version) => (Position::Watch(version), false),
            Err(error) => {
                self.report("cannot list", &error);
                // The server may have forgotten the version, or not know it yet; any newest state will do.
                let unusable = error.is_expired()
                    || error.status().is_some_and(|status| status.has_cause("ResourceVersionTooLarge"));
                (Position::List(if unusable { String::new() } else { version }), true)
            }
        }
    }

    async fn list_into_sink(&self, version: &str) -> Result<String, ClientError> {
        let selection = &self.selection;
        let mut options = ListOptions {
            label_selector: selection.label_selector.clone(),
            field_selector: selection.field_selector.clone(),
            limit: PAGE_LIMIT,
            resource_version: version.to_owned(),
            ..ListOptions::default()
        };
        let mut replacement = Arc::clone(&self.sink).replace();
        loop {
            let target = Target::collection(selection.resource.clone(), &selection.namespace);
            let mut request = options.apply(Request::new(Verb::List, target));
            request.metadata_only = self.metadata_only;
            let page = self.client.connection().list(request).await?;
            for batch in page.items.chunks(DECODE_BATCH) {
                batch.iter().for_each(|object| replacement.push(object));
                tokio::task::yield_now().await;
            }
            if page.continue_token.is_empty() {
                replacement.finish(page.resource_version.parse().unwrap_or(0));
                return Ok(page.resource_version);
            }
            options.continue_token = page.continue_token;
            options.resource_version.clear();
        }
    }

    async fn watch(&self, mut version: String) -> (Position, bool) {
        let start = Instant::now();
        let before = version.clone();
        let lost = match self.open_watch(&version).await {
            Ok(events) => match self.take_events(events, &mut version).await {
                Ok(()) => None,
                Err(error) => Some((error, true)),
            },
            Err(error) => Some((error, false)),
        };
        match lost {
            // The server's response says that a watch from here is not possible.
            Some((error, _)) if error.status().is_some() && !error.is_too_many_requests() => {
                self.report("cannot watch", &error);
                (Position::List(version), !error.is_expired())
            }
            Some((error, had_begun)) if error.is_too_many_requests() || !had_begun => {
                self.report("cannot watch", &error);
                (Position::Watch(version), true)
            }
            // It ended, or its connection broke: the next one is begun at once, however often that happens, unless it
            // was of no use.
            ended => {
                if let Some((error, _)) = ended {
                    self.report("lost the watch", &error);
                }
                let failed = version == before && start.elapsed() < WATCH_SHORTEST;
                (Position::Watch(version), failed)
            }
        }
    }

    async fn open_watch(&self, version: &str) -> Result<WatchStream, ClientError> {
        let selection = &self.selection;
        let spread = self.client.clock().random_below(WATCH_SECONDS_MIN);
        let options = WatchOptions {
            label_selector: selection.label_selector.clone(),
            field_selector: selection.field_selector.clone(),
            resource_version: version.to_owned(),
            timeout_seconds: WATCH_SECONDS_MIN + spread,
        };
        let target = Target::collection(selection.resource.clone(), &selection.namespace);
        let mut request = options.apply(Request::new(Verb::Watch, target));
        request.metadata_only = self.metadata_only;
        self.client.connection().watch(request).await
    }

    /// Passes events on until the watch ends. `version` follows them.
    async fn take_events(&self, mut events: WatchStream, version: &mut String) -> Result<(), ClientError> {
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.sink.put(&object);
                    *version = object.resource_version().to_string();
                }
                WatchEvent::Deleted(object) => {
                    self.sink.remove(&object);
                    *version = object.resource_version().to_string();
                }
                WatchEvent::Bookmark { resource_version } => {
                    self.sink.advance(resource_version.parse().unwrap_or(0));
                    *version = resource_version;
                }
            }
        }
        Ok(())
    }

    fn report(&self, what: &str, error: &ClientError) {
        let resource = &self.selection.resource;
        if error.is_expired() {
            tracing::debug!(%resource, %error, "{what}");
        } else {
            tracing::warn!(%resource, error = error as &dyn std::error::Error, "{what}");
        }
    }
}

/// Increasing pauses after failures, with jitter: 0.8 s doubling to 30 s, and up to twice that. Two quiet minutes start
/// it again.
struct Backoff {
    clock: Clock,
    next: Duration,
    last: Option<Instant>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(800);
    const MAX: Duration = Duration::from_secs(30);
    const RESET_AFTER: Duration = Duration::from_secs(120);

    fn new(clock: Clock) -> Backoff {
        Backoff { clock, next: Backoff::FIRST, last: None }
    }

    async fn wait(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() > Backoff::RESET_AFTER) {
            self.next = Backoff::FIRST;
        }
        let base = self.next.as_millis() as u64;
        let pause = Duration::from_millis(base + self.clock.random_below(base));
        self.next = (self.next * 2).min(Backoff::MAX);
        tokio::time::sleep(pause).await;
        self.last = Some(Instant::now());
    }
}
