//! Resource usage in the interface.

use super::{ContainerMetadata, FilesystemUsage, StringMap};

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
