//! Formats of strings in schemas (`kube-openapi/pkg/validation/strfmt`). Other formats are only shown.

use std::net::IpAddr;
use std::sync::LazyLock;

use base64::Engine;
use regex::Regex;

use crate::timestamp::{Precision, Timestamp};
use crate::{duration, names};

/// A string in a certain format.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Any,
    Base64,
    Cidr,
    CreditCard,
    Date,
    DateTime,
    Duration,
    Email,
    Hostname,
    Ip { v4: bool, v6: bool },
    Isbn { ten: bool, thirteen: bool },
    LongName,
    Mac,
    Pattern(&'static LazyLock<Regex>),
    ShortName,
    Uri,
}

impl Format {
    /// The format of this name; `None` if the server knows none.
    pub(super) fn named(name: &str) -> Option<Format> {
        Some(match name.replace('-', "").as_str() {
            "bsonobjectid" => Format::Pattern(&OBJECT_ID),
            "uri" => Format::Uri,
            "email" => Format::Email,
            "hostname" => Format::Hostname,
            "ipv4" => Format::Ip { v4: true, v6: false },
            "ipv6" => Format::Ip { v4: false, v6: true },
            "cidr" => Format::Cidr,
            "mac" => Format::Mac,
            "uuid" => Format::Pattern(&UUID),
            "uuid3" => Format::Pattern(&UUID3),
            "uuid4" => Format::Pattern(&UUID4),
            "uuid5" => Format::Pattern(&UUID5),
            "isbn" => Format::Isbn { ten: true, thirteen: true },
            "isbn10" => Format::Isbn { ten: true, thirteen: false },
            "isbn13" => Format::Isbn { ten: false, thirteen: true },
            "creditcard" => Format::CreditCard,
            "ssn" => Format::Pattern(&SSN),
            "hexcolor" => Format::Pattern(&HEX_COLOR),
            "rgbcolor" => Format::Pattern(&RGB_COLOR),
            "byte" => Format::Base64,
            "password" => Format::Any,
            "date" => Format::Date,
            "duration" => Format::Duration,
            "datetime" => Format::DateTime,
            "k8sshortname" => Format::ShortName,
            "k8slongname" => Format::LongName,
            _ => return None,
        })
    }

    /// Whether a text has the format.
    pub(super) fn matches(self, text: &str) -> bool {
        match self {
            Format::Any => true,
            Format::Base64 => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
            Format::Cidr => is_cidr(text),
            Format::CreditCard => is_credit_card(text),
            Format::Date => is_date(text),
            Format::DateTime => Timestamp::parse(text, Precision::Seconds).is_ok(),
            Format::Duration => is_duration(text),
            Format::Email => is_email(text),
            Format::Hostname => is_hostname(text),
            Format::Ip { v4, v6 } => match text.parse() {
                Ok(IpAddr::V4(_)) => v4,
                Ok(IpAddr::V6(_)) => v6,
                Err(_) => false,
            },
            Format::Isbn { ten, thirteen } => ten && is_isbn10(text) || thirteen && is_isbn13(text),
            Format::LongName => names::is_dns1123_subdomain(text).is_empty(),
            Format::Mac => is_mac(text),
            Format::Pattern(pattern) => pattern.is_match(text),
            Format::ShortName => names::is_dns1123_label(text).is_empty(),
            Format::Uri => is_uri(text),
        }
    }
}

macro_rules! patterns {
    ($($name:ident = $pattern:expr;)*) => {$(
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($pattern).expect("the pattern is part of the program"));
    )*};
}

patterns! {
    OBJECT_ID = "^[0-9a-fA-F]{24}$";
    UUID = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID3 = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID4 = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    UUID5 = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    SSN = "^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$";
    HEX_COLOR = "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    RGB_COLOR = r"^rgb\(\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*\)$";
    CREDIT_CARD = "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$";
    WORDY_DURATION = r"^([0-9]+)\s*(ns|nano|nanosecond|us|\x{b5}s|micro|microsecond|ms|milli|millisecond|s|sec|second|m|min|minute|h|hr|hour|d|day|w|week)s?$";
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let max = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    is_number && length.parse::<u8>().is_ok_and(|length| length <= max)
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let value = |digit: u8| u32::from(digit - b'0');
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, value(digit) * 2) {
            (0, _) => value(digit),
            (_, doubled) => doubled / 10 + doubled % 10,
        })
        .sum();
    CREDIT_CARD.is_match(&digits) && sum.is_multiple_of(10)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z"), Precision::Seconds).is_ok()
}

