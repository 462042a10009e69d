//! What is wrong with an address, in the words of Go's `net/netip`.

use crate::go::quote;

/// Why a text is not an address.
pub(super) fn error(text: &str) -> String {
    let (message, at) = match text.find(['.', ':', '%']).and_then(|place| text.as_bytes().get(place)) {
        Some(b'.') => v4(text),
        Some(b':') => v6(text),
        Some(_) => Some(("missing IPv6 address", "")),
        None => None,
    }
    .unwrap_or(("unable to parse IP", ""));
    match at {
        "" => format!("ParseAddr({}): {message}", quote(text)),
        at => format!("ParseAddr({}): {message} (at {})", quote(text), quote(at)),
    }
}

type Mistake<'t> = Option<(&'static str, &'t str)>;

fn v4(text: &str) -> Mistake<'_> {
    const NO_DIGIT: &str = "IPv4 field must have at least one digit";
    let (mut value, mut digits, mut fields) = (0u32, 0, 1);
    for (place, character) in text.char_indices() {
        match character {
            '0'..='9' => {
                if digits == 1 && value == 0 {
                    return Some(("IPv4 field has octet with leading zero", ""));
                }
                value = value * 10 + character.to_digit(10).unwrap_or(0);
                digits += 1;
                if value > 255 {
                    return Some(("IPv4 field has value >255", ""));
                }
            }
            '.' if digits == 0 || place + 1 == text.len() => return Some((NO_DIGIT, text.get(place..)?)),
            '.' if fields == 4 => return Some(("IPv4 address too long", "")),
            '.' => (value, digits, fields) = (0, 0, fields + 1),
            _ => return Some(("unexpected character", text.get(place..)?)),
        }
    }
    (fields < 4).then_some(("IPv4 address too short", ""))
}

fn v6(text: &str) -> Mistake<'_> {
    let mut rest = match text.split_once('%') {
        Some((_, "")) => return Some(("zone must be a non-empty string", "")),
        Some((address, _)) => address,
        None => text,
    };
    let mut has_gap = false;
    if let Some(behind) = rest.strip_prefix("::") {
        (has_gap, rest) = (true, behind);
    }
    let mut fields = 0;
    while fields < 8 && !(rest.is_empty() && has_gap) {
        let digits = rest.find(|character: char| !character.is_ascii_hexdigit()).unwrap_or(rest.len());
        if digits == 0 {
            return Some(("each colon-separated field must have at least one digit", rest));
        }
        if digits > 4 {
            return Some(("each group must have 4 or less digits", rest));
        }
        let behind = rest.get(digits..)?;
        if behind.starts_with('.') {
            return match (has_gap, fields) {
                (false, fields) if fields != 6 => {
                    Some(("embedded IPv4 address must replace the final 2 fields of the address", rest))
                }
                (_, 7..) => {
                    Some(("too many hex fields to fit an embedded IPv4 at the end of the address", rest))
                }
                _ => v4(rest),
            };
        }
        (fields, rest) = (fields + 1, behind);
        let Some(behind) = rest.strip_prefix(':') else {
            if rest.is_empty() {
                break;
            }
            return Some(("unexpected character, want colon", rest));
        };
        if behind.is_empty() {
            return Some(("colon must be followed by more characters", rest));
        }
        rest = behind;
        if let Some(behind) = rest.strip_prefix(':') {
            if has_gap {
                return Some(("multiple :: in address", rest));
            }
            (has_gap, rest) = (true, behind);
        }
    }
    match (rest.is_empty(), has_gap, fields) {
        (false, _, _) => Some(("trailing garbage after address", rest)),
        (true, false, 0..8) => Some(("address string too short", "")),
        (true, true, 8) => Some(("the :: must expand to at least one field of zeros", "")),
        _ => None,
    }
}
