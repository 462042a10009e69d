//! One run in a separate process: this program again, with the seed in its environment.

use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::entropy;
use crate::scenario::Scenario;

/// The seed to run, in a process that is made for it.
const SEED: &str = "IRONHULL_SIMULATE_SEED";
/// The resource whose events are forgotten there.
const FORGETS: &str = "IRONHULL_SIMULATE_FORGETS";

/// A run takes seconds, on a busy machine a minute. One that goes on for so long never ends.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a scenario and returns the hash of everything that it wrote.
///
/// # Errors
/// The report of the violation.
pub(crate) fn run(scenario: &Scenario) -> Result<String, String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(SEED, scenario.seed.to_string()).env("RUST_BACKTRACE", "0").env_remove(FORGETS);
    if let Some(plural) = &scenario.forgets {
        command.env(FORGETS, plural);
    }
    let output = command.output().map_err(|error| format!("cannot run this program again: {error}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Whether this process was made for one run. Then that has been done.
pub(crate) fn was_asked() -> bool {
    let Some(seed) = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()) else { return false };
    let scenario = Scenario { forgets: std::env::var(FORGETS).ok(), ..Scenario::new(seed) };
    entropy::replace(seed);
    // In a separate thread, whose hash maps have drawn no random numbers yet.
    let (hash, result) = mpsc::channel();
    std::thread::spawn(move || hash.send(scenario.check()));
    match result.recv_timeout(LIMIT) {
        Ok(hash) => {
            println!("{hash:016x}");
            return true;
        }
        Err(RecvTimeoutError::Timeout) => eprintln!("seed {seed} still runs after {LIMIT:?}"),
        // It panicked, and said why.
        Err(RecvTimeoutError::Disconnected) => {}
    }
    std::process::exit(1)
}
