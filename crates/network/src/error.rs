//! What goes wrong with the pod network.

use std::io;

use hostnet::NetNsError;
use hostnet::nft::NftError;

use crate::ipam::IpamError;
use crate::link::LinkError;
use crate::preflight::PreflightError;

/// Why the network, or a pod's part of it, could not be set up or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The host or the configuration is unsuitable; nothing was changed.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Another running instance uses this host network.
    #[error("another instance of ironhull is running on this host network")]
    InUse,
    /// A link of the bridge's name exists and is not this state directory's.
    #[error(
        "the link {name} belongs to {owner}: run `ironhull reset` with that data directory, or delete the link"
    )]
    BridgeTaken {
        /// The link.
        name: String,
        /// Its alias, which names its owner.
        owner: String,
    },
    /// No address or host port was available.
    #[error(transparent)]
    Ipam(#[from] IpamError),
    /// The kernel refused a change of links or routes.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The packet rules could not be changed.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// The pod's namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] NetNsError),
    /// A record or a kernel setting could not be read or written.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

pub(crate) fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::Io { what, source }
}
