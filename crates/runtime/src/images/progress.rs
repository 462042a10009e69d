//! Progress of a pull or an import.

use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes between two reports.
const STEP_BYTES: u64 = 1 << 20;

/// The phase of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPhase {
    /// Asking the registry to resolve the name.
    Resolving,
    /// Fetching layers.
    Downloading,
    /// Unpacking one of the image's layers.
    Unpacking {
        /// Which one, counted from 1.
        layer: usize,
        /// Of how many.
        layers: usize,
    },
    /// The image is in the store.
    Done,
}

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullProgress {
    /// The phase.
    pub phase: PullPhase,
    /// Layers that have been fetched.
    pub layers_done: usize,
    /// Layers to fetch; those that are present do not count.
    pub layers: usize,
    /// Bytes that have been fetched.
    pub bytes_done: u64,
    /// Bytes to fetch.
    pub bytes: u64,
}

/// Is called with each change of phase and about once a megabyte. Must not block.
pub type ProgressFn = Arc<dyn Fn(PullProgress) + Send + Sync>;

/// Counts and reports.
#[derive(Clone)]
pub(super) struct Reporter {
    report: Option<ProgressFn>,
    state: Arc<Mutex<State>>,
}

struct State {
    progress: PullProgress,
    reported_bytes: u64,
}

impl Reporter {
    pub(super) fn new(report: Option<ProgressFn>) -> Reporter {
        let progress =
            PullProgress { phase: PullPhase::Resolving, layers_done: 0, layers: 0, bytes_done: 0, bytes: 0 };
        Reporter { report, state: Arc::new(Mutex::new(State { progress, reported_bytes: 0 })) }
    }

    pub(super) fn phase(&self, phase: PullPhase) {
        self.update(true, |progress| progress.phase = phase);
    }

    /// The number of layers and bytes to fetch.
    pub(super) fn expect(&self, layers: usize, bytes: u64) {
        self.update(true, |progress| {
            progress.phase = PullPhase::Downloading;
            progress.layers += layers;
            progress.bytes += bytes;
        });
    }

    pub(super) fn received(&self, bytes: u64) {
        self.update(false, |progress| progress.bytes_done += bytes);
    }

    pub(super) fn layer_done(&self) {
        self.update(true, |progress| progress.layers_done += 1);
    }

    fn update(&self, always: bool, change: impl FnOnce(&mut PullProgress)) {
        let Some(report) = &self.report else { return };
        let progress = {
            let mut state = self.state.lock();
            change(&mut state.progress);
            if !always && state.progress.bytes_done < state.reported_bytes + STEP_BYTES {
                return;
            }
            state.reported_bytes = state.progress.bytes_done;
            state.progress
        };
        report(progress);
    }
}
