//! Links, addresses, routes and neighbours, through netlink.

use std::io;
use std::net::IpAddr;

use futures::TryStreamExt;
use hostnet::NetNs;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, route::RouteHeader};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec};
use sha2::{Digest, Sha256};

/// The prefix of the names of the host's ends of pods' links.
pub(crate) const POD_LINK_PREFIX: &str = "ihv";

/// The hardware address of the host end of every pod link. Each pod has its own link, so one address serves all, and
/// the pod's neighbour entry for its gateway can be written without asking.
const HOST_MAC: [u8; 6] = [0xee, 0xee, 0xee, 0xee, 0xee, 0xee];

/// The name of the link inside a pod.
const POD_LINK: &str = "eth0";

/// A request that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct LinkError {
    action: String,
    source: io::Error,
}

impl LinkError {
    pub(crate) fn new(action: impl Into<String>, error: rtnetlink::Error) -> LinkError {
        let source = match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other.to_string()),
        };
        LinkError { action: action.into(), source }
    }

    /// A link that existed a moment ago.
    pub(crate) fn vanished(name: &str) -> LinkError {
        LinkError { action: format!("find {name}"), source: io::Error::from(io::ErrorKind::NotFound) }
    }

    /// Whether the error means that the object exists already.
    pub(crate) fn is_exists(&self) -> bool {
        self.source.raw_os_error().map(nix::errno::Errno::from_raw) == Some(nix::errno::Errno::EEXIST)
    }

    /// Whether the error means that there is no such link, address or route.
    pub fn is_not_found(&self) -> bool {
        let errno = self.source.raw_os_error().map(nix::errno::Errno::from_raw);
        use nix::errno::Errno::{EADDRNOTAVAIL, ENODEV, ENOENT, ESRCH};
        matches!(errno, Some(ENODEV | ESRCH | ENOENT | EADDRNOTAVAIL))
    }
}

type Result<T> = std::result::Result<T, LinkError>;

/// The known data of a link.
pub(crate) struct Link {
    pub(crate) index: u32,
    /// The alias, a free text that names the owner of the link.
    pub(crate) alias: Option<String>,
    pub(crate) mtu: Option<u32>,
    /// Whether it uses ARP.
    pub(crate) has_arp: bool,
}

/// A netlink connection to the namespace in which it was opened.
#[derive(Clone)]
pub(crate) struct Netlink(Handle);

