//! The kernel settings of a node's network.

use std::io;
use std::path::Path;

use hostnet::sysctl::Journal;
use ipnet::IpNet;

/// Changes what routing needs; `journal` is the record of what it was before.
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

/// A host that forwards IPv6 stops taking its own address and routes from router advertisements, unless each link
/// is told to go on (`accept_ra` 2).
fn keep_router_advertisements(journal: &mut Journal) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/sys/net/ipv6/conf")? {
        let name = format!("net/ipv6/conf/{}/accept_ra", entry?.file_name().to_string_lossy());
        if hostnet::sysctl::read(&name).is_ok_and(|value| value == "1") {
            journal.set(&name, "2")?;
        }
    }
    Ok(())
}

/// Puts the settings back that the record at `journal` names.
pub(super) fn restore_sysctls(journal: &Path) -> io::Result<()> {
    Journal::open(journal)?.restore()
}
