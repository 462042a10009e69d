//! The kernel's figures for processes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The unit of times in `/proc/PID/stat`: `USER_HZ`, which is 100 on every architecture this runs on.
const TICK: Duration = Duration::from_millis(10);

/// The processor time that a process has used.
///
/// # Errors
/// Where there is no such process.
pub fn cpu(pid: i32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th fields behind it.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let ticks: u32 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

/// The processor time that this program has used.
///
/// # Errors
/// Never, on Linux.
pub fn own_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Pages in memory.
    pub resident: u64,
    /// Pages in memory, those shared with other processes divided by how many share them.
    pub proportional: u64,
}

/// The memory of a process.
///
/// # Errors
/// Where there is no such process.
pub fn memory(pid: i32) -> Result<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the process is gone")?;
    let bytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).with_context(|| format!("smaps_rollup has no {name}"))
    };
    Ok(Memory { resident: bytes("Rss:")?, proportional: bytes("Pss:")? })
}

/// The shims (processes that run `ironhull shim`) that share the pid namespace of `pid`.
pub fn shims_of(pid: i32) -> Vec<i32> {
    let namespace = |pid: i32| -> Option<PathBuf> { fs::read_link(format!("/proc/{pid}/ns/pid")).ok() };
    let home = namespace(pid);
    let runs = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(b"shim".as_slice())
    };
    all().filter(|pid| home.is_some() && namespace(*pid) == home).filter(runs).collect()
}

/// The processes whose parent is `pid`.
pub fn children(pid: i32) -> Vec<i32> {
    all().filter(|child| parent(*child) == Some(pid)).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold blanks; behind it are the state and the parent.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
