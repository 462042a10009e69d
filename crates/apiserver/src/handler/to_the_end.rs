//! Futures that are not stopped halfway.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that, once begun, runs to its end: dropped before, it continues as a task of its own.
///
/// Work that is never dropped costs no task and no switch between threads.
pub(super) struct ToTheEnd<T: Send + 'static> {
    /// Until it has ended.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    is_begun: bool,
}

impl<T: Send + 'static> ToTheEnd<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> ToTheEnd<T> {
        ToTheEnd { work: Some(Box::pin(work)), is_begun: false }
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.is_begun = true;
        // Taken out while it runs, so that work that panics is not continued.
        let mut work = self.work.take().expect("nobody polls a future after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.is_begun) else { return };
        // Without a runtime the process is about to end.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::Arc;

    use futures::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    /// Work in two halves with a pause, and the signs of its begin, its pause and its end.
    fn halves() -> (ToTheEnd<()>, [Arc<Notify>; 3]) {
        let signs = [(); 3].map(|()| Arc::new(Notify::new()));
        let [begun, resume, ended] = signs.clone();
        let work = async move {
            begun.notify_one();
            resume.notified().await;
            ended.notify_one();
        };
        (ToTheEnd::new(work), signs)
    }

    #[tokio::test]
    async fn work_that_was_begun_ends_although_it_is_dropped() {
        let (work, [begun, resume, ended]) = halves();
        tokio::select! {
            biased;
            () = work => panic!("it waits"),
            () = begun.notified() => {}
        }
        resume.notify_one();
        ended.notified().await;
    }

    #[tokio::test]
    async fn work_that_was_not_begun_never_begins() {
        let (work, [begun, ..]) = halves();
        drop(work);
        tokio::task::yield_now().await;
        assert!(begun.notified().now_or_never().is_none());
        assert_eq!(Arc::strong_count(&begun), 1);
    }

    #[tokio::test]
    async fn work_that_panics_is_over() {
        let count = Arc::new(());
        let held = Arc::clone(&count);
        let work = ToTheEnd::<()>::new(async move {
            let _held = held;
            panic!("as the test wants")
        });
        assert!(AssertUnwindSafe(work).catch_unwind().await.is_err());
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
