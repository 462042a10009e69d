//! Threads for blocking calls, a few at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// A limit on the number of blocking calls at once. A call that hangs forever keeps its place, and later callers get an
/// error instead of hanging as well.
#[derive(Clone, Debug)]
pub struct Lane(Arc<Semaphore>);

impl Lane {
    /// A lane for so much at once.
    pub fn new(width: usize) -> Lane {
        Lane(Arc::new(Semaphore::new(width)))
    }

    /// Runs `work` on a thread for blocking calls, however long it takes, once there is room.
    ///
    /// # Errors
    /// That the work broke down.
    pub async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> io::Result<R> {
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(io::Error::other)
    }

    /// The same, but waits no longer than `limit`; the work itself continues.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`], or that the work broke down.
    pub async fn run_within<R: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<R> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the file system did not answer in time");
        tokio::time::timeout(limit, self.run(work)).await.map_err(late).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_left_behind() {
        let lane = Lane::new(1);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let short = Duration::from_millis(20);
        let hanging = lane.run_within(short, move || held.recv()).await;
        assert_eq!(hanging.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // The one place is taken until the first ends.
        assert_eq!(lane.run_within(short, || ()).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        release.send(()).unwrap();
        lane.run_within(Duration::from_secs(20), || ()).await.unwrap();
    }
}
