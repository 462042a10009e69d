use proptest::prelude::*;

use super::*;
use crate::value;

#[test]
fn scalars_are_go_yamls() {
    for (yaml, expected) in [
        ("a: yes\nb: off\nc: 'yes'\nd: y", value!({"a": true, "b": false, "c": "yes", "d": true})),
        (
            "a: 0644\nb: 0o17\nc: 0x1F\nd: 0b11\ne: 1_000\nf: 08",
            value!({"a": 420, "b": 15, "c": 31, "d": 3, "e": 1000, "f": 8}),
        ),
        (
            "a: 1.0\nb: 1.5\nc: 1e3\nd: .5\ne: 1.2.3",
            value!({"a": 1, "b": 1.5, "c": 1000, "d": 0.5, "e": "1.2.3"}),
        ),
        ("a: ~\nb:\nc: null\nd: ''", value!({"a": null, "b": null, "c": null, "d": ""})),
        ("a: 2001-12-14\nb: 2001-12-14T21:59:43Z", value!({"a": "2001-12-14", "b": "2001-12-14T21:59:43Z"})),
        ("a: !!str 5\nb: !!int '5'\nc: !custom x", value!({"a": "5", "b": 5, "c": "x"})),
        ("1: a\ntrue: b\n1.5: c", value!({"1": "a", "true": "b", "1.5": "c"})),
        ("a: 18446744073709551615", value!({"a": 18_446_744_073_709_551_615.0})),
        ("", Value::Null),
        ("# only a comment\n", Value::Null),
        ("---\na: 1\n...\n", value!({"a": 1})),
        (
            "# x\na: 1 # x\n# x\nb: # x\n  - 1 # x\n  # x\n  - c: 2 # x\n",
            value!({"a": 1, "b": [1, {"c": 2}]}),
        ),
        ("a: [1, # x\n 2] # x\nb: |\n  x # y\n# x\n", value!({"a": [1, 2], "b": "x # y\n"})),
        ("--- # x\na: &b 1 # x\nc: *b # x\n... # x\n", value!({"a": 1, "c": 1})),
        (r#"{"a": [1, "b", {"c": null}]}"#, value!({"a": [1, "b", {"c": null}]})),
        ("a: |\n  x\n   y\nb: >-\n  x\n  y\n", value!({"a": "x\n y\n", "b": "x y"})),
        (
            "base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\nsame: *b",
            value!({"base": {"x": 1, "z": 2}, "use": {"x": 1, "z": 3}, "same": {"x": 1, "z": 2}}),
        ),
        ("y: 1", value!({"true": 1})),
    ] {
        assert_eq!(parse(yaml.as_bytes()).unwrap(), expected, "{yaml}");
    }
}

#[test]
fn what_is_no_body_is_refused() {
    for (yaml, error) in [
        ("a: 1\n---\nb: 2\n", "error converting YAML to JSON: yaml: line 2: only one document is allowed"),
        ("a: .nan", "error converting YAML to JSON: yaml: line 1: unsupported value: not a finite number"),
        ("? [a]\n: b", "error converting YAML to JSON: yaml: line 1: unsupported map key"),
        (
            "<<: 1",
            "error converting YAML to JSON: yaml: line 1: map merge requires map or sequence of maps as the value",
        ),
        ("a: &x [*x]", "error converting YAML to JSON: yaml: line 1: anchor value contains itself"),
    ] {
        assert_eq!(parse(yaml.as_bytes()).unwrap_err().to_string(), error, "{yaml}");
    }
    assert!(matches!(parse(b"a: [1"), Err(YamlError::Syntax { .. })));
    assert!(matches!(parse(b"a: b: c"), Err(YamlError::Syntax { line: 1, .. })));
    assert_eq!(parse("[".repeat(1000).as_bytes()), Err(YamlError::TooDeep));
}

#[test]
fn text_is_utf8() {
    for (text, problem) in [
        (&b"a: \xff"[..], "invalid leading UTF-8 octet"),
        (b"a: \x80", "invalid leading UTF-8 octet"),
        (b"a: \xe2\x82", "incomplete UTF-8 octet sequence"),
        (b"a: \xe2\x82a", "invalid trailing UTF-8 octet"),
        (b"a: \xc0\xaf", "invalid length of a UTF-8 sequence"),
        (b"a: \xed\xa0\x80", "invalid Unicode character"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert_eq!(error, format!("error converting YAML to JSON: yaml: {problem}"), "{text:?}");
    }
}

#[test]
fn aliases_are_bounded() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert_eq!(parse(bomb.as_bytes()), Err(YamlError::ExcessiveAliasing));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), ["*a"; 100].join(","));
    assert_eq!(parse(long.as_bytes()), Err(YamlError::ExcessiveAliasing));
}

