//! `cargo xtask test`: installs the tests' requirements, runs all tests, and lists the slowest.
//!
//! Cargo builds the test programs; they are run here, one after the other, so that each test's time is known. Their
//! output is passed on, except for the lines of passed tests. One that has not ended after a quarter of an hour has failed: it
//! is killed with everything that it started, and the end of its output is shown.

mod arguments;
mod limit;
mod outcome;
mod programs;
mod summary;
mod times;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::arguments::Arguments;
use self::outcome::Outcome;
use self::summary::Summary;
use crate::command::{cargo, run as run_command};
use crate::host;

/// Test programs append the time of each trial to the file that this variable names.
const TIMES: &str = "IRONHULL_TEST_TIMES";

/// How long a test program may take: as long as all of them together take on two cores that have nothing else to do. One that
/// hangs must not hold up the rest for ever.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// The same for the examples in documentation, which cargo compiles first.
const DOC_LIMIT: Duration = Duration::from_secs(45 * 60);
/// Names another limit, in seconds, for programs and examples: for a slow machine, or a debugger.
const LIMIT_SECONDS: &str = "IRONHULL_TEST_LIMIT_SECONDS";

/// Installs what building and testing need; the folder with kubectl and helm comes back, beside which the Python and the JavaScript client are.
pub(crate) fn install() -> Result<PathBuf> {
    host::require_root()?;
    host::install_for_up()?;
    host::install_for_tests()?;
    host::python_client()?;
    host::javascript_client()?;
    host::clients()
}

/// Installs missing requirements and runs the tests; `arguments` are those of `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let clients = install()?;
    if std::env::var_os("IRONHULL_FIXTURES").is_none() {
        println!("IRONHULL_FIXTURES is not set: encodings will not be compared with upstream's");
    }
    let mut all = cargo(&["test", "--workspace", "--quiet", "--no-fail-fast"]);
    all.args(arguments).env("IRONHULL_CLIENTS", &clients);
    let arguments = Arguments::parse(arguments);
    if arguments.only_cargo {
        return run_command(&mut all);
    }
    let (limit, doc_limit) = match std::env::var(LIMIT_SECONDS) {
        Ok(text) => {
            let seconds =
                text.parse().with_context(|| format!("{LIMIT_SECONDS} is not a number: {text:?}"))?;
            (Duration::from_secs(seconds), Duration::from_secs(seconds))
        }
        Err(_) => (LIMIT, DOC_LIMIT),
    };
    let mut summary = Summary::default();
    for program in programs::build(&arguments)? {
        summary.add(program.run(&arguments, &clients, limit)?);
    }
    if arguments.doc_tests() {
        let mut examples = cargo(&["test", "--workspace", "--doc", "--quiet", "--no-fail-fast"]);
        examples.args(&arguments.given).env("IRONHULL_CLIENTS", &clients);
        let (start, mut outcome) = (now(), Outcome::of("examples in documentation".to_owned()));
        let ended = limit::run(&mut examples, doc_limit, |_| true)?;
        outcome.took = start.elapsed();
        outcome.ends(ended, doc_limit);
        summary.add(outcome);
    }
    println!("{summary}");
    if summary.has_failed() {
        bail!("tests failed");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures programs, which no paused clock stops")]
fn now() -> Instant {
    Instant::now()
}
