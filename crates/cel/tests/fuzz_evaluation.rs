//! Properties that hold for every expression and every value: no panic, and bounded costs and memory.
//!
//! An input is JSON: an expression and two values for its variables. Seeds are in `fuzz-seeds`; see the crate `fuzz`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use cel::{Env, Meter, Program, Type, Value, Variables, compile, kubernetes_with_patches};
use fuzz::{Target, measured};

#[global_allocator]
static METER: fuzz::Meter = fuzz::Meter;

/// The budget of an evaluation.
const BUDGET: u64 = 20_000;
/// What an evaluation may exceed the budget by: the last call is charged before it is made, and some are dear.
const CALL_MAX: u64 = 1 << 40;
/// The most memory of checking, making the program and evaluating it.
const BYTES_MAX: usize = 192 << 20;

fn env() -> Env {
    kubernetes_with_patches()
        .with_variable("x", Type::Dyn)
        .with_variable("l", Type::list(Type::Dyn))
        .with_variable("m", Type::map(Type::String, Type::Dyn))
        .with_variable("s", Type::String)
}

/// The same values in every variable: also those that are not of its type, as the server could have them.
fn variables<'v>(x: &'v object::Value, y: &'v object::Value) -> Variables<'v> {
    let value = |tree| Value::of_tree(tree, None).unwrap();
    Variables::default().with("x", value(x)).with("l", value(y)).with("m", value(y)).with("s", value(x))
}

fn run(input: &[u8], env: &Env) -> bool {
    let Ok(object::Value::List(parts)) = object::json::parse(input) else { return false };
    let [text, x, y] = parts.as_slice() else { return false };
    text.as_str().is_some_and(|text| evaluate(text, x, y, env))
}

/// Whether the expression is valid.
fn evaluate(text: &str, x: &object::Value, y: &object::Value, env: &Env) -> bool {
    let Ok(checked) = compile(text, env) else { return false };
    let Ok(program) = Program::new(&checked) else { return false };
    let outcome = program.evaluate(&variables(x, y), BUDGET);
    assert!(outcome.cost <= BUDGET + CALL_MAX, "{}", outcome.cost);
    // The same again: nothing remains of an evaluation.
    let again = program.evaluate(&variables(x, y), BUDGET);
    assert_eq!(again.cost, outcome.cost);
    match (&outcome.result, &again.result) {
        (Ok(value), Ok(same)) => {
            let _ = (value.to_string(), same.to_tree(&mut Meter::new(BUDGET)));
            let _ = value.check_message_names(&mut Meter::new(BUDGET));
        }
        (Err(error), Err(same)) => assert_eq!(error, same),
        _ => panic!("{:?} and {:?}", outcome.result, again.result),
    }
    true
}

/// Makes an expression of choices, one byte each.
struct Choices<'i> {
    rest: std::slice::Iter<'i, u8>,
    /// How many parts there are.
    parts: usize,
}

/// The most parts of a made expression.
const PARTS_MAX: usize = 60;

impl Choices<'_> {
    fn choose<'w>(&mut self, words: &[&'w str]) -> &'w str {
        let choice = self.rest.next().map_or(0, |byte| usize::from(*byte));
        words[choice % words.len()]
    }

    /// An expression of any type: `_` in a form stands for another one, `$` for the same as before. They are taken for
    /// `dyn`, so that most of them check whatever they are.
    fn expression(&mut self) -> String {
        self.parts += 1;
        if self.parts > PARTS_MAX || self.rest.len() == 0 {
            return self.choose(LEAVES).to_owned();
        }
        let form = self.choose(FORMS);
        let mut text = String::new();
        let mut before = String::new();
        for character in form.chars() {
            match character {
                '_' => {
                    before = format!("dyn({})", self.expression());
                    text.push_str(&before);
                }
                '$' => text.push_str(&before),
                '#' => text.push_str(self.choose(LEAVES)),
                other => text.push(other),
            }
        }
        text
    }
}

const LEAVES: &[&str] = &[
    "x",
    "l",
    "m",
    "s",
    "0",
    "1",
    "-1",
    "2.5",
    "7u",
    "'a'",
    "''",
    "b'b'",
    "null",
    "true",
    "[]",
    "[1, 2, 3]",
    "{'a': 1}",
    "9223372036854775807",
    "18446744073709551615u",
    "1e300",
    "duration('1h')",
    "timestamp('9999-12-31T23:59:59Z')",
    "string",
    "optional.none()",
    "quantity('1Ki')",
    "ip('::1')",
    "cidr('10.0.0.0/8')",
    "url('https://a/b?c=d')",
    "semver('1.2.3-a')",
    "'\u{1f600}\u{e9}x'",
    "format.uri()",
];

