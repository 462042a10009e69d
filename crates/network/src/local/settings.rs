//! The kernel settings of a node's network.

use std::io;
use std::path::Path;

use hostnet::sysctl::Journal;
use ipnet::IpNet;

/// Changes the settings that routing needs; `journal` records the previous values.
pub(super) fn set_sysctls(journal: &Path, pod_subnets: &[IpNet]) -> io::Result<()> {
    let mut journal = Journal::open(journal)?;
    journal.set("net/ipv4/ip_forward", "1")?;
    // Host ports answer on loopback addresses, too; the rules keep such addresses out of other links.
    journal.set("net/ipv4/conf/all/route_localnet", "1")?;
    if pod_subnets.iter().any(|subnet| subnet.addr().is_ipv6()) {
        keep_router_advertisements(&mut journal)?;
        journal.set("net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// A host that forwards IPv6 stops taking its own address and routes from router advertisements, unless each link is
/// set to continue (`accept_ra` 2).
fn keep_router_advertisements(journal: &mut Journal) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/sys/net/ipv6/conf")? {
        let name = format!("net/ipv6/conf/{}/accept_ra", entry?.file_name().to_string_lossy());
        if hostnet::sysctl::read(&name).is_ok_and(|value| value == "1") {
            journal.set(&name, "2")?;
        }
    }
    Ok(())
}

/// Makes the host's end of a pod's link ignore forged data: only the pod's own addresses are accepted as sources, even
/// while there are no packet rules, and router advertisements (CVE-2020-10749) and redirects are ignored. These
/// settings disappear with the link.
pub(super) fn harden_link(name: &str) -> io::Result<()> {
    for (family, setting, value) in [
        ("ipv4", "rp_filter", "1"),
        ("ipv4", "accept_redirects", "0"),
        ("ipv6", "accept_redirects", "0"),
        ("ipv6", "accept_ra", "0"),
    ] {
        match std::fs::write(format!("/proc/sys/net/{family}/conf/{name}/{setting}"), value) {
            // A kernel without IPv6, or a link that has disappeared in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// Restores the settings recorded at `journal`.
pub(super) fn restore_sysctls(journal: &Path) -> io::Result<()> {
    Journal::open(journal)?.restore()
}
