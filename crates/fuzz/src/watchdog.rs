//! Handling of inputs that fail or do not finish.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// No input of at most 64 KiB takes longer, however busy the machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends the program when a check hangs. Without it the input would be unknown.
pub(crate) struct Watchdog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    input: Option<Vec<u8>>,
    begun: u64,
    over: bool,
}

impl Watchdog {
    pub(crate) fn start(name: &'static str, folder: PathBuf) -> Watchdog {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut state = watched.state.lock();
            while !state.over {
                let begun = state.begun;
                let late = watched.changed.wait_for(&mut state, LIMIT).timed_out();
                if let (true, Some(input)) = (late && state.begun == begun, &state.input) {
                    keep(name, &folder, input, "does not end");
                    std::process::abort();
                }
            }
        });
        Watchdog(shared)
    }

    pub(crate) fn begins(&self, input: &[u8]) {
        let mut state = self.0.state.lock();
        state.begun += 1;
        state.input = Some(input.to_vec());
    }

    pub(crate) fn ends(&self) {
        self.0.state.lock().input = None;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.state.lock().over = true;
        self.0.changed.notify_all();
    }
}

/// Stores an input next to the seeds, and describes it.
pub(crate) fn keep(name: &str, folder: &Path, input: &[u8], what: &str) {
    // FNV-1a: the same input has the same name.
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let path = folder.join(format!("found-{hash:016x}"));
    let start = &input[..input.len().min(2_000)];
    eprintln!("{name}: this input of {} bytes {what}: {}", input.len(), start.escape_ascii());
    match fs::create_dir_all(folder).and_then(|()| fs::write(&path, input)) {
        Ok(()) => eprintln!("it is kept as {}, and a seed from now on", path.display()),
        Err(error) => eprintln!("it cannot be kept as {}: {error}", path.display()),
    }
}
