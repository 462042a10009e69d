//! Paths to expressions in the status of policies: the syntax of `k8s.io/client-go/util/jsonpath`, without its meaning.

use object::field::Errors;

use crate::validation::field::Field;

/// How deep filters may be nested.
const DEPTH_MAX: usize = 8;
/// Characters that end a name.
const TERMINATORS: &[char] = &[' ', '\t', '\r', '\n', '.', ',', '[', ']', '$', '@', '{', '}'];
const OPERATORS: &[char] = &['!', '<', '>', '='];

/// Checks a path, which must not be empty.
pub(in crate::validation) fn validate_field_ref(errors: &mut Errors, reference: &Field<'_, '_>) {
    let text = reference.text().trim();
    if text.is_empty() {
        return reference.required(errors, "");
    }
    if let Err(why) = action(&format!("{text}}}"), 0) {
        errors.invalid(&reference.path, text, format!("invalid JSONPath: {why}"));
    }
}

/// What is left of a text.
type Rest<'t> = Result<&'t str, String>;

/// Checks what follows an opening brace, the closing one included.
fn action(text: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("nested too deeply".into());
    }
    let mut rest = text;
    let mut is_recursive = false;
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            // Between braces stands text.
            match behind.split_once('{') {
                Some((_, behind)) => rest = behind,
                None => return Ok(()),
            }
        } else if let Some(behind) = rest.strip_prefix("[?(") {
            rest = filter(behind, depth)?;
            is_recursive = false;
        } else if let Some(behind) = rest.strip_prefix("..") {
            if is_recursive {
                return Err("invalid multiple recursive descent".into());
            }
            is_recursive = !behind.starts_with(is_alphanumeric);
            rest = if is_recursive { behind } else { field(behind) };
        } else {
            let skips = rest.starts_with([' ', '@', '$']);
            rest = step(rest, depth)?;
            is_recursive &= skips;
        }
    }
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn step(text: &str, depth: usize) -> Rest<'_> {
    let mut characters = text.chars();
    let first = characters.next();
    let rest = characters.as_str();
    match first {
        None | Some('\r' | '\n') => Err("unclosed action".into()),
        Some(' ' | '@' | '$') => Ok(rest),
        Some('[') => array(rest, depth),
        Some(quote @ ('"' | '\'')) => quoted(rest, quote),
        Some('.') => Ok(field(rest)),
        Some(c) if c == '+' || c == '-' || c.is_ascii_digit() => number(text),
        Some(c) if is_alphanumeric(c) => Ok(text.trim_start_matches(|c| !TERMINATORS.contains(&c))),
        Some(c) => Err(format!("unrecognized character in action: U+{:04X} '{c}'", u32::from(c))),
    }
}

/// What follows a field's name, in which `\` escapes.
fn field(text: &str) -> &str {
    let mut characters = text.chars();
    loop {
        let rest = characters.as_str();
        match characters.next() {
            Some('\\') => _ = characters.next(),
            Some(c) if !TERMINATORS.contains(&c) => {}
            _ => return rest,
        }
    }
}

fn number(text: &str) -> Rest<'_> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let rest = unsigned.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let number = text.strip_suffix(rest).unwrap_or(text);
    match number.parse::<f64>() {
        Ok(_) => Ok(rest),
        Err(_) => Err(format!("cannot parse number {number}")),
    }
}

fn array(text: &str, depth: usize) -> Rest<'_> {
    let unterminated = || "unterminated array".to_owned();
    let (index, rest) = text.split_once(']').ok_or_else(unterminated)?;
    if index.contains('\n') {
        return Err(unterminated());
    }
    if index.contains(',') {
        for part in index.split(',') {
            action(&format!("[{}]}}", part.trim_matches(' ')), depth + 1)?;
        }
        return Ok(rest);
    }
    let key = index.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
    match key.filter(|key| !key.contains('\'')) {
        Some(key) => action(&format!(".{key}}}"), depth + 1)?,
        None if index == "*" => {}
        None => check_slice(index)?,
    }
    Ok(rest)
}

/// Checks `FROM:TO:STEP`, of which everything may be absent.
fn check_slice(index: &str) -> Result<(), String> {
    let digits = |part: &str| {
        part.strip_prefix('-').unwrap_or(part).trim_start_matches(|c: char| c.is_ascii_digit()).is_empty()
    };
    if index.split(':').count() > 3 || !index.split(':').all(digits) {
        return Err(format!("invalid array index {index}"));
    }
    match index.split(':').find(|part| !part.is_empty() && part.parse::<i64>().is_err()) {
        Some(part) => Err(format!("array index {part} is not a number")),
        None => Ok(()),
    }
}

fn filter(text: &str, depth: usize) -> Rest<'_> {
    let (mut quote, mut is_closed, mut before) = (None, false, ' ');
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('\n', _) => break,
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(quote)) if c == quote && before != '\\' => is_closed = true,
            (')', _) if quote.is_some() == is_closed => {
                let (inner, rest) = text.split_at(at);
                let rest = rest.strip_prefix(")]").ok_or("unclosed array expect ]")?;
                return condition(inner, depth + 1).map(|()| rest);
            }
            _ => {}
        }
        before = c;
    }
    Err("unterminated filter".into())
}

/// Checks a comparison, or a path that must exist.
fn condition(text: &str, depth: usize) -> Result<(), String> {
    let comparison = text.find(OPERATORS).filter(|at| *at > 0).and_then(|at| {
        let (left, right) = text.split_at(at);
        let operand = right.trim_start_matches(OPERATORS);
        // Of several operators with nothing behind them, the last one is what is compared with.
        let last = right.char_indices().next_back().filter(|(at, _)| *at > 0);
        let operand = if operand.is_empty() { right.get(last?.0..)? } else { operand };
        Some((left, operand))
    });
    match comparison {
        Some((left, right)) => {
            action(&format!("{left}}}"), depth)?;
            action(&format!("{right}}}"), depth)
        }
        None => action(&format!("{text}}}"), depth),
    }
}

fn quoted(text: &str, quote: char) -> Rest<'_> {
    let mut before = quote;
    for (at, c) in text.char_indices() {
        if c == '\n' {
            break;
        }
        if c == quote && before != '\\' {
            return Ok(text.get(at + c.len_utf8()..).unwrap_or_default());
        }
        before = c;
    }
    Err("unterminated quoted string".into())
}

#[cfg(test)]
mod tests {
    use super::action;

    #[test]
    fn paths() {
        let cases = [
            ("spec.validations[0].expression", ""),
            (".spec.validations[-1:].expression", ""),
            ("$.spec['a.b']", ""),
            ("spec..expression", ""),
            ("a[0,'b'].c", ""),
            (r#"a[?(@.b == "x)]")].c"#, ""),
            ("a[?(@.b)]", ""),
            ("a}{b", ""),
            ("spec.validations[0", "unterminated array"),
            ("spec.validations[x]", "invalid array index x"),
            ("a[0:1:2:3]", "invalid array index 0:1:2:3"),
            ("a[-]", "array index - is not a number"),
            ("a[?(@.b", "unterminated filter"),
            ("a[?(@.b)", "unclosed array expect ]"),
            (r#"a "b"#, "unterminated quoted string"),
            ("a....b", "invalid multiple recursive descent"),
            ("1.2.3", "cannot parse number 1.2.3"),
            ("a\nb", "unclosed action"),
            ("#", "unrecognized character in action: U+0023 '#'"),
        ];
        for (path, expected) in cases {
            let found = action(&format!("{path}}}"), 0).err().unwrap_or_default();
            assert_eq!(found, expected, "{path}");
        }
    }
}
