//! `cargo xtask test-long NAME`: tests that take long, or need more than a machine like this has.

use anyhow::{Result, bail};

use crate::command::{cargo, run as run_command};
use crate::test;

/// A test in a form that is too long for every run of all tests.
struct Long {
    name: &'static str,
    /// What it shows, and how long that takes.
    about: &'static str,
    package: &'static str,
    /// The package's test program.
    program: &'static str,
    /// The trials in it, by what their names contain.
    trials: &'static str,
    /// What makes them long.
    environment: &'static [(&'static str, &'static str)],
}

const ALL: [Long; 1] = [Long {
    name: "attacks",
    about: "ten minutes of attacks beside a workload (about a quarter of an hour)",
    package: "ironhull",
    program: "cluster",
    trials: "attacks::",
    environment: &[("IRONHULL_ATTACK_SECONDS", "600")],
}];

/// Installs what is missing and runs the test that is named; further arguments go to the test program.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let named = arguments.split_first().and_then(|(name, rest)| Some((find(name)?, rest)));
    let Some((long, rest)) = named else {
        let list: String = ALL.iter().map(|long| format!("  {:9} {}\n", long.name, long.about)).collect();
        bail!("usage: cargo xtask test-long NAME\n\n{list}");
    };
    let clients = test::install()?;
    let mut tests = cargo(&["test", "--package", long.package, "--test", long.program, "--", long.trials]);
    // Trials that are left out of other runs are meant here, and what they measure is shown.
    tests.args(["--include-ignored", "--nocapture"]).args(rest);
    tests.env("IRONHULL_CLIENTS", clients).envs(long.environment.iter().copied());
    run_command(&mut tests)
}

fn find(name: &str) -> Option<&'static Long> {
    ALL.iter().find(|long| long.name == name)
}
