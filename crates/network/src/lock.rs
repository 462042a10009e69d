//! The lock on a host's network.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::error::NetworkError;

/// The name of the abstract socket held by the owner of a host network. Such names belong to the network namespace, and
/// disappear with the process.
const LOCK_NAME: &[u8] = b"ironhull-network";

/// The lock for setting up the network of this host; only one process can hold it.
#[derive(Debug)]
pub struct HostLock(#[expect(dead_code, reason = "held, not used")] UnixListener);

impl HostLock {
    /// Takes the lock, which is held until it is dropped.
    ///
    /// # Errors
    /// [`NetworkError::InUse`] while another process holds it.
    pub fn take() -> Result<HostLock, NetworkError> {
        let bound =
            SocketAddr::from_abstract_name(LOCK_NAME).and_then(|address| UnixListener::bind_addr(&address));
        bound.map(HostLock).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => NetworkError::InUse,
            _ => NetworkError::Io { what: "cannot lock the host network", source },
        })
    }
}
