//! One line of a log: `2026-07-01T12:00:00.123456789Z stdout F text`.

/// The source of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A parsed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The time as written.
    pub(crate) time: &'a str,
    pub(crate) stream: Stream,
    /// The text ends its line; otherwise more of it follows.
    pub(crate) is_full: bool,
    /// Without the line ending.
    pub(crate) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Parses a line; `None` if it does not have the form.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // Tags are separated by colons; only the first has a meaning.
        let is_full = match parts.next()?.split(|byte| *byte == b':').next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Line { time, stream, is_full, text: parts.next().unwrap_or_default() })
    }

    /// The moment; `None` if it cannot be read.
    pub(crate) fn timestamp(&self) -> Option<jiff::Timestamp> {
        self.time.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed() {
        let line = Line::parse(b"2026-07-01T12:00:00.5Z stdout F a b\n").unwrap();
        assert_eq!((line.stream, line.is_full, line.text), (Stream::Stdout, true, &b"a b"[..]));
        assert_eq!(line.timestamp().unwrap().subsec_millisecond(), 500);
        let line = Line::parse(b"2026-07-01T12:00:00Z stderr P:x ").unwrap();
        assert_eq!((line.stream, line.is_full, line.text), (Stream::Stderr, false, &b""[..]));
        for broken in [&b""[..], b"x", b"t stdin F x", b"t stdout X x"] {
            assert_eq!(Line::parse(broken), None);
        }
    }
}
