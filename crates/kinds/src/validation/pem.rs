//! PEM blocks (RFC 1421), read as Go's `encoding/pem` reads them: text outside blocks is skipped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) has_headers: bool,
    pub(crate) content: Vec<u8>,
}

/// The blocks of a text, in order.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = Block> {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    let mut next = 0;
    std::iter::from_fn(move || {
        while next < lines.len() {
            let found = block(&lines[next..]);
            next += found.as_ref().map_or(1, |(_, length)| *length);
            if let Some((block, _)) = found {
                return Some(block);
            }
        }
        None
    })
}

/// The block that begins with the first line, and how many lines it takes.
fn block(lines: &[String]) -> Option<(Block, usize)> {
    let label = lines.first()?.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
    let end = format!("-----END {label}-----");
    // A block is not valid if another begins inside it.
    let length = lines.iter().skip(1).position(|line| line.starts_with("-----"))?;
    let (body, last) = (&lines[1..=length], lines.get(length + 1)?);
    if *last != end {
        return None;
    }
    let headers = body.iter().take_while(|line| line.contains(':')).count();
    let content: String = body[headers..].iter().flat_map(|line| line.split_whitespace()).collect();
    let content = STANDARD.decode(content).ok()?;
    Some((Block { label: label.to_owned(), has_headers: headers > 0, content }, length + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels of the blocks, a star behind those with headers.
    fn labels(text: &str) -> String {
        let blocks = blocks(text.as_bytes());
        let labels: Vec<String> = blocks
            .map(|block| format!("{}{}", block.label, if block.has_headers { "*" } else { "" }))
            .collect();
        labels.join(",")
    }

    #[test]
    fn blocks_are_found_among_other_text() {
        let cases = [
            ("", ""),
            ("no block", ""),
            ("-----BEGIN A-----\nYWJj\n-----END A-----\n", "A"),
            ("-----BEGIN A-----\r\nYW\r\nJj\r\n-----END A-----", "A"),
            (
                "before\n-----BEGIN A-----\nYWJj\n-----END A-----\nbetween\n-----BEGIN B C-----\n-----END B C-----\nafter",
                "A,B C",
            ),
            ("-----BEGIN A-----\nKey: value\n\nYWJj\n-----END A-----\n", "A*"),
            ("-----BEGIN A-----\nYWJj\n-----END B-----\n", ""),
            ("-----BEGIN A-----\nYWJj\n", ""),
            ("-----BEGIN A-----\n!\n-----END A-----\n-----BEGIN B-----\nYWJj\n-----END B-----\n", "B"),
            ("-----BEGIN A-----\n-----BEGIN B-----\nYWJj\n-----END B-----\n", "B"),
        ];
        for (text, found) in cases {
            assert_eq!(labels(text), found, "{text:?}");
        }
        let block = blocks(b"-----BEGIN A-----\nYW\nJj\n-----END A-----").next().unwrap();
        assert_eq!(block.content, b"abc");
    }
}
