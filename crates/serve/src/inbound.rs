//! The bodies of requests, and what becomes of those that a service does not read.
//!
//! A service may answer before it has read a request's body: the URL is wrong, or the body is too large. Over HTTP/1 the rest
//! of the body is in the way of the next request. As upstream's server does, a short rest is read and thrown away. Before a
//! longer one the connection ends, and the client is told so; what it still sends is thrown away for a moment, because a
//! socket that is closed with unread bytes resets the connection, and the client may lose the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;

/// The longest rest of a body that is read for the sake of the connection.
const REST_BYTES_MAX: usize = 256 << 10;
/// How long that may take, and how long a client may go on sending afterwards.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// The body of a request.
#[derive(Debug)]
pub struct Inbound {
    /// Taken only when this is dropped.
    body: Option<Incoming>,
    rest: Option<Rest>,
}

/// Where a body goes when its service has dropped it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest(Arc<Mutex<Option<Incoming>>>);

impl Inbound {
    /// A body of which nothing must be left.
    pub(crate) fn new(body: Incoming, rest: Option<Rest>) -> Inbound {
        Inbound { body: Some(body), rest }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let (Some(rest), Some(body)) = (&self.rest, self.body.take())
            && !body.is_end_stream()
        {
            *rest.0.lock() = Some(body);
        }
    }
}

impl Rest {
    /// Makes way for the next request, or says in the answer's headers that there will be none. `is_awaited` is whether the
    /// client sends the body only when it is asked to.
    pub(crate) async fn settle(&self, is_awaited: bool, answer: &mut HeaderMap) {
        let Some(mut body) = self.0.lock().take() else { return };
        if !is_awaited {
            let read = discard(&mut body, REST_BYTES_MAX);
            if tokio::time::timeout(REST_WITHIN, read).await.unwrap_or(false) {
                return;
            }
            tokio::spawn(async move {
                let _ = tokio::time::timeout(REST_WITHIN, discard(&mut body, usize::MAX)).await;
            });
        }
        answer.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Whether a client sends a request's body only when it is asked to.
pub(crate) fn is_awaited(request: &HeaderMap) -> bool {
    request.contains_key(EXPECT)
}

/// Reads to the end, unless there is more than `max`; whether it was reached.
async fn discard(body: &mut Incoming, max: usize) -> bool {
    let mut left = max;
    loop {
        match std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(rest) => left = rest,
                None => return false,
            },
        }
    }
}
