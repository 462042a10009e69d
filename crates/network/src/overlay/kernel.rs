//! The kernel's side of a plan, through netlink: reading the actual state, and carrying out steps.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Error, IpVersion, LinkVxlan};

use super::OverlayError;
use super::mac::Mac;
use super::plan::{Device, DeviceKind, Exit, Found, Item, PROTOCOL, Step};
use crate::link::{LinkError, Netlink, output_link, route_to};

type Result<T> = std::result::Result<T, LinkError>;

/// Before the kernel's rule for the main table (32766), so that it is consulted first.
const RULE_PRIORITY: u32 = 7373;

/// The metric of the unreachable routes for the pods' networks: other routes to such a network take precedence.
const END_METRIC: u32 = 1_000_000;

/// The actual state of a device of ours.
struct Seen {
    index: u32,
    alias: Option<String>,
    mtu: Option<u32>,
    is_up: bool,
    kind: Option<DeviceKind>,
}

/// Creates the device, or changes an existing one as necessary; returns its index. A TUN device must already exist,
/// created by the code that carries its packets. `alias` names the owner; with `recorded`, one without an alias is ours
/// as well, from a run that ended before it set the alias.
///
/// # Errors
/// [`OverlayError::DeviceTaken`] if the link belongs to another owner.
pub(super) async fn ensure_device(
    netlink: &Netlink,
    device: &Device,
    alias: &str,
    recorded: bool,
) -> std::result::Result<u32, OverlayError> {
    let seen = match adopt(netlink, device, alias, recorded).await? {
        Some(seen) => seen,
        None => {
            create(netlink, device).await?;
            see(netlink, device.name).await?.ok_or_else(|| LinkError::vanished(device.name))?
        }
    };
    if seen.alias.as_deref() != Some(alias) {
        netlink.set_alias(device.name, alias).await?;
    }
    if seen.mtu != Some(device.mtu) {
        netlink.set_mtu(seen.index, device.mtu).await?;
    }
    if !seen.is_up {
        netlink.set_up(seen.index).await?;
    }
    let there = netlink.addresses().await?;
    for address in &device.addresses {
        if !there.contains(&(seen.index, IpNet::from(*address))) {
            netlink.add_address(seen.index, *address).await?;
        }
    }
    Ok(seen.index)
}

/// The existing device if it can be kept. If it is ours but has a different configuration, it is removed.
async fn adopt(
    netlink: &Netlink,
    device: &Device,
    alias: &str,
    recorded: bool,
) -> std::result::Result<Option<Seen>, OverlayError> {
    match see(netlink, device.name).await? {
        Some(seen) if seen.alias.as_deref() != Some(alias) && !(seen.alias.is_none() && recorded) => {
            let owner = seen.alias.unwrap_or_else(|| "somebody else".to_owned());
            Err(OverlayError::DeviceTaken { name: device.name.to_owned(), owner })
        }
        Some(seen) if seen.kind.as_ref() == Some(&device.kind) => Ok(Some(seen)),
        Some(_) => {
            // Neither addresses nor the hardware address of an endpoint change while it exists.
            netlink.delete(device.name).await?;
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Whether there is a device that can be kept; creates none.
///
/// # Errors
/// As of [`ensure_device`].
pub(super) async fn is_there(
    netlink: &Netlink,
    device: &Device,
    alias: &str,
    recorded: bool,
) -> std::result::Result<bool, OverlayError> {
    Ok(adopt(netlink, device, alias, recorded).await?.is_some())
}

async fn create(netlink: &Netlink, device: &Device) -> Result<()> {
    let DeviceKind::Vxlan { vni, port, local, mac } = &device.kind else { return Ok(()) };
    let builder = LinkVxlan::new(device.name, *vni).port(*port).learning(false);
    let builder = match local {
        IpAddr::V4(local) => builder.local(*local),
        IpAddr::V6(local) => builder.local6(*local),
    };
    let message = builder.address(mac.0.to_vec()).mtu(device.mtu).build();
    let done = netlink.handle().link().add(message).execute().await;
    done.map_err(|e| LinkError::new(format!("make the VXLAN device {}", device.name), e))
}

async fn see(netlink: &Netlink, name: &str) -> Result<Option<Seen>> {
    let mut found = netlink.handle().link().get().match_name(name).execute();
    match found.try_next().await.map_err(|e| LinkError::new(format!("look up {name}"), e)) {
        Ok(message) => Ok(message.map(|message| seen(&message))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn seen(message: &LinkMessage) -> Seen {
    let mut seen = Seen {
        index: message.header.index,
        alias: None,
        mtu: None,
        is_up: message.header.flags.contains(LinkFlags::Up),
        kind: None,
    };
    let mut mac = None;
    let mut infos: &[LinkInfo] = &[];
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfAlias(alias) => seen.alias = Some(alias.clone()),
            LinkAttribute::Mtu(mtu) => seen.mtu = Some(*mtu),
            LinkAttribute::Address(bytes) => mac = Mac::from_bytes(bytes),
            LinkAttribute::LinkInfo(all) => infos = all,
            _ => {}
        }
    }
    let is_tun = infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Tun)));
    let vxlan = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vxlan(infos)) => Some(infos),
        _ => None,
    });
    seen.kind = match (vxlan, mac) {
        (Some(infos), Some(mac)) => vxlan_kind(infos, mac),
        _ => is_tun.then_some(DeviceKind::Tun),
    };
    seen
}

