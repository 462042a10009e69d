//! Disk usage of trees, cached for repeated queries.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lane::Lane;
use crate::usage::{Limits, Measured, measure};

/// How old a measurement may be.
const AGE_MAX: Duration = Duration::from_secs(8);
/// A slow measurement is made less often: this is the inverse of the share of time that it may take.
const SHARE: u32 = 20;
/// How long a caller waits for a new measurement before it gets the old one.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many trees are measured at once.
const WIDTH: usize = 2;
/// The time after the last query when a tree is dropped.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// One tree.
#[derive(Clone, Debug)]
struct Known {
    measured: Option<Measured>,
    /// Until when the measurement will do.
    fresh_until: Instant,
    asked_at: Instant,
    /// Tells when the measurement that is in progress has ended.
    under_way: Option<watch::Receiver<()>>,
}

/// Measures trees on dedicated threads, a few at a time, and caches the results; cheap to clone.
#[derive(Clone, Debug)]
pub struct Usages {
    known: Arc<Mutex<HashMap<PathBuf, Known>>>,
    lane: Lane,
    limits: Limits,
}

impl Default for Usages {
    fn default() -> Usages {
        Usages { known: Arc::default(), lane: Lane::new(WIDTH), limits: Limits::default() }
    }
}

impl Usages {
    /// The usage of the tree. It answers within a few seconds: for a tree that takes longer to measure, it returns the
    /// last result, or `None` if there is none yet. A tree that does not exist uses nothing. Must be called inside a
    /// tokio runtime.
    pub async fn get(&self, path: &Path) -> Option<Measured> {
        let mut under_way = self.ask(path)?;
        // An error means that the measurement failed.
        let _ = tokio::time::timeout(PATIENCE, under_way.changed()).await;
        self.known.lock().get(path).and_then(|known| known.measured)
    }

    /// The last result, however old it is.
    pub fn last(&self, path: &Path) -> Option<Measured> {
        self.known.lock().get(path).and_then(|known| known.measured)
    }

    /// The measurement to wait for; starts one if it is due. If the last one is fresh there is nothing to wait for: the
    /// receiver's sender is gone.
    fn ask(&self, path: &Path) -> Option<watch::Receiver<()>> {
        let now = Instant::now();
        let mut all = self.known.lock();
        all.retain(|_, known| known.under_way.is_some() || now - known.asked_at < FORGOTTEN_AFTER);
        let known = all.entry(path.to_owned()).or_insert_with(|| Known {
            measured: None,
            fresh_until: now,
            asked_at: now,
            under_way: None,
        });
        known.asked_at = now;
        if let Some(under_way) = &known.under_way {
            return Some(under_way.clone());
        }
        let (done, under_way) = watch::channel(());
        if known.measured.is_some() && known.fresh_until > now {
            return Some(under_way);
        }
        known.under_way = Some(under_way.clone());
        tokio::spawn(self.clone().measure(path.to_owned(), done));
        Some(under_way)
    }

    async fn measure(self, path: PathBuf, done: watch::Sender<()>) {
        let (place, limits) = (path.clone(), self.limits);
        let result = self
            .lane
            .run(move || {
                let began = Instant::now();
                let measured = match measure(&place, limits) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Ok(Measured { complete: true, ..Measured::default() })
                    }
                    other => other,
                };
                Ok::<_, io::Error>((measured?, began.elapsed()))
            })
            .await
            .flatten();
        let mut all = self.known.lock();
        let Some(known) = all.get_mut(&path) else { return };
        known.under_way = None;
        match result {
            Ok((measured, took)) => {
                known.measured = Some(measured);
                known.fresh_until = Instant::now() + AGE_MAX.max(took * SHARE);
            }
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "cannot measure a tree");
                known.fresh_until = Instant::now() + AGE_MAX;
            }
        }
        drop(all);
        // Those who asked may have gone.
        let _ = done.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_measurement_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let usages = Usages::default();
        assert_eq!(usages.last(directory.path()), None);
        let first = usages.get(directory.path()).await.unwrap();
        assert_eq!((first.usage.inodes, first.complete), (1, true));
        std::fs::write(directory.path().join("file"), "x").unwrap();
        assert_eq!(usages.get(directory.path()).await, Some(first), "it is fresh enough");
        tokio::time::pause();
        tokio::time::advance(AGE_MAX * 2).await;
        tokio::time::resume();
        assert_eq!(usages.get(directory.path()).await.unwrap().usage.inodes, 2);
        assert_eq!(usages.get(&directory.path().join("none")).await.unwrap().usage.inodes, 0);
    }
}
