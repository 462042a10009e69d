//! From text to tokens, by the rules of upstream's grammar (`parser/gen/CEL.g4` in cel-go): the longest match wins.

use crate::Issue;

/// A token: a piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    pub kind: TokenKind,
    /// As it is written; empty at the end.
    pub text: &'t str,
    /// Where it begins, in characters.
    pub place: u32,
}

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An operator or a bracket, by its text.
    Sign,
    In,
    True,
    False,
    Null,
    Float,
    Int,
    Uint,
    String,
    Bytes,
    Ident,
    /// A name in backquotes.
    EscapedIdent,
    End,
}

/// How many errors are told. As in cel-go.
const ISSUES_MAX: usize = 100;

/// All tokens of a text, the last of which is its end, and the characters that belong to none.
pub(crate) fn tokens(text: &str) -> (Vec<Token<'_>>, Vec<Issue>) {
    let mut lexer = Lexer { text, at: 0, place: 0, tokens: Vec::new(), issues: Vec::new() };
    while lexer.at < text.len() && lexer.issues.len() <= ISSUES_MAX {
        lexer.step();
    }
    let end = Token { kind: TokenKind::End, text: "", place: lexer.place };
    lexer.tokens.push(end);
    (lexer.tokens, lexer.issues)
}

struct Lexer<'t> {
    text: &'t str,
    /// The next byte.
    at: usize,
    /// The next character.
    place: u32,
    tokens: Vec<Token<'t>>,
    issues: Vec<Issue>,
}

/// What was found at a place: the kind and end of the longest match, and how far any rule came before it failed.
#[derive(Clone, Copy)]
struct Match {
    found: Option<(TokenKind, usize)>,
    /// The first byte that no rule takes.
    reach: usize,
}

impl Match {
    fn found(kind: TokenKind, end: usize) -> Match {
        Match { found: Some((kind, end)), reach: end }
    }

    fn failed(reach: usize) -> Match {
        Match { found: None, reach }
    }

    fn or(self, other: Match) -> Match {
        let longer = |a: (TokenKind, usize), b: (TokenKind, usize)| if b.1 > a.1 { b } else { a };
        let found = match (self.found, other.found) {
            (Some(a), Some(b)) => Some(longer(a, b)),
            (a, b) => a.or(b),
        };
        Match { found, reach: self.reach.max(other.reach) }
    }
}

impl<'t> Lexer<'t> {
    fn step(&mut self) {
        let bytes = self.text.as_bytes();
        let hidden = blank(bytes, self.at);
        if hidden > self.at {
            self.advance(hidden);
            return;
        }
        let matched = longest(bytes, self.at);
        match matched.found {
            Some((kind, end)) => {
                self.tokens.push(Token { kind, text: &self.text[self.at..end], place: self.place });
                self.advance(end);
            }
            None => self.refuse(matched.reach),
        }
    }

    /// Reports what cannot be read, up to and with the character at which the last rule failed, and goes on behind it.
    fn refuse(&mut self, reach: usize) {
        let failing = self.text[reach..].chars().next().map_or(0, char::len_utf8);
        let end = reach + failing;
        let message = if self.issues.len() == ISSUES_MAX {
            format!("Syntax error: More than {ISSUES_MAX} syntax errors")
        } else {
            format!("Syntax error: token recognition error at: '{}'", shown(&self.text[self.at..end]))
        };
        self.issues.push(Issue { place: self.place, message });
        self.advance(end);
    }

    fn advance(&mut self, end: usize) {
        let passed = self.text[self.at..end].chars().count();
        self.place = self.place.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.at = end;
    }
}

