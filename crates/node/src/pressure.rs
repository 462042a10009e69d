//! The resources that a node may run short of: which are measured, how much of each must stay free, and the conditions
//! that show a shortage.

use std::collections::BTreeSet;

mod shown;
mod signal;
mod threshold;

pub(crate) use shown::Limits;
pub(crate) use signal::{Pressure, Signal};
#[cfg(test)]
pub(crate) use threshold::Amount;
pub(crate) use threshold::Threshold;
pub use threshold::{EvictionConfig, EvictionFlags, ThresholdError};

/// The conditions that are true now.
pub(crate) type Pressures = BTreeSet<Pressure>;

/// The reason of evicted pods, and of pods that are not admitted under pressure.
pub(crate) const EVICTED: &str = "Evicted";
