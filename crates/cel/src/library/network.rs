//! Addresses and networks: `library.IP` and `library.CIDR` of Kubernetes.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;

use super::netip;
use crate::go::quote;
use crate::operation::{Operation, fail, no_overload};
use crate::value::{Evaluated, Opaque, Value};
use crate::{EvaluationError, Function, Overload, Type};

const IP: &str = "net.IP";
const CIDR: &str = "net.CIDR";

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address(IpAddr);

/// A network: an address in it and the length of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

macro_rules! opaque {
    ($type:ident, $name:expr, $size:expr) => {
        impl Opaque for $type {
            fn type_name(&self) -> &'static str {
                $name
            }

            fn equals(&self, other: &dyn Opaque) -> bool {
                other.as_any().downcast_ref::<$type>() == Some(self)
            }

            fn size(&self) -> Option<u64> {
                let size: fn(&$type) -> u64 = $size;
                Some(size(self))
            }

            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn as_any(&self) -> &dyn Any {
                self
            }
        }
    };
}

opaque!(Address, IP, |address| if address.0.is_ipv4() { 4 } else { 16 });
opaque!(Network, CIDR, |network| u64::from(network.bits.div_ceil(8)));

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Address {
    fn parse(text: &str) -> Result<Address, EvaluationError> {
        if let Some((address, _)) = text.split_once('%')
            && address.parse::<std::net::Ipv6Addr>().is_ok()
        {
            let message = format!("IP address {} with zone value is not allowed", quote(text));
            return Err(EvaluationError::failed(message));
        }
        let address = text.parse::<IpAddr>().map_err(|_| {
            EvaluationError::failed(format!(
                "IP Address {} parse error during conversion from string: {}",
                quote(text),
                netip::error(text)
            ))
        })?;
        not_mapped(address, text)?;
        Ok(Address(address))
    }

    fn is_link_local_multicast(self) -> bool {
        match self.0 {
            IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
            IpAddr::V6(address) => matches!(address.octets(), [0xff, scope, ..] if scope & 0x0f == 2),
        }
    }

    fn is_link_local_unicast(self) -> bool {
        match self.0 {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
    }

    fn is_global_unicast(self) -> bool {
        let is_broadcast = matches!(self.0, IpAddr::V4(address) if address.is_broadcast());
        let address = self.0;
        !(is_broadcast
            || address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || self.is_link_local_unicast())
    }
}

fn not_mapped(address: IpAddr, text: &str) -> Result<(), EvaluationError> {
    match address {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
            Err(EvaluationError::failed(format!("IPv4-mapped IPv6 address {} is not allowed", quote(text))))
        }
        _ => Ok(()),
    }
}

impl Network {
    fn parse(text: &str) -> Result<Network, EvaluationError> {
        let failed = |why: &str| {
            EvaluationError::failed(format!(
                "network address parse error during conversion from string: network address parse error during \
                 conversion from string: netip.ParsePrefix({}): {why}",
                quote(text)
            ))
        };
        let (address, bits) = text.rsplit_once('/').ok_or_else(|| failed("no '/'"))?;
        let address: IpAddr = address.parse().map_err(|_| failed(&netip::error(address)))?;
        let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || bits.len() > 1 && bits.starts_with('0') {
            return Err(failed(&format!("bad bits after slash: {}", quote(bits))));
        }
        let bits = bits.parse::<u8>().ok().filter(|bits| u32::from(*bits) <= width(address));
        let bits = bits.ok_or_else(|| failed("prefix length out of range"))?;
        not_mapped(address, text)?;
        Ok(Network { address, bits })
    }

    fn masked(self) -> Network {
        let mask = |width: u32| u128::MAX.checked_shl(width - u32::from(self.bits)).unwrap_or(0);
        let address = match self.address {
            IpAddr::V4(address) => IpAddr::from((address.to_bits() & mask(32) as u32).to_be_bytes()),
            IpAddr::V6(address) => IpAddr::from((address.to_bits() & mask(128)).to_be_bytes()),
        };
        Network { address, bits: self.bits }
    }

