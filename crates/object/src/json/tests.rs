use proptest::prelude::*;

use super::*;
use crate::{Map, value};

fn text(value: &Value) -> String {
    String::from_utf8(to_vec(value)).unwrap()
}

#[test]
fn documents_are_read() {
    for (json, expected) in [
        (" null ", Value::Null),
        ("[true,false]", value!([true, false])),
        ("-0", Value::Int(0)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
        ("1.50e2", Value::Float(150.0)),
        (r#"{"a":{"b":[1,{}]},"c":[]}"#, value!({"a": {"b": [1, {}]}, "c": []})),
        (r#""\u00e4\ud83d\ude00\n\/""#, Value::from("ä😀\n/")),
        (r#""\ud83dx\udc00""#, Value::from("\u{fffd}x\u{fffd}")),
        (r#""\ud83d\u0041""#, Value::from("\u{fffd}A")),
        (r#"{"a":1,"b":2,"a":3}"#, value!({"b": 2, "a": 3})),
    ] {
        assert_eq!(parse(json.as_bytes()).unwrap(), expected, "{json}");
    }
    assert_eq!(parse(b"\"\xff\"").unwrap(), Value::from("\u{fffd}"));
}

#[test]
fn errors_are_gos() {
    for (json, error) in [
        ("", "unexpected end of JSON input"),
        ("{\"a\":", "unexpected end of JSON input"),
        ("\"ab", "unexpected end of JSON input"),
        ("nul", "unexpected end of JSON input"),
        ("nulx", "invalid character 'x' in literal null"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("1 2", "invalid character '2' after top-level value"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ("\"\n\"", "invalid character '\\n' in string literal"),
        ("'", "invalid character '\\'' looking for beginning of value"),
        ("1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"),
    ] {
        assert_eq!(parse(json.as_bytes()).unwrap_err().to_string(), error, "{json}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()), Err(JsonError::TooDeep));
    assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes()), Err(JsonError::TooDeep));
}

#[test]
fn text_is_gos() {
    for (value, expected) in [
        (Value::Float(1.0), "1"),
        (Value::Float(-0.0), "0"),
        (Value::Float(0.1), "0.1"),
        (Value::Float(1e21), "1e+21"),
        (Value::Float(1e20), "100000000000000000000"),
        (Value::Float(-2.5e-7), "-2.5e-7"),
        (Value::Float(f64::NAN), "null"),
        (Value::Int(i64::MIN), "-9223372036854775808"),
        (value!({"a": [1, null, true], "b": {}}), r#"{"a":[1,null,true],"b":{}}"#),
        (Value::from("a<b>&\"\\\n\t\r\u{8}\u{c}\u{1}\u{7f}"), r#""a\u003cb\u003e\u0026\"\\\n\t\r\b\f\u0001"#),
        (Value::from("\u{2028}–\u{2029}â"), "\"\\u2028–\\u2029â\""),
    ] {
        assert!(text(&value).starts_with(expected), "{} is not {expected}", text(&value));
    }
}

/// Any tree, with few and small members.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        // Short doubles, which other parsers read exactly too.
        any::<i32>().prop_map(|n| Value::Float(f64::from(n) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Map(members.into_iter().collect::<Map>())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in any_value()) {
        let text = to_vec(&value);
        prop_assert_eq!(&to_bytes(&value), &text);
        prop_assert_eq!(parse(&text).unwrap(), value);
    }

    #[test]
    fn doubles_are_read_back(number in any::<f64>().prop_filter("JSON has none else", |f| f.is_finite())) {
        prop_assert_eq!(parse(&to_vec(&Value::Float(number))).unwrap(), Value::Float(number));
    }

    #[test]
    fn other_parsers_agree(value in any_value()) {
        let other: serde_json::Value = serde_json::from_slice(&to_vec(&value)).unwrap();
        prop_assert_eq!(parse(&serde_json::to_vec(&other).unwrap()).unwrap(), value);
    }

    #[test]
    fn garbage_is_refused_as_others_refuse_it(text in "[\\[\\]{}\":,0-9eE.+\\- truefalsn\\\\u]{0,24}") {
        let other = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(parse(text.as_bytes()).is_ok(), other.is_ok(), "{}", text);
    }

    #[test]
    fn bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }
}
