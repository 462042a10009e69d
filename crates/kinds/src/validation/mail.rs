//! Addresses of mail (RFC 5322), as `ParseAddress` of Go's `net/mail` reads them, except for comments and groups, which
//! nobody writes into a certificate.

/// Whether a text is an address, with or without a name before it: `a@example.com`, `"A B" <a@example.com>`.
pub(super) fn is_address(text: &str) -> bool {
    let text = trim(text);
    is_rest(after_spec(text)) || is_rest(after_name(text).and_then(after_angle))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_rest(rest: Option<&str>) -> bool {
    rest.is_some_and(|rest| trim(rest).is_empty())
}

/// What follows `local@domain`.
fn after_spec(text: &str) -> Option<&str> {
    let rest = match text.starts_with('"') {
        true => after_quoted(text).filter(|_| !text.starts_with("\"\""))?,
        false => after_atom(text, true)?,
    };
    let domain = trim(rest.strip_prefix('@')?);
    match domain.strip_prefix('[') {
        Some(literal) => {
            let (inside, rest) = literal.split_once(']')?;
            inside.chars().all(|c| is_visible(c) && !matches!(c, '[' | '\\')).then_some(rest)
        }
        None => after_atom(domain, true),
    }
}

/// What follows a name: words and quoted texts, or nothing.
fn after_name(text: &str) -> Option<&str> {
    let mut rest = text;
    while !rest.is_empty() && !rest.starts_with('<') {
        let after = if rest.starts_with('"') { after_quoted(rest)? } else { after_atom(rest, false)? };
        rest = trim(after);
    }
    Some(rest)
}

fn after_angle(text: &str) -> Option<&str> {
    after_spec(text.strip_prefix('<')?)?.strip_prefix('>')
}

/// What follows a word with dots; in addresses, these stand between other characters.
fn after_atom(text: &str, strict: bool) -> Option<&str> {
    let end = text.find(|c| !is_visible(c) || r#"()<>[]:;@\,""#.contains(c)).unwrap_or(text.len());
    let (atom, rest) = text.split_at(end);
    let has_odd_dots = atom.starts_with('.') || atom.ends_with('.') || atom.contains("..");
    let is_atom = !atom.is_empty() && (!strict || !has_odd_dots);
    is_atom.then_some(rest)
}

/// What follows a text in quotes.
fn after_quoted(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('"')?;
    let mut characters = inside.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some(&inside[at + 1..]),
            '\\' => {
                characters
                    .next()
                    .filter(|(_, escaped)| is_visible(*escaped) || matches!(escaped, ' ' | '\t'))?;
            }
            ' ' | '\t' => {}
            _ if is_visible(c) => {}
            _ => return None,
        }
    }
    None
}

fn is_visible(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_graphic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        for address in [
            "a@example.com",
            " a.b+c@x ",
            "\"a b\"@x",
            "A B <a@x>",
            "\"A, B\" <a@x>",
            "<a@x>",
            "a@[127.0.0.1]",
        ] {
            assert!(is_address(address), "{address}");
        }
        for other in [
            "",
            "a",
            "@x",
            "a@",
            "a@x.",
            "a..b@x",
            ".a@x",
            "a b@x",
            "a@x b",
            "<a@x",
            "\"\"@x",
            "\"a@x",
            "a@x, b@x",
            "a@[1",
            "A <a>",
            "a.@x <b@x>",
            "a\u{1}@x",
        ] {
            assert!(!is_address(other), "{other}");
        }
    }
}
