//! The parser.

use std::borrow::Cow;

use schema::{Field, FieldType, Shape, TypeDef};

use super::{DEPTH_MAX, JsonError};
use crate::{Key, Map, Value};

/// Type hints for the parser, so that it can borrow the names of fields from the table.
#[derive(Clone, Copy)]
pub(crate) struct Hint<'t> {
    shape: Shape,
    ty: Option<&'t TypeDef>,
    /// Names have the form that sets of fields give them (`fieldsV1`), at every depth.
    is_set: bool,
}

impl<'t> Hint<'t> {
    pub(crate) const NONE: Hint<'static> = Hint { shape: Shape::Single, ty: None, is_set: false };

    pub(crate) fn of_type(ty: &'t TypeDef) -> Hint<'t> {
        Hint { ty: Some(ty), ..Hint::NONE }
    }

    fn of_field(field: &'t Field) -> Hint<'t> {
        let ty = match &field.ty {
            FieldType::Message(ty)
            | FieldType::JsonSchemaOrArray(ty)
            | FieldType::JsonSchemaOrBool(ty)
            | FieldType::JsonSchemaOrStringArray(ty) => Some(&**ty),
            _ => None,
        };
        Hint { shape: field.shape, ty, is_set: matches!(field.ty, FieldType::FieldsV1) }
    }

    /// The hint for the items of a list or the values of a map.
    fn of_item(self) -> Hint<'t> {
        Hint { shape: Shape::Single, ..self }
    }

    /// The key for the name of a member, and the hint for its value.
    pub(crate) fn member(self, name: Cow<'_, str>) -> (Key, Hint<'t>) {
        match (self.shape, self.ty) {
            (Shape::Single, Some(ty)) => match ty.lookup(&name) {
                Some(place) => (Key::from(&place.field.name), Hint::of_field(place.field)),
                None => (Key::from(name.into_owned()), Hint::NONE),
            },
            (Shape::Map, _) => (Key::from(name.into_owned()), self.of_item()),
            _ if self.is_set => match name.strip_prefix("f:").and_then(schema::field_name) {
                Some(known) => (Key::from(known.tagged), self),
                None => (Key::from(name.into_owned()), self),
            },
            _ => (Key::from(name.into_owned()), Hint::NONE),
        }
    }
}

/// Parses a document; duplicate keys stay in the maps, for a caller who reports them.
pub(crate) fn parse_hinted(text: &[u8], hint: Hint<'_>) -> Result<Value, JsonError> {
    let text = String::from_utf8_lossy(text);
    let mut parser = Parser { text: &text, at: 0, depth: 0, members: Vec::new(), items: Vec::new() };
    let value = parser.value(hint)?;
    match parser.next_token() {
        None => Ok(value),
        Some(_) => Err(parser.invalid("after top-level value")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Members of the objects that are open, so that each object is allocated once in its final size.
    members: Vec<(Key, Value)>,
    /// Items of the lists that are open.
    items: Vec<Value>,
}

impl<'a> Parser<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and returns the byte after it.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(byte) = self.byte() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// The error for the character here.
    fn invalid(&self, context: &'static str) -> JsonError {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(character) => JsonError::InvalidCharacter { character, context, offset: self.at },
            None => JsonError::UnexpectedEnd,
        }
    }

    fn value(&mut self, hint: Hint<'_>) -> Result<Value, JsonError> {
        match self.next_token() {
            Some(b'"') => Ok(Value::String(self.string()?.into())),
            Some(b'{') => self.nested(|parser| parser.object(hint)),
            Some(b'[') => self.nested(|parser| parser.list(hint)),
            Some(b't') => self.literal("true", "in literal true", Value::Bool(true)),
            Some(b'f') => self.literal("false", "in literal false", Value::Bool(false)),
            Some(b'n') => self.literal("null", "in literal null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.invalid("looking for beginning of value")),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, JsonError>,
    ) -> Result<Value, JsonError> {
        if self.depth == DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self, hint: Hint<'_>) -> Result<Value, JsonError> {
        let start = self.members.len();
        if self.next_token() == Some(b'}') {
            self.at += 1;
            return Ok(Value::map());
        }
        loop {
            if self.next_token() != Some(b'"') {
                return Err(self.invalid("looking for beginning of object key string"));
            }
            let (key, hint) = hint.member(self.string()?);
            if self.next_token() != Some(b':') {
                return Err(self.invalid("after object key"));
            }
            self.at += 1;
            let value = self.value(hint)?;
            self.members.push((key, value));
            match self.next_token() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.invalid("after object key:value pair")),
            }
        }
        self.at += 1;
        Ok(Value::Map(Map::from_members(self.members.drain(start..))))
    }

    fn list(&mut self, hint: Hint<'_>) -> Result<Value, JsonError> {
        let start = self.items.len();
        if self.next_token() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(Vec::new()));
        }
        loop {
            let value = self.value(hint.of_item())?;
            self.items.push(value);
            match self.next_token() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.invalid("after array element")),
            }
        }
        self.at += 1;
        Ok(Value::List(self.items.drain(start..).collect()))
    }

    fn literal(&mut self, text: &str, context: &'static str, value: Value) -> Result<Value, JsonError> {
        for expected in text.bytes() {
            if self.byte() != Some(expected) {
                return Err(self.invalid(context));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self, context: &'static str) -> Result<(), JsonError> {
        if !matches!(self.byte(), Some(b'0'..=b'9')) {
            return Err(self.invalid(context));
        }
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        let mut integer = true;
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
            integer = false;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
            integer = false;
        }
        let text = &self.text[start..self.at];
        if integer && let Ok(number) = text.parse() {
            return Ok(Value::Int(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(JsonError::NumberRange(text.into())),
        }
    }

    /// A string; the opening quote is at the current position.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        let end = self.plain_run();
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        let mut text = self.text[start..end].to_owned();
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(self.invalid("in string literal")),
            }
            let start = self.at;
            let end = self.plain_run();
            text.push_str(&self.text[start..end]);
        }
    }

    /// Skips characters that stand for themselves and returns where they end.
    fn plain_run(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let len = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < b' ').unwrap_or(rest.len());
        self.at += len;
        self.at
    }

    /// The rest of an escape after the backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let character = match self.byte() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.invalid("in string escape code")),
        };
        self.at += 1;
        Ok(character)
    }

    /// A UTF-16 unit or a pair of them; half a pair becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex4()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let second_at = self.at;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = second_at;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.invalid("in \\u hexadecimal character escape"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