/// Name, network number and port of a link, if it is a VXLAN device.
pub(super) fn vxlan_of(message: &LinkMessage) -> Option<(String, u32, u16)> {
    let Some(DeviceKind::Vxlan { vni, port, .. }) = seen(message).kind else { return None };
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    Some((name?, vni, port))
}

/// `None` for a VXLAN device that learns, or that no plan could contain.
fn vxlan_kind(infos: &[InfoVxlan], mac: Mac) -> Option<DeviceKind> {
    let (mut vni, mut port, mut local, mut learning) = (None, None, None, true);
    for info in infos {
        match info {
            InfoVxlan::Id(id) => vni = Some(*id),
            InfoVxlan::Port(number) => port = Some(*number),
            InfoVxlan::Local(address) => local = Some(IpAddr::V4(*address)),
            InfoVxlan::Local6(address) => local = Some(IpAddr::V6(*address)),
            InfoVxlan::Learning(on) => learning = *on,
            _ => {}
        }
    }
    let kind = DeviceKind::Vxlan { vni: vni?, port: port?, local: local?, mac };
    (!learning).then_some(kind)
}

/// Everything in the kernel that is ours: routes and rules with our protocol number, and entries on our device.
pub(super) async fn found(netlink: &Netlink, device: Option<u32>) -> Result<BTreeSet<Found>> {
    let mut all = BTreeSet::new();
    let routes = netlink.all_routes().await?;
    all.extend(routes.iter().filter_map(|route| found_route(route, device)));
    for family in [IpVersion::V4, IpVersion::V6] {
        let rules = netlink.handle().rule().get(family).execute().try_collect::<Vec<_>>().await;
        let rules = rules.map_err(|e| LinkError::new("list the routing rules", e))?;
        all.extend(rules.iter().filter_map(found_rule));
    }
    let Some(device) = device else { return Ok(all) };
    for family in [AddressFamily::Bridge, AddressFamily::Inet, AddressFamily::Inet6] {
        let request = netlink.handle().neighbours().get().set_address_family(family);
        let entries = request.execute().try_collect::<Vec<_>>().await;
        let entries = entries.map_err(|e| LinkError::new("list the neighbours", e))?;
        let on_device = entries.iter().filter(|entry| entry.header.ifindex == device);
        all.extend(on_device.filter_map(found_neighbour));
    }
    Ok(all)
}

fn found_route(route: &RouteMessage, device: Option<u32>) -> Option<Found> {
    let header = &route.header;
    if header.protocol != RouteProtocol::Other(PROTOCOL) {
        return None;
    }
    let (mut table, mut destination, mut gateway) = (u32::from(header.table), None, None);
    let mut metric = 0;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(id) => table = *id,
            RouteAttribute::Destination(address) => destination = ip(address),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Priority(number) => metric = *number,
            _ => {}
        }
    }
    let destination = IpNet::new(destination?, header.destination_prefix_length).ok()?;
    if header.kind == RouteType::Unreachable {
        let item = Item::Route { table, destination, gateway: None, exit: Exit::Nowhere };
        return Some(Found { item, genuine: metric == END_METRIC });
    }
    let on_device = device.is_some() && output_link(route) == device;
    let is_onlink = header.flags.contains(RouteFlags::Onlink);
    let dead = header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    let exit = if on_device { Exit::Device } else { Exit::Uplink };
    // A route that leads through a device to a gateway was made as `onlink`; one by the uplink was not.
    let genuine = !dead && is_onlink == (on_device && gateway.is_some());
    Some(Found { item: Item::Route { table, destination, gateway, exit }, genuine })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn found_rule(rule: &RuleMessage) -> Option<Found> {
    let (mut source, mut table, mut ours) = (None, u32::from(rule.header.table), false);
    let mut priority = 0;
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Source(address) => source = Some(*address),
            RuleAttribute::Table(id) => table = *id,
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::Protocol(protocol) => ours = *protocol == RouteProtocol::Other(PROTOCOL),
            _ => {}
        }
    }
    let source = IpNet::new(source?, rule.header.src_len).ok()?;
    let genuine = priority == RULE_PRIORITY;
    ours.then_some(Found { item: Item::Rule { source, table }, genuine })
}

