//! Threads for calls that may block in file systems.

use std::sync::LazyLock;

use hostfs::Lane;

use crate::VolumeError;

/// How much may be in progress in file systems at once: containers decide how many files there are to remove, and some
/// file systems do not answer at all.
const LANE_WIDTH: usize = 8;

static LANE: LazyLock<Lane> = LazyLock::new(|| Lane::new(LANE_WIDTH));

/// Runs blocking work on threads made for it, a few at a time.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
) -> Result<T, VolumeError> {
    LANE.run(work).await.map_err(VolumeError::io("work on", "a volume"))?
}