const FORMS: &[&str] = &[
    "#",
    "_ + _",
    "_ - _",
    "_ * _",
    "_ / _",
    "_ % _",
    "-_",
    "!_",
    "_ == _",
    "_ != _",
    "_ < _",
    "_ >= _",
    "_ in _",
    "_ && _",
    "_ || _",
    "_ ? _ : _",
    "_[_]",
    "_.a",
    "_.?a",
    "_[?_]",
    "has(_.a)",
    "[_, _]",
    "[?optional.of(_), _]",
    "{'a': _, 'b': _}",
    "{?'k': optional.ofNonZeroValue(_)}",
    "_.map(i, [i, _])",
    "_.map(i, i + _)",
    "_.filter(i, i == _)",
    "_.all(i, i != _)",
    "_.exists(i, j, i == _ || j == _)",
    "_.transformMap(k, v, [v, k])",
    "_.transformMapEntry(k, v, {v: k})",
    "_.transformList(k, v, k)",
    "_.existsOne(i, i == _)",
    "_.sortBy(i, i)",
    "optional.of(_).optMap(o, [o, o])",
    "_.flatten()",
    "_.flatten(5)",
    "_.join()",
    "_.join(_)",
    "_.replace(_, _)",
    "_.replace('', $)",
    "_.replace(_, _, _)",
    "_.split(_)",
    "_.split('', _)",
    "'%s %d %.3f %x %b %o %e'.format([_, _, _, _, _, _, _])",
    "'%s'.format([_])",
    "_.sum()",
    "_.max()",
    "_.min()",
    "_.isSorted()",
    "_.distinct()",
    "_.sort()",
    "_.reverse()",
    "_.slice(_, _)",
    "_.indexOf(_)",
    "_.indexOf('a', _)",
    "_.lastIndexOf(_)",
    "_.lastIndexOf('a', _)",
    "_.substring(_)",
    "_.substring(_, _)",
    "_.charAt(_)",
    "_.trim()",
    "_.upperAscii()",
    "_.matches(_)",
    "_.find(_)",
    "_.findAll(_, _)",
    "_.contains(_)",
    "_.startsWith(_)",
    "strings.quote(_)",
    "lists.range(_)",
    "sets.contains(_, _)",
    "sets.equivalent(_, $)",
    "sets.intersects(_, _)",
    "_.includes(_)",
    "_.first()",
    "_.last()",
    "optional.unwrap([optional.of(_)])",
    "_.value()",
    "_.orValue(_)",
    "_.or(optional.of(_))",
    "_.hasValue()",
    "quantity(_)",
    "_.add(_)",
    "_.sub(_)",
    "_.compareTo(_)",
    "_.asInteger()",
    "url(_)",
    "_.getQuery()",
    "_.getHostname()",
    "ip(_)",
    "cidr(_)",
    "_.containsIP(_)",
    "_.containsCIDR(_)",
    "_.masked()",
    "semver(_, true)",
    "format.named(_)",
    "_.validate(_)",
    "type(_)",
    "string(_)",
    "int(_)",
    "uint(_)",
    "double(_)",
    "bool(_)",
    "bytes(_)",
    "timestamp(_)",
    "duration(_)",
    "size(_)",
    "_.getHours()",
    "_.getDayOfYear(_)",
    "_.getMilliseconds('-23:59')",
    "Object{a: _, ?b: optional.of(_)}",
    "JSONPatch{op: 'a', value: _}",
    "jsonpatch.escapeKey(_)",
];

#[test]
fn made_expressions_are_bounded() {
    let env = env();
    let value =
        object::json::parse(br#"[{"a": [1, 2.5, "x", null]}, ["b", {"a": true}, -3, "a.b"]]"#).unwrap();
    let [x, y] = value.as_list().unwrap() else { unreachable!() };
    Target::new(env!("CARGO_MANIFEST_DIR"), "expressions").inputs(500).run(|input| {
        let mut choices = Choices { rest: input.iter(), parts: 0 };
        let text = choices.expression();
        let (accepted, spent) = measured(|| evaluate(&text, x, y, &env));
        assert!(spent.peak <= BYTES_MAX, "{} bytes of memory: {text}", spent.peak);
        accepted
    });
}

#[test]
fn evaluations_are_bounded() {
    let words = &[
        "x",
        "l",
        "m",
        "s",
        ".a",
        ".?a",
        "[0]",
        "[?0]",
        ".map(i, i)",
        ".all(i, i == 0)",
        ".filter(i, true)",
        ".exists(i, j, i == j)",
        ".transformMap(k, v, v)",
        ".sortBy(i, i)",
        ".optMap(o, o)",
        ".flatten()",
        ".join()",
        ".replace('', s)",
        ".split('')",
        ".format([x, l])",
        ".sum()",
        ".max()",
        ".distinct()",
        ".sort()",
        ".reverse()",
        ".slice(0, 1)",
        ".indexOf(x)",
        ".substring(1, 2)",
        ".matches(s)",
        ".findAll(s)",
        ".validate(s)",
        "lists.range(9)",
        "sets.contains(l, l)",
        "quantity(s)",
        "url(s)",
        "ip(s)",
        "cidr(s)",
        "semver(s, true)",
        "timestamp(s)",
        "duration(s)",
        "format.dns1123Label()",
        "optional.of(x)",
        ".orValue(x)",
        "type(x)",
        "string(x)",
        "int(x)",
        "double(x)",
        "bytes(s)",
        "has(x.a)",
        "size(x)",
        "Object{}",
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "<",
        "&&",
        "||",
        "? x : l",
        " in ",
        "!",
        "[x]",
        "{'a': x}",
        "1",
        "-9223372036854775808",
        "1.5",
        "18446744073709551615u",
        "null",
        "true",
        "'a'",
        "b'a'",
        "\"é\"",
        ".getHours('+24:00')",
        ".getFullYear('America/New_York')",
    ];
    let env = env();
    Target::new(env!("CARGO_MANIFEST_DIR"), "evaluations").words(words).run(|input| {
        let (accepted, spent) = measured(|| run(input, &env));
        assert!(spent.peak <= BYTES_MAX, "{} bytes of memory", spent.peak);
        accepted
    });
}
