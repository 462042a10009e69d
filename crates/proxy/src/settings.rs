//! The settings of connection tracking, as upstream's proxy has them (`--conntrack-*`).

use std::io;
use std::path::Path;

use hostnet::sysctl::{self, Journal};

/// The name of the record of what the settings were before, in the program's data directory.
pub const SETTINGS_JOURNAL: &str = "proxy-settings.json";

const MAX: &str = "net/netfilter/nf_conntrack_max";
/// How many flows the kernel keeps at least: so many for each processor, and so many in all.
const FLOWS_PER_CPU: u64 = 32 << 10;
const FLOWS_MIN: u64 = 128 << 10;
/// How long TCP flows are kept, in seconds: those that are idle, and those that one end has closed. The kernel's own minute
/// for these is too short for ends that write on, and its five days for idle ones are many.
const TIMEOUTS: [(&str, &str); 2] = [
    ("net/netfilter/nf_conntrack_tcp_timeout_established", "86400"),
    ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", "3600"),
];

/// Changes what is to be changed; `journal` is the record of what it was before.
pub(crate) fn apply(journal: &Path) -> io::Result<()> {
    let mut journal = Journal::open(journal)?;
    for (name, seconds) in TIMEOUTS {
        journal.set(name, seconds)?;
    }
    let cpus = std::thread::available_parallelism()?.get() as u64;
    let wanted = (FLOWS_PER_CPU * cpus).max(FLOWS_MIN);
    let now: u64 = sysctl::read(MAX)?.parse().map_err(io::Error::other)?;
    match (now < wanted).then(|| journal.set(MAX, &wanted.to_string())) {
        // It is the whole machine's, and a network namespace of its own cannot change it.
        Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.unwrap_or(Ok(())),
    }
}

/// Puts back what the record at `journal` names.
pub(crate) fn restore(journal: &Path) -> io::Result<()> {
    Journal::open(journal)?.restore()
}

#[cfg(test)]
mod tests {
    use hostnet::NetNs;

    use super::*;

    #[test]
    fn flows_are_kept_as_long_as_upstream_keeps_them() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("sysctl.json");
        let read = || async { TIMEOUTS.map(|(name, _)| sysctl::read(name).unwrap()) };
        let namespace = NetNs::create().unwrap();
        let before = namespace.block_on(read).unwrap();
        namespace.block_on(|| async { apply(&journal).unwrap() }).unwrap();
        assert_eq!(namespace.block_on(read).unwrap(), ["86400", "3600"]);
        namespace.block_on(|| async { restore(&journal).unwrap() }).unwrap();
        assert_eq!(namespace.block_on(read).unwrap(), before);
    }
}
