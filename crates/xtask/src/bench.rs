//! `cargo xtask bench`: a release build measured against the budgets of the design.

use std::process::Command;

use anyhow::Result;

use crate::command::{run as run_command, target};
use crate::{host, up};

/// Builds, and runs the named measurements; all by default. The figures go to `bench.json` in the target folder.
pub(crate) fn run(names: &[String]) -> Result<()> {
    host::require_root()?;
    host::install_for_up()?;
    host::install_for_tests()?;
    host::install_for_bench()?;
    println!("building (the first time takes a few minutes)");
    let image = up::build("release", &["ironhull", "bench"])?;
    let built = target().join("release");
    let json = target().join("bench.json");
    let mut bench = Command::new(built.join("bench"));
    bench
        .arg("--program")
        .arg(built.join("ironhull"))
        .arg("--image")
        .arg(image)
        .arg("--json")
        .arg(&json)
        .args(names);
    run_command(&mut bench)?;
    println!("\nthe figures are in {}", json.display());
    Ok(())
}
