//! The usage of the machine and its file systems, from the kernel. What it does not tell is unknown.

use std::fs;
use std::path::Path;

use cri::{NetworkInterfaceUsage, Pressures};
use jiff::{SignedDuration, Timestamp};

mod space;

pub(crate) use space::{Amounts, Space, device, space};

/// The unit of times in `/proc/stat`: 100 on every architecture.
const TICKS_PER_SECOND: u64 = 100;
/// The directory of cgroup v1's memory controller.
const CGROUP_V1_MEMORY: &str = "/sys/fs/cgroup/memory";
/// A route's flag in `/proc/net/ipv6_route`: the kernel refuses packets that take it.
const RTF_REJECT: u32 = 0x200;

/// The machine's usage. Counters count since it started.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Machine {
    pub(crate) started: Option<Timestamp>,
    pub(crate) cpu_nanos: Option<u64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) page_faults: Option<u64>,
    pub(crate) major_page_faults: Option<u64>,
    pub(crate) swap: Option<Swap>,
    pub(crate) processes: Option<Processes>,
    pub(crate) pressures: Pressures,
    /// Its own links, without the loopback and those of pods.
    pub(crate) interfaces: Vec<NetworkInterfaceUsage>,
    /// The one of them that leads elsewhere.
    pub(crate) default_interface: Option<String>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) capacity: u64,
    pub(crate) usage: u64,
    /// The usage without memory that the kernel can reclaim at once.
    pub(crate) working_set: u64,
}

/// Swap, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    pub(crate) available: u64,
    pub(crate) usage: u64,
}

/// Process ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processes {
    pub(crate) maximum: u64,
    pub(crate) current: u64,
}

impl Machine {
    /// Reads the present usage.
    pub(crate) fn read(now: Timestamp) -> Machine {
        let (meminfo, vmstat) = (read("/proc/meminfo"), read("/proc/vmstat"));
        Machine {
            started: started(&read("/proc/uptime"), now),
            cpu_nanos: cpu_nanos(&read("/proc/stat")),
            memory: Memory::read(),
            rss_bytes: kibibytes(&meminfo, "AnonPages"),
            page_faults: keyed(&vmstat, "pgfault"),
            major_page_faults: keyed(&vmstat, "pgmajfault"),
            swap: swap(&meminfo),
            processes: Processes::read(),
            pressures: Pressures::read(|resource| {
                fs::read_to_string(format!("/proc/pressure/{resource}")).ok()
            }),
            interfaces: own_interfaces(&read("/proc/thread-self/net/dev")),
            default_interface: default_interface(&read("/proc/net/route"), &read("/proc/net/ipv6_route")),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The number behind a key, with or without a colon.
fn keyed(text: &str, key: &str) -> Option<u64> {
    let mut rests = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix([':', ' ']));
    rests.find_map(|rest| rest.split_whitespace().next()?.parse().ok())
}

fn kibibytes(meminfo: &str, key: &str) -> Option<u64> {
    Some(keyed(meminfo, key)? * 1024)
}

/// When the machine started: `uptime` is `/proc/uptime`.
fn started(uptime: &str, now: Timestamp) -> Option<Timestamp> {
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    now.checked_sub(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

/// The time in which processors were busy, from `/proc/stat`.
fn cpu_nanos(stat: &str) -> Option<u64> {
    let times = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = times.split_whitespace().map_while(|word| word.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let busy = [0, 1, 2, 5, 6, 7].iter().map(|index| ticks.get(*index)).sum::<Option<u64>>()?;
    Some(busy * (1_000_000_000 / TICKS_PER_SECOND))
}

impl Memory {
    /// Reads the present usage.
    pub(crate) fn read() -> Option<Memory> {
        let v1 = Path::new(CGROUP_V1_MEMORY);
        let of_root = fs::read_to_string(v1.join("memory.usage_in_bytes")).ok();
        let root = of_root.map(|usage| (usage, read(&format!("{CGROUP_V1_MEMORY}/memory.stat"))));
        let root = root.as_ref().map(|(usage, stat)| (usage.as_str(), stat.as_str()));
        Memory::parse(&read("/proc/meminfo"), root)
    }

    /// Memory as upstream counts it. The root of cgroup v1 reports the memory in use, that of v2 does not.
    fn parse(meminfo: &str, root: Option<(&str, &str)>) -> Option<Memory> {
        let capacity = kibibytes(meminfo, "MemTotal")?;
        let (usage, inactive) = match root {
            Some((usage, stat)) => (usage.trim().parse().ok()?, keyed(stat, "total_inactive_file")),
            None => (
                capacity.saturating_sub(kibibytes(meminfo, "MemFree")?),
                kibibytes(meminfo, "Inactive(file)"),
            ),
        };
        Some(Memory { capacity, usage, working_set: usage.saturating_sub(inactive.unwrap_or(0)) })
    }

    /// What is left.
    pub(crate) fn available(&self) -> u64 {
        self.capacity.saturating_sub(self.working_set)
    }
}

fn swap(meminfo: &str) -> Option<Swap> {
    let (total, available) = (kibibytes(meminfo, "SwapTotal")?, kibibytes(meminfo, "SwapFree")?);
    Some(Swap { available, usage: total.saturating_sub(available) })
}

impl Processes {
    /// Reads the present number.
    pub(crate) fn read() -> Option<Processes> {
        let maximum = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"].map(read);
        Processes::parse(&maximum, &read("/proc/loadavg"))
    }

    /// `/proc/loadavg` counts tasks as its fourth word, `running/all`.
    fn parse(maximum: &[String], loadavg: &str) -> Option<Processes> {
        let maximum = maximum.iter().filter_map(|text| text.trim().parse().ok()).min()?;
        let (_, all) = loadavg.split_whitespace().nth(3)?.split_once('/')?;
        Some(Processes { maximum, current: all.parse().ok()? })
    }
}

/// The machine's links in `/proc/net/dev`, without the loopback and the ends of links to pods, whatever made them.
fn own_interfaces(text: &str) -> Vec<NetworkInterfaceUsage> {
    let is_own = |name: &str| name != "lo" && !["veth", "ihv"].iter().any(|start| name.starts_with(start));
    let all = NetworkInterfaceUsage::parse_all(text).into_iter();
    all.filter(|interface| is_own(&interface.name)).collect()
}

/// The interface of the default route with the lowest metric: of IPv4, otherwise of IPv6.
fn default_interface(route: &str, ipv6_route: &str) -> Option<String> {
    // Interface, destination, gateway, flags, references, use, metric, mask; the first line names them.
    let v4 = route.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_default = words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000");
        Some((words.get(6)?.parse::<u64>().ok()?, *words.first()?)).filter(|_| is_default)
    });
    // Destination, its length, source, its length, gateway, metric, references, use, flags, interface; in hexadecimal.
    let v6 = ipv6_route.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_usable = u32::from_str_radix(words.get(8)?, 16).ok()? & RTF_REJECT == 0;
        let is_default = words.get(1) == Some(&"00") && words.first()?.bytes().all(|byte| byte == b'0');
        let metric = u64::from_str_radix(words.get(5)?, 16).ok()?;
        Some((metric, *words.get(9)?)).filter(|_| is_default && is_usable)
    });
    v4.min().or_else(|| v6.min()).map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests;