impl Netlink {
    /// Opens a connection, driven by a task of the current runtime.
    pub(crate) fn open() -> Result<Netlink> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|source| LinkError { action: "open a netlink socket".to_owned(), source })?;
        tokio::spawn(connection);
        Ok(Netlink(handle))
    }

    /// The connection, for requests that only one caller makes.
    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }

    /// The link called `name`, if there is one.
    pub(crate) async fn link(&self, name: &str) -> Result<Option<Link>> {
        let mut found = self.0.link().get().match_name(name).execute();
        let message = match found.try_next().await.map_err(|e| LinkError::new(format!("look up {name}"), e)) {
            Ok(message) => message,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        Ok(message.map(link_of))
    }

    /// Makes a bridge called `name`, with `alias` naming its owner.
    pub(crate) async fn add_bridge(&self, name: &str, alias: &str) -> Result<()> {
        self.add(LinkBridge::new(name).build(), name).await?;
        // The kernel takes no alias at creation.
        self.set_alias(name, alias).await
    }

    /// Makes a pair of links: `host_name` here and `eth0` in the namespace `pod`. The host's end neither asks nor answers by
    /// ARP or neighbour discovery: both ends get permanent neighbour entries, and a pod could fill the host's table.
    pub(crate) async fn add_veth(&self, host_name: &str, pod: &NetNs, mac: [u8; 6], mtu: u32) -> Result<()> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(POD_LINK)
            .address(mac.to_vec())
            .mtu(mtu)
            .setns_by_fd(pod.raw_fd())
            .build();
        let mut pair = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .name(host_name)
            .address(HOST_MAC.to_vec())
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        set_noarp(&mut pair);
        self.add(pair, host_name).await
    }

    async fn add(&self, message: LinkMessage, name: &str) -> Result<()> {
        let done = self.0.link().add(message).execute().await;
        done.map_err(|e| LinkError::new(format!("make the link {name}"), e))
    }

    /// Deletes the link called `name`; true if there was one.
    pub(crate) async fn delete(&self, name: &str) -> Result<bool> {
        let Some(link) = self.link(name).await? else { return Ok(false) };
        match self
            .0
            .link()
            .del(link.index)
            .execute()
            .await
            .map_err(|e| LinkError::new(format!("delete {name}"), e))
        {
            Ok(()) => Ok(true),
            // It has disappeared with its namespace in the meantime.
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Names the owner of a link.
    pub(crate) async fn set_alias(&self, name: &str, alias: &str) -> Result<()> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).alias(alias).build();
        let done = self.0.link().set(message).execute().await;
        done.map_err(|e| LinkError::new(format!("set the alias of {name}"), e))
    }

    /// Switches ARP off on an existing link.
    pub(crate) async fn set_arp_off(&self, index: u32) -> Result<()> {
        let mut message = LinkUnspec::new_with_index(index).build();
        set_noarp(&mut message);
        let done = self.0.link().set(message).execute().await;
        done.map_err(|e| LinkError::new("switch ARP off on a link", e))
    }

    pub(crate) async fn set_mtu(&self, index: u32, mtu: u32) -> Result<()> {
        let done = self.0.link().set(LinkUnspec::new_with_index(index).mtu(mtu).build()).execute().await;
        done.map_err(|e| LinkError::new(format!("set the MTU of a link to {mtu}"), e))
    }

    pub(crate) async fn set_up(&self, index: u32) -> Result<()> {
        let done = self.0.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await;
        done.map_err(|e| LinkError::new("set a link up", e))
    }

    /// Gives the link an address with a full-length prefix, ready for use at once.
    pub(crate) async fn add_address(&self, index: u32, address: IpAddr) -> Result<()> {
        let mut request = self.0.address().add(index, address, full_length(address)).replace();
        if address.is_ipv6() {
            // There is no other host on the link, so duplicate detection would only delay the first packet.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await.map_err(|e| LinkError::new(format!("add the address {address}"), e))
    }

    /// Routes `destination` to the link, directly or by `gateway`.
    pub(crate) async fn add_route(
        &self,
        destination: IpNet,
        index: u32,
        gateway: Option<IpAddr>,
    ) -> Result<()> {
        let mut route = route_to(destination);
        route.attributes.push(RouteAttribute::Oif(index));
        match gateway {
            Some(gateway) => route.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway))),
            None => route.header.scope = RouteScope::Link,
        }
        let done = self.0.route().add(route).replace().execute().await;
        done.map_err(|e| LinkError::new(format!("add the route to {destination}"), e))
    }

    /// Adds an unreachable route: `destination` is refused where no more specific route leads.
    pub(crate) async fn add_unreachable(&self, destination: IpNet) -> Result<()> {
        let done = self.0.route().add(unreachable(destination)).replace().execute().await;
        done.map_err(|e| LinkError::new(format!("add the unreachable route to {destination}"), e))
    }

    /// Undoes [`Netlink::add_unreachable`].
    pub(crate) async fn delete_unreachable(&self, destination: IpNet) -> Result<()> {
        let done = self.0.route().del(unreachable(destination)).execute().await;
        match done.map_err(|e| LinkError::new(format!("delete the route to {destination}"), e)) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) async fn add_neighbour(&self, index: u32, address: IpAddr, mac: [u8; 6]) -> Result<()> {
        let request = self.0.neighbours().add(index, address).link_layer_address(&mac).replace();
        request.execute().await.map_err(|e| LinkError::new(format!("add the neighbour {address}"), e))
    }

    /// The destinations of the main table's unicast routes of both families, without default routes.
    pub(crate) async fn routes(&self) -> Result<Vec<IpNet>> {
        Ok(self.all_routes().await?.iter().filter_map(destination).collect())
    }

    /// The addresses of all links, each with the index of its link and the length of its prefix.
    pub(crate) async fn addresses(&self) -> Result<Vec<(u32, IpNet)>> {
        let found = self.0.address().get().execute().try_collect::<Vec<_>>().await;
        let found = found.map_err(|e| LinkError::new("list the addresses", e))?;
        Ok(found.iter().filter_map(address_of).collect())
    }

    /// The MTU of the link that has `address`.
    pub(crate) async fn mtu_at(&self, address: IpAddr) -> Result<Option<u32>> {
        let all = self.addresses().await?;
        match all.iter().find(|(_, net)| net.addr() == address) {
            Some((index, _)) => self.mtu(*index).await,
            None => Ok(None),
        }
    }

    async fn mtu(&self, index: u32) -> Result<Option<u32>> {
        let mut links = self.0.link().get().match_index(index).execute();
        let found = links.try_next().await.map_err(|e| LinkError::new("look up an uplink", e))?;
        Ok(found.and_then(|message| link_of(message).mtu))
    }

    /// The smallest MTU of the links with default routes, which pods' packets must fit.
    pub(crate) async fn uplink_mtu(&self) -> Result<Option<u32>> {
        let mut smallest = None;
        for route in self.all_routes().await? {
            if route.header.destination_prefix_length != 0 || route.header.table != RouteHeader::RT_TABLE_MAIN
            {
                continue;
            }
            let Some(index) = output_link(&route) else { continue };
            smallest = smallest.into_iter().chain(self.mtu(index).await?).min();
        }
        Ok(smallest)
    }

    /// The routes of both families, of all tables.
    pub(crate) async fn all_routes(&self) -> Result<Vec<RouteMessage>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut query = RouteMessage::default();
            query.header.address_family = family;
            let found = self.0.route().get(query).execute().try_collect::<Vec<_>>().await;
            routes.extend(found.map_err(|e| LinkError::new("list the routes", e))?);
        }
        Ok(routes)
    }
}

