//! The host's network as it was.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;
use cri::{CriError, NetworkRequest, PodNetwork};

use crate::cni::{self, CniError};
use crate::error::NetworkError;
use crate::link::Netlink;
use crate::local;
use crate::lock::HostLock;
use crate::overlay::{self, OverlayError};

/// What could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The node's own part.
    #[error(transparent)]
    Local(#[from] NetworkError),
    /// The way to other nodes.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// Plugins of a CNI network could not disconnect pods.
    #[error(transparent)]
    Cni(#[from] CniError),
}

/// Removes everything that [`LocalNetwork`](crate::LocalNetwork) and [`overlay`] made on this host and puts kernel settings
/// back, and has the plugins of a CNI network do the same. `state_dir` is that of their configuration; without a record there,
/// nothing is done. The pods are expected to be gone.
///
/// # Errors
/// [`NetworkError::InUse`] while an instance runs. After another error it can be called again.
pub async fn reset(state_dir: &Path) -> Result<(), ResetError> {
    if state_dir.join(cni::DIRECTORY).exists() {
        let _lock = HostLock::take()?;
        cni::reset(state_dir).await?;
    }
    if !local::is_recorded(state_dir)? {
        return Ok(());
    }
    let _lock = HostLock::take()?;
    let netlink = Netlink::open().map_err(NetworkError::from)?;
    overlay::reset(&netlink, state_dir).await?;
    Ok(local::remove_recorded(&netlink, state_dir).await?)
}

/// Stands in for the network while sandboxes are removed before a [`reset`], which takes the network back as a whole.
pub struct ResetNetwork;

#[async_trait]
impl PodNetwork for ResetNetwork {
    async fn setup(&self, _request: &NetworkRequest) -> Result<Vec<IpAddr>, CriError> {
        Err(CriError::FailedPrecondition("this machine is being reset".to_owned()))
    }

    async fn teardown(&self, _request: &NetworkRequest) -> Result<(), CriError> {
        Ok(())
    }
}
