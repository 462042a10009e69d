//! Answers in progress: they keep their connection busy, and are aborted if the client does not read them.
//!
//! With HTTP/1 a client that does not read fills its socket, and [`Socket`](crate::socket::Socket) sees it. With HTTP/2
//! it may continue reading the connection but ignore one stream, so that the stream's window fills: each stream has its
//! own task, which knows when the last piece was taken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::connections::Busy;

/// How large pieces of an HTTP/2 stream are: while one of this size is taken in [`Limits::stall_max`], however slowly,
/// the stream lives.
///
/// [`Limits::stall_max`]: crate::Limits::stall_max
const PIECE_BYTES: usize = 16 << 10;

tokio::task_local! {
    /// The stream whose task this is.
    static FLOW: Arc<Flow>;
}

/// How one stream of HTTP/2 flows.
pub(crate) struct Flow {
    start: Instant,
    /// When a piece was handed over that is not yet known to be taken, in milliseconds after `start` plus one; 0 if the
    /// stream is waiting for data to send.
    given_ms: AtomicU64,
    stall_ms: AtomicU64,
    /// When the whole answer must have been taken, in milliseconds after `start`; `u64::MAX` for answers without end.
    until_ms: AtomicU64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Flow {
    /// That of the present task, if it is a stream's.
    pub(crate) fn current() -> Option<Arc<Flow>> {
        FLOW.try_with(Arc::clone).ok()
    }

    pub(crate) fn set_stall_max(&self, stall: Duration) {
        self.stall_ms.store(millis(stall), Ordering::Relaxed);
    }

    pub(crate) fn set_until(&self, until: Instant) {
        self.until_ms.store(millis(until.saturating_duration_since(self.start)), Ordering::Relaxed);
    }

    fn taken(&self) {
        self.given_ms.store(0, Ordering::Relaxed);
    }

    fn given(&self) {
        self.given_ms.store(millis(self.start.elapsed()) + 1, Ordering::Relaxed);
    }

    /// When the stream ends if nothing moves.
    fn deadline(&self) -> Option<Instant> {
        let given = self.given_ms.load(Ordering::Relaxed).checked_sub(1)?;
        let stalled = given.saturating_add(self.stall_ms.load(Ordering::Relaxed));
        Some(self.start + Duration::from_millis(stalled.min(self.until_ms.load(Ordering::Relaxed))))
    }
}

/// Runs the streams of a connection.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) stall_max: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let flow = Arc::new(Flow {
            start: Instant::now(),
            given_ms: AtomicU64::new(0),
            stall_ms: AtomicU64::new(millis(self.stall_max)),
            until_ms: AtomicU64::new(u64::MAX),
        });
        let stream = Box::pin(FLOW.scope(Arc::clone(&flow), future));
        tokio::spawn(Moving { stream, flow, stalled: None });
    }
}

/// A stream, until it stalls for too long; dropping it resets it for the client.
struct Moving<F> {
    stream: Pin<Box<F>>,
    flow: Arc<Flow>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for Moving<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(deadline) = self.flow.deadline() else { return Poll::Pending };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if stalled.deadline() != deadline {
            stalled.as_mut().reset(deadline);
        }
        stalled.as_mut().poll(context).map(|()| {
            tracing::debug!("reset a stream whose client has not read for too long");
        })
    }
}

/// An answer's body that counts as a request in progress.
pub(crate) struct Outgoing<B> {
    body: Pin<Box<B>>,
    _busy: Busy,
    flow: Option<Arc<Flow>>,
    /// The rest of a long piece.
    rest: Bytes,
    /// Nothing of the body is sent.
    is_cut: bool,
}

impl<B: Body<Data = Bytes>> Outgoing<B> {
    pub(crate) fn new(body: B, busy: Busy, flow: Option<Arc<Flow>>) -> Outgoing<B> {
        Outgoing { body: Box::pin(body), _busy: busy, flow, rest: Bytes::new(), is_cut: false }
    }

    /// Sends nothing of the body.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.rest.is_empty() {
            let piece = self.rest.split_to(PIECE_BYTES.min(self.rest.len()));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let frame = std::task::ready!(self.body.as_mut().poll_frame(context));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(mut piece) if self.flow.is_some() && piece.len() > PIECE_BYTES => {
                self.rest = piece.split_off(PIECE_BYTES);
                Frame::data(piece)
            }
            Ok(piece) => Frame::data(piece),
            Err(other) => other,
        })))
    }
}

impl<B: Body<Data = Bytes>> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.is_cut {
            return Poll::Ready(None);
        }
        let next = self.next(context);
        if let Some(flow) = &self.flow {
            match &next {
                Poll::Ready(Some(Ok(_))) => flow.given(),
                _ => flow.taken(),
            }
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.is_cut || self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_cut {
            return SizeHint::with_exact(0);
        }
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