/// A text in a message.
pub(crate) fn shown(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

/// The end of white space and a comment.
fn blank(bytes: &[u8], start: usize) -> usize {
    let white = |byte: &u8| matches!(byte, b'\t' | b' ' | b'\r' | b'\n' | 0x0c);
    let end = run(bytes, start, white);
    match &bytes[end..] {
        [b'/', b'/', ..] => run(bytes, end, |byte| *byte != b'\n'),
        _ => end,
    }
}

/// The end of a run of bytes.
fn run(bytes: &[u8], start: usize, is: impl Fn(&u8) -> bool) -> usize {
    bytes[start..].iter().position(|byte| !is(byte)).map_or(bytes.len(), |length| start + length)
}

fn longest(bytes: &[u8], at: usize) -> Match {
    match bytes[at] {
        b'0'..=b'9' => number(bytes, at),
        b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => number(bytes, at),
        b'"' | b'\'' => string(bytes, at, at, TokenKind::String),
        b'`' => escaped_ident(bytes, at),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => word(bytes, at),
        _ => sign(bytes, at),
    }
}

/// A name, a keyword, or a string with a prefix.
fn word(bytes: &[u8], at: usize) -> Match {
    let end = run(bytes, at, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let kind = match &bytes[at..end] {
        b"in" => TokenKind::In,
        b"true" => TokenKind::True,
        b"false" => TokenKind::False,
        b"null" => TokenKind::Null,
        _ => TokenKind::Ident,
    };
    let prefixed = match &bytes[at..] {
        [b'b' | b'B', b'r' | b'R', b'"' | b'\'', ..] => string(bytes, at, at + 2, TokenKind::Bytes),
        [b'b' | b'B', b'"' | b'\'', ..] => string(bytes, at, at + 1, TokenKind::Bytes),
        [b'r' | b'R', b'"' | b'\'', ..] => string(bytes, at, at + 1, TokenKind::String),
        _ => Match::failed(end),
    };
    Match::found(kind, end).or(prefixed)
}

fn sign(bytes: &[u8], at: usize) -> Match {
    let two: &[u8] = bytes.get(at..at + 2).unwrap_or_default();
    if matches!(two, b"==" | b"!=" | b"<=" | b">=" | b"&&" | b"||") {
        return Match::found(TokenKind::Sign, at + 2);
    }
    match bytes[at] {
        b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'(' | b')' | b'.' | b',' | b'-' | b'!' | b'?' | b':'
        | b'+' | b'*' | b'/' | b'%' => Match::found(TokenKind::Sign, at + 1),
        b'=' | b'&' | b'|' => Match::failed(at + 1),
        _ => Match::failed(at),
    }
}

fn number(bytes: &[u8], at: usize) -> Match {
    let digit = |byte: &u8| byte.is_ascii_digit();
    if let [b'0', b'x', next, ..] = &bytes[at..]
        && next.is_ascii_hexdigit()
    {
        let end = run(bytes, at + 2, u8::is_ascii_hexdigit);
        return whole(bytes, end);
    }
    let integer = run(bytes, at, digit);
    let fraction = match &bytes[integer..] {
        [b'.', next, ..] if next.is_ascii_digit() => run(bytes, integer + 1, digit),
        _ => integer,
    };
    let end = exponent(bytes, fraction).unwrap_or(fraction);
    if end > integer { Match::found(TokenKind::Float, end) } else { whole(bytes, end) }
}

/// The digits of an integer end here; whether a `u` follows.
fn whole(bytes: &[u8], end: usize) -> Match {
    match bytes.get(end) {
        Some(b'u' | b'U') => Match::found(TokenKind::Uint, end + 1),
        _ => Match::found(TokenKind::Int, end),
    }
}

/// The end of an exponent that begins here.
fn exponent(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = match &bytes[at..] {
        [b'e' | b'E', b'+' | b'-', ..] => at + 2,
        [b'e' | b'E', ..] => at + 1,
        _ => return None,
    };
    bytes.get(digits)?.is_ascii_digit().then(|| run(bytes, digits, u8::is_ascii_digit))
}

fn escaped_ident(bytes: &[u8], at: usize) -> Match {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b' ');
    let end = run(bytes, at + 1, inner);
    if end > at + 1 && bytes.get(end) == Some(&b'`') {
        Match::found(TokenKind::EscapedIdent, end + 1)
    } else {
        Match::failed(end)
    }
}

/// A string that begins at `start`, perhaps with a prefix, whose quote is at `quote`.
fn string(bytes: &[u8], start: usize, quote: usize, kind: TokenKind) -> Match {
    let raw = bytes[start..quote].iter().any(|byte| matches!(byte, b'r' | b'R'));
    let mark = bytes[quote];
    let single = body(bytes, quote + 1, kind, raw, |rest| match rest {
        [b'\n' | b'\r', ..] => Step::Refused,
        [first, ..] if *first == mark => Step::Ended(1),
        _ => Step::Goes,
    });
    if bytes.get(quote + 1..quote + 3) != Some(&[mark, mark]) {
        return single;
    }
    let triple = body(bytes, quote + 3, kind, raw, |rest| match rest {
        [a, b, c, ..] if [*a, *b, *c] == [mark; 3] => Step::Ended(3),
        _ => Step::Goes,
    });
    single.or(triple)
}

/// What a place in a string is.
enum Step {
    /// The closing quotes, of so many bytes.
    Ended(usize),
    /// Not allowed in this string.
    Refused,
    Goes,
}

/// The inside of a string up to its closing quotes.
fn body(bytes: &[u8], start: usize, kind: TokenKind, raw: bool, step: impl Fn(&[u8]) -> Step) -> Match {
    let mut at = start;
    while at < bytes.len() {
        match step(&bytes[at..]) {
            Step::Ended(length) => return Match::found(kind, at + length),
            Step::Refused => return Match::failed(at),
            Step::Goes if !raw && bytes[at] == b'\\' => match escape(bytes, at + 1) {
                Ok(end) => at = end,
                Err(reach) => return Match::failed(reach),
            },
            Step::Goes => at += 1,
        }
    }
    Match::failed(at)
}

/// The end of an escape sequence behind its backslash, or the byte at which it is wrong.
fn escape(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let digits = |count: usize, is: fn(&u8) -> bool| {
        let end = run(&bytes[..bytes.len().min(at + 1 + count)], at + 1, is);
        if end == at + 1 + count { Ok(end) } else { Err(end) }
    };
    match bytes.get(at) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`') => {
            Ok(at + 1)
        }
        Some(b'0'..=b'3') => digits(2, |byte| (b'0'..=b'7').contains(byte)),
        Some(b'x' | b'X') => digits(2, u8::is_ascii_hexdigit),
        Some(b'u') => digits(4, u8::is_ascii_hexdigit),
        Some(b'U') => digits(8, u8::is_ascii_hexdigit),
        _ => Err(at),
    }
}
