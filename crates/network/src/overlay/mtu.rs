//! The MTU of pods' links.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{OverlayError, backend};
use crate::backend_type::BackendType;
use crate::link::Netlink;

/// The MTU if no uplink reports one: Ethernet's.
const MTU_DEFAULT: u32 = 1500;
/// The size that every IPv4 host accepts (RFC 791).
const IPV4_MIN: u32 = 576;
/// The minimum MTU of a link that carries IPv6 (RFC 8200).
const IPV6_MIN: u32 = 1280;

/// The MTU for pods of these subnets, in bytes: the MTU of the link with the node's address minus the backend's
/// headers, or `wanted`, if that is not larger. Must be called in the host's network namespace.
///
/// # Errors
/// Where too little is left, or too much is wanted. Nothing is changed.
pub async fn pod_mtu(
    backend: BackendType,
    node_ip: IpAddr,
    pod_subnets: &[IpNet],
    wanted: Option<u32>,
) -> Result<u32, OverlayError> {
    let netlink = Netlink::open()?;
    let uplink = match netlink.mtu_at(node_ip).await? {
        Some(mtu) => Some(mtu),
        None => netlink.uplink_mtu().await?,
    };
    choose(backend, node_ip, pod_subnets, uplink.unwrap_or(MTU_DEFAULT), wanted)
}

fn choose(
    backend: BackendType,
    node_ip: IpAddr,
    pod_subnets: &[IpNet],
    uplink: u32,
    wanted: Option<u32>,
) -> Result<u32, OverlayError> {
    let left = uplink.saturating_sub(backend::of(backend).overhead(node_ip.is_ipv4()));
    if let Some(wanted) = wanted.filter(|wanted| *wanted > left) {
        return Err(OverlayError::MtuTooLarge { wanted, left, backend });
    }
    let mtu = wanted.unwrap_or(left);
    for (ipv4, family, needed) in [(true, "IPv4", IPV4_MIN), (false, "IPv6", IPV6_MIN)] {
        if mtu < needed && pod_subnets.iter().any(|subnet| subnet.addr().is_ipv4() == ipv4) {
            return Err(OverlayError::MtuTooSmall { uplink, left: mtu, backend, family, needed });
        }
    }
    Ok(mtu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_for_pods() {
        let v4: &[IpNet] = &["10.42.0.0/24".parse().unwrap()];
        let both: &[IpNet] = &[v4[0], "fd42::/64".parse().unwrap()];
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (four, six) = (ip("192.0.2.1"), ip("fd99::1"));
        type Row<'r> = (BackendType, IpAddr, &'r [IpNet], u32, Option<u32>, Result<u32, &'r str>);
        let table: [Row<'_>; 14] = [
            (BackendType::Vxlan, four, v4, 1500, None, Ok(1450)),
            (BackendType::Vxlan, six, both, 1500, None, Ok(1430)),
            (BackendType::Udp, four, v4, 1500, None, Ok(1472)),
            (BackendType::Udp, six, v4, 1500, None, Ok(1452)),
            (BackendType::HostGw, four, v4, 1500, None, Ok(1500)),
            (BackendType::None, four, v4, 9000, None, Ok(9000)),
            (BackendType::Vxlan, four, v4, 1500, Some(1400), Ok(1400)),
            (BackendType::Vxlan, four, v4, 1500, Some(1451), Err("--mtu 1451 is more than the 1450 bytes")),
            (BackendType::Vxlan, four, v4, 1500, Some(500), Err("IPv4 needs 576")),
            (BackendType::Vxlan, four, both, 1330, None, Ok(1280)),
            (BackendType::Vxlan, four, both, 1329, None, Err("leaves 1279 bytes")),
            (BackendType::Vxlan, four, v4, 626, None, Ok(576)),
            (BackendType::Vxlan, four, v4, 625, None, Err("IPv4 needs 576")),
            (BackendType::Udp, four, v4, 20, None, Err("leaves 0 bytes")),
        ];
        for (backend, node_ip, subnets, uplink, wanted, expected) in table {
            let chosen = choose(backend, node_ip, subnets, uplink, wanted);
            match (chosen, expected) {
                (Ok(mtu), Ok(expected)) => assert_eq!(mtu, expected, "{backend} on {uplink}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (chosen, expected) => panic!("{backend} on {uplink}: {chosen:?}, not {expected:?}"),
            }
        }
    }
}
