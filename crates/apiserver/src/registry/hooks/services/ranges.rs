//! The networks from which addresses of Services are allocated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::families::Family;

/// The addresses of one network for Services. The lower part is reserved for Services that request a specific address;
/// others get one of it only when the rest is full (KEP-3070).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The first address; that of the network itself is not allocated.
    first: u128,
    /// The number of addresses; for IPv4, without the broadcast address.
    count: u128,
    /// The size of the lower part.
    reserved: u128,
    family: Family,
}

impl Range {
    pub(super) fn new(network: IpNet) -> Range {
        let (first, size, family) = match network {
            IpNet::V4(v4) => {
                (u128::from(v4.network().to_bits()), 1_u128 << (32 - v4.prefix_len()), Family::V4)
            }
            IpNet::V6(v6) => {
                let bits = u32::from(128 - v6.prefix_len());
                (v6.network().to_bits(), 1_u128.checked_shl(bits).unwrap_or(u128::MAX), Family::V6)
            }
        };
        let unused = if family == Family::V4 { 2 } else { 1 };
        let reserved = if size <= 16 { 0 } else { (size / 16).clamp(16, 256) };
        Range { first: first + 1, count: size.saturating_sub(unused), reserved, family }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (bits, family) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), Family::V4),
            IpAddr::V6(v6) => (v6.to_bits(), Family::V6),
        };
        family == self.family && bits.checked_sub(self.first).is_some_and(|offset| offset < self.count)
    }

    /// All addresses in the order in which they are tried: those of the upper part from a random one on, then those of
    /// the lower part.
    pub(super) fn candidates(self, random: u64) -> impl Iterator<Item = IpAddr> {
        let upper = self.count.saturating_sub(self.reserved);
        let start = u128::from(random).checked_rem(upper).unwrap_or(0);
        let upper = (0..upper).map(move |i| self.reserved + (start + i) % upper);
        upper.chain(0..self.reserved.min(self.count)).map(move |offset| self.at(offset))
    }

    fn at(&self, offset: u128) -> IpAddr {
        let bits = self.first + offset;
        match self.family {
            // The offset is below the count, which the family's width bounds.
            Family::V4 => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
            Family::V6 => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

/// The first address of a network that a Service can have: that of the API server.
pub fn first_service_address(network: IpNet) -> IpAddr {
    Range::new(network).at(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(network: &str, random: u64) -> Vec<String> {
        Range::new(network.parse().unwrap()).candidates(random).map(|address| address.to_string()).collect()
    }

    #[test]
    fn the_lower_part_comes_last() {
        let all = tried("10.0.0.0/24", 5);
        assert_eq!((all.len(), all[0].as_str(), all[237].as_str()), (254, "10.0.0.22", "10.0.0.21"));
        assert_eq!((all[238].as_str(), all[253].as_str()), ("10.0.0.1", "10.0.0.16"));
        let mut distinct = all.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len(), "each once");
        assert_eq!(tried("10.0.0.0/28", 13), tried("10.0.0.0/28", 27), "a random number of any size");
        assert_eq!(tried("fd00::/124", 0)[..2], ["fd00::1", "fd00::2"]);
        assert_eq!(tried("fd00::/124", 0).len(), 15);
    }

    #[test]
    fn networks_of_any_size_work() {
        let huge = Range::new("fd00::/64".parse().unwrap());
        assert_eq!(huge.candidates(0).next().unwrap().to_string(), "fd00::101");
        assert!(huge.contains("fd00::ffff:ffff:ffff:ffff".parse().unwrap()));
        assert!(!huge.contains("fd00::".parse().unwrap()) && !huge.contains("10.0.0.1".parse().unwrap()));
        let small = Range::new("10.0.0.8/29".parse().unwrap());
        let inside = ["10.0.0.8", "10.0.0.9", "10.0.0.14", "10.0.0.15"]
            .map(|text| small.contains(text.parse().unwrap()));
        assert_eq!(inside, [false, true, true, false]);
        assert!(tried("10.0.0.1/32", 1).is_empty());
        assert_eq!(first_service_address("fd43::/112".parse().unwrap()).to_string(), "fd43::1");
    }
}
