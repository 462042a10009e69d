//! Limits on concurrent requests: bytes of bodies, processors, time.
//!
//! Large bodies are processed outside the threads that accept and answer, a few requests at a time; the others wait,
//! and small requests overtake them. Components in this process are not counted: there are few of them, and their work
//! is the server's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use object::{Reason, Status};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{BodyError, REQUEST_BYTES_MAX};
use crate::request::RequestInfo;

/// Bytes of bodies that are read or worked on at one moment.
const BODY_BYTES_MAX: usize = 128 << 20;
/// The number of bytes per permit.
const UNIT_BYTES: usize = 1 << 10;
/// From this size on work on a body is heavy, in bytes.
const HEAVY_FROM: usize = 64 << 10;
/// From this number of objects, or of their bytes, on, encoding an answer that is not sent in its stored form is heavy
/// work.
const HEAVY_OBJECTS: usize = 500;
const HEAVY_ANSWER_BYTES: usize = 1 << 20;
/// When a client that was refused should try again, in seconds (upstream's).
const RETRY_AFTER_SECONDS: i32 = 1;
/// How long a request other than a watch may take, unless it sets `timeout` (upstream's `--request-timeout`).
pub(crate) const REQUEST_WITHIN: Duration = Duration::from_secs(60);

/// The current usage by requests.
pub(crate) struct Overload {
    bytes: Arc<Semaphore>,
    heavy: Semaphore,
}

/// A body that was read; its bytes are counted until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// The body.
    pub(crate) bytes: Bytes,
    _permits: Option<OwnedSemaphorePermit>,
}

fn too_many_requests() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER_SECONDS)
}

impl Overload {
    pub(crate) fn new() -> Overload {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Overload {
            bytes: Arc::new(Semaphore::new(BODY_BYTES_MAX / UNIT_BYTES)),
            heavy: Semaphore::new((processors / 2).max(2)),
        }
    }

    /// Reads a request's body.
    ///
    /// # Errors
    /// 413 if it is too large, 400 if it breaks off, 429 where there are too many.
    pub(crate) async fn read<B>(&self, body: B) -> Result<Counted, Status>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let mut body = std::pin::pin!(body);
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        let mut permits: Option<OwnedSemaphorePermit> = None;
        let (mut length, mut counted) = (0, 0);
        while let Some(frame) = body.frame().await {
            let broken = |error: B::Error| {
                Status::bad_request(format!("the request body ended early: {}", error.into()))
            };
            let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
            length += piece.len();
            if length > REQUEST_BYTES_MAX {
                return Err(Status::request_entity_too_large(&format!("limit is {REQUEST_BYTES_MAX}")));
            }
            let wanted = length.div_ceil(UNIT_BYTES);
            let more = u32::try_from(wanted - counted).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.bytes).try_acquire_many_owned(more);
            let more = more.map_err(|_| too_many_requests())?;
            counted = wanted;
            match &mut permits {
                Some(permits) => permits.merge(more),
                None => permits = Some(more),
            }
            // Most bodies arrive in one piece, which need not be copied.
            if first.is_empty() && all.is_empty() {
                first = piece;
                continue;
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&piece);
        }
        let bytes = if all.is_empty() { first } else { all.freeze() };
        Ok(Counted { bytes, _permits: permits })
    }

    /// Processes a body of this many bytes.
    pub(crate) async fn work<F: Future>(&self, bytes: usize, work: F) -> F::Output {
        self.heavy(bytes >= HEAVY_FROM, work).await
    }

    /// Encodes a response with this many objects of this many bytes; `as_kept` if they are sent in their stored form.
    pub(crate) async fn answer<T>(
        &self,
        (objects, bytes): (usize, usize),
        as_kept: bool,
        make: impl FnOnce() -> T,
    ) -> T {
        let is_large = objects >= HEAVY_OBJECTS || bytes >= HEAVY_ANSWER_BYTES;
        self.heavy(!as_kept && is_large, async { make() }).await
    }

    /// Answers with a document that has to be made, unless it is there.
    pub(crate) async fn document<T>(&self, is_made: bool, answer: impl FnOnce() -> T) -> T {
        self.heavy(!is_made, async { answer() }).await
    }

    async fn heavy<F: Future>(&self, is_heavy: bool, work: F) -> F::Output {
        if !is_heavy {
            return work.await;
        }
        // The semaphore is never closed.
        let _permit = self.heavy.acquire().await;
        match Handle::current().runtime_flavor() {
            // This thread passes its other tasks to another one.
            RuntimeFlavor::MultiThread => tokio::task::block_in_place(|| Handle::current().block_on(work)),
            _ => work.await,
        }
    }
}

/// How long a request may take: its `timeout`, 60 s at most.
///
/// # Errors
/// 400 if that is not a duration.
pub(crate) fn allowed(info: &RequestInfo) -> Result<Option<Duration>, Status> {
    let Some(text) = info.parameters.get("timeout").filter(|text| !text.is_empty()) else {
        return Ok((info.verb != "watch").then_some(REQUEST_WITHIN));
    };
    let asked = object::duration::parse(text).map_err(|error| {
        Status::bad_request(format!("invalid timeout specified in the request URL - {error}"))
    })?;
    let asked = Duration::from_nanos(u64::try_from(asked).unwrap_or(0));
    let asked = if asked.is_zero() { REQUEST_WITHIN } else { asked.min(REQUEST_WITHIN) };
    Ok((info.verb != "watch").then_some(asked))
}

/// Waits for a request's answer as long as it may take.
///
/// # Errors
/// Those of the request; 504 after that time.
pub(crate) async fn within<T>(
    allowed: Option<Duration>,
    request: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(allowed) = allowed else { return request.await };
    tokio::time::timeout(allowed, request).await.unwrap_or_else(|_| {
        let message = "Timeout: request did not complete within the allotted timeout";
        Err(Status::failure(Reason::Timeout, message))
    })
}

#[cfg(test)]
mod tests;
