//! Writing: block style, formatted as by go-yaml v2's emitter.

use super::scalar::is_ambiguous;
use crate::{Map, Value, json};

/// Text beyond this column is folded at the next space.
const WIDTH: usize = 80;
/// Keys longer than this are written behind a `?`.
const SIMPLE_KEY_MAX: usize = 128;

pub(super) fn write(value: &Value) -> String {
    let mut writer = Writer { out: String::with_capacity(512), column: 0 };
    match value {
        Value::Map(map) if !map.is_empty() => writer.map(map, 0, false),
        Value::List(items) if !items.is_empty() => writer.list(items, 0, false),
        scalar => {
            writer.scalar(scalar, 2);
            writer.line_end();
        }
    }
    writer.out
}

struct Writer {
    out: String,
    /// Characters in the line so far
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn put_char(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn line_end(&mut self) {
        if !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.column = 0;
    }

    /// Begins a line.
    fn indent(&mut self, indent: usize) {
        if self.column > 0 {
            self.out.push('\n');
        }
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    /// The members of a mapping; the first is on the current line if `inline`.
    fn map(&mut self, map: &Map, indent: usize, mut inline: bool) {
        let mut members: Vec<(&str, &Value)> = map.iter().collect();
        members.sort_by(|(a, _), (b, _)| order(a, b));
        for (key, value) in members {
            if !std::mem::take(&mut inline) {
                self.indent(indent);
            }
            if key.len() > SIMPLE_KEY_MAX {
                self.put("? ");
                self.text(key, indent + 2, true);
                self.indent(indent);
            } else {
                self.text(key, indent + 2, true);
            }
            self.put(":");
            match value {
                Value::Map(map) if !map.is_empty() => self.map(map, indent + 2, false),
                // Lists stand as far left as their key.
                Value::List(items) if !items.is_empty() => self.list(items, indent, false),
                scalar => {
                    self.put(" ");
                    self.scalar(scalar, indent + 2);
                }
            }
        }
        self.line_end();
    }

    fn list(&mut self, items: &[Value], indent: usize, mut inline: bool) {
        for item in items {
            if !std::mem::take(&mut inline) {
                self.indent(indent);
            }
            self.put("- ");
            match item {
                Value::Map(map) if !map.is_empty() => self.map(map, indent + 2, true),
                Value::List(items) if !items.is_empty() => self.list(items, indent + 2, true),
                scalar => self.scalar(scalar, indent + 2),
            }
        }
        self.line_end();
    }

    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.put("null"),
            Value::Bool(truth) => self.put(if *truth { "true" } else { "false" }),
            Value::Int(number) => self.put(&number.to_string()),
            Value::Float(number) => self.put(&float(*number)),
            Value::String(text) => self.text(text, indent, false),
            Value::List(_) => self.put("[]"),
            Value::Map(_) => self.put("{}"),
        }
    }

    fn text(&mut self, text: &str, indent: usize, key: bool) {
        let traits = Traits::of(text);
        if text.contains('\n') {
            if traits.block && !key {
                self.literal(text, indent)
            } else {
                self.double_quoted(text, indent, key)
            }
        } else if is_ambiguous(text) {
            self.double_quoted(text, indent, key);
        } else if traits.plain {
            self.folded(text, indent, key);
        } else if traits.single_quoted {
            self.single_quoted(text, indent, key);
        } else {
            self.double_quoted(text, indent, key);
        }
    }

