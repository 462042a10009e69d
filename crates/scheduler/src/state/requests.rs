//! The total requests of a pod, as the scheduler counts them.

use std::sync::LazyLock;

use client::LeanPod;
use object::{Quantity, QuantityFormat};
use semantics::{Options, pod_requests};

use super::Resources;

/// The assumed requests of a container without any when nodes are compared: a tenth of a core and 200 MiB.
static MISSING: LazyLock<[(&str, Quantity); 2]> = LazyLock::new(|| {
    [
        ("cpu", Quantity::milli(100, QuantityFormat::DecimalSi)),
        ("memory", Quantity::new(200 * 1024 * 1024, QuantityFormat::BinarySi)),
    ]
});

/// How containers without a request for CPU or memory count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// As nothing.
    Zero,
    /// As a little, so that nodes do not look empty which are full of such containers.
    Default,
}

/// The requests of a pod, with its overhead.
pub(super) fn of_pod(pod: &LeanPod, missing: Missing) -> Resources {
    let missing: &[_] = if missing == Missing::Default { &*MISSING } else { &[] };
    Resources::from_amounts(&pod_requests(pod, Options { missing, ..Options::default() }))
}
