//! `cargo xtask test-long NAME`: tests that take a long time, or need special resources.

use anyhow::{Result, bail};

use crate::command::{cargo, run as run_command};
use crate::{host, test};

/// A test in a form that is too long for every run of all tests.
struct Long {
    name: &'static str,
    /// Its description, and its duration.
    about: &'static str,
    /// The runs of `cargo test` that it is: packages and targets, and behind `--` the trials.
    runs: &'static [&'static [&'static str]],
    /// The environment variable that makes them long, unless it is already set.
    environment: &'static [(&'static str, &'static str)],
}

/// The test that needs a program which no other does.
const SCHEMATHESIS: &str = "schemathesis";

const ALL: [Long; 4] = [
    Long {
        name: "attacks",
        about: "ten minutes of attacks beside a workload (about a quarter of an hour)",
        runs: &[&["--package", "ironhull", "--test", "cluster", "--", "attacks::"]],
        environment: &[("IRONHULL_ATTACK_SECONDS", "600")],
    },
    Long {
        name: "fuzz",
        about: "ten minutes of new inputs for each parser (about two hours of two cores; IRONHULL_FUZZ_SECONDS for more or less)",
        runs: &[
            &[
                "--package",
                "object",
                "--package",
                "managedfields",
                "--package",
                "cel",
                "--package",
                "apiserver",
                "--test",
                "fuzz",
                "--",
            ],
            &["--package", "cel", "--test", "fuzz_evaluation", "--"],
            &["--package", "node", "--package", "runtime", "--lib", "--", "fuzz::"],
        ],
        environment: &[("IRONHULL_FUZZ_SECONDS", "600")],
    },
    Long {
        name: SCHEMATHESIS,
        about: "made-up requests for each operation of the API (about a quarter of an hour; IRONHULL_SCHEMATHESIS_SECONDS for more or less)",
        runs: &[&["--package", "apiserver", "--test", "api", "--", "schemathesis::"]],
        environment: &[("IRONHULL_SCHEMATHESIS_SECONDS", "240")],
    },
    Long {
        name: "simulation",
        about: "three hundred seeds of a simulated cluster under faults (about a quarter of an hour)",
        runs: &[&["--package", "simulation", "--test", "cluster", "--", "seed_"]],
        environment: &[("IRONHULL_SEEDS", "300")],
    },
];

/// Installs missing requirements and runs the named test; further arguments go to the test programs.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let named = arguments.split_first().and_then(|(name, rest)| Some((find(name)?, rest)));
    let Some((long, rest)) = named else {
        let list: String = ALL.iter().map(|long| format!("  {:12} {}\n", long.name, long.about)).collect();
        bail!("usage: cargo xtask test-long NAME\n\n{list}");
    };
    let clients = test::install()?;
    if long.name == SCHEMATHESIS {
        host::schemathesis()?;
    }
    for run in long.runs {
        let mut tests = cargo(&["test"]);
        // This includes trials that are left out of other runs, and shows their measurements.
        tests.args(*run).args(["--include-ignored", "--nocapture"]).args(rest);
        tests.env("IRONHULL_CLIENTS", &clients);
        let unset = |(name, _): &&(&str, &str)| std::env::var_os(name).is_none();
        tests.envs(long.environment.iter().filter(unset).copied());
        run_command(&mut tests)?;
    }
    Ok(())
}

fn find(name: &str) -> Option<&'static Long> {
    ALL.iter().find(|long| long.name == name)
}
