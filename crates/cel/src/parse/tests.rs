use std::fmt::Write;

use crate::facts::entries;
use crate::{Expr, Kind, Literal, parse};

/// An expression as a call of its function, with nothing left out.
fn form(expr: &Expr) -> String {
    let all = |exprs: &[Expr]| exprs.iter().map(form).collect::<Vec<_>>().join(",");
    let mark = |optional: bool| if optional { "?" } else { "" };
    match &expr.kind {
        Kind::Literal(literal) => literal_form(literal),
        Kind::Ident(name) => name.to_string(),
        Kind::Select { operand, field, test } => {
            format!("{}.{field}{}", form(operand), if *test { "~test-only~" } else { "" })
        }
        Kind::Call { function, target, args } => {
            let target = target.as_ref().map_or(String::new(), |target| form(target) + ".");
            format!("{target}{function}({})", all(args))
        }
        Kind::List { elements, .. } => format!("[{}]", all(elements)),
        Kind::Map { entries } => {
            let entries = entries
                .iter()
                .map(|entry| format!("{}{}:{}", mark(entry.optional), form(&entry.key), form(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Kind::Struct { name, fields } => {
            let fields = fields
                .iter()
                .map(|field| format!("{}{}:{}", mark(field.optional), field.name, form(&field.value)));
            format!("{name}{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Kind::Comprehension(fold) => {
            let mut out = format!("__comprehension__({},", fold.variable);
            if let Some(second) = &fold.second {
                write!(out, "{second},").unwrap();
            }
            let [range, start, condition, step, result] =
                [&fold.range, &fold.start, &fold.condition, &fold.step, &fold.result].map(form);
            out + &format!("{range},{},{start},{condition},{step},{result})", fold.accumulator)
        }
    }
}

fn literal_form(literal: &Literal) -> String {
    match literal {
        Literal::Null => "null".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Int(value) => value.to_string(),
        Literal::Uint(value) => format!("{value}u"),
        Literal::Double(value) => value.to_string(),
        Literal::String(text) => format!("{text:?}"),
        Literal::Bytes(bytes) => format!("b\"{}\"", bytes.escape_ascii()),
    }
}

/// The mistakes in a text with their places, as upstream shows them.
fn mistakes(text: &str) -> Vec<String> {
    let Err(issues) = parse(text) else { return Vec::new() };
    let shown = issues.to_string();
    let lines = shown.lines().filter_map(|line| line.strip_prefix("ERROR: <input>:"));
    lines.map(str::to_owned).collect()
}

#[test]
fn expressions_have_upstreams_forms() {
    for (text, facts) in entries(include_str!("../../facts/parsed.txt")) {
        let parsed = parse(&text).unwrap_or_else(|issues| panic!("{text}\n{issues}"));
        assert_eq!(form(&parsed.root), facts[0], "{text}");
    }
}

#[test]
fn mistakes_have_upstreams_words() {
    for (text, facts) in entries(include_str!("../../facts/refused.txt")) {
        let wanted: Vec<&str> = facts.iter().map(|fact| &fact[2..]).collect();
        assert_eq!(mistakes(&text), wanted, "{text}");
    }
}

fn nested(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn brackets_are_limited() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{1:", "}"), ("f(", ")"), ("a[", "]"), ("!(", ")"), ("-(", ")")]
    {
        let open_too_often = nested(open, "1", close, 250);
        let refused = mistakes(&open_too_often);
        assert_eq!(refused, ["-1:0: expression recursion limit exceeded: 250"], "{open}");
        assert!(parse(&nested(open, "1", close, 249)).is_ok(), "{open}");
    }
    let refused = mistakes(&"[".repeat(99_999));
    assert_eq!(refused, ["-1:0: expression recursion limit exceeded: 250"]);
}

#[test]
fn chains_are_limited() {
    for link in [".a", "[0]", ".a()", " + 1", " * 1", " == 1", ".?a", "[?0]"] {
        let chain = |links: usize| format!("a{}", link.repeat(links));
        assert_eq!(mistakes(&chain(251)), ["-1:0: max recursion depth exceeded"], "{link}");
        assert!(parse(&chain(250)).is_ok(), "{link}");
    }
    let mut text = nested("a ? b : ", "c", "", 249);
    assert!(parse(&text).is_ok());
    text = nested("a ? b : ", "c", "", 250);
    assert_eq!(mistakes(&text), ["-1:0: expression recursion limit exceeded: 250"]);
}

#[test]
fn conditions_in_a_row_are_not_deep() {
    for sign in ["&&", "||"] {
        let text = vec!["a"; 20_000].join(sign);
        assert!(parse(&text).is_ok(), "{sign}");
    }
}

#[test]
fn depth_and_number_of_parts_are_limited_after_expansion() {
    let folds = nested("a.exists(x, ", "x", ")", 249);
    assert_eq!(mistakes(&folds), ["-1:0: expression is too deep: more than 400 levels"]);
    assert!(parse(&nested("a.exists(x, ", "x", ")", 190)).is_ok());
    let doubling = format!("a{}", ".optMap(x, x)".repeat(30));
    assert_eq!(mistakes(&doubling), ["-1:0: expression is too large: more than 200000 parts"]);
}

#[test]
fn length_is_limited() {
    let text = "é".repeat(100_001);
    let refused = mistakes(&text);
    assert_eq!(refused, ["-1:0: expression code point size exceeds limit: size: 100001, limit 100000"]);
}
