//! What an engine asks of a pod network, in this crate's terms.

use cri::{CriError, PortMapping};
use ipnet::IpNet;

use crate::host_port::{HostPort, Protocol};

/// The subnets in what CRI calls a pod CIDR: one, or one of each family.
pub(crate) fn pod_subnets(pod_cidr: &str) -> Result<Vec<IpNet>, CriError> {
    let parse = |text: &str| -> Result<IpNet, CriError> {
        let wrong = |_| CriError::InvalidArgument(format!("the pod subnet {text:?} is not a network"));
        text.trim().parse().map_err(wrong)
    };
    pod_cidr.split(',').map(parse).collect()
}

/// The host port that a container requests, if any.
pub(crate) fn host_port(mapping: &PortMapping) -> Option<HostPort> {
    let protocol = match mapping.protocol {
        cri::Protocol::Tcp => Protocol::Tcp,
        cri::Protocol::Udp => Protocol::Udp,
        cri::Protocol::Sctp => Protocol::Sctp,
    };
    (mapping.host_port != 0).then(|| HostPort {
        protocol,
        host_ip: mapping.host_ip.parse().ok(),
        host_port: mapping.host_port,
        container_port: mapping.container_port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_one_or_two() {
        let read = |text: &str| pod_subnets(text).map(|subnets| subnets.len()).ok();
        assert_eq!(read("10.42.1.0/24"), Some(1));
        assert_eq!(read("10.42.1.0/24, fd42::/64"), Some(2));
        assert_eq!((read(""), read("10.42.1.0/24,"), read("10.42.1.0")), (None, None, None));
    }

    #[test]
    fn a_port_without_one_of_the_host_asks_for_nothing() {
        let mapping = |host_port, host_ip: &str| PortMapping {
            protocol: cri::Protocol::Udp,
            container_port: 53,
            host_port,
            host_ip: host_ip.to_owned(),
        };
        assert_eq!(host_port(&mapping(0, "")), None);
        let port = host_port(&mapping(5353, "192.0.2.7")).unwrap();
        assert_eq!((port.protocol, port.host_port, port.container_port), (Protocol::Udp, 5353, 53));
        assert_eq!(port.host_ip, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(host_port(&mapping(5353, "")).unwrap().host_ip, None);
    }
}
