use super::*;
use crate::value;

#[test]
fn texts_parse_and_print() {
    for (text, printed) in [
        ("", ""),
        ("a", "a"),
        ("!a", "!a"),
        ("a=b", "a=b"),
        ("a==b", "a==b"),
        ("a!=b", "a!=b"),
        ("a=", "a="),
        ("a=,b=c", "a=,b=c"),
        ("a in (b)", "a in (b)"),
        ("x in (c, a,b)", "x in (a,b,c)"),
        ("x notin (a)", "x notin (a)"),
        ("x in ()", "x in ()"),
        ("x in (,a)", "x in (,a)"),
        ("x in (a,,b)", "x in (,a,b)"),
        ("x in (a,)", "x in (,a)"),
        ("a>1", "a>1"),
        ("a < 1", "a<1"),
        (" b , a ", "a,b"),
        ("in in (in, notin)", "in in (in,notin)"),
        ("a=in", "a=in"),
        ("example.com/a=b", "example.com/a=b"),
        ("!a,b", "!a,b"),
    ] {
        let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(selector.to_string(), printed, "{text}");
    }
}

#[test]
fn wrong_texts() {
    for (text, error) in [
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b,=", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("a==!b", "unable to parse requirement: found '!', expected: identifier"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ] {
        assert_eq!(Selector::parse(text).unwrap_err().to_string(), error, "{text}");
    }
    let error = Selector::parse("a,-b=c").unwrap_err().to_string();
    assert!(
        error.starts_with("unable to parse requirement: <nil>: Invalid value: \"-b\": name part must"),
        "{error}"
    );
    let error = Selector::parse("a=-b").unwrap_err().to_string();
    assert!(
        error.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label"),
        "{error}"
    );
}

#[test]
fn matching() {
    let labels = value!({"app": "web", "n": "5", "empty": ""});
    for (text, expected) in [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        ("app=api", false),
        ("app!=api", true),
        ("app!=web", false),
        ("none=web", false),
        ("none!=web", true),
        ("app", true),
        ("none", false),
        ("!none", true),
        ("!app", false),
        ("app in (api, web)", true),
        ("app notin (api, web)", false),
        ("none notin (web)", true),
        ("none in (web)", false),
        ("n>4", true),
        ("n>5", false),
        ("n<6", true),
        ("app>1", false),
        ("none<1", false),
        ("empty=", true),
        ("empty in ()", true),
        ("app=web,n=6", false),
    ] {
        assert_eq!(Selector::parse(text).unwrap().matches(&labels), expected, "{text}");
    }
    assert!(!Selector::nothing().matches(&labels));
    assert!(Selector::everything().matches(&Value::Null));
    assert!(Selector::from_labels([("app", "web")]).matches([("app", "web"), ("x", "y")].as_slice()));
}

#[test]
fn field_selectors() {
    for (text, printed) in [
        ("", ""),
        ("a=b", "a=b"),
        ("a==b", "a=b"),
        ("b!=c,a=", "a=,b!=c"),
        (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
        (",a=b,", "a=b"),
    ] {
        assert_eq!(FieldSelector::parse(text).unwrap().to_string(), printed, "{text}");
    }
    for (text, error) in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        (r"a=\", r"invalid field selector: invalid escape sequence: \"),
    ] {
        assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), error, "{text}");
    }
    let selector = FieldSelector::parse("metadata.name=x,spec.nodeName!=y").unwrap();
    let fields = |node: &'static str| move |name: &str| if name == "metadata.name" { "x" } else { node };
    assert!(selector.matches(fields("")) && !selector.matches(fields("y")));
    assert_eq!(selector.exact("metadata.name"), Some("x"));
    assert_eq!(selector.exact("spec.nodeName"), None);
    assert_eq!(FieldSelector::equal("a", "b,c").to_string(), r"a=b\,c");
}
