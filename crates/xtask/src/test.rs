//! `cargo xtask test`: everything that the tests need, then all of them.

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::host;

/// Installs what is missing and runs the tests; `arguments` are passed on to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    host::require_root()?;
    host::install_for_up()?;
    host::install_for_tests()?;
    let clients = host::clients()?;
    if std::env::var_os("IRONHULL_FIXTURES").is_none() {
        println!("IRONHULL_FIXTURES is not set: encodings are not compared with upstream's");
    }
    let mut tests = cargo(&["test", "--workspace", "--quiet"]);
    tests.args(arguments).env("IRONHULL_CLIENTS", clients);
    run_command(&mut tests)
}
