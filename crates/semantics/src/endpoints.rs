//! The state of an endpoint.

use crate::View;

/// Whether an endpoint takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointState {
    /// It takes new connections.
    pub ready: bool,
    /// It answers, though it may be about to go.
    pub serving: bool,
    /// It is about to go.
    pub terminating: bool,
}

impl EndpointState {
    /// That of a pod: it serves while it is ready, and is ready for connections while it is not in deletion.
    /// A Service that publishes addresses that are not ready calls them ready whatever they are.
    pub fn of_pod(pod: &dyn View, publishes_not_ready: bool) -> EndpointState {
        let serving = crate::pods::is_ready(pod);
        let terminating = crate::pods::is_deleting(pod);
        EndpointState { ready: publishes_not_ready || (serving && !terminating), serving, terminating }
    }

    /// The conditions of an endpoint in an EndpointSlice. Unset is true for `ready`, the value of `ready` for
    /// `serving`, and false for `terminating`.
    pub fn of_endpoint(endpoint: &dyn View) -> EndpointState {
        let conditions = endpoint.field("conditions");
        let flag = |name| {
            let field = conditions.field(name);
            (!field.is_absent()).then(|| field.is_true())
        };
        let ready = flag("ready").unwrap_or(true);
        EndpointState {
            ready,
            serving: flag("serving").unwrap_or(ready),
            terminating: flag("terminating").unwrap_or(false),
        }
    }
}
