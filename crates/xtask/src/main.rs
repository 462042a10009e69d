//! The developer commands of the workspace: `cargo xtask COMMAND`.

mod r#gen;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, rest)) if command == "gen" => r#gen::run(rest),
        _ => bail!("usage: cargo xtask gen ..."),
    }
}
