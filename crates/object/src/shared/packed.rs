//! Several texts in one allocation, each behind its length.
//!
//! A length is written in digits of 6 bits, the lowest first; all but the last have bit 6 set. So the whole is a text,
//! too, and the length of a short text takes one byte.

/// Appends a text.
pub(crate) fn push(packed: &mut String, text: &str) {
    let mut length = text.len();
    while length >= 0x40 {
        packed.push(char::from((length & 0x3f) as u8 | 0x40));
        length >>= 6;
    }
    packed.push(char::from(length as u8));
    packed.push_str(text);
}

/// The texts in their order.
pub(crate) fn texts(packed: &str) -> Texts<'_> {
    Texts(packed)
}

/// See [`texts`].
pub(crate) struct Texts<'a>(&'a str);

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (mut length, mut shift) = (0, 0);
        for (at, digit) in self.0.bytes().enumerate() {
            length |= usize::from(digit & 0x3f) << shift;
            shift += 6;
            if digit & 0x40 == 0 {
                let (text, rest) = self.0[at + 1..].split_at(length);
                self.0 = rest;
                return Some(text);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_come_back() {
        let lengths = [0, 1, 63, 64, 65, 4095, 4096, 300_000];
        let long: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
        let all: Vec<&str> = long.iter().map(String::as_str).chain(["", "gr\u{fc}n", "\0@", ""]).collect();
        let mut packed = String::new();
        all.iter().for_each(|text| push(&mut packed, text));
        assert_eq!(texts(&packed).collect::<Vec<_>>(), all);
        assert_eq!(texts("").count(), 0);
    }
}
