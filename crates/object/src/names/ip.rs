//! IP addresses and networks in fields.
//!
//! Old fields accept any unambiguous form of an address; since Kubernetes 1.36 they refuse leading zeros and IPv4
//! inside IPv6 (KEP-4858). New fields accept the canonical form only.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field::{Errors, Path};
use crate::text::quote;

/// Parses an address; IPv4 may have leading zeros and is decimal even then. IPv4 inside IPv6 becomes IPv4, as Go's
/// `net.IP` treats it.
pub fn parse_ip_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        let v6: Ipv6Addr = text.parse().ok()?;
        return Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4));
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| is_digits(part))?;
        *octet = trim_zeros(part).parse().ok()?;
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

fn is_digits(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

/// Parses an address and the length of its network's prefix, as leniently as [`parse_ip_sloppy`]. The prefix of
/// IPv4 inside IPv6 counts from the start of the IPv4 address.
pub fn parse_cidr_sloppy(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let ip = parse_ip_sloppy(address)?;
    let length: u8 =
        Some(length).filter(|length| is_digits(length)).and_then(|length| trim_zeros(length).parse().ok())?;
    let bits = if address.contains(':') { 128 } else { 32 };
    if length > bits {
        return None;
    }
    match (ip, bits) {
        (IpAddr::V4(_), 128) => length.checked_sub(96).map(|length| (ip, length)),
        _ => Some((ip, length)),
    }
}

fn trim_zeros(digits: &str) -> &str {
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() { "0" } else { trimmed }
}

fn masked(ip: IpAddr, length: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

fn is_v4_in_v6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok_and(|v6| v6.to_ipv4_mapped().is_some())
}

fn parse_strict(path: &Path<'_>, value: &str) -> Result<IpAddr, Errors> {
    let mut errors = Errors::new();
    let Some(ip) = parse_ip_sloppy(value) else {
        errors.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return Err(errors);
    };
    if value.parse::<IpAddr>().is_err() {
        errors.invalid(path, value, "must not have leading 0s");
    } else if is_v4_in_v6(value) {
        errors.invalid(path, value, "must not be an IPv4-mapped IPv6 address");
    }
    errors.into_result().map(|()| ip)
}

/// Checks an address in a field that takes the canonical form only.
pub fn is_valid_ip(path: &Path<'_>, value: &str) -> Errors {
    match parse_strict(path, value) {
        Err(errors) => errors,
        Ok(ip) => canonical(path, value, &ip.to_string()),
    }
}

fn canonical(path: &Path<'_>, value: &str, canonical: &str) -> Errors {
    let mut errors = Errors::new();
    if value != canonical {
        errors.invalid(path, value, format!("must be in canonical form ({})", quote(canonical)));
    }
    errors
}

/// Checks an address in a field that is older than the canonical form; values of the old object stay valid.
pub fn is_valid_ip_for_legacy_field(path: &Path<'_>, value: &str, old_values: &HashSet<&str>) -> Errors {
    parse_strict(path, value).err().filter(|_| !old_values.contains(value)).unwrap_or_default()
}

fn parse_cidr_strict(path: &Path<'_>, value: &str) -> Result<(IpAddr, u8), Errors> {
    let mut errors = Errors::new();
    let Some((ip, length)) = parse_cidr_sloppy(value) else {
        errors.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return Err(errors);
    };
    let (address, digits) = value.split_once('/').unwrap_or((value, ""));
    if address.parse::<IpAddr>().is_err() || digits != trim_zeros(digits) {
        errors.invalid(path, value, "must not have leading 0s in IP or prefix length");
    } else if is_v4_in_v6(address) {
        errors.invalid(path, value, "must not have an IPv4-mapped IPv6 address");
    } else if masked(ip, length) != ip {
        errors.invalid(path, value, "must not have bits set beyond the prefix length");
    }
    errors.into_result().map(|()| (ip, length))
}

/// Checks a network in a field that takes the canonical form only.
pub fn is_valid_cidr(path: &Path<'_>, value: &str) -> Errors {
    match parse_cidr_strict(path, value) {
        Err(errors) => errors,
        Ok((ip, length)) => canonical(path, value, &format!("{ip}/{length}")),
    }
}

/// Checks a network in a field that is older than the canonical form; values of the old object stay valid.
pub fn is_valid_cidr_for_legacy_field(path: &Path<'_>, value: &str, old_values: &HashSet<&str>) -> Errors {
    parse_cidr_strict(path, value).err().filter(|_| !old_values.contains(value)).unwrap_or_default()
}