    fn contains(self, address: IpAddr) -> bool {
        width(address) == width(self.address)
            && Network { address, bits: self.bits }.masked() == self.masked()
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

pub(super) fn functions() -> Vec<Function> {
    let (ip, cidr) = (|| Type::opaque(IP), || Type::opaque(CIDR));
    let of_text =
        |name, id, result: Type| Function::new(name, vec![Overload::global(id, [Type::String], result)]);
    let of_ip = |name, id, result: Type| Function::new(name, vec![Overload::method(id, [ip()], result)]);
    vec![
        Function::new(
            "ip",
            vec![
                Overload::global("string_to_ip", [Type::String], ip()),
                Overload::method("cidr_ip", [cidr()], ip()),
            ],
        ),
        of_text("isIP", "is_ip", Type::Bool),
        of_text("ip.isCanonical", "ip_is_canonical", Type::Bool),
        of_ip("family", "ip_family", Type::Int),
        of_ip("isUnspecified", "ip_is_unspecified", Type::Bool),
        of_ip("isLoopback", "ip_is_loopback", Type::Bool),
        of_ip("isLinkLocalMulticast", "ip_is_link_local_multicast", Type::Bool),
        of_ip("isLinkLocalUnicast", "ip_is_link_local_unicast", Type::Bool),
        of_ip("isGlobalUnicast", "ip_is_global_unicast", Type::Bool),
        Function::new(
            "string",
            vec![
                Overload::global("ip_to_string", [ip()], Type::String),
                Overload::global("cidr_to_string", [cidr()], Type::String),
            ],
        ),
        of_text("cidr", "string_to_cidr", cidr()),
        of_text("isCIDR", "is_cidr", Type::Bool),
        Function::new(
            "containsIP",
            vec![
                Overload::method("cidr_contains_ip_string", [cidr(), Type::String], Type::Bool),
                Overload::method("cidr_contains_ip_ip", [cidr(), ip()], Type::Bool),
            ],
        ),
        Function::new(
            "containsCIDR",
            vec![
                Overload::method("cidr_contains_cidr_string", [cidr(), Type::String], Type::Bool),
                Overload::method("cidr_contains_cidr", [cidr(), cidr()], Type::Bool),
            ],
        ),
        Function::new("prefixLength", vec![Overload::method("cidr_prefix_length", [cidr()], Type::Int)]),
        Function::new("masked", vec![Overload::method("cidr_masked", [cidr()], cidr())]),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "ip" => |_, args| match args {
            [Value::String(text)] => Ok(Value::opaque(Address::parse(text)?)),
            _ => of_network("ip", args, |network| Value::opaque(Address(network.address))),
        },
        "isIP" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(Address::parse(text).is_ok())),
            _ => no_overload("isIP", args),
        },
        "ip.isCanonical" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(Address::parse(text)?.to_string() == **text)),
            _ => no_overload("ip.isCanonical", args),
        },
        "family" => |_, args| of_address("family", args, |ip| Value::Int(if ip.0.is_ipv4() { 4 } else { 6 })),
        "isUnspecified" => |_, args| of_address("isUnspecified", args, |ip| ip.0.is_unspecified().into()),
        "isLoopback" => |_, args| of_address("isLoopback", args, |ip| ip.0.is_loopback().into()),
        "isLinkLocalMulticast" => {
            |_, args| of_address("isLinkLocalMulticast", args, |ip| ip.is_link_local_multicast().into())
        }
        "isLinkLocalUnicast" => {
            |_, args| of_address("isLinkLocalUnicast", args, |ip| ip.is_link_local_unicast().into())
        }
        "isGlobalUnicast" => {
            |_, args| of_address("isGlobalUnicast", args, |ip| ip.is_global_unicast().into())
        }
        "cidr" => |_, args| match args {
            [Value::String(text)] => Ok(Value::opaque(Network::parse(text)?)),
            _ => no_overload("cidr", args),
        },
        "isCIDR" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(Network::parse(text).is_ok())),
            _ => no_overload("isCIDR", args),
        },
        "prefixLength" => {
            |_, args| of_network("prefixLength", args, |network| Value::Int(network.bits.into()))
        }
        "masked" => |_, args| of_network("masked", args, |network| Value::opaque(network.masked())),
        "containsIP" => |_, args| contains_ip(args),
        "containsCIDR" => |_, args| contains_cidr(args),
        _ => return None,
    })
}

fn of_address<'v>(function: &str, args: &[Value<'v>], of: fn(Address) -> Value<'v>) -> Evaluated<'v> {
    match args.first().and_then(|value| value.downcast::<Address>()) {
        Some(address) if args.len() == 1 => Ok(of(*address)),
        _ => no_overload(function, args),
    }
}

fn of_network<'v>(function: &str, args: &[Value<'v>], of: fn(Network) -> Value<'v>) -> Evaluated<'v> {
    match args.first().and_then(|value| value.downcast::<Network>()) {
        Some(network) if args.len() == 1 => Ok(of(*network)),
        _ => no_overload(function, args),
    }
}

fn contains_ip<'v>(args: &[Value<'v>]) -> Evaluated<'v> {
    let [network, other] = args else { return no_overload("containsIP", args) };
    let Some(network) = network.downcast::<Network>() else { return no_overload("containsIP", args) };
    let address = match (other, other.downcast::<Address>()) {
        (_, Some(address)) => *address,
        // Upstream loses what is wrong with the address.
        (Value::String(text), None) => match Address::parse(text) {
            Ok(address) => address,
            Err(_) => return fail("no such overload"),
        },
        _ => return no_overload("containsIP", args),
    };
    Ok(Value::Bool(network.contains(address.0)))
}

fn contains_cidr<'v>(args: &[Value<'v>]) -> Evaluated<'v> {
    let [network, other] = args else { return no_overload("containsCIDR", args) };
    let Some(network) = network.downcast::<Network>() else { return no_overload("containsCIDR", args) };
    let other = match (other, other.downcast::<Network>()) {
        (_, Some(other)) => *other,
        (Value::String(text), None) => Network::parse(text)?,
        _ => return no_overload("containsCIDR", args),
    };
    Ok(Value::Bool(network.bits <= other.bits && network.contains(other.address)))
}
