//! Checks whether this machine supports a backend.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use futures::TryStreamExt;
use hostnet::NetNs;
use ipnet::IpNet;

use super::backend::{UDP_DEVICE, VXLAN_DEVICE};
use super::plan::{Device, DeviceKind};
use super::{OverlayError, kernel, mac::Mac, mtu, tun};
use crate::backend_type::{BackendType, UDP_PORT, VXLAN_PORT, VXLAN_VNI};
use crate::link::{LinkError, Netlink};

/// Checks that this machine supports a backend: the kernel, the port, the MTU. The host is not changed: devices are
/// created in a separate namespace. Must be called in the host's network namespace.
///
/// # Errors
/// The missing feature or the conflict, with advice.
pub async fn preflight(
    backend: BackendType,
    node_ip: IpAddr,
    pod_networks: &[IpNet],
    mtu: Option<u32>,
) -> Result<(), OverlayError> {
    mtu::pod_mtu(backend, node_ip, pod_networks, mtu).await?;
    match backend {
        BackendType::Vxlan => {
            check_vxlan_port(node_ip).await?;
            try_in_namespace(backend, "vxlan", try_vxlan).await
        }
        BackendType::Udp => {
            check_port(SocketAddr::new(node_ip, UDP_PORT))?;
            let try_tun = || async { tun::open_tun(UDP_DEVICE).map(drop) };
            try_in_namespace(backend, "tun", try_tun).await
        }
        BackendType::HostGw | BackendType::None => Ok(()),
    }
}

async fn try_in_namespace<F, Fut>(
    backend: BackendType,
    module: &'static str,
    attempt: F,
) -> Result<(), OverlayError>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = io::Result<()>>,
{
    let tried = match NetNs::create() {
        Ok(namespace) => namespace.run(attempt).await,
        Err(error) => Err(error),
    };
    let missing = |source| OverlayError::Missing { backend, module, source };
    tried.map_err(|error| missing(io::Error::other(error)))?.map_err(missing)
}

async fn try_vxlan() -> io::Result<()> {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let kind = DeviceKind::Vxlan { vni: VXLAN_VNI, port: VXLAN_PORT, local, mac: Mac::of_node("preflight") };
    let device = Device { name: VXLAN_DEVICE, kind, mtu: 1400, addresses: Vec::new() };
    let made = async {
        let netlink = Netlink::open()?;
        kernel::ensure_device(&netlink, &device, "preflight", true).await
    };
    made.await.map(drop).map_err(io::Error::other)
}

/// The port may be that of another VXLAN network's device, with which the kernel shares it, but not of a program, nor
/// may another owner's device have our network's number.
async fn check_vxlan_port(node_ip: IpAddr) -> Result<(), OverlayError> {
    let netlink = Netlink::open()?;
    let links = netlink.handle().link().get().execute().try_collect::<Vec<_>>().await;
    let links = links.map_err(|error| LinkError::new("list the links", error))?;
    let on_port = links.iter().filter_map(kernel::vxlan_of).filter(|(_, _, port)| *port == VXLAN_PORT);
    let on_port: Vec<_> = on_port.collect();
    if on_port.iter().any(|(name, _, _)| name == VXLAN_DEVICE) {
        // Ours, from a former run; its owner is checked when it is adopted.
        return Ok(());
    }
    if let Some((name, _, _)) = on_port.iter().find(|(_, vni, _)| *vni == VXLAN_VNI) {
        let owner = "another overlay network with the same number and port".to_owned();
        return Err(OverlayError::DeviceTaken { name: name.clone(), owner });
    }
    if !on_port.is_empty() {
        return Ok(());
    }
    let any: IpAddr = if node_ip.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    check_port(SocketAddr::new(any, VXLAN_PORT))
}

/// Tries to bind the port, and releases it. Only a port in use is an error: an address that does not exist yet is
/// waited for.
fn check_port(address: SocketAddr) -> Result<(), OverlayError> {
    match UdpSocket::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(OverlayError::PortInUse { port: address.port() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hostnet::testing::ip;

    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_before_anything_changes() {
        let host = NetNs::create().unwrap();
        ip(&host, "link set lo up");
        let check = |backend, mtu| async move {
            let node_ip = "127.0.0.1".parse().unwrap();
            let pods: Vec<IpNet> = vec!["10.42.0.0/16".parse().unwrap()];
            preflight(backend, node_ip, &pods, mtu).await.map_err(|error| error.to_string())
        };
        let told = |checked: Result<(), String>, expected: &str| {
            let error = checked.unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        host.block_on(|| async {
            for backend in BackendType::ALL {
                check(backend, None).await.unwrap();
            }
            told(check(BackendType::Vxlan, Some(100)).await, "IPv4 needs 576");
            for (backend, port) in [(BackendType::Vxlan, VXLAN_PORT), (BackendType::Udp, UDP_PORT)] {
                let taken = UdpSocket::bind(("0.0.0.0", port)).unwrap();
                told(check(backend, None).await, &format!("UDP port {port} is in use"));
                drop(taken);
                // A process that another test starts right now holds all sockets until it has its own program.
                let free = async { while check(backend, None).await.is_err() {} };
                tokio::time::timeout(std::time::Duration::from_secs(20), free).await.unwrap();
            }
            // Another overlay, on the same port: with a different number both can use it.
            ip(&host, "link add flannel.9 type vxlan id 9 dstport 8472 local 127.0.0.1 nolearning\n link set flannel.9 up");
            check(BackendType::Vxlan, None).await.unwrap();
            ip(&host, "link add flannel.1 type vxlan id 1 dstport 8472 local 127.0.0.1 nolearning");
            told(check(BackendType::Vxlan, None).await, "the link flannel.1 belongs to another overlay");
            let links = Netlink::open().unwrap().handle().link().get().execute().try_collect::<Vec<_>>().await.unwrap();
            assert_eq!(links.len(), 3, "loopback and the other overlay's");
        })
        .unwrap();
    }
}
