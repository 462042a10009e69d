//! Durations of trials, for the summary of all tests.

use std::fs::OpenOptions;
use std::io::Write;

use clock::Clock;
use jiff::Timestamp;

/// The file that names of trials and their seconds are appended to; without it nothing is written.
const TIMES: &str = "IRONHULL_TEST_TIMES";

/// Runs a trial, and writes down how long it took, also if it fails.
///
/// For programs that have their own list of trials; those of libtest report times by themselves.
pub fn timed<T>(name: &str, run: impl FnOnce() -> T) -> T {
    let clock = Clock::system();
    let _written_at_the_end = Stopwatch { name, start: clock.now(), clock };
    run()
}

struct Stopwatch<'n> {
    name: &'n str,
    start: Timestamp,
    clock: Clock,
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os(TIMES) else { return };
        let seconds = self.clock.now().duration_since(self.start).as_secs_f64();
        let line = format!("{seconds:.3} {}\n", self.name);
        // One write per line, for trials that end at the same moment.
        let written = OpenOptions::new().create(true).append(true).open(&path);
        if let Err(error) = written.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("cannot write the time of {}: {error}", self.name);
        }
    }
}
