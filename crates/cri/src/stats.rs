//! Resource usage in the interface.

use super::{ContainerMetadata, FilesystemUsage, PodSandboxMetadata, Pressures, StringMap};

/// Processor time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuUsage {
    /// When it was measured.
    pub timestamp: jiff::Timestamp,
    /// Nanoseconds of all cores since the container's start.
    pub usage_core_nano_seconds: u64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryUsage {
    /// When it was measured.
    pub timestamp: jiff::Timestamp,
    /// Usage without memory that the kernel can reclaim at once.
    pub working_set_bytes: u64,
    /// The amount left below the limit; `None` without a limit.
    pub available_bytes: Option<u64>,
    /// All usage.
    pub usage_bytes: u64,
    /// Anonymous and swap cache memory.
    pub rss_bytes: u64,
    /// Minor page faults.
    pub page_faults: u64,
    /// Major page faults.
    pub major_page_faults: u64,
}

/// Swap, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapUsage {
    /// When it was measured.
    pub timestamp: jiff::Timestamp,
    /// The amount left below the limit; `None` without a limit.
    pub swap_available_bytes: Option<u64>,
    /// Usage.
    pub swap_usage_bytes: u64,
}

/// Resource usage of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStats {
    /// The container's id.
    pub id: String,
    /// Its sandbox.
    pub pod_sandbox_id: String,
    /// Its identity.
    pub metadata: ContainerMetadata,
    /// Labels as configured.
    pub labels: StringMap,
    /// Annotations as configured.
    pub annotations: StringMap,
    /// Processor; absent if it does not run.
    pub cpu: Option<CpuUsage>,
    /// Memory; absent if it does not run.
    pub memory: Option<MemoryUsage>,
    /// Swap; absent if it does not run or the kernel does not account it.
    pub swap: Option<SwapUsage>,
    /// Its writable layer.
    pub writable_layer: Option<FilesystemUsage>,
    /// How long it waits for resources.
    pub pressures: Pressures,
}

/// Selects containers; all set fields must match, an empty filter selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStatsFilter {
    /// Only this container.
    pub id: Option<String>,
    /// Only containers of this sandbox.
    pub pod_sandbox_id: Option<String>,
    /// Only containers with all these labels.
    pub label_selector: StringMap,
}

/// Counters of one network interface, since it exists. CRI has packets and drops only among the samples of
/// `ListPodSandboxMetrics`; engines that do not count them leave them out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkInterfaceUsage {
    /// The interface's name.
    pub name: String,
    /// What it received.
    pub received: Transfer,
    /// What it sent.
    pub sent: Transfer,
}

/// Counters of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes.
    pub bytes: u64,
    /// Errors.
    pub errors: u64,
    /// Packets.
    pub packets: Option<u64>,
    /// Packets that were dropped.
    pub dropped: Option<u64>,
}

impl NetworkInterfaceUsage {
    /// Reads the kernel's counters of the interfaces in a network namespace, the text of `/proc/net/dev`: after two
    /// lines of headings, a line for each interface with eight numbers of what it received, and eight of what it sent.
    /// Lines of another form are left out.
    pub fn parse_all(text: &str) -> Vec<NetworkInterfaceUsage> {
        let parse = |line: &str| {
            let (name, counters) = line.split_once(':')?;
            let counters: Vec<u64> =
                counters.split_whitespace().map_while(|word| word.parse().ok()).collect();
            let transfer = |from: usize| {
                let [bytes, packets, errors, dropped] = *counters.get(from..from + 4)? else { return None };
                Some(Transfer { bytes, errors, packets: Some(packets), dropped: Some(dropped) })
            };
            let (received, sent) = (transfer(0)?, transfer(8)?);
            Some(NetworkInterfaceUsage { name: name.trim().to_owned(), received, sent })
        };
        text.lines().skip(2).filter_map(parse).collect()
    }
}

/// Network usage of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkUsage {
    /// When it was measured.
    pub timestamp: jiff::Timestamp,
    /// The interface that leads to other pods, if it exists.
    pub default_interface: Option<NetworkInterfaceUsage>,
    /// All others, without the loopback.
    pub interfaces: Vec<NetworkInterfaceUsage>,
}

/// Resource usage of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandboxStats {
    /// The sandbox's id.
    pub id: String,
    /// Its identity.
    pub metadata: PodSandboxMetadata,
    /// Labels as configured.
    pub labels: StringMap,
    /// Annotations as configured.
    pub annotations: StringMap,
    /// Its network; absent in the host's.
    pub network: Option<NetworkUsage>,
    /// Processor time of its containers, including those that ended; absent if it has no cgroup of its own.
    pub cpu: Option<CpuUsage>,
    /// Memory of the same.
    pub memory: Option<MemoryUsage>,
    /// Swap of the same; absent also if the kernel does not account it.
    pub swap: Option<SwapUsage>,
    /// How long its containers wait for resources.
    pub pressures: Pressures,
    /// How many processes its containers have.
    pub process_count: Option<u64>,
}

/// Selects sandboxes; all set fields must match, an empty filter selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSandboxStatsFilter {
    /// Only this sandbox.
    pub id: Option<String>,
    /// Only sandboxes with all these labels.
    pub label_selector: StringMap,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_interface() {
        let text = "Inter-|   Receive    |  Transmit\n face |bytes packets errs ...\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                    eth0:10 2 3 4 0 0 0 5 20 6 7 8 0 0 0 0\n broken: 1 2\n";
        let all = NetworkInterfaceUsage::parse_all(text);
        assert_eq!(all.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["lo", "eth0"]);
        let received = Transfer { bytes: 10, errors: 3, packets: Some(2), dropped: Some(4) };
        let sent = Transfer { bytes: 20, errors: 7, packets: Some(6), dropped: Some(8) };
        assert_eq!((all[1].received, all[1].sent), (received, sent));
    }
}