fn is_duration(text: &str) -> bool {
    duration::parse(text).is_ok() || WORDY_DURATION.is_match(&text.trim().to_lowercase())
}

/// An address alone, or behind a name in angle brackets.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(named) => named.rsplit_once('<').map_or("", |(_, address)| address),
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let is_atom = |character: char| character.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character);
    let is_dotted = |text: &str| text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
    is_dotted(local) && is_dotted(domain)
}

fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let bytes = label.as_bytes();
        bytes.len() <= 63
            && is_edge(bytes.first())
            && is_edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 255 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// The digits of a book number, without what separates them.
fn isbn_digits(text: &str) -> Vec<u8> {
    text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = isbn_digits(text);
    let [first @ .., last] = digits.as_slice() else { return false };
    let last = match last {
        b'X' => 10,
        b'0'..=b'9' => u32::from(last - b'0'),
        _ => return false,
    };
    if first.len() != 9 || !first.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let weighted = first.iter().zip(1u32..).map(|(digit, weight)| u32::from(digit - b'0') * weight);
    (weighted.sum::<u32>() + last * 10).is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = isbn_digits(text);
    if digits.len() != 13 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let weighted = digits.iter().zip([1u32, 3].into_iter().cycle());
    weighted.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum::<u32>().is_multiple_of(10)
}

/// 6, 8 or 20 bytes: pairs of digits with colons or dashes, or groups of four with dots.
fn is_mac(text: &str) -> bool {
    let are_digits =
        |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let in_form = |separator: char, digits: usize, counts: [usize; 3]| {
        let parts: Vec<&str> = text.split(separator).take(21).collect();
        counts.contains(&parts.len()) && parts.iter().all(|part| are_digits(part, digits))
    };
    in_form(':', 2, [6, 8, 20]) || in_form('-', 2, [6, 8, 20]) || in_form('.', 4, [3, 4, 10])
}

/// An absolute URI or an absolute path.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.contains(|character: char| character.is_ascii_control() || character == ' ') {
        return false;
    }
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|other| other.is_ascii_alphanumeric() || "+-.".contains(other))
    };
    text.starts_with('/')
        || text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_what_upstream_accepts() {
        for (format, good, bad) in [
            ("date-time", "2024-01-01T00:00:00Z", "2024-01-01"),
            ("date", "2024-02-29", "2023-02-29"),
            ("duration", "1h30m", "soon"),
            ("duration", "22 ns", "22 years"),
            ("ipv4", "10.0.0.1", "::1"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "01:23:45:67:89:ab", "01:23:45:67:89"),
            ("mac", "0123.4567.89ab", "0123:4567:89ab"),
            ("uuid", "a8098c1a-f86e-11da-bd1a-00112444be1e", "a8098c1a"),
            ("uuid4", "6a2f41a3-c54c-4cb4-9f4c-9f1f8bd2e0f1", "a8098c1a-f86e-11da-bd1a-00112444be1e"),
            ("email", "a.b@example.com", "a.b.example.com"),
            ("email", "A B <a@example.com>", "A B a@example.com"),
            ("hostname", "node-1.example.com", "-node"),
            ("uri", "https://example.com/x", "example.com"),
            ("isbn", "0321751043", "0321751044"),
            ("isbn13", "978-0321751041", "978-0321751042"),
            ("creditcard", "4111-1111-1111-1111", "4111-1111-1111-1112"),
            ("ssn", "111-11-1111", "111-11-111"),
            ("hexcolor", "#FFFFFF", "#FFFFF"),
            ("rgbcolor", "rgb(255,255,255)", "rgb(256,0,0)"),
            ("byte", "aGVsbG8=", "aGVsbG8"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
            ("k8s-short-name", "abc", "a.b"),
            ("k8s-long-name", "a.b", "A"),
        ] {
            let known = Format::named(format).unwrap();
            assert!(known.matches(good), "{good} is {format}");
            assert!(!known.matches(bad), "{bad} is not {format}");
        }
        assert!(Format::named("password").unwrap().matches("anything"));
        assert!(Format::named("color").is_none());
    }
}
