//! Field selectors.

use std::fmt;

use super::Error;

/// A field selector: all of its requirements must hold. `\`, `,` and `=` in values are escaped by a backslash.
///
/// ```
/// use object::FieldSelector;
/// let selector = FieldSelector::parse("spec.nodeName=node-1,status.phase!=Running")?;
/// let field = |name: &str| if name == "spec.nodeName" { "node-1" } else { "Pending" };
/// assert!(selector.matches(field));
/// # Ok::<(), object::SelectorError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's label, such as `metadata.name`.
    pub field: String,
    /// The value to compare with.
    pub value: String,
    /// Whether the field must equal the value, or must not.
    pub equal: bool,
}

impl FieldSelector {
    /// Matches all objects.
    pub fn everything() -> FieldSelector {
        FieldSelector::default()
    }

    /// Matches objects that meet all of these.
    pub fn new(requirements: impl IntoIterator<Item = FieldRequirement>) -> FieldSelector {
        FieldSelector { requirements: requirements.into_iter().collect() }
    }

    /// Matches objects whose field has a value.
    pub fn equal(field: impl Into<String>, value: impl Into<String>) -> FieldSelector {
        let requirement = FieldRequirement { field: field.into(), value: value.into(), equal: true };
        FieldSelector { requirements: vec![requirement] }
    }

    /// Parses the text form (`=`, `==`, `!=`, joined by commas).
    ///
    /// # Errors
    /// With upstream's messages.
    pub fn parse(text: &str) -> Result<FieldSelector, Error> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let terms = terms.into_iter().filter(|term| !term.is_empty());
        let requirements: Result<_, Error> = terms.map(|term| requirement(text, term)).collect();
        Ok(FieldSelector { requirements: requirements? })
    }

    /// Whether an object fulfils it; `field` gives the value of a field, empty if it has none.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> &'a str) -> bool {
        self.requirements.iter().all(|one| (field(&one.field) == one.value) == one.equal)
    }

    /// Whether it matches every object.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The one value that a field must have, if there is such.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|one| one.equal && one.field == field).map(|one| one.value.as_str())
    }

    /// The requirements.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }
}

fn requirement(text: &str, term: &str) -> Result<FieldRequirement, Error> {
    let incomprehensible = || Error::Syntax(format!("invalid selector: '{text}'; can't understand '{term}'"));
    let at = (0..term.len())
        .find(|&i| term.is_char_boundary(i) && (term[i..].starts_with('=') || term[i..].starts_with("!=")));
    let (field, rest) = term.split_at(at.ok_or_else(incomprehensible)?);
    let (equal, value) = match rest.strip_prefix("!=") {
        Some(value) => (false, value),
        None => (true, rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')).unwrap_or(rest)),
    };
    Ok(FieldRequirement { field: field.into(), value: unescape(value)?, equal })
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn unescape(value: &str) -> Result<String, Error> {
    let escape = |sequence: String| {
        Err(Error::Syntax(format!("invalid field selector: invalid escape sequence: {sequence}")))
    };
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return escape(format!("\\{c}")),
                None => return escape("\\".into()),
            },
            ',' | '=' => {
                let code = u32::from(c);
                let message = format!("invalid field selector: unescaped character in value: {code}");
                return Err(Error::Syntax(message));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, FieldRequirement { field, value, equal }) in self.requirements.iter().enumerate() {
            let value = value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
            let (comma, operator) = (if i > 0 { "," } else { "" }, if *equal { "=" } else { "!=" });
            write!(f, "{comma}{field}{operator}{value}")?;
        }
        Ok(())
    }
}