    /// Text whose spaces may become line ends.
    fn folded(&mut self, text: &str, indent: usize, key: bool) {
        let mut after_space = false;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            let inside = !first && chars.peek().is_some_and(|next| *next != ' ');
            if c == ' ' && !key && !after_space && self.column > WIDTH && inside {
                self.indent(indent);
            } else {
                self.put_char(c);
            }
            after_space = c == ' ';
            first = false;
        }
    }

    fn single_quoted(&mut self, text: &str, indent: usize, key: bool) {
        self.put_char('\'');
        self.folded(&text.replace('\'', "''"), indent, key);
        self.put_char('\'');
    }

    fn double_quoted(&mut self, text: &str, indent: usize, key: bool) {
        self.put_char('"');
        let mut after_space = false;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            if c == ' ' {
                if !key && !after_space && self.column > WIDTH && !first && chars.peek().is_some() {
                    self.indent(indent);
                    if chars.peek() == Some(&' ') {
                        self.put_char('\\');
                    }
                } else {
                    self.put_char(c);
                }
            } else {
                self.escaped(c);
            }
            after_space = c == ' ';
            first = false;
        }
        self.put_char('"');
    }

    fn escaped(&mut self, c: char) {
        let letter = match c {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0b' => 'v',
            '\x0c' => 'f',
            '\r' => 'r',
            '\x1b' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            c if is_printable(c) && c != '\u{feff}' => return self.put_char(c),
            c => {
                let code = c as u32;
                return self.put(&match code {
                    0..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                });
            }
        };
        self.put_char('\\');
        self.put_char(letter);
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        match text.strip_suffix('\n') {
            None => self.put("-"),
            Some("") => self.put("+"),
            Some(rest) if rest.ends_with('\n') => self.put("+"),
            Some(_) => {}
        }
        self.out.push('\n');
        for line in text.split_inclusive('\n') {
            if line != "\n" {
                self.out.extend(std::iter::repeat_n(' ', indent));
            }
            self.out.push_str(line);
        }
        // The next line begins with its indentation alone if the text ended its last line itself.
        self.column = usize::from(!text.ends_with('\n'));
    }
}

/// A double as Go's `%g` with the shortest digits writes it.
fn float(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    String::from_utf8_lossy(&json::to_vec(&Value::Float(number))).into_owned()
}

/// In which styles a text can be written.
struct Traits {
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Traits {
    fn of(text: &str) -> Traits {
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let is_blank = |c: Option<char>| c.is_none_or(|c| c == ' ' || c == '\t' || is_break(c));
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut tabs, mut breaks) = (false, false, false);
        let (mut space_break, mut break_space) = (false, false);
        let mut previous = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied();
            indicators |= match (c, previous) {
                (
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                    None,
                ) => true,
                ('?' | '-', None) | (':', _) => is_blank(next),
                ('#', _) => is_blank(previous),
                _ => false,
            };
            tabs |= c == '\t';
            special |= c != '\t' && !is_printable(c) && c != '\n';
            breaks |= is_break(c);
            space_break |= is_break(c) && previous == Some(' ');
            break_space |= c == ' ' && previous.is_some_and(is_break);
            previous = Some(c);
        }
        let edge = |c: char| c == ' ' || is_break(c);
        let edges = text.starts_with(edge) || text.ends_with(edge);
        let quotable = !space_break && !special;
        Traits {
            plain: quotable && !tabs && !edges && !break_space && !breaks && !indicators,
            single_quoted: quotable && !tabs && !break_space && !breaks,
            block: quotable && !text.ends_with(' ') && !text.is_empty(),
        }
    }
}

/// Characters that the emitter writes unescaped; those beyond the basic plane are not among them.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// The order of keys: numbers by amount, letters behind all else.
fn order(a: &str, b: &str) -> std::cmp::Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else {
        return a.len().cmp(&b.len());
    };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return std::cmp::Ordering::Greater,
        (false, true) => return std::cmp::Ordering::Less,
        (false, false) => {}
    }
    let digits_before = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let zero = x == '0' || y == '0';
    let start = u64::from(zero && digits_before.into_iter().any(|c| *c != '0'));
    let run = |chars: &[char]| {
        let digits: Vec<u64> = chars[at..].iter().map_while(|c| c.to_digit(10).map(u64::from)).collect();
        let amount = digits.iter().fold(start, |n, digit| n.wrapping_mul(10).wrapping_add(*digit));
        (amount, digits.len())
    };
    run(&a).cmp(&run(&b)).then(x.cmp(&y))
}
