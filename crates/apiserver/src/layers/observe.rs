//! Reports about every request, for metrics and audit logs.
//!
//! An [`Observer`] is called when a request arrives, and again when its answer begins or its client has gone away. For
//! long-running requests (watches, logs, exec) it is called a third time when they end. Observers must be quick, and
//! cannot change anything.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::body::{Body, BodyError};
use crate::registry::{Endpoint, WatchReply};
use crate::request::RequestInfo;
use crate::user::User;

/// A request, as observers see it.
pub struct Seen {
    /// Its ID.
    pub id: String,
    /// Its parsed parameters.
    pub info: Arc<RequestInfo>,
    /// Its resource, if this server has it.
    pub endpoint: Option<Arc<Endpoint>>,
    /// When it arrived.
    pub since: Instant,
    /// The user, once known.
    pub user: OnceLock<Arc<User>>,
}

impl Seen {
    /// Whether the response continues after it has begun.
    pub fn runs_on(&self) -> bool {
        self.info.verb == "watch" || (self.info.is_resource && crate::node_proxy::is_streaming(&self.info))
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// The HTTP status code.
        code: u16,
        /// The size of the response, if it is known before it is sent.
        bytes: Option<u64>,
    },
    /// The client left before there was a response.
    Left,
}

/// Observes every request.
pub trait Observer: Send + Sync + 'static {
    /// A request has arrived.
    fn received(&self, request: &Seen);
    /// Its response begins, or never will.
    fn answered(&self, request: &Seen, outcome: Outcome);
    /// The response of one that [runs on](Seen::runs_on) has ended.
    fn ended(&self, _request: &Seen) {}
}

/// All observers.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>) -> Observers {
        Observers(observers.into())
    }

    /// Adds one.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn add(&mut self, observer: Arc<dyn Observer>) {
        self.0 = self.0.iter().cloned().chain([observer]).collect();
    }

    /// Reports a request that has arrived.
    pub(super) fn received(&self, seen: Seen) -> Observation {
        self.0.iter().for_each(|observer| observer.received(&seen));
        Observation { seen: Arc::new(seen), observers: self.clone(), is_answered: false }
    }
}

/// A request that is not answered yet. If it is dropped, its client has left.
pub(super) struct Observation {
    seen: Arc<Seen>,
    observers: Observers,
    is_answered: bool,
}

impl Observation {
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The user is known.
    pub(super) fn by(&self, user: User) -> Arc<User> {
        Arc::clone(self.seen.user.get_or_init(|| Arc::new(user)))
    }

    /// The response begins. If it runs on, its end is reported too.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let code = response.status().as_u16();
        self.tell(Outcome::Answered { code, bytes: response.body().size_hint().exact() });
        if !self.seen.runs_on() || code >= 400 {
            self.end_if_running();
            return response;
        }
        let running = Running { seen: Arc::clone(&self.seen), observers: self.observers.clone() };
        response.map(|body| Guarded { body, _running: running }.boxed_unsync())
    }

    /// The response was returned to a component of this process. If it runs on, it ends when the component drops it.
    pub(super) fn given(mut self, code: u16, answer: Option<&mut WatchReply>) {
        self.tell(Outcome::Answered { code, bytes: None });
        match answer {
            Some(watch) => {
                watch.accompany(Running { seen: Arc::clone(&self.seen), observers: self.observers.clone() });
            }
            None => self.end_if_running(),
        }
    }

    fn tell(&mut self, outcome: Outcome) {
        self.is_answered = true;
        self.observers.0.iter().for_each(|observer| observer.answered(&self.seen, outcome));
    }

    fn end_if_running(&self) {
        if self.seen.runs_on() {
            self.observers.0.iter().for_each(|observer| observer.ended(&self.seen));
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.is_answered {
            self.tell(Outcome::Left);
            self.end_if_running();
        }
    }
}

/// A response that runs on, until this is dropped.
struct Running {
    seen: Arc<Seen>,
    observers: Observers,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.observers.0.iter().for_each(|observer| observer.ended(&self.seen));
    }
}

/// A body whose end is reported.
struct Guarded {
    body: Body,
    _running: Running,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
