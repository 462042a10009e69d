use super::*;
use crate::{decode, json, value};

fn widget(spec: &Value) -> Structural {
    let schema = value!({"type": "object", "properties": {"spec": spec.clone()}});
    Structural::compile("com.example.v1.Widget", &schema).unwrap()
}

/// The spec as it is stored, and its errors.
fn stored(widget: &Structural, spec: &str) -> (Value, String) {
    let text = format!(r#"{{"apiVersion":"example.com/v1","kind":"Widget","spec":{spec}}}"#);
    let mut object = decode::decode_json(text.as_bytes(), widget.ty()).unwrap().value;
    widget.default(&mut object);
    let errors = widget.validate(&object);
    let text = if errors.is_empty() { String::new() } else { errors.to_string() };
    (object.get("spec").clone(), text)
}

#[test]
fn nesting_of_any_depth_is_pruned_defaulted_and_validated() {
    let point = value!({
        "type": "object", "required": ["x"],
        "properties": {"x": {"type": "integer", "minimum": 0i64}, "y": {"type": "integer", "default": 7i64}}
    });
    let list = |items: &Value| value!({"type": "array", "items": items.clone()});
    let map = |values: &Value| value!({"type": "object", "additionalProperties": values.clone()});
    let widget = widget(&value!({"type": "object", "properties": {
        "matrix": list(&list(&value!({"type": "number"}))),
        "routes": map(&list(&point)),
        "zones": list(&map(&map(&value!({"type": "string", "enum": ["a", "b"]})))),
        "anything": {"x-kubernetes-preserve-unknown-fields": true},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"point": point}}
    }}));
    let (spec, errors) = stored(
        &widget,
        r#"{"matrix": [[1, 2.5], [3]], "routes": {"r": [{"x": 1, "z": 2}]}, "zones": [{"z": {"k": "a"}}],
            "anything": [{"q": 1}], "open": {"extra": {"e": 1}, "point": {"x": 2, "gone": true}}, "gone": 1}"#,
    );
    assert_eq!(errors, "");
    assert_eq!(
        spec,
        value!({
            "matrix": [[1i64, 2.5], [3i64]], "routes": {"r": [{"x": 1i64, "y": 7i64}]},
            "zones": [{"z": {"k": "a"}}], "anything": [{"q": 1i64}],
            "open": {"extra": {"e": 1i64}, "point": {"x": 2i64, "y": 7i64}}
        })
    );
    let (_, errors) = stored(
        &widget,
        r#"{"matrix": [[1], ["2"]], "routes": {"r": [{"x": -1}, {}]}, "zones": [{"z": {"k": "c"}}]}"#,
    );
    for expected in [
        r#"spec.matrix[1][0]: Invalid value: "string": spec.matrix[1][0] in body must be of type number: "string""#,
        "spec.routes.r[0].x: Invalid value: -1: spec.routes.r[0].x in body should be greater than or equal to 0",
        "spec.routes.r[1].x: Required value",
        r#"spec.zones[0].z.k: Unsupported value: "c": supported values: "a", "b""#,
    ] {
        assert!(errors.contains(expected), "{expected} in {errors}");
    }
}

