//! Words that cannot be names.

/// Words that the language keeps for later: they cannot be names of variables and functions.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Whether the language keeps a word for later.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// Whether a word cannot be an identifier: it has a meaning in the language, or is kept for later.
pub fn is_word(text: &str) -> bool {
    matches!(text, "true" | "false" | "null" | "in") || is_reserved(text)
}
