//! The event recorder: reports a component's actions and observations to users as Events.
//!
//! Events are counted, aggregated and limited as client-go's `tools/record` does it (`correlator`), and written by a
//! separate task: a recorder never delays its caller. If the server is slow, the oldest events are dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Client, ClientError, Form, Patch, key_of, version_of};

mod correlator;
#[cfg(test)]
mod tests;

use correlator::{Correlated, Correlator, Write};

/// The maximum number of events waiting to be written.
const QUEUE_MAX: usize = 1000;
/// How often an event is sent if there is no answer.
const TRIES_MAX: u32 = 12;
/// The pause between two tries; the first is shorter, at random.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// All is well.
    Normal,
    /// There is a problem.
    Warning,
}

impl EventType {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// A reference to an object, as events carry it.
pub fn reference_to<K: Form>(object: &K) -> ObjectReference {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        namespace: text(object.namespace()),
        name: text(object.name()),
        uid: text(object.uid()),
        resource_version: version_of(object),
        field_path: None,
    }
}

/// Records events for one component. Clones share the queue; after the last is dropped, what waits is still
/// written.
///
/// ```no_run
/// # fn example(client: client::Client, pod: &k8s_openapi::api::core::v1::Pod) {
/// use client::{EventType, Recorder};
/// let recorder = Recorder::start(client, "kubelet", "node-1");
/// recorder.record(&client::reference_to(pod), EventType::Normal, "Started", "Started container web");
/// # }
/// ```
#[derive(Clone)]
pub struct Recorder {
    queue: Arc<Queue>,
}

struct Queue {
    source: EventSource,
    clock: clock::Clock,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    state: Mutex<WaitingState>,
    changed: Notify,
}

#[derive(Default)]
struct WaitingState {
    /// Each in a place of its own, because the queue keeps the space that it once needed.
    events: VecDeque<Box<Event>>,
    /// Makes names unique when several events are recorded at one moment.
    recorded: i128,
    /// How many were dropped since the queue was empty.
    dropped: usize,
    closed: bool,
}

impl Recorder {
    /// Starts the task that writes the events of a component. `host` is the node's name for components of a
    /// node, else empty. Must be called inside a tokio runtime.
    pub fn start(client: Client, component: &str, host: &str) -> Recorder {
        let waiting = Arc::<Waiting>::default();
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        let source = EventSource { component: Some(component.to_owned()), host };
        let clock = client.clock().clone();
        let writer = Writer { client, correlator: Correlator::default(), component: component.to_owned() };
        tokio::spawn(writer.run(Arc::clone(&waiting)));
        Recorder { queue: Arc::new(Queue { source, clock, waiting }) }
    }

    /// Records an event about an object. `reason` is a short word in upper camel case for programs, `message`
    /// is for people.
    pub fn record(&self, about: &ObjectReference, kind: EventType, reason: &str, message: impl Into<String>) {
        let Queue { source, clock, waiting } = &*self.queue;
        let now = clock.now();
        let mut state = waiting.state.lock();
        state.recorded += 1;
        let namespace = about.namespace.clone().filter(|namespace| !namespace.is_empty());
        let mut event = Event {
            involved_object: about.clone(),
            type_: Some(kind.as_str().to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.into()),
            source: Some(source.clone()),
            reporting_component: source.component.clone(),
            reporting_instance: source.host.clone(),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Event::default()
        };
        let moment = now.as_nanosecond() + state.recorded;
        event.metadata.name = Some(format!("{}.{moment:x}", about.name.as_deref().unwrap_or_default()));
        event.metadata.namespace = Some(namespace.unwrap_or_else(|| "default".to_owned()));
        if state.push(Box::new(event)) == 1 {
            // Once per burst: too many events for the server are also too many lines for the log.
            let component = source.component.as_deref();
            tracing::warn!(component, "too many events are waiting to be written; dropping the oldest");
        }
        drop(state);
        waiting.changed.notify_one();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.waiting.state.lock().closed = true;
        self.waiting.changed.notify_one();
    }
}

impl WaitingState {
    /// Adds an event, replacing the oldest if there is no room. Returns the number of events dropped in this burst,
    /// including this one; 0 if nothing was dropped.
    fn push(&mut self, event: Box<Event>) -> usize {
        let is_full = self.events.len() == QUEUE_MAX;
        if is_full {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(event);
        if is_full { self.dropped } else { 0 }
    }

    /// The next event, or the number of events dropped in a burst that has ended.
    fn pop(&mut self) -> Result<Box<Event>, usize> {
        self.events.pop_front().ok_or_else(|| std::mem::take(&mut self.dropped))
    }
}

impl Waiting {
    /// The next event; `None` when no recorder is left.
    async fn next(&self, component: &str) -> Option<Box<Event>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                match state.pop() {
                    Ok(event) => return Some(event),
                    Err(0) => {}
                    Err(dropped) => {
                        tracing::warn!(component, dropped, "events were dropped while the queue was full");
                    }
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }
}

struct Writer {
    client: Client,
    correlator: Correlator,
    component: String,
}

impl Writer {
    async fn run(mut self, waiting: Arc<Waiting>) {
        while let Some(event) = waiting.next(&self.component).await {
            let clock = self.client.clock().clone();
            let Some(correlated) = self.correlator.correlate(*event, clock.now()) else { continue };
            for attempt in 1..=TRIES_MAX {
                match self.write(&correlated).await {
                    Ok(written) => {
                        self.correlator.written(correlated, written);
                        break;
                    }
                    // The server would give the same answer again.
                    Err(error) if error.status().is_some() => {
                        report(&error);
                        break;
                    }
                    Err(error) => report(&error),
                }
                let pause = RETRY_PAUSE.as_millis() as u64;
                let pause = if attempt == 1 { clock.random_below(pause) } else { pause };
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
    }

    async fn write(&self, correlated: &Correlated) -> Result<Event, ClientError> {
        let event = &correlated.event;
        if correlated.write == Write::Update {
            let change = serde_json::json!({
                "count": event.count, "lastTimestamp": event.last_timestamp, "message": event.message,
            });
            match self.client.patch(&key_of(event), "", &Patch::Strategic(change)).await {
                // It has expired and starts again.
                Err(error) if error.is_not_found() => {}
                result => return result,
            }
        }
        self.client.create(event).await
    }
}

fn report(error: &ClientError) {
    // The namespace may be terminating, or gone.
    if error.is_namespace_terminating() || error.is_already_exists() || error.is_not_found() {
        tracing::debug!(%error, "the server rejected an event");
    } else {
        tracing::warn!(error = error as &dyn std::error::Error, "cannot write an event");
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("component", &self.queue.source.component).finish_non_exhaustive()
    }
}
