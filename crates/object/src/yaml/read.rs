//! Reading: the events of the YAML parser become a tree.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::scalar::{Plain, resolve};
use super::{DuplicateKeys, STRICT_ERRORS_MAX, YamlError};
use crate::json::DEPTH_MAX;
use crate::{Key, Map, Value};

/// How many bytes of memory anchors and aliases may add to a document.
const COPIED_MAX: usize = 64 << 20;

pub(super) fn read(text: &str) -> Result<(Value, DuplicateKeys), YamlError> {
    // Whether the parser knows comments depends on what else is built with it.
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        copied: 0,
        depth: 0,
        duplicates: DuplicateKeys::default(),
    };
    let value = reader.document()?;
    Ok((value, reader.duplicates))
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// The values of anchors, with the memory that each takes
    anchors: HashMap<usize, (Value, usize)>,
    /// Bytes that anchors and aliases added so far
    copied: usize,
    depth: usize,
    duplicates: DuplicateKeys,
}

fn syntax(span: Span, problem: &str) -> YamlError {
    YamlError::Syntax { line: span.start.line(), problem: problem.to_owned() }
}

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> YamlError {
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => YamlError::TooDeep,
            _ => YamlError::Syntax { line: error.marker().line(), problem: error.info() },
        }
    }
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.parser.next_event() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Value, YamlError> {
        let mut value = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(value.unwrap_or_default()),
                Event::DocumentStart(..) if value.is_some() => {
                    return Err(YamlError::SecondDocument { line: span.start.line() });
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    value = Some(self.value(event, span)?);
                }
                _ => {}
            }
        }
    }

    fn value(&mut self, event: Event<'t>, span: Span) -> Result<Value, YamlError> {
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(_, anchor, _) => (self.nested(Self::sequence)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.nested(Self::mapping)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, span),
            _ => return Err(syntax(span, "did not find expected node content")),
        };
        if anchor != 0 {
            let size = size(&value);
            self.count_copy(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Value, YamlError> {
        // An anchor is known only behind its value, so that none can hold itself.
        let problem = "anchor value contains itself";
        let &(_, size) = self.anchors.get(&anchor).ok_or_else(|| syntax(span, problem))?;
        self.count_copy(size)?;
        Ok(self.anchors[&anchor].0.clone())
    }

    fn count_copy(&mut self, size: usize) -> Result<(), YamlError> {
        self.copied += size;
        if self.copied > COPIED_MAX { Err(YamlError::ExcessiveAliasing) } else { Ok(()) }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, YamlError>,
    ) -> Result<Value, YamlError> {
        if self.depth == DEPTH_MAX {
            return Err(YamlError::TooDeep);
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn sequence(&mut self) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => break,
                (event, span) => items.push(self.value(event, span)?),
            }
        }
        items.shrink_to_fit();
        Ok(Value::List(items))
    }

    /// A mapping; its keys are sorted, as the JSON text is that upstream makes of it.
    fn mapping(&mut self) -> Result<Value, YamlError> {
        let mut members: HashMap<String, Value> = HashMap::new();
        let mut merged: Vec<Value> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ScalarStyle::Plain, 0, None) if resolve(&text) == Plain::Merge => None,
                event => {
                    let value = self.value(event, span)?;
                    Some(key_text(value).ok_or_else(|| syntax(span, "unsupported map key"))?)
                }
            };
            let (event, value_span) = self.next()?;
            let value = self.value(event, value_span)?;
            match key {
                Some(key) if members.contains_key(&key) => {
                    if self.duplicates.keys.len() < STRICT_ERRORS_MAX {
                        self.duplicates.keys.push((span.start.line(), key.clone()));
                    }
                    members.insert(key, value);
                }
                Some(key) => drop(members.insert(key, value)),
                None => {
                    let maps = match value {
                        Value::List(maps) => maps,
                        map => vec![map],
                    };
                    if maps.iter().any(|value| value.as_map().is_none()) {
                        let problem = "map merge requires map or sequence of maps as the value";
                        return Err(syntax(value_span, problem));
                    }
                    merged.extend(maps);
                }
            }
        }
        for (key, value) in merged
            .into_iter()
            .filter_map(|map| match map {
                Value::Map(map) => Some(map),
                _ => None,
            })
            .flatten()
        {
            members.entry(key.as_str().to_owned()).or_insert(value);
        }
        let mut map = Map::from_members(members.into_iter().map(|(key, value)| (Key::from(key), value)));
        map.sort();
        Ok(Value::Map(map))
    }
}

/// About how much memory a value takes.
fn size(value: &Value) -> usize {
    let content = match value {
        Value::String(text) => text.len(),
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| size_of::<Key>() + key.len() + size(value)).sum(),
        _ => 0,
    };
    size_of::<Value>() + content
}

/// A key in its JSON form.
fn key_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.into_string()),
        Value::Int(number) => Some(number.to_string()),
        // Upstream prints these keys with the precision of a 32-bit float.
        Value::Float(number) => Some(format!("{}", number as f32)),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, YamlError> {
    let plain = match tag.map(Tag::core_suffix) {
        None => style == ScalarStyle::Plain,
        Some(Some("null" | "bool" | "int" | "float")) => true,
        Some(_) => false,
    };
    match if plain { resolve(text) } else { Plain::Text } {
        Plain::Value(value) => Ok(value),
        Plain::NotFinite => Err(syntax(span, "unsupported value: not a finite number")),
        Plain::Merge | Plain::Text => Ok(Value::from(text)),
    }
}
