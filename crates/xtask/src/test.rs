//! `cargo xtask test`: installs the tests' requirements, runs all tests, and lists the slowest.
//!
//! Cargo builds the test programs; they are run here, one after the other, so that each test's time is known. Their
//! output is passed on, except for the lines of passed tests.

mod arguments;
mod programs;
mod summary;
mod times;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::arguments::Arguments;
use self::summary::Summary;
use crate::command::{cargo, run as run_command};
use crate::host;

/// Test programs append the time of each trial to the file that this variable names.
const TIMES: &str = "IRONHULL_TEST_TIMES";

/// A test that has run.
#[derive(Debug, PartialEq)]
struct Timed {
    name: String,
    took: Duration,
}

/// The result of a test program.
#[derive(Debug)]
struct Outcome {
    /// `crate: target`.
    program: String,
    passed: bool,
    took: Duration,
    tests: Vec<Timed>,
    /// The names of the tests that failed, as far as the program says.
    failed: Vec<String>,
}

/// Installs what building and testing need; the folder with kubectl and helm comes back, beside which the Python client is.
pub(crate) fn install() -> Result<PathBuf> {
    host::require_root()?;
    host::install_for_up()?;
    host::install_for_tests()?;
    host::python_client()?;
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
    let mut summary = Summary::default();
    for program in programs::build(&arguments)? {
        summary.add(program.run(&arguments, &clients)?);
    }
    if arguments.doc_tests() {
        let mut examples = cargo(&["test", "--workspace", "--doc", "--quiet", "--no-fail-fast"]);
        examples.args(&arguments.given).env("IRONHULL_CLIENTS", &clients);
        let start = now();
        let passed = examples.status()?.success();
        let (program, took) = ("examples in documentation".to_owned(), start.elapsed());
        summary.add(Outcome { program, passed, took, tests: Vec::new(), failed: Vec::new() });
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
