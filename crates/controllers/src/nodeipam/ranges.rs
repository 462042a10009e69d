//! The free ranges of a cluster's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The length of a node's prefix: room for 254 pods, or a whole IPv6 link; upstream's defaults.
const NODE_PREFIX_V4: u8 = 24;
const NODE_PREFIX_V6: u8 = 64;

/// Ranges of a node's size, starting with the lowest. The total work is one walk over the taken ranges, however large
/// the network or a taken range is.
pub(super) struct FreeRanges {
    /// The last address of the network.
    last: u128,
    is_v4: bool,
    prefix: u8,
    /// Where to search next; `None` behind the last address.
    next: Option<u128>,
    /// First and last addresses of the taken ranges, in descending order.
    taken: Vec<(u128, u128)>,
}

impl FreeRanges {
    /// The free ranges in `cluster` besides `taken`, ignoring ranges of the other family. A network smaller than a
    /// node's range belongs to one node as a whole.
    pub(super) fn new(cluster: IpNet, taken: &[IpNet]) -> FreeRanges {
        let is_v4 = cluster.addr().is_ipv4();
        let prefix = cluster.prefix_len().max(if is_v4 { NODE_PREFIX_V4 } else { NODE_PREFIX_V6 });
        let mut taken: Vec<(u128, u128)> =
            taken.iter().filter(|range| range.addr().is_ipv4() == is_v4).map(bounds).collect();
        taken.sort_unstable_by(|a, b| b.cmp(a));
        let (first, last) = bounds(&cluster);
        FreeRanges { last, is_v4, prefix, next: Some(first), taken }
    }

    /// The number of addresses in a node's range, less one.
    fn span(&self) -> u128 {
        let width = if self.is_v4 { 32 } else { 128 };
        1_u128.checked_shl(u32::from(width - self.prefix)).map_or(u128::MAX, |size| size - 1)
    }

    fn range(&self, first: u128) -> Option<IpNet> {
        if self.is_v4 {
            let address = Ipv4Addr::from_bits(u32::try_from(first).ok()?);
            return Ipv4Net::new(address, self.prefix).ok().map(IpNet::V4);
        }
        Ipv6Net::new(Ipv6Addr::from_bits(first), self.prefix).ok().map(IpNet::V6)
    }
}

impl Iterator for FreeRanges {
    type Item = IpNet;

    fn next(&mut self) -> Option<IpNet> {
        let span = self.span();
        loop {
            let first = self.next?;
            let end = first.checked_add(span).filter(|end| *end <= self.last)?;
            match self.taken.last() {
                Some((_, last)) if *last < first => drop(self.taken.pop()),
                // The first range after the taken one here.
                Some((taken, last)) if *taken <= end => self.next = (last | span).checked_add(1),
                free => {
                    debug_assert_eq!(first & span, 0, "a range begins where its prefix allows");
                    debug_assert!(free.is_none_or(|(taken, _)| *taken > end), "what is given out is free");
                    self.next = end.checked_add(1);
                    return self.range(first);
                }
            }
        }
    }
}

/// The first and the last address.
fn bounds(range: &IpNet) -> (u128, u128) {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (bits(range.network()), bits(range.broadcast()))
}
