//! Faults between components and the server, and inside it, drawn from one seed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use client::Verb;
use clock::Clock;
use object::Status;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often faults happen, in thousandths. The default is never.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// Requests that the server refuses because it is too busy, or fails to carry out (429, 500, 503).
    pub refused: u64,
    /// Updates and patches that are answered with a conflict, without one.
    pub conflict: u64,
    /// Requests that never reach the server.
    pub unsent: u64,
    /// Requests that are carried out, but whose responses are lost.
    pub lost_answer: u64,
    /// Watches that break off after an event.
    pub broken_watch: u64,
    /// Watches that end as if their version were too old.
    pub expired_watch: u64,
    /// Events of watches that are up to five seconds late, and all behind them with them.
    pub late_event: u64,
    /// Writes of the store that take up to two seconds.
    pub slow_write: u64,
    /// How long requests, answers and events are on their way at most, each way.
    pub latency: Duration,
    /// Events of watches that are left out, which no server may do: a fault to be found.
    pub forgotten_event: Option<Forgotten>,
}

/// Events that a component never receives.
#[derive(Clone, Debug)]
pub struct Forgotten {
    /// Of a thousand events.
    pub rate: u64,
    /// Whose events: the user's name.
    pub user: String,
    /// Of which resource: its plural name.
    pub plural: String,
}

/// The faults; clones share them.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    seed: u64,
    random: Clock,
    state: Mutex<State>,
}

/// A fault that happens once, at the next request of this verb and resource.
struct Planned {
    verb: Verb,
    plural: String,
    what: Mishap,
}

/// The fault of a request.
enum Mishap {
    Refused(Status),
    Unsent,
    Unanswered,
}

impl Planned {
    fn concerns(&self, request: &client::Request) -> bool {
        self.verb == request.verb && *self.plural == *request.target.resource.plural
    }
}

#[derive(Default)]
struct State {
    /// Cancelled to end all watches, and replaced.
    epoch: CancellationToken,
    rates: Rates,
    planned: VecDeque<Planned>,
    /// The resource whose watches send nothing.
    held: watch::Sender<Option<String>>,
    connections: u64,
    requests: Vec<String>,
}

impl Faults {
    /// No faults yet; future ones are drawn from `seed`.
    pub(crate) fn new(seed: u64) -> Faults {
        let random = Clock::seeded(seed, crate::start_time());
        Faults { shared: Arc::new(Shared { seed, random, state: Mutex::default() }) }
    }

    /// Sets how often faults happen from here on.
    pub fn set(&self, rates: Rates) {
        self.shared.state.lock().rates = rates;
    }

    /// How often faults happen now.
    pub fn rates(&self) -> Rates {
        self.shared.state.lock().rates.clone()
    }

    /// Answers the next request with this verb to this resource with an error.
    pub fn fail_next(&self, verb: Verb, plural: &str, status: Status) {
        self.plan(verb, plural, Mishap::Refused(status));
    }

    /// Has the next request with this verb to this resource carried out, and its answer lost.
    pub fn lose_next_answer(&self, verb: Verb, plural: &str) {
        self.plan(verb, plural, Mishap::Unanswered);
    }

    /// Has the next request with this verb to this resource get lost on its way.
    pub fn lose_next(&self, verb: Verb, plural: &str) {
        self.plan(verb, plural, Mishap::Unsent);
    }

    fn plan(&self, verb: Verb, plural: &str, what: Mishap) {
        self.shared.state.lock().planned.push_back(Planned { verb, plural: plural.to_owned(), what });
    }

    /// Holds back the events of a resource's watches, or lets all events pass again.
    pub fn hold_watches(&self, plural: Option<&str>) {
        self.shared.state.lock().held.send_replace(plural.map(str::to_owned));
    }

    /// Ends all watches, as if the connections broke.
    pub fn break_watches(&self) {
        std::mem::take(&mut self.shared.state.lock().epoch).cancel();
    }

    /// The requests of all components since this was last called, as `verb path?query`.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state.lock().requests)
    }

    /// How long the store takes before and after a write.
    pub(crate) fn write_pauses(&self) -> (Duration, Duration) {
        let rates = self.rates();
        let random = &self.shared.random;
        let slow = if happens(random, rates.slow_write) { Duration::from_secs(2) } else { Duration::ZERO };
        (below(random, rates.latency.max(slow)), below(random, rates.latency))
    }

    /// Faults of one more connection, with separate randomness.
    pub(crate) fn connect(&self, who: &str) -> ConnectionFaults {
        let mut state = self.shared.state.lock();
        state.connections += 1;
        let name = format!("{who}/{}", state.connections);
        let seed = self.shared.seed ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        ConnectionFaults {
            faults: self.clone(),
            random: Clock::seeded(seed, crate::start_time()),
            who: who.to_owned(),
        }
    }
}

