//! Formats that are written out, with a list of arguments that is written out: `'%d'.format([x])`.

use crate::{Checked, Expr, Id, Issue, Kind, Literal, Type};

/// What is wrong with a call of `format`. The first mistake is told.
pub(super) fn issue(checked: &Checked, call: &Expr) -> Option<Issue> {
    let Kind::Call { target: Some(target), args, .. } = &call.kind else { return None };
    let (Kind::Literal(Literal::String(format)), [list]) = (&target.kind, args.as_slice()) else {
        return None;
    };
    let Kind::List { elements, .. } = &list.kind else { return None };
    if !checked.overloads(call.id).contains(&"string_format") {
        return None;
    }
    let clauses = Clauses { checked, call: call.id, elements };
    let Mistake { id, message } = clauses.check(format).err()?;
    Some(Issue { place: checked.ast().place(id), message })
}

struct Mistake {
    id: Id,
    message: String,
}

struct Clauses<'c> {
    checked: &'c Checked,
    call: Id,
    elements: &'c [Expr],
}

impl Clauses<'_> {
    fn check(&self, format: &str) -> Result<(), Mistake> {
        let mut rest = format;
        let mut used = 0;
        while let Some((_, behind)) = rest.split_once('%') {
            if let Some(behind) = behind.strip_prefix('%') {
                rest = behind;
                continue;
            }
            if behind.is_empty() {
                return Err(self.mistake("unexpected end of string"));
            }
            let Some(element) = self.elements.get(used) else {
                return Err(self.mistake(format!("index {used} out of range")));
            };
            used += 1;
            rest = self.clause(behind, element)?;
        }
        let got = self.elements.len();
        if got > used {
            let message =
                format!("too many arguments supplied to string.format (expected {used}, got {got})");
            return Err(self.mistake(message));
        }
        Ok(())
    }

    fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { id: self.call, message: message.into() }
    }

    /// Checks the clause that begins here, behind its percent sign, and returns what is behind it.
    fn clause<'f>(&self, text: &'f str, element: &Expr) -> Result<&'f str, Mistake> {
        let prefix = "could not parse formatting clause: ";
        let rest = behind_precision(text)
            .map_err(|message| self.mistake(format!("{prefix}error while parsing precision: {message}")))?;
        let letter = rest.chars().next().unwrap_or_default();
        let wrong = match letter {
            's' => self.string(element).map(|id| (id, STRING)),
            'd' => self.unless(element, DECIMAL, |kind| matches!(kind, Type::Int | Type::Uint)),
            'o' => self.unless(element, OCTAL, |kind| matches!(kind, Type::Int | Type::Uint)),
            'f' => self.unless(element, FIXED, |kind| matches!(kind, Type::Double | Type::String)),
            'e' => self.unless(element, SCIENTIFIC, |kind| matches!(kind, Type::Double | Type::String)),
            'b' => self.unless(element, BINARY, |kind| matches!(kind, Type::Int | Type::Uint | Type::Bool)),
            'x' | 'X' => self.unless(element, HEXADECIMAL, |kind| {
                matches!(kind, Type::Int | Type::Uint | Type::String | Type::Bytes)
            }),
            _ => {
                let message = format!("{prefix}unrecognized formatting clause \"{letter}\"");
                return Err(self.mistake(message));
            }
        };
        match wrong {
            None => Ok(&rest[letter.len_utf8()..]),
            Some((id, wanted)) => {
                let given = type_name(self.checked.expression_type(id));
                let message = format!("error during formatting: {wanted}, was given {given}");
                Err(Mistake { id, message })
            }
        }
    }

    fn unless(
        &self,
        element: &Expr,
        wanted: &'static str,
        is: impl Fn(&Type) -> bool,
    ) -> Option<(Id, &'static str)> {
        let kind = self.checked.expression_type(element.id);
        (*kind != Type::Dyn && !is(kind)).then_some((element.id, wanted))
    }

    /// The part that cannot be written as a string.
    fn string(&self, part: &Expr) -> Option<Id> {
        let kind = self.checked.expression_type(part.id);
        if matches!(kind, Type::Object(_) | Type::Opaque(..) | Type::Error | Type::Param(_)) {
            return Some(part.id);
        }
        match &part.kind {
            Kind::List { elements, .. } => elements.iter().find_map(|element| self.string(element)),
            Kind::Map { entries } => {
                entries.iter().find_map(|entry| self.string(&entry.key).or_else(|| self.string(&entry.value)))
            }
            _ => None,
        }
    }
}

const STRING: &str = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
const DECIMAL: &str = "decimal clause can only be used on integers";
const OCTAL: &str = "octal clause can only be used on integers";
const FIXED: &str = "fixed-point clause can only be used on doubles";
const SCIENTIFIC: &str = "scientific clause can only be used on doubles";
const BINARY: &str = "only integers and bools can be formatted as binary";
const HEXADECIMAL: &str = "only integers, byte buffers, and strings can be formatted as hex";

/// What is behind `.3`.
fn behind_precision(text: &str) -> Result<&str, String> {
    let Some(digits) = text.strip_prefix('.') else { return Ok(text) };
    let end = digits.find(|letter: char| !letter.is_ascii_digit());
    let end = end.ok_or("could not find end of precision specifier")?;
    let (number, rest) = digits.split_at(end);
    match number.parse::<i64>() {
        Ok(_) => Ok(rest),
        Err(_) => {
            let why = if number.is_empty() { "invalid syntax" } else { "value out of range" };
            let go = format!("strconv.Atoi: parsing {number:?}: {why}");
            Err(format!("error while converting precision to integer: {go}"))
        }
    }
}

/// The name of a type without its parameters.
fn type_name(kind: &Type) -> String {
    match kind {
        Type::List(_) => "list".to_owned(),
        Type::Map(_) => "map".to_owned(),
        Type::Type(_) => "type".to_owned(),
        Type::Null => "null_type".to_owned(),
        Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
        Type::Duration => "google.protobuf.Duration".to_owned(),
        Type::Opaque(name, _) => name.to_string(),
        other => other.to_string(),
    }
}
