//! Properties that hold for every text: no panic, bounded work and memory, and places within the text.
//!
//! An input is an expression. Seeds are those of the tables of facts; see the crate `fuzz`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::{
    Checked, Env, Field, Issue, Issues, ListKind, ObjectShape, Shape, ShapeKind, Type, check, estimate,
    parse, standard,
};
use fuzz::{Target, measured};

#[global_allocator]
static METER: fuzz::Meter = fuzz::Meter;

/// The most parts of an expression, with one more that no expression has.
const PARTS_MAX: usize = 200_001;
/// The limit on memory. Parts, types and patterns have limits of their own, so it does not depend on the input.
const BYTES_MAX: usize = 192 << 20;

fn shape(kind: ShapeKind, max_elements: Option<u64>) -> Arc<Shape> {
    Arc::new(Shape { kind, max_elements, min_serialized_size: 2 })
}

/// `self` with a field of each kind, and variables of several types.
fn env() -> Env {
    let text = shape(ShapeKind::Scalar(Type::String), Some(10));
    let list = shape(ShapeKind::List { items: Arc::clone(&text), list: ListKind::Atomic }, Some(5));
    let map = shape(ShapeKind::Map { values: Arc::clone(&list) }, None);
    let fields = [("text", text), ("list", list), ("map", map), ("any", Arc::new(Shape::dynamic()))];
    let field = |name: &str, shape: Arc<Shape>| Field { name: name.into(), required: false, shape };
    let fields: BTreeMap<_, _> =
        fields.into_iter().map(|(name, shape)| (name.into(), field(name, shape))).collect();
    let object = shape(ShapeKind::Object(Arc::new(ObjectShape { name: "object".into(), fields })), None);
    Env::default()
        .with_functions(standard())
        .with_patches()
        .with_shape("self", &object)
        .with_variable("a", Type::Dyn)
        .with_variable("b", Type::list(Type::Int))
        .with_variable("x", Type::map(Type::String, Type::Dyn))
        .with_variable("m", Type::optional(Type::list(Type::Dyn)))
}

/// Each mistake is somewhere in the text, and can be shown.
fn mistakes_have_places(text: &str, issues: &Issues) {
    assert!(!issues.issues.is_empty(), "refused without a reason");
    let length = text.chars().count();
    for issue in &issues.issues {
        assert!(issue.place == Issue::NOWHERE || issue.place as usize <= length, "{issue:?}");
    }
    assert!(issues.to_string().starts_with("ERROR: <input>:"));
}

fn checked(text: &str, env: &Env) -> Result<Checked, Issues> {
    let parsed = parse(text)?;
    let parts = parsed.places.len();
    assert!(parts <= PARTS_MAX);
    // Only these macros copy something.
    if !text.contains("optMap") && !text.contains("optFlatMap") {
        assert!(parts <= 8 * text.len() + 8, "{parts} parts of {} bytes", text.len());
    }
    check(parsed, env)
}

fn run(input: &[u8], env: &Env) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match checked(text, env) {
        Ok(checked) => {
            let cost = estimate(&checked, env);
            assert!(cost.min <= cost.max, "{cost:?}");
            true
        }
        Err(issues) => {
            mistakes_have_places(text, &issues);
            false
        }
    }
}

/// The expressions in the tables of facts.
fn seeds() -> Vec<Vec<u8>> {
    let tables = [
        include_str!("../facts/checked.txt"),
        include_str!("../facts/costs.txt"),
        include_str!("../facts/library-costs.txt"),
        include_str!("../facts/parsed.txt"),
        include_str!("../facts/refused.txt"),
        include_str!("../facts/schema-costs.txt"),
    ];
    let lines = tables.iter().flat_map(|table| table.lines());
    lines.filter_map(|line| line.strip_prefix("> ")).map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn any_text_is_parsed_and_checked_within_limits() {
    let words = &[
        ".all(x, ",
        ".exists(x, ",
        ".map(x, ",
        ".map(x, y, ",
        ".filter(x, ",
        ".optMap(x, x)",
        ".optFlatMap(x, ",
        ".sortBy(x, x)",
        ".transformMap(k, v, ",
        ".transformMapEntry(k, v, {v: k})",
        "has(",
        "Object.a{b: ",
        "JSONPatch{op: ",
        "{x: x, x: x}",
        "[?",
        ".?",
        "''' ",
        "b\"\\x",
        "r'",
        "`a-b`",
        "0x",
        "1u",
        "1e3",
        " in ",
        " && ",
        " || ",
        " ? ",
        " : ",
        "dyn(",
        "type(",
        "duration(",
        "self.",
        "null",
        ".matches('(a{100}){9}')",
        "//",
        "\u{1f600}",
    ];
    let env = env();
    Target::new(env!("CARGO_MANIFEST_DIR"), "expressions").seeds(seeds()).words(words).run(|input| {
        let (accepted, spent) = measured(|| run(input, &env));
        assert!(spent.peak <= BYTES_MAX, "{} bytes of memory for {} of input", spent.peak, input.len());
        accepted
    });
}

#[test]
fn work_is_bounded_where_texts_try_to_multiply_it() {
    let env = env();
    let many = |piece: &str| piece.repeat(99_000 / piece.len());
    for text in [
        many("!"),
        many("a||"),
        format!("a{}", many(".optMap(x, x)")),
        format!("[{}1]", many("[1],")),
        format!("{{{}1:1}}", many("1:1,")),
        format!("a{}", many("||a.b.c==a.d")),
        format!("true{}", many("&&b.all(x,x>1)")),
        many("$"),
        many("'\\"),
        many("a."),
        many("x,"),
        format!("b{}{}", ".map(x, [x]".repeat(100), ")".repeat(100)),
        format!("[{}]", many("{b:b},")),
        format!("[{}]", many("[],")),
        format!("a.f({}1)", many("[{}],")),
    ] {
        let (_, spent) = measured(|| run(text.as_bytes(), &env));
        assert!(spent.peak <= BYTES_MAX, "{} bytes of memory: {}", spent.peak, &text[..20]);
    }
}
