//! The machine's requirements for `ironhull dev`, checked before anything is changed.

use anyhow::{bail, ensure};
use hostnet::nft::find_program;

/// The longest name of a cluster: it is part of paths of sockets, which are short.
const NAME_CHARACTERS_MAX: usize = 32;

/// The programs that hosts are made with, and the packages that Debian has them in.
const PROGRAMS: [(&str, &str); 8] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("sh", "dash"),
    ("env", "coreutils"),
    ("hostname", "hostname"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
];

/// Refuses names that cannot be a part of paths.
///
/// # Errors
/// The reason why the name is invalid.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let wrong = object::names::is_dns1123_label(name);
    ensure!(wrong.is_empty(), "--name {name:?}: {}", wrong.join("; "));
    ensure!(name.len() <= NAME_CHARACTERS_MAX, "--name {name:?}: at most {NAME_CHARACTERS_MAX} characters");
    Ok(())
}

/// Refuses anybody but root.
///
/// # Errors
/// For anybody else.
pub fn require_root() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "this needs root (try sudo): hosts are made of namespaces, mounts and network interfaces"
    );
    Ok(())
}

/// Refuses a machine that lacks what hosts are made with.
///
/// # Errors
/// Everything that is missing, and the packages to install.
pub fn check_machine() -> anyhow::Result<()> {
    require_root()?;
    let missing: Vec<_> =
        PROGRAMS.into_iter().filter(|(program, _)| find_program(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    bail!(
        "missing on this machine: {}; install the packages {} (their names in Debian)",
        programs.join(", "),
        packages.join(" ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_labels() {
        check_name("dev-2").unwrap();
        for name in ["", "../x", "A", "a/b", "-a", &"a".repeat(33)] {
            check_name(name).unwrap_err();
        }
    }
}
