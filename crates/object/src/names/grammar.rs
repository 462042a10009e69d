//! The grammars themselves, as predicates.

/// Whether first and last byte fulfil `edge` and all bytes fulfil `inner`; false for the empty text.
fn edged(text: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        bytes @ [first, ..] => {
            edge(*first) && bytes.last().is_some_and(|last| edge(*last)) && bytes.iter().all(|b| inner(*b))
        }
    }
}

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

pub(super) fn dns1123_label(text: &str) -> bool {
    edged(text, lower_or_digit, |b| lower_or_digit(b) || b == b'-')
}

pub(super) fn dns1123_subdomain(text: &str) -> bool {
    text.split('.').all(dns1123_label)
}

pub(super) fn dns1123_label_with_underscore(text: &str) -> bool {
    let text = text.strip_prefix('_').unwrap_or(text);
    edged(text, lower_or_digit, |b| lower_or_digit(b) || b == b'-' || b == b'_')
}

pub(super) fn label_key_name(text: &str) -> bool {
    edged(text, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

pub(super) fn condition_reason(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && edged(text, word, |b| word(b) || b == b',' || b == b':')
}
