use super::*;
use crate::value;

#[test]
fn paths_print_as_upstream() {
    let containers = Path::root("spec").child("containers").to_string();
    assert_eq!(containers, "spec.containers");
    let spec = Path::root("spec");
    for (path, text) in [
        (
            spec.child("containers").index(0).child("ports").index(1).to_string(),
            "spec.containers[0].ports[1]",
        ),
        (Path::root("data").key("a.b").to_string(), "data[a.b]"),
        (spec.child("template.spec").child("x").to_string(), "spec.template.spec.x"),
        (Path::root("").child("x").to_string(), "x"),
        (Path::root("metadata").child("labels").key("k").child("z").to_string(), "metadata.labels[k].z"),
    ] {
        assert_eq!(path, text);
    }
}

#[test]
fn messages_are_upstreams() {
    let p = Path::root("f");
    for (error, text) in [
        (Error::invalid(&p, -1, "too small"), "f: Invalid value: -1: too small"),
        (Error::invalid(&p, "x\"y", ""), r#"f: Invalid value: "x\"y""#),
        (Error::invalid(&p, Value::Null, "no"), "f: Invalid value: null: no"),
        (Error::invalid(&p, true, "no"), "f: Invalid value: true: no"),
        (Error::invalid(&p, value!({"a": ["b", 1]}), "no"), r#"f: Invalid value: {"a":["b",1]}: no"#),
        (Error::type_invalid(&p, "x", "must be integer"), r#"f: Invalid value: "x": must be integer"#),
        (Error::required(&p, ""), "f: Required value"),
        (Error::required(&p, "name me"), "f: Required value: name me"),
        (Error::forbidden(&p, "not here"), "f: Forbidden: not here"),
        (Error::duplicate(&p, "x"), r#"f: Duplicate value: "x""#),
        (Error::not_found(&p, "x"), r#"f: Not found: "x""#),
        (
            Error::not_supported(&p, "x", &["A", "B"]),
            r#"f: Unsupported value: "x": supported values: "A", "B""#,
        ),
        (Error::not_supported(&p, "x", &[]), r#"f: Unsupported value: "x""#),
        (Error::too_long(&p, 63), "f: Too long: may not be more than 63 bytes"),
        (Error::too_long(&p, 1), "f: Too long: may not be more than 1 byte"),
        (Error::too_long_characters(&p, 2), "f: Too long: may not be more than 2 characters"),
        (Error::too_short(&p, "x", 2), "f: Too short: must be at least 2 characters"),
        (Error::too_many(&p, 5, 3), "f: Too many: 5: must have at most 3 items"),
        (Error::too_many(&p, 5, 1).without_value(), "f: Too many: must have at most 1 item"),
        (Error::too_few(&p, 0, 1), "f: Too few: 0: must have at least 1 item"),
        (Error::internal(&p, "broken"), "f: Internal error: broken"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn lists_print_as_upstreams_aggregate() {
    let p = Path::root("f");
    let mut errors = Errors::new();
    errors.required(&p, "");
    errors.required(&p, "");
    assert_eq!(errors.to_string(), "f: Required value", "equal messages are told once");
    assert_eq!(errors.len(), 2, "but each is kept");
    errors.duplicate(&p, 1);
    assert_eq!(errors.to_string(), "[f: Required value, f: Duplicate value: 1]");
    assert!(Errors::new().into_result().is_ok());
    assert!(errors.into_result().is_err());
}

#[test]
fn of_many_errors_some_are_told() {
    let spec = Path::root("spec");
    let mut errors = Errors::new();
    for index in 0..ERRORS_MAX + 7 {
        errors.required(&spec.index(index), "");
    }
    assert_eq!((errors.len(), errors.iter().count(), errors.omitted()), (ERRORS_MAX + 7, ERRORS_MAX, 7));
    assert!(errors.to_string().ends_with("spec[99]: Required value, 7 more errors omitted]"));
    let mut all = Errors::new();
    all.required(&spec, "");
    all.append(errors);
    assert_eq!((all.len(), all.omitted()), (ERRORS_MAX + 8, 8));
    let status = crate::Status::invalid("", "Pod", "web", &all);
    let causes = status.details.unwrap().causes;
    assert_eq!((causes.len(), &*causes[ERRORS_MAX].message), (ERRORS_MAX + 1, "8 more errors omitted"));
    // One that is not reported is not created.
    all.push_with(|| unreachable!("there are enough"));
    assert_eq!(all.len(), ERRORS_MAX + 9);
}

#[test]
fn long_texts_are_cut() {
    let long = "\u{e4}".repeat(3 << 20);
    let error = Error::invalid(&Path::root("data").key(&long), long.as_str(), long.clone());
    let told = error.to_string();
    assert!(told.len() < 20_000 && told.contains("... (6291456 bytes)"), "{}", told.len());
    let list = Value::from(vec![Value::from(1i64); 1 << 20]);
    let kept = Error::invalid(&Path::root("data"), list, "").shown.unwrap();
    assert!(kept.len() < 5_000 && kept.ends_with("... (2097153 bytes)"), "{}", kept.len());
}
