//! The subset of DER needed to write a certificate. Parts of requests are copied unchanged.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One element: its tag, its length, its content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len();
    if length < 0x80 {
        der.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
        der.push(0x80 | (bytes.len() - skipped) as u8);
        der.extend_from_slice(&bytes[skipped..]);
    }
    der.extend_from_slice(content);
    der
}

/// A sequence of elements.
pub(super) fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

/// A positive integer from its bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    let mut content = bytes[first..].to_vec();
    if content.first().is_none_or(|byte| *byte >= 0x80) {
        content.insert(0, 0);
    }
    element(INTEGER, &content)
}

/// A bit string, with the number of unused bits in its last byte.
pub(super) fn bit_string(unused_bits: u8, bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[unused_bits], bytes].concat())
}

/// An object identifier.
pub(super) fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let groups = (1..5).rev().skip_while(|group| arc >> (7 * group) == 0);
        content.extend(groups.map(|group| 0x80 | (arc >> (7 * group) & 0x7f) as u8));
        content.push((arc & 0x7f) as u8);
    }
    element(OBJECT_IDENTIFIER, &content)
}

/// A time in whole seconds, in the form that its year requires.
pub(super) fn time(time: Timestamp) -> Vec<u8> {
    let zoned = time.to_zoned(TimeZone::UTC);
    if (1950..2050).contains(&zoned.year()) {
        element(UTC_TIME, zoned.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        element(GENERALIZED_TIME, zoned.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

/// An extension of a certificate.
pub(super) fn extension(arcs: &[u32], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if is_critical { element(BOOLEAN, &[0xff]) } else { Vec::new() };
    sequence(&[&oid(arcs), &critical, &element(OCTET_STRING, value)])
}
