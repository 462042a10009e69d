//! `cargo xtask test`: everything that the tests need, then all of them.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::host;

/// Installs what building and testing need; the folder with kubectl and helm comes back.
pub(crate) fn install() -> Result<PathBuf> {
    host::require_root()?;
    host::install_for_up()?;
    host::install_for_tests()?;
    host::clients()
}

/// Installs what is missing and runs the tests; `arguments` are passed on to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let clients = install()?;
    if std::env::var_os("IRONHULL_FIXTURES").is_none() {
        println!("IRONHULL_FIXTURES is not set: encodings are not compared with upstream's");
    }
    let mut tests = cargo(&["test", "--workspace", "--quiet", "--no-fail-fast"]);
    tests.args(arguments).env("IRONHULL_CLIENTS", clients);
    run_command(&mut tests)
}
