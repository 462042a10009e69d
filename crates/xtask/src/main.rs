//! The developer commands of the workspace: `cargo xtask COMMAND`.

use anyhow::{Result, bail};

mod bench;
mod command;
mod down;
mod r#gen;
mod host;
mod image;
mod long;
mod test;
mod tidy;
mod up;

const USAGE: &str = "usage: cargo xtask COMMAND

  up      build, start a one-node cluster on this machine, deploy a sample application
  down    stop that cluster and leave the machine as it was
  install install the requirements for building and testing
  test    install the tests' requirements, run all tests, and list those that failed and the slowest; a test program that has
          not ended after 15 minutes is killed and has failed (IRONHULL_TEST_LIMIT_SECONDS changes the limit)
  test-long NAME
          run a test that takes long or needs a virtual machine; without NAME, say which there are
  bench   measure a release build against the budgets: [size start writes roles memory reads pods services]
  tidy [write]
          check crate edges, sizes of files and functions, links in documents; with `write`, write docs/kinds.md first
  gen     make the table of API facts anew
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else { bail!("{USAGE}") };
    match command.as_str() {
        "up" => up::run(),
        "down" => down::run(),
        "install" => test::install().map(drop),
        "test" => test::run(rest),
        "test-long" => long::run(rest),
        "bench" => bench::run(rest),
        "tidy" => tidy::run(rest),
        "gen" => r#gen::run(rest),
        _ => bail!("unknown command {command:?}\n{USAGE}"),
    }
}
