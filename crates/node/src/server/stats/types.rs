//! The answer of `/stats/summary`: `stats/v1alpha1 Summary` (`k8s.io/kubelet/pkg/apis/stats`). What is not known is left
//! out.

use cri::{CpuUsage, MemoryUsage, NetworkInterfaceUsage, Pressure, Stalls, SwapUsage};
use jiff::Timestamp;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) node: NodeStats,
    pub(super) pods: Vec<PodStats>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStats {
    pub(super) node_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) io: Option<IoStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<NetworkStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runtime: Option<RuntimeStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rlimit: Option<RlimitStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) swap: Option<SwapStats>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStats {
    pub(super) pod_ref: PodReference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<Timestamp>,
    pub(super) containers: Vec<ContainerStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) io: Option<IoStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<NetworkStats>,
    #[serde(rename = "volume", skip_serializing_if = "Vec::is_empty")]
    pub(super) volumes: Vec<VolumeStats>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    pub(super) ephemeral_storage: Option<FsStats>,
    #[serde(rename = "process_stats", skip_serializing_if = "Option::is_none")]
    pub(super) process_stats: Option<ProcessStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) swap: Option<SwapStats>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct PodReference {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStats {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) io: Option<IoStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rootfs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) swap: Option<SwapStats>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CpuStats {
    pub(super) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_nano_cores: Option<u64>,
    pub(super) usage_core_nano_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) psi: Option<PsiStats>,
}

impl CpuStats {
    pub(super) fn new(cpu: &CpuUsage, usage_nano_cores: Option<u64>, pressure: Option<Pressure>) -> CpuStats {
        CpuStats {
            time: cpu.timestamp,
            usage_nano_cores,
            usage_core_nano_seconds: cpu.usage_core_nano_seconds,
            psi: pressure.map(PsiStats::from),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct IoStats {
    pub(super) time: Timestamp,
    pub(super) psi: PsiStats,
}

impl IoStats {
    pub(super) fn new(time: Timestamp, pressure: Option<Pressure>) -> Option<IoStats> {
        Some(IoStats { time, psi: pressure?.into() })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct PsiStats {
    pub(super) full: PsiData,
    pub(super) some: PsiData,
}

impl From<Pressure> for PsiStats {
    fn from(pressure: Pressure) -> PsiStats {
        PsiStats { full: pressure.full.into(), some: pressure.some.into() }
    }
}

/// Nanoseconds, and percentages.
#[derive(Debug, Serialize)]
pub(super) struct PsiData {
    pub(super) total: u64,
    pub(super) avg10: f64,
    pub(super) avg60: f64,
    pub(super) avg300: f64,
}

impl From<Stalls> for PsiData {
    fn from(stalls: Stalls) -> PsiData {
        let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
        PsiData {
            total: stalls.total_nanos,
            avg10: percent(stalls.avg10),
            avg60: percent(stalls.avg60),
            avg300: percent(stalls.avg300),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemoryStats {
    pub(super) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) available_bytes: Option<u64>,
    pub(super) usage_bytes: u64,
    pub(super) working_set_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) page_faults: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) major_page_faults: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) psi: Option<PsiStats>,
}

impl MemoryStats {
    pub(super) fn new(memory: &MemoryUsage, pressure: Option<Pressure>) -> MemoryStats {
        MemoryStats {
            psi: pressure.map(PsiStats::from),
            time: memory.timestamp,
            available_bytes: memory.available_bytes,
            usage_bytes: memory.usage_bytes,
            working_set_bytes: memory.working_set_bytes,
            rss_bytes: Some(memory.rss_bytes),
            page_faults: Some(memory.page_faults),
            major_page_faults: Some(memory.major_page_faults),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SwapStats {
    pub(super) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) swap_available_bytes: Option<u64>,
    pub(super) swap_usage_bytes: u64,
}

impl From<&SwapUsage> for SwapStats {
    fn from(swap: &SwapUsage) -> SwapStats {
        SwapStats {
            time: swap.timestamp,
            swap_available_bytes: swap.swap_available_bytes,
            swap_usage_bytes: swap.swap_usage_bytes,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct NetworkStats {
    pub(super) time: Timestamp,
    /// The default one.
    #[serde(flatten)]
    pub(super) default: Option<InterfaceStats>,
    /// All, including the default one.
    pub(super) interfaces: Vec<InterfaceStats>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InterfaceStats {
    pub(super) name: String,
    pub(super) rx_bytes: u64,
    pub(super) rx_errors: u64,
    pub(super) tx_bytes: u64,
    pub(super) tx_errors: u64,
}

impl From<&NetworkInterfaceUsage> for InterfaceStats {
    fn from(interface: &NetworkInterfaceUsage) -> InterfaceStats {
        InterfaceStats {
            name: interface.name.clone(),
            rx_bytes: interface.received.bytes,
            rx_errors: interface.received.errors,
            tx_bytes: interface.sent.bytes,
            tx_errors: interface.sent.errors,
        }
    }
}

/// A file system, or a tree on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FsStats {
    pub(super) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capacity_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inodes_free: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inodes_used: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeStats {
    #[serde(flatten)]
    pub(super) fs: FsStats,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pvc_ref: Option<ClaimReference>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ClaimReference {
    pub(super) name: String,
    pub(super) namespace: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimeStats {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_fs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_fs: Option<FsStats>,
}

#[derive(Debug, Serialize)]
pub(super) struct RlimitStats {
    pub(super) time: Timestamp,
    pub(super) maxpid: u64,
    pub(super) curproc: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ProcessStats {
    pub(super) process_count: u64,
}