/// The fate of a request on its way to the server.
pub(crate) enum Fate {
    /// It gets there.
    Arrives,
    /// The server refuses.
    Refused(Status),
    /// It does not get there.
    Unsent,
    /// It gets there, and its answer gets lost.
    Unanswered,
}

/// The faults of one connection.
pub(crate) struct ConnectionFaults {
    faults: Faults,
    random: Clock,
    pub(crate) who: String,
}

impl ConnectionFaults {
    /// Records a request and decides its outcome.
    pub(crate) fn fate(&self, request: &client::Request) -> Fate {
        let rates = {
            let mut state = self.faults.shared.state.lock();
            state.requests.push(format!("{} {}", request.verb.as_str(), request.path_and_query()));
            let planned = state.planned.iter().position(|planned| planned.concerns(request));
            match planned.and_then(|at| state.planned.remove(at)) {
                Some(Planned { what: Mishap::Refused(status), .. }) => return Fate::Refused(status),
                Some(Planned { what: Mishap::Unsent, .. }) => return Fate::Unsent,
                Some(Planned { what: Mishap::Unanswered, .. }) => return Fate::Unanswered,
                None => {}
            }
            state.rates.clone()
        };
        if self.happens(rates.refused) {
            return Fate::Refused(match self.random.random_below(3) {
                0 => Status::too_many_requests("too many requests, please try again later", 1),
                1 => Status::internal_error("a fault of the simulation"),
                _ => Status::service_unavailable("a fault of the simulation"),
            });
        }
        let target = &request.target;
        if matches!(request.verb, Verb::Update | Verb::Patch) && self.happens(rates.conflict) {
            let (group, plural) = (&target.resource.group, &target.resource.plural);
            return Fate::Refused(Status::conflict(group, plural, &target.name, object::MODIFIED));
        }
        if self.happens(rates.unsent) { Fate::Unsent } else { Fate::Arrives }
    }

    /// Whether the answer to a request that was carried out gets lost.
    pub(crate) fn loses_answer(&self) -> bool {
        self.happens(self.faults.rates().lost_answer)
    }

    /// How long something is on its way.
    pub(crate) fn latency(&self) -> Duration {
        below(&self.random, self.faults.rates().latency)
    }

    /// How much later than usual an event of a watch comes.
    pub(crate) fn lateness(&self) -> Duration {
        let late = self.happens(self.faults.rates().late_event);
        if late { below(&self.random, Duration::from_secs(5)) } else { Duration::ZERO }
    }

    /// Returns once watches of a resource are not held back.
    pub(crate) async fn released(&self, plural: &str) {
        let mut held = self.faults.shared.state.lock().held.subscribe();
        // An error means that the faults are gone, and with them whoever held the watches.
        let _ = held.wait_for(|held| held.as_deref() != Some(plural)).await.is_ok();
    }

    /// What becomes of a watch after an event.
    pub(crate) fn watch_fate(&self, plural: &str) -> WatchFate {
        let rates = self.faults.rates();
        let forgotten = rates
            .forgotten_event
            .filter(|forgotten| forgotten.user == self.who && forgotten.plural == plural);
        if forgotten.is_some_and(|forgotten| self.happens(forgotten.rate)) {
            WatchFate::Forgets
        } else if self.happens(rates.broken_watch) {
            WatchFate::Breaks
        } else if self.happens(rates.expired_watch) {
            WatchFate::Expires
        } else {
            WatchFate::Delivers
        }
    }

    /// Cancelled to end all watches.
    pub(crate) fn epoch(&self) -> CancellationToken {
        self.faults.shared.state.lock().epoch.clone()
    }

    fn happens(&self, rate: u64) -> bool {
        happens(&self.random, rate)
    }
}

/// The fate of an event of a watch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchFate {
    Delivers,
    Breaks,
    Expires,
    Forgets,
}

fn happens(random: &Clock, rate: u64) -> bool {
    rate > 0 && random.random_below(1000) < rate
}

/// A whole number of milliseconds below a bound.
fn below(random: &Clock, bound: Duration) -> Duration {
    if bound.is_zero() { bound } else { Duration::from_millis(random.random_below(bound.as_millis() as u64)) }
}
