//! The context of an operation on a pod.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::startup::Pulled;
use crate::observed::Observed;
use crate::pod::PodInfo;
use crate::shared::Shared;

/// The context of an operation.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) pod: PodInfo,
    pub(super) observed: Observed,
    /// The worker needs to do something else: stop at the next consistent point.
    pub(super) cancel: CancellationToken,
    /// How long images took.
    pub(super) pulled: Pulled,
}
