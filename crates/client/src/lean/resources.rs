//! Resources of pods and containers.

use object::Pairs;
use serde::Deserialize;

/// The fields of resources that are kept: only the node needs limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct LeanResources {
    /// `requests`
    pub requests: Pairs,
}

semantics::views! {
    LeanResources { "requests" => requests }
}
