//! `cargo xtask down`: stops the cluster of `up` and leaves the machine as it was.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command::run as run_command;
use crate::{host, up};

/// How long the server may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the cluster down.
pub(crate) fn run() -> Result<()> {
    host::require_root()?;
    if !Path::new(up::DATA_DIR).exists() {
        println!("there is no cluster of `cargo xtask up` here");
        return Ok(());
    }
    if let Ok(pid) = fs::read_to_string(up::pid_file()) {
        stop(pid.trim())?;
    }
    run_command(Command::new(up::program()).args(["reset", "--data-dir", up::DATA_DIR]))
}

fn stop(pid: &str) -> Result<()> {
    let process = Path::new("/proc").join(pid);
    // The process ID may have been reused by now.
    let is_ours = fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains(up::DATA_DIR));
    if !is_ours {
        return Ok(());
    }
    run_command(Command::new("kill").args(["-TERM", pid]))?;
    for _ in 0..PATIENCE.as_millis() / 100 {
        if !process.exists() || is_zombie(&process) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the server (process {pid}) did not exit within {} s", PATIENCE.as_secs())
}

fn is_zombie(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
}