#[test]
fn duplicates_are_told_with_their_lines() {
    let (value, duplicates) = parse_reporting(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n").unwrap();
    assert_eq!(value, value!({"a": 3, "b": {"c": 2}}));
    assert_eq!(
        duplicates.unwrap().to_string(),
        "error converting YAML to JSON: yaml: unmarshal errors:\n  line 4: key \"c\" already set in map\n  \
         line 5: key \"a\" already set in map",
    );
}

#[test]
fn text_is_go_yamls() {
    for (value, expected) in [
        (value!({"a": "x", "B": "", "c": "null"}), "B: \"\"\na: x\nc: \"null\"\n"),
        (
            value!({"a": "yes", "b": "1.5", "c": "0x1", "d": "1:30", "e": "2001-01-01"}),
            "a: \"yes\"\nb: \"1.5\"\nc: \"0x1\"\nd: \"1:30\"\ne: \"2001-01-01\"\n",
        ),
        (
            value!({"a": "- x", "b": "x: y", "c": "x #y", "d": "it's", "e": "'q'", "f": "a:b", "g": " x"}),
            "a: '- x'\nb: 'x: y'\nc: 'x #y'\nd: it's\ne: '''q'''\nf: a:b\ng: ' x'\n",
        ),
        (
            value!({"a": "x\ny\n", "b": "x\ny", "c": "\nx\n\n", "d": "x \ny"}),
            "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |2+\n\n  x\n\nd: \"x \\ny\"\n",
        ),
        (value!({"a": "tab\there", "b": "😀", "c": "ä"}), "a: \"tab\\there\"\nb: \"\\U0001F600\"\nc: ä\n"),
        (
            value!({"l": [["a", "b"], {"x": 1, "y": [2]}, [], {}]}),
            "l:\n- - a\n  - b\n- x: 1\n  \"y\":\n  - 2\n- []\n- {}\n",
        ),
        (value!({"a10": 1, "a9": 2, "a": 3, "_b": 4}), "_b: 4\na: 3\na9: 2\na10: 1\n"),
        (value!({"f": 1e21, "g": 0.00001, "h": 1.5}), "f: 1e+21\ng: 1e-05\nh: 1.5\n"),
        (
            value!({"m": "aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa bbb ccc"}),
            "m: aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa aaaaaaaaaa\n  bbb ccc\n",
        ),
        (value!(["a", {"b": "c\nd"}]), "- a\n- b: |-\n    c\n    d\n"),
        (Value::from("x"), "x\n"),
        (Value::map(), "{}\n"),
    ] {
        assert_eq!(to_string(&value), expected);
    }
}

#[test]
fn long_keys_are_written_behind_a_question_mark() {
    let key = "k".repeat(129);
    let text = to_string(&Value::Map([(key.clone(), Value::Int(1))].into_iter().collect()));
    assert_eq!(text, format!("? {key}\n: 1\n"));
    assert_eq!(parse(text.as_bytes()).unwrap().get(&key), &Value::Int(1));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in crate::json::tests::any_value()) {
        prop_assert_eq!(parse(to_string(&value).as_bytes()).unwrap(), value);
    }

    #[test]
    fn strings_are_read_back(text in "[ a-c\\n:#'\"\\-?\\t\u{85}\u{2028}\u{feff}0.~yä|>{}%&*!\\[\\]\\\\]{0,16}") {
        let value = Value::Map([("k", Value::from(text))].into_iter().collect());
        prop_assert_eq!(parse(to_string(&value).as_bytes()).unwrap(), value);
    }

    #[test]
    fn long_strings_are_read_back(text in "[a-b :'\"]{60,240}") {
        let value = Value::List(vec![Value::from(text)]);
        prop_assert_eq!(parse(to_string(&value).as_bytes()).unwrap(), value);
    }

    #[test]
    fn garbage_does_not_panic(text in "[ \\n:#'\"\\-?|>{}%&*!\\[\\]a1~<,\\t]{0,48}") {
        let _ = parse(text.as_bytes());
    }
}
