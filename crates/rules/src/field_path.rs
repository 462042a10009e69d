//! The path of the field that a rule blames (`fieldPath`): members, as `.spec.size` or `['a.b']`, that the schema has.

use object::Value;

/// The path as errors show it, below the value of the rule.
///
/// # Errors
/// It is no such path, or leads to no field of the schema.
pub(crate) fn normalized(path: &str, schema: &Value) -> Result<String, &'static str> {
    let mut rest = path;
    let mut here = schema;
    let mut shown = String::new();
    while !rest.is_empty() {
        let (name, behind) = match rest.strip_prefix('[') {
            Some(quoted) => quoted_name(quoted)?,
            None => plain_name(rest)?,
        };
        rest = behind;
        if let properties @ Value::Map(_) = here.get("properties") {
            here = properties
                .as_map()
                .and_then(|map| map.get(&name))
                .ok_or("does not refer to a valid field")?;
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(&name);
        } else if let members @ Value::Map(_) = here.get("additionalProperties") {
            here = members;
            shown.push_str(&format!("[{name}]"));
        } else {
            return Err("does not refer to a valid field");
        }
    }
    Ok(shown)
}

/// `.name`, up to the next delimiter.
fn plain_name(text: &str) -> Result<(String, &str), &'static str> {
    let text = text.strip_prefix('.').ok_or("expected [ or .")?;
    let end = text.find(['.', '[', ']']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() { Err("unexpected end of JSON path") } else { Ok((name.to_owned(), rest)) }
}

/// `'name']`, with escapes.
fn quoted_name(text: &str) -> Result<(String, &str), &'static str> {
    let mut characters = text.strip_prefix('\'').ok_or("expected single quoted string")?.chars();
    let mut name = String::new();
    loop {
        match characters.next().ok_or("unexpected end of JSON path")? {
            '\'' => break,
            '\\' => name.push(match characters.next().ok_or("unexpected end of JSON path")? {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                same @ ('\'' | '\\') => same,
                _ => return Err("invalid string literal"),
            }),
            other => name.push(other),
        }
    }
    let rest = characters.as_str().strip_prefix(']').ok_or("expected ]")?;
    Ok((name, rest))
}
