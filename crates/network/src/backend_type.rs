//! The ways in which packets travel between nodes, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The VXLAN network's number, as flannel's.
pub(crate) const VXLAN_VNI: u32 = 1;
/// The UDP port of VXLAN, as flannel's: the kernel's own default, older than the registered 4789.
pub(crate) const VXLAN_PORT: u16 = 8472;
/// The UDP port of the user-space tunnel, as flannel's.
pub(crate) const UDP_PORT: u16 = 8285;

/// How packets travel between nodes (`--flannel-backend`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendType {
    /// The kernel's VXLAN.
    #[default]
    Vxlan,
    /// Plain routes by the nodes' addresses.
    HostGw,
    /// Wrapped in UDP by this process.
    Udp,
    /// None: another program routes between nodes.
    None,
}

impl BackendType {
    /// All of them.
    pub const ALL: [BackendType; 4] =
        [BackendType::Vxlan, BackendType::HostGw, BackendType::Udp, BackendType::None];

    /// The UDP port that nodes must reach at each other, if there is one.
    pub fn port(self) -> Option<u16> {
        match self {
            BackendType::Vxlan => Some(VXLAN_PORT),
            BackendType::Udp => Some(UDP_PORT),
            BackendType::HostGw | BackendType::None => None,
        }
    }

    /// The name in flags and annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            BackendType::Vxlan => "vxlan",
            BackendType::HostGw => "host-gw",
            BackendType::Udp => "udp",
            BackendType::None => "none",
        }
    }
}

impl fmt::Display for BackendType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no backend.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a backend: choose vxlan, host-gw, udp or none")]
pub struct UnknownBackend(String);

impl FromStr for BackendType {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<BackendType, UnknownBackend> {
        let found = BackendType::ALL.into_iter().find(|backend| backend.as_str() == text);
        found.ok_or_else(|| UnknownBackend(text.to_owned()))
    }
}
