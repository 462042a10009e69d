use regex::Regex;

use super::*;

fn compiled(pattern: &str) -> Regex {
    let translated = from_go(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
    Regex::new(&translated).unwrap_or_else(|why| panic!("{pattern} as {translated}: {why}"))
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    for (pattern, good, bad) in [
        (r"^\d+$", "12", "\u{661}"),
        (r"^[\d.]+$", "1.2", "\u{661}"),
        (r"^[^\W]$", "a", "\u{e4}"),
        (r"^\S$", "\u{e4}", " "),
        (r"^[a&&b]+$", "a&b", "c"),
        (r"^[[]$", "[", "]"),
        (r"^[]a]+$", "]a", "b"),
        (r"^[[:alpha:]-]+$", "a-b", "1"),
        (r"^[^[:^digit:]]$", "1", "a"),
        (r"^[a-z0-9-]$", "-", "_"),
        (r"\bx\b", "a x b", "axb"),
        (r"^a{,2}$", "a{,2}", "aa"),
        (r"^a{b}$", "a{b}", "ab"),
        (r"^a{2}{b}$", "aa{b}", "aab"),
        (r"^{$", "{", "a"),
        (r"^}]$", "}]", "]"),
        (r"^\Qa.b+\E*$", "a.b+++", "axb"),
        (r"^\Qa.b", "a.b", "axb"),
        (r"\A\101\x42\x{43}\z", "ABC", "abc"),
        (r"^\0$", "\0", "0"),
        (r"^\pL\p{Lu}\PN$", "aBc", "aB1"),
        (r"^\p{^Greek}$", "a", "\u{3b1}"),
        (r"^(?P<n>a)(?<n>b)$", "ab", "a"),
        (r"^(?i)a(?-i)b$", "Ab", "AB"),
        (r"^(?s:.)$", "\n", "ab"),
        (r"^(?:a*?){2,3}$", "aa", "b"),
        (r"^\.\-\_\ \/$", ".-_ /", "x"),
        (r"^a #b~\<>$", "a #b~<>", "a"),
        ("^[~&-]+$", "~&-", "a"),
        ("^[|]|[ #]$", " ", "a"),
        ("", "anything", "\u{0}unmatchable"),
    ] {
        let compiled = compiled(pattern);
        assert!(compiled.is_match(good), "{pattern} matches {good}");
        assert!(pattern.is_empty() || !compiled.is_match(bad), "{pattern} does not match {bad}");
    }
}

#[test]
fn what_go_refuses_is_refused_in_its_words() {
    for (pattern, told) in [
        ("(", "missing closing ): `(`"),
        ("a(b|c", "missing closing ): `a(b|c`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[^]a", "missing closing ]: `[^]a`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:nonsense:]]", "invalid character class range: `[:nonsense:]`"),
        (r"\p{Nonsense}", r"invalid character class range: `\p{Nonsense}`"),
        (r"\p{Script=Greek}", r"invalid character class range: `\p{Script=Greek}`"),
        (r"\p{greek}", r"invalid character class range: `\p{greek}`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\h+", r"invalid escape sequence: `\h`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\u0041", r"invalid escape sequence: `\u`"),
        (r"\<a", ""),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        ("({2,3}?)", "missing argument to repetition operator: `{2,3}?`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*?+", "invalid nested repetition operator: `*?+`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{99999999999999999999}", "invalid repeat count: `{99999999999999999999}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("((ba{10}c){10}|d){11}", "invalid repeat count: `{11}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?<=a)", "invalid or unsupported Perl syntax: `(?<`"),
        ("(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<a b>c)", "invalid named capture: `(?P<a b>`"),
    ] {
        match from_go(pattern) {
            Err(why) => assert_eq!(why, format!("error parsing regexp: {told}"), "{pattern}"),
            Ok(_) => assert_eq!(told, "", "{pattern}"),
        }
    }
}

/// Patterns are as long as requests, and some come with each evaluation of an expression.
#[test]
fn reading_takes_time_in_proportion() {
    for part in ["{", "[:", "{1,", "(", "\\pL", "[[:a", "\\Q\\E", "(?i)"] {
        let pattern = part.repeat(200_000);
        // Right or wrong: it is over before the test's patience is.
        let _ = from_go(&pattern);
    }
}

#[test]
fn repetitions_that_go_takes_are_taken() {
    for pattern in [
        "a*b+c?",
        "a*?b+?c??",
        "(?i)a*",
        "(?:a*)*",
        "[*+]+",
        "[]*+]*",
        "[^]*+]*",
        r"\*\*",
        r"\**",
        "a{b}*",
        "a{,2}*",
        r"\Q**\E*",
        "[[:alpha:]*+]{2}",
        r"\x{41}+",
        "\u{e9}*",
        "a{1000}b{1000}",
        "(a{100}){10}",
        "(a{100})b{11}",
        "(a{0}){1000}",
        "^*",
        r"\b+",
        "()*",
    ] {
        compiled(pattern);
    }
}
