//! Limits for the clients of a port.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most connections of a port whatever the descriptors allow, as each takes memory too.
const CONNECTIONS_MAX: usize = 20_000;
/// The fewest connections of a port, whatever the descriptors allow.
const CONNECTIONS_MIN: usize = 16;
/// The assumed number of descriptors of a process without a limit.
const DESCRIPTORS_UNLIMITED: u64 = 1 << 20;
/// Descriptors that a process with all roles can make use of.
const DESCRIPTORS_WANTED: u64 = 1 << 16;

/// How much the clients of one port may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The time for the TLS handshake.
    pub handshake_within: Duration,
    /// The time from there to the end of the first request's headers.
    pub first_request_within: Duration,
    /// How long a connection may have no request in progress.
    pub idle_max: Duration,
    /// How long a client may leave sent data unread.
    pub stall_max: Duration,
    /// The same for [`Streaming`](crate::Streaming) answers and upgraded connections.
    pub stream_stall_max: Duration,
    /// How long open requests may continue when the server stops.
    pub drain_within: Duration,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections beyond those: those of administrators, and those whose user is not known yet.
    pub reserve: usize,
    /// Connections of one client address, unless it is this machine's own.
    pub of_client_max: usize,
    /// Connections that are still in their handshake.
    pub handshakes_max: usize,
}

impl Limits {
    /// Limits for this number of connections. The times are upstream's, if it has any.
    pub fn new(connections_max: usize) -> Limits {
        Limits {
            handshake_within: Duration::from_secs(10),
            first_request_within: Duration::from_secs(32),
            idle_max: Duration::from_secs(90),
            stall_max: Duration::from_secs(60),
            stream_stall_max: Duration::from_secs(600),
            drain_within: Duration::from_secs(2),
            connections_max,
            reserve: (connections_max / 16).max(8),
            of_client_max: connections_max / 2,
            handshakes_max: (connections_max / 4).max(8),
        }
    }

    /// Limits for a port that may use a fraction of this process's descriptors.
    pub fn of_descriptors(parts: usize) -> Limits {
        let soft = getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS_UNLIMITED);
        let descriptors = usize::try_from(soft).unwrap_or(usize::MAX);
        Limits::new((descriptors / parts).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX))
    }

    /// The sockets that may be open at one moment, with those that are being closed.
    pub(crate) fn sockets_max(&self) -> usize {
        self.connections_max + self.reserve + self.connections_max / 4
    }
}

/// Raises this process's limit on open files to the number that its ports may need, or as far as allowed; returns the
/// previous limit.
///
/// Processes that it starts inherit the limit, so it is not raised beyond what is needed: some iterate over all
/// possible descriptors.
pub fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(DESCRIPTORS_WANTED).min(DESCRIPTORS_WANTED);
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
    {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
    limit.current
}
