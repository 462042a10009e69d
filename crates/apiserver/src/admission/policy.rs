//! Admission policies: rules and changes in CEL, as objects of the API.
//!
//! A policy says what it is for, which conditions must hold, and what it validates or changes; a binding puts it in force,
//! for some requests, with parameters. Both are read from the cache at each request: a request without a binding costs one
//! look at an empty map. Expressions are compiled once for each version of a policy, for the first request that matches it.
//! A binding has a budget for each set of parameters, and all policies together have the time of the request.
//!
//! Differences from upstream: annotations for the audit log are evaluated but dropped, because there is none.

use object::{Cause, Details, Reason, Status};
use tokio::time::{Instant, timeout_at};

use super::Attributes;

mod apply;
mod definition;
mod installed;
mod mutating;
mod params;
mod request;
mod validating;

pub use mutating::MutatingPolicies;
pub use validating::ValidatingPolicies;

/// The work of policies, which ends with the request.
async fn in_time(deadline: Instant, work: impl Future<Output = Result<(), Status>>) -> Result<(), Status> {
    let late = |_| Err(Status::timeout("request did not complete within requested timeout", 0));
    timeout_at(deadline, work).await.unwrap_or_else(late)
}

/// The refusal of a request by a policy. The message is also its cause: of an object that is invalid, kubectl shows causes
/// only.
fn refusal(what: &Attributes<'_>, message: &str, reason: Reason, code: u16) -> Status {
    let mut status = what.forbidden(message);
    status.reason = reason;
    status.code = code;
    let details = status.details.get_or_insert_with(Box::<Details>::default);
    details.causes.push(Cause { message: message.to_owned(), ..Cause::default() });
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn policies_end_with_their_time() {
        let soon = Instant::now() + std::time::Duration::from_secs(3);
        assert_eq!(in_time(soon, std::future::pending()).await.unwrap_err().code, 504);
        assert_eq!(Instant::now(), soon);
        assert_eq!(in_time(soon, async { Ok(()) }).await, Ok(()));
    }
}
