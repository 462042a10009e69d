//! What a node measures at one time.

use std::collections::HashMap;

use jiff::Timestamp;

/// What was measured of a node or a container at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// When it started; long ago if that is not known.
    pub started: Timestamp,
    /// When it was measured.
    pub at: Timestamp,
    /// The processor time since its start, in core-nanoseconds.
    pub cpu_nanos: u64,
    /// The memory that cannot be reclaimed at once, in bytes.
    pub memory_bytes: u64,
}

impl Measured {
    /// Whether it has all figures.
    pub(crate) fn is_complete(&self) -> bool {
        self.cpu_nanos != 0 && self.memory_bytes != 0
    }
}

/// What a node measured at one time. Subjects without processor time or memory are left out, as they are upstream: they
/// have just started, or their figures are incomplete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The node itself.
    pub node: Option<Measured>,
    /// Containers by namespace, pod and name. A pod with an incomplete container is missing.
    pub pods: HashMap<(String, String), HashMap<String, Measured>>,
}