fn set_noarp(message: &mut LinkMessage) {
    message.header.flags |= LinkFlags::Noarp;
    message.header.change_mask |= LinkFlags::Noarp;
}

/// Sets the pod's end of its link up, from inside the pod's namespace.
pub(crate) async fn configure_pod(addresses: Vec<IpAddr>, gateways: Vec<IpAddr>) -> Result<()> {
    let netlink = Netlink::open()?;
    for name in ["lo", POD_LINK] {
        let link = netlink.link(name).await?.ok_or_else(|| LinkError::vanished(name))?;
        netlink.set_up(link.index).await?;
    }
    let index = netlink.link(POD_LINK).await?.ok_or_else(|| LinkError::vanished(POD_LINK))?.index;
    for address in addresses {
        netlink.add_address(index, address).await?;
    }
    for gateway in gateways {
        netlink.add_neighbour(index, gateway, HOST_MAC).await?;
        netlink.add_route(IpNet::from(gateway), index, None).await?;
        let everything = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        let everything = everything.parse().expect("a literal prefix");
        netlink.add_route(everything, index, Some(gateway)).await?;
    }
    Ok(())
}

/// Sets the MTU of the pod's end of its link, from inside the pod's namespace.
pub(crate) async fn set_pod_mtu(mtu: u32) -> Result<()> {
    let netlink = Netlink::open()?;
    let link = netlink.link(POD_LINK).await?.ok_or_else(|| LinkError::vanished(POD_LINK))?;
    netlink.set_mtu(link.index, mtu).await
}

/// The hardware address of a pod: locally administered, from its first address, so that it needs no record.
pub(crate) fn pod_mac(address: IpAddr) -> [u8; 6] {
    let tail: [u8; 4] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
    };
    [0x0a, 0x58, tail[0], tail[1], tail[2], tail[3]]
}

fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address and its prefix. On a link to one other machine, `Local` is ours and `Address` the other's.
fn address_of(message: &AddressMessage) -> Option<(u32, IpNet)> {
    let find = |local: bool| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if local => Some(*address),
            AddressAttribute::Address(address) if !local => Some(*address),
            _ => None,
        })
    };
    let address = find(true).or_else(|| find(false))?;
    Some((message.header.index, IpNet::new(address, message.header.prefix_len).ok()?))
}

fn link_of(message: LinkMessage) -> Link {
    let has_arp = !message.header.flags.contains(LinkFlags::Noarp);
    let mut link = Link { index: message.header.index, alias: None, mtu: None, has_arp };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfAlias(text) => link.alias = Some(text),
            LinkAttribute::Mtu(mtu) => link.mtu = Some(mtu),
            _ => {}
        }
    }
    link
}

pub(crate) fn route_to(destination: IpNet) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family =
        if destination.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Static;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.header.destination_prefix_length = destination.prefix_len();
    route.attributes.push(RouteAttribute::Destination(RouteAddress::from(destination.network())));
    route
}

fn unreachable(destination: IpNet) -> RouteMessage {
    let mut route = route_to(destination);
    route.header.kind = RouteType::Unreachable;
    route
}

pub(crate) fn output_link(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|a| if let RouteAttribute::Oif(index) = a { Some(*index) } else { None })
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    let header = &route.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    let destination = IpNet::new(address, header.destination_prefix_length).ok()?;
    (destination.prefix_len() > 0).then_some(destination)
}

/// The name of the host's end of a sandbox's link: 15 bytes at most, so it contains a digest of the sandbox's ID.
pub(crate) fn link_name(sandbox: &str) -> String {
    let digest = Sha256::digest(sandbox.as_bytes());
    digest.iter().take(5).fold(POD_LINK_PREFIX.to_owned(), |name, byte| format!("{name}{byte:02x}"))
}
