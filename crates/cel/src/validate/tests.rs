use crate::facts::{library_functions, other_functions};
use crate::{Env, check, parse, standard};

/// What is wrong with an expression, with its place.
fn outcome(text: &str) -> String {
    let env = Env::default()
        .with_functions(standard())
        .with_functions(other_functions())
        .with_functions(library_functions());
    let Err(issues) = check(parse(text).unwrap(), &env) else { return "fine".to_owned() };
    let shown = issues.to_string();
    let lines = shown.lines().filter_map(|line| line.strip_prefix("ERROR: <input>:"));
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn literals_are_checked() {
    for (text, wanted) in [
        ("duration('1h30m')", "fine"),
        ("duration('1d')", "1:10: invalid duration argument"),
        ("duration('')", "1:10: invalid duration argument"),
        ("timestamp('2011-08-18T00:00:00.000+01:00')", "fine"),
        ("timestamp('2011-08-18')", "1:11: invalid timestamp argument"),
        ("timestamp('0000-08-18T00:00:00Z')", "1:11: invalid timestamp argument"),
        ("timestamp(0)", "fine"),
        ("timestamp(253402300800)", "1:11: invalid timestamp argument"),
        ("'a'.matches('[a-z]+')", "fine"),
        ("'a'.matches('[a-z')", "1:13: invalid matches argument"),
        ("'a'.matches('a(?!b)')", "1:13: invalid matches argument"),
        ("'a'.matches('(a{1000}){1000}')", "1:13: invalid matches argument"),
        ("'hello'.matches('el*')", "fine"),
        ("'hello'.matches('x++')", "1:17: invalid matches argument"),
        ("'hello'.matches('(?<name%>el*)')", "1:17: invalid matches argument"),
        ("'hello'.matches('??el*')", "1:17: invalid matches argument"),
        ("'hello'.matches('x+?y*?[+*]{2}\\\\++')", "fine"),
        ("duration('1us')\n < duration('1nns')", "2:13: invalid duration argument"),
        ("duration('2h3m4s5us')", "fine"),
        ("timestamp('1000-00-00T00:00:00Z')", "1:11: invalid timestamp argument"),
        ("timestamp('1000-01-01T00:00:00ZZ')", "1:11: invalid timestamp argument"),
        ("timestamp(-62135596800)", "fine"),
        ("timestamp(-62135596801)", "1:11: invalid timestamp argument"),
        ("matches('(', 'a')", "1:9: invalid matches argument"),
        (
            "[1].all(x, 'a'.matches('*') && duration('x') > duration('1s'))",
            "1:24: invalid matches argument; 1:41: invalid duration argument",
        ),
    ] {
        assert_eq!(outcome(text), wanted, "{text}");
    }
}

#[test]
fn elements_are_of_one_type_unless_they_are_formatted() {
    for (text, wanted) in [
        ("'a' in ['hello', 0]", "1:18: expected type 'string' but found 'int'"),
        ("{'hello': 'world', 1: '!'}", "1:20: expected type 'string' but found 'int'"),
        ("'a' in {'hello': 'world', 'goodbye': true}", "1:38: expected type 'string' but found 'bool'"),
        ("'a' in [?optional.ofNonZeroValue(''), 'hello', ?optional.of('')]", "fine"),
        ("{?'hello': optional.ofNonZeroValue(false), 'world': true}", "fine"),
        ("[1, dyn(2)]", "1:8: expected type 'int' but found 'dyn'"),
        ("[dyn(1), dyn('')]", "fine"),
        ("{'a': 1, 'b': dyn(2)}", "1:18: expected type 'int' but found 'dyn'"),
        ("{dyn('a'): 1, 'b': 2}", "1:15: expected type 'dyn' but found 'string'"),
        ("[1, ?optional.of(2)]", "fine"),
        (
            "['', {}[?'a'].or(optional.of(dyn(1))).orValue('')]",
            "1:46: expected type 'string' but found 'dyn'",
        ),
        ("'%d %s'.format([1, dyn('')])", "fine"),
    ] {
        assert_eq!(outcome(text), wanted, "{text}");
    }
}

#[test]
fn formats_fit_their_arguments() {
    for (text, wanted) in [
        ("'%s %%'.format(['a'])", "fine"),
        (
            "'%d'.format(['a'])",
            "1:14: error during formatting: decimal clause can only be used on integers, was given string",
        ),
        ("'%.2f'.format([1.0])", "fine"),
        (
            "'%f'.format([1])",
            "1:14: error during formatting: fixed-point clause can only be used on doubles, was given int",
        ),
        (
            "'%x'.format([1.5])",
            "1:14: error during formatting: only integers, byte buffers, and strings can be formatted as hex, was given double",
        ),
        (
            "'%s'.format([optional.of(1)])",
            "1:25: error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given optional_type",
        ),
        ("'%s %s'.format(['a'])", "1:15: index 1 out of range"),
        ("'%s'.format(['a', 'b'])", "1:12: too many arguments supplied to string.format (expected 1, got 2)"),
        ("'%'.format(['a'])", "1:11: unexpected end of string"),
        (
            "'%q'.format(['a'])",
            "1:12: could not parse formatting clause: unrecognized formatting clause \"q\"",
        ),
        (
            "'%.3'.format([1.0])",
            "1:13: could not parse formatting clause: error while parsing precision: could not find end of precision specifier",
        ),
        ("'%s'.format([dyn(1)])", "fine"),
    ] {
        assert_eq!(outcome(text), wanted, "{text}");
    }
}

#[test]
fn patterns_are_limited_together() {
    // Each takes at least a quarter of a megabyte.
    let pattern = |number: usize| format!("'a'.matches('{number}[\\\\x{{100}}-\\\\x{{ffff}}]{{900}}')");
    let text = |count: usize| (0..count).map(pattern).collect::<Vec<_>>().join(" && ");
    assert_eq!(outcome(&text(10)), "fine");
    assert!(outcome(&text(80)).ends_with("invalid matches argument"));
    // Equal ones count once.
    let same = vec![pattern(0); 80].join(" && ");
    assert_eq!(outcome(&same), "fine");
}
