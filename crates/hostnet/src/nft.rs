//! nftables transactions, through the `nft` program.
//!
//! A transaction is a text in nft's language, passed on standard input. The kernel applies all of it or nothing. The
//! program inherits the calling thread's network namespace.
//!
//! Any program with the necessary privileges can change tables: firewall services flush rules that they do not know. A
//! [`Watch`] notifies the owner of a table that another program changed it.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

mod watch;

pub use watch::{Change, Watch};

/// Directories that are searched after those in `PATH`: a service manager often leaves them out.
const SYSTEM_DIRECTORIES: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// Why a transaction was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not installed.
    #[error("the nft program is missing: install the package nftables")]
    Missing,
    /// The program could not be run or fed.
    #[error("cannot run nft")]
    Run(#[from] std::io::Error),
    /// The program or the kernel refused the transaction; nothing of it took effect.
    #[error("nft refused the transaction: {stderr}")]
    Refused {
        /// The program's output, cut to its first lines.
        stderr: String,
    },
}

/// Where `name` is installed, or `None`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(SYSTEM_DIRECTORIES.split(':'));
    directories.filter(|d| !d.is_empty()).map(|d| PathBuf::from(d).join(name)).find(|p| p.is_file())
}

/// Carries out one transaction.
pub async fn apply(transaction: &str) -> Result<(), NftError> {
    run(&["-f", "-"], transaction).await.map(drop)
}

/// Deletes tables, each `(family, name)`, whether or not they exist.
pub async fn delete_tables(tables: &[(&str, &str)]) -> Result<(), NftError> {
    // Adding first makes the deletion succeed if there is no such table (`destroy` is newer than nft 1.0.6).
    let text: String =
        tables.iter().map(|(f, name)| format!("add table {f} {name}\ndelete table {f} {name}\n")).collect();
    apply(&text).await
}

/// Runs `nft` with `arguments` and returns its standard output.
pub async fn output(arguments: &[&str]) -> Result<String, NftError> {
    run(arguments, "").await
}

async fn run(arguments: &[&str], input: &str) -> Result<String, NftError> {
    let program = find_program("nft").ok_or(NftError::Missing)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = watch::note_own(|| command.kill_on_drop(true).spawn())?;
    let mut stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin.take() {
            // A broken pipe means that nft gave up early; its own message says more.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(NftError::Refused { stderr: stderr.lines().take(6).collect::<Vec<_>>().join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetNs;

    #[test]
    fn a_transaction_is_all_or_nothing() {
        let namespace = NetNs::create().unwrap();
        namespace
            .block_on(|| async {
                apply("add table ip one").await.unwrap();
                let error = apply("add table ip two\nadd rule ip two missing accept").await.unwrap_err();
                assert!(matches!(error, NftError::Refused { .. }), "{error}");
                assert_eq!(output(&["list", "tables"]).await.unwrap(), "table ip one\n");
                delete_tables(&[("ip", "one"), ("ip", "never")]).await.unwrap();
                assert_eq!(output(&["list", "tables"]).await.unwrap(), "");
            })
            .unwrap();
    }
}