fn found_neighbour(entry: &NeighbourMessage) -> Option<Found> {
    let (mut destination, mut mac) = (None, None);
    for attribute in &entry.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                destination = Some(IpAddr::V4(*v4))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                destination = Some(IpAddr::V6(*v6))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => destination = ip_of(bytes),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = Mac::from_bytes(bytes),
            _ => {}
        }
    }
    let genuine = entry.header.state == NeighbourState::Permanent;
    let item = match entry.header.family {
        AddressFamily::Bridge => Item::Fdb { mac: mac?, remote: destination? },
        // Multicast groups have entries that the kernel makes itself, and entries without an address are attempts
        // to find one.
        _ if entry.header.state == NeighbourState::Noarp => return None,
        _ => Item::Neighbour { address: destination?, mac: mac? },
    };
    Some(Found { item, genuine })
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Carries out one step. `device` is the backend's device, if it has one.
pub(super) async fn carry_out(netlink: &Netlink, step: &Step, device: Option<u32>) -> Result<()> {
    let (item, put) = match step {
        Step::Put(item) => (item, true),
        Step::Delete(item) => (item, false),
    };
    let verb = if put { "make" } else { "delete" };
    let done = match change(netlink, item, put, device).await {
        Ok(()) => return Ok(()),
        Err(error) => LinkError::new(format!("{verb} {item}"), error),
    };
    // It was already removed, or disappeared with its device.
    if (put && done.is_exists()) || (!put && done.is_not_found()) { Ok(()) } else { Err(done) }
}

async fn change(
    netlink: &Netlink,
    item: &Item,
    put: bool,
    device: Option<u32>,
) -> std::result::Result<(), Error> {
    let handle = netlink.handle();
    let index = device.unwrap_or_default();
    match item {
        Item::Fdb { mac, remote } => {
            let request = handle.neighbours().add_bridge(index, &mac.0).flags(NeighbourFlags::Own);
            let mut request = request.destination(*remote).replace();
            if put {
                return request.execute().await;
            }
            handle.neighbours().del(std::mem::take(request.message_mut())).execute().await
        }
        Item::Neighbour { address, mac } => {
            let mut request = handle.neighbours().add(index, *address).link_layer_address(&mac.0).replace();
            if put {
                return request.execute().await;
            }
            handle.neighbours().del(std::mem::take(request.message_mut())).execute().await
        }
        Item::Route { table, destination, gateway, exit } => {
            let message = match exit {
                Exit::Nowhere => end(*table, *destination),
                Exit::Device => route(*table, *destination, *gateway, Some(index), put),
                Exit::Uplink => route(*table, *destination, *gateway, None, put),
            };
            match put {
                true => handle.route().add(message).replace().execute().await,
                false => handle.route().del(message).execute().await,
            }
        }
        Item::Rule { source, table } => {
            let message = rule(*source, *table);
            if !put {
                return handle.rule().del(message).execute().await;
            }
            let mut request = handle.rule().add();
            *request.message_mut() = message;
            request.execute().await
        }
    }
}

/// A route of ours in a table.
fn in_table(table: u32, destination: IpNet) -> RouteMessage {
    let mut route = route_to(destination);
    route.header.protocol = RouteProtocol::Other(PROTOCOL);
    match u8::try_from(table) {
        Ok(table) => route.header.table = table,
        Err(_) => {
            route.header.table = 0;
            route.attributes.push(RouteAttribute::Table(table));
        }
    }
    route
}

/// The route that leads nowhere.
fn end(table: u32, destination: IpNet) -> RouteMessage {
    let mut route = in_table(table, destination);
    route.header.kind = RouteType::Unreachable;
    route.attributes.push(RouteAttribute::Priority(END_METRIC));
    route
}

fn route(
    table: u32,
    destination: IpNet,
    gateway: Option<IpAddr>,
    link: Option<u32>,
    put: bool,
) -> RouteMessage {
    let mut route = in_table(table, destination);
    if !put {
        // Wherever it leads.
        route.header.scope = RouteScope::NoWhere;
        return route;
    }
    if let Some(link) = link {
        route.attributes.push(RouteAttribute::Oif(link));
    }
    match gateway {
        Some(gateway) => {
            route.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
            if link.is_some() {
                route.header.flags |= RouteFlags::Onlink;
            }
        }
        None => route.header.scope = RouteScope::Link,
    }
    route
}

fn rule(source: IpNet, table: u32) -> RuleMessage {
    let mut rule = RuleMessage::default();
    let ipv4 = source.addr().is_ipv4();
    rule.header.family = if ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    rule.header.src_len = source.prefix_len();
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Source(source.network()),
        RuleAttribute::Priority(RULE_PRIORITY),
        RuleAttribute::Table(table),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ];
    rule
}
