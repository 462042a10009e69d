//! Bodies of HTTP messages.

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use object::Status;

/// Why a streamed body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// How large a request's body may be, in bytes (upstream: 3 MiB).
pub const REQUEST_BYTES_MAX: usize = 3 << 20;

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body that comes piece by piece.
pub fn stream(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Body {
    use futures::TryStreamExt;
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// Reads a request's body.
///
/// # Errors
/// 413 where it is too large, 400 where it breaks off.
pub async fn read<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Status::request_entity_too_large(&format!("limit is {REQUEST_BYTES_MAX}")))
        }
        Err(error) => Err(Status::bad_request(format!("the request's body broke off: {error}"))),
    }
}