/// A schema of one value, a valid and an invalid value, and the error of the latter.
#[test]
fn rules_are_checked_in_upstream_s_words() {
    for (schema, good, bad, error) in [
        (
            r#"{"type":"string","maxLength":2}"#,
            r#""ab""#,
            r#""abc""#,
            "Too long: may not be more than 2 bytes",
        ),
        (
            r#"{"type":"string","minLength":2}"#,
            r#""äb""#,
            r#""a""#,
            r#"Invalid value: "a": spec.v in body should be at least 2 chars long"#,
        ),
        (
            r#"{"type":"string","pattern":"^a+$"}"#,
            r#""aa""#,
            r#""ab""#,
            r#"Invalid value: "ab": spec.v in body should match '^a+$'"#,
        ),
        (
            r#"{"type":"string","format":"date-time"}"#,
            r#""2024-01-01T00:00:00Z""#,
            r#""x""#,
            r#"Invalid value: "x": spec.v in body should be of type date-time"#,
        ),
        (
            r#"{"type":"integer","maximum":3,"exclusiveMaximum":true}"#,
            "2",
            "3",
            "Invalid value: 3: spec.v in body should be less than 3",
        ),
        (
            r#"{"type":"integer","multipleOf":5}"#,
            "10",
            "11",
            "Invalid value: 11: spec.v in body should be a multiple of 5",
        ),
        (
            r#"{"type":"integer","format":"int32"}"#,
            "5",
            "3000000000",
            "Invalid value: 3000000000: spec.v in body should be of format int32",
        ),
        (
            r#"{"type":"integer"}"#,
            "5",
            "1.5",
            r#"Invalid value: "number": spec.v in body must be of type integer: "number""#,
        ),
        (
            r#"{"type":"boolean"}"#,
            "true",
            "1",
            r#"Invalid value: "integer": spec.v in body must be of type boolean: "integer""#,
        ),
        (
            r#"{"type":"array","maxItems":1,"items":{"type":"string"}}"#,
            r#"["a"]"#,
            r#"["a","b"]"#,
            "Too many: 2: must have at most 1 item",
        ),
        (
            r#"{"type":"array","minItems":1,"items":{"type":"string"}}"#,
            r#"["a"]"#,
            "[]",
            "Invalid value: 0: spec.v in body should have at least 1 items",
        ),
        (
            r#"{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}"#,
            r#"["a","b"]"#,
            r#"["a","a"]"#,
            r#"[1]: Duplicate value: "a""#,
        ),
        (
            r#"{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["n"],"items":{"type":"object","properties":{"n":{"type":"string"}}}}"#,
            r#"[{"n":"a"},{"n":"b"}]"#,
            r#"[{"n":"a"},{"n":"a"}]"#,
            r#"[1]: Duplicate value: {"n":"a"}"#,
        ),
        (
            r#"{"type":"object","minProperties":1,"additionalProperties":{"type":"string"}}"#,
            r#"{"a":"b"}"#,
            "{}",
            "Invalid value: {}: spec.v in body should have at least 1 properties",
        ),
        (
            r#"{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]}"#,
            r#""80%""#,
            "true",
            r#"Invalid value: "boolean": spec.v in body must be of type integer or string: "boolean""#,
        ),
        (
            r#"{"type":"string","nullable":true}"#,
            "null",
            "[]",
            r#"Invalid value: "array": spec.v in body must be of type string: "array""#,
        ),
        (
            r#"{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}"#,
            r#"{"apiVersion":"v1","kind":"Pod","spec":{}}"#,
            r#"{"kind":"Pod"}"#,
            ".apiVersion: Required value",
        ),
    ] {
        let schema = json::parse(schema.as_bytes()).unwrap();
        let widget = widget(&value!({"type": "object", "properties": {"v": schema.clone()}}));
        let (_, errors) = stored(&widget, &format!(r#"{{"v":{good}}}"#));
        assert_eq!(errors, "", "{good} of {schema:?}");
        let (_, errors) = stored(&widget, &format!(r#"{{"v":{bad}}}"#));
        let place = if error.starts_with(['[', '.']) { "spec.v" } else { "spec.v: " };
        assert_eq!(errors, format!("{place}{error}"));
    }
}

#[test]
fn null_that_means_nothing_gives_way_to_the_default() {
    let widget = widget(&value!({"type": "object", "properties": {
        "kept": {"type": "string", "nullable": true, "default": "d"},
        "filled": {"type": "string", "default": "d"},
        "gone": {"type": "string"},
        "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "integer", "default": 3i64}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "list": {"type": "array", "items": {"type": "string", "default": "i"}}
    }}));
    let (spec, errors) = stored(
        &widget,
        r#"{"kept": null, "filled": null, "gone": null, "map": {"a": null}, "list": [null, "x"]}"#,
    );
    assert_eq!(errors, "");
    assert_eq!(
        spec,
        value!({"kept": null, "filled": "d", "nested": {"deep": 3i64}, "map": {}, "list": ["i", "x"]})
    );
}

#[test]
fn what_is_not_structural_is_refused_with_its_place() {
    for (schema, error) in [
        (r#"{}"#, "openAPIV3Schema.properties[spec]: type must not be empty for specified object fields"),
        (r#"{"type":"text"}"#, r#"openAPIV3Schema.properties[spec]: unknown type "text""#),
        (r#"{"type":"array"}"#, "openAPIV3Schema.properties[spec]: items must be specified for an array"),
        (
            r#"{"type":"array","items":{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"string"}}}"#,
            "openAPIV3Schema.properties[spec].items: additionalProperties and properties are mutual exclusive",
        ),
        (
            r#"{"type":"object","x-kubernetes-validations":[{"rule":"true"}]}"#,
            "openAPIV3Schema.properties[spec]: x-kubernetes-validations is not supported",
        ),
        (
            r#"{"type":"string","pattern":"("}"#,
            r#"openAPIV3Schema.properties[spec]: pattern is not a regular expression of limited size: "(""#,
        ),
    ] {
        let spec = json::parse(schema.as_bytes()).unwrap();
        let schema = value!({"type": "object", "properties": {"spec": spec}});
        let refused = Structural::compile("Widget", &schema).err().expect("the schema is refused");
        assert_eq!(refused.to_string(), error);
    }
    let refused = Structural::compile("Widget", &value!({"type": "array"})).err().unwrap();
    assert_eq!(refused.problem, Problem::RootType);
}

#[test]
fn a_pattern_that_explodes_is_refused() {
    let spec = value!({"type": "string", "pattern": "((a{1000}){1000}){1000}"});
    let schema = value!({"type": "object", "properties": {"spec": spec}});
    assert!(matches!(Structural::compile("Widget", &schema).err().unwrap().problem, Problem::Pattern(_)));
}
