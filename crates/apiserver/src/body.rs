//! Bodies of HTTP messages.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};

/// Why a streamed body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The maximum size of a request's body, in bytes (upstream: 3 MiB).
pub const REQUEST_BYTES_MAX: usize = 3 << 20;

/// A body that is completely in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body that arrives in pieces.
pub fn stream(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Body {
    use futures::TryStreamExt;
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// A body in pieces that are created when they are sent; `length` is their total size in bytes, if known.
pub fn pieces(pieces: impl Iterator<Item = Bytes> + Send + Unpin + 'static, length: Option<u64>) -> Body {
    let pieces = Pieces { pieces, left: length, is_work: false, rests: false };
    pieces.map_err(|never| match never {}).boxed_unsync()
}

/// A body in pieces whose creation is work: between two of them, other tasks get their turn. Empty ones are not sent.
pub fn work(pieces: impl Iterator<Item = Bytes> + Send + Unpin + 'static) -> Body {
    let pieces = Pieces { pieces, left: None, is_work: true, rests: false };
    pieces.map_err(|never| match never {}).boxed_unsync()
}

struct Pieces<I> {
    pieces: I,
    left: Option<u64>,
    is_work: bool,
    /// Other tasks get their turn before the next piece.
    rests: bool,
}

impl<I: Iterator<Item = Bytes> + Unpin> http_body::Body for Pieces<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = self.pieces.next() else { return Poll::Ready(None) };
        if piece.is_empty() && self.is_work {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.rests = self.is_work;
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
