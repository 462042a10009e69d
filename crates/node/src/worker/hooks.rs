//! Lifecycle hooks: `postStart` and `preStop`.

use std::time::Duration;

use k8s_openapi::api::core::v1::LifecycleHandler;

use super::context::Context;
use crate::pod::PodContainer;
use crate::probe::{Outcome, Target, get, handler_target};

/// Runs a hook to its end; the caller limits its time.
///
/// # Errors
/// The error message.
pub(super) async fn run(
    context: &Context,
    handler: &LifecycleHandler,
    container: &PodContainer,
    container_id: &str,
    ips: &[String],
) -> Result<(), String> {
    let target = handler_target(handler, container, ips)?;
    if let Target::Http(target) = &target {
        // Unlike for a probe, any response is a success.
        return get(target).await.map(drop).map_err(|error| format!("Get {:?}: {error}", target.url()));
    }
    match context.shared.prober.probe(&target, container_id, Duration::ZERO).await {
        Outcome::Success | Outcome::Warning(_) => Ok(()),
        Outcome::Failure(message) | Outcome::Error(message) => Err(message),
    }
}
