use std::convert::Infallible;

use futures::{FutureExt, stream};
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;

fn pieces(sizes: &[usize]) -> impl http_body::Body<Data = Bytes, Error = Infallible> + use<> {
    let frames: Vec<_> = sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect();
    StreamBody::new(stream::iter(frames))
}

#[tokio::test]
async fn bodies_are_counted_until_they_are_done_with() {
    let overload = Overload::new();
    let all = overload.bytes.available_permits();
    let small = overload.read(pieces(&[10, 20])).await.unwrap();
    assert_eq!((small.bytes.len(), all - overload.bytes.available_permits()), (30, 1));
    assert_eq!(overload.read(pieces(&[2 << 20, 1 << 20, 1])).await.unwrap_err().code(), 413);
    let mut held = Vec::new();
    let refused = loop {
        match overload.read(pieces(&[1 << 20, 2 << 20])).await {
            Ok(body) => held.push(body),
            Err(status) => break status,
        }
    };
    assert_eq!((held.len(), refused.code(), refused.retry_after_seconds()), (42, 429, Some(1)));
    drop((held, small));
    assert_eq!(overload.bytes.available_permits(), all);
}

#[test]
fn requests_have_their_time() {
    let of = |path: &str, query| allowed(&RequestInfo::parse(&Method::GET, path, query));
    let pods = "/api/v1/pods";
    assert_eq!(of(pods, None).unwrap(), Some(REQUEST_WITHIN));
    assert_eq!(of(pods, Some("timeout=5s")).unwrap(), Some(Duration::from_secs(5)));
    for at_most in ["timeout=0", "timeout=10m", "timeout="] {
        assert_eq!(of(pods, Some(at_most)).unwrap(), Some(REQUEST_WITHIN), "{at_most}");
    }
    assert_eq!(of(pods, Some("watch=true")).unwrap(), None);
    let wrong = of(pods, Some("timeout=soon")).unwrap_err();
    assert_eq!(wrong.code(), 400);
    assert!(wrong.message.starts_with("invalid timeout specified in the request URL - "), "{wrong}");
}

#[tokio::test]
async fn whoever_takes_too_long_is_told() {
    let never = std::future::pending::<Result<(), Status>>();
    let status = within(Some(Duration::from_millis(1)), never).await.unwrap_err();
    assert_eq!((status.code(), status.reason), (504, Reason::Timeout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn heavy_work_leaves_the_thread_to_others() {
    let overload = Arc::new(Overload::new());
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let heavy = Arc::clone(&overload);
    let working = tokio::spawn(async move {
        // Occupies its thread until the small work is done.
        heavy.work(HEAVY_FROM, async move { receiver.recv() }).await.unwrap();
    });
    overload.work(1, async { tokio::task::yield_now().await }).await;
    tokio::spawn(async move { sender.send(()).unwrap() }).await.unwrap();
    working.await.unwrap();
}

/// Few objects, too, may be much to encode.
#[tokio::test]
async fn large_answers_wait_for_each_other() {
    let overload = Overload::new();
    let taken = overload.heavy.acquire_many(u32::try_from(overload.heavy.available_permits()).unwrap()).await;
    let answer = |size, as_kept| overload.answer(size, as_kept, || ()).now_or_never();
    for (size, as_kept) in [((499, 1000), false), ((1, 1 << 19), false), ((100_000, 1 << 30), true)] {
        assert!(answer(size, as_kept).is_some(), "{size:?}");
    }
    for size in [(500, 1000), (1, 1 << 20), (30, 30 << 20)] {
        assert!(answer(size, false).is_none(), "{size:?}");
    }
    drop(taken);
    assert!(answer((500, 1000), false).is_some());
}
