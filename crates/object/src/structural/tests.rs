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
            r#"Invalid value: "x": spec.v in body must be of type date-time: "x""#,
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
            r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.v"#,
        ),
        (
            r#"{"type":"integer"}"#,
            "5",
            "1.5",
            r#"[spec.v: Invalid value: "number": spec.v in body must be of type integer: "number", <nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.v]"#,
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
            "Invalid value: 0: spec.v in body should have at least 1 properties",
        ),
        (
            r#"{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]}"#,
            r#""80%""#,
            "true",
            r#"[spec.v: Invalid value: "boolean": spec.v in body must be of type integer,string: "boolean", <nil>: Invalid value: "": "spec.v" must validate at least one schema (anyOf), spec.v: Invalid value: "boolean": spec.v in body must be of type integer: "boolean"]"#,
        ),
        (
            r#"{"type":"string","nullable":true}"#,
            "null",
            "[]",
            r#"Invalid value: "array": spec.v in body must be of type string: "array""#,
        ),
        (
            r#"{"type":"string","anyOf":[{"pattern":"^a"},{"minLength":3}]}"#,
            r#""ab""#,
            r#""b""#,
            r#"[<nil>: Invalid value: "": "spec.v" must validate at least one schema (anyOf), spec.v: Invalid value: "b": spec.v in body should match '^a']"#,
        ),
        (
            r#"{"type":"integer","oneOf":[{"minimum":3},{"multipleOf":5}]}"#,
            "4",
            "10",
            r#"<nil>: Invalid value: "": "spec.v" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ),
        (
            r#"{"type":"integer","allOf":[{"minimum":3},{"multipleOf":5}]}"#,
            "5",
            "4",
            r#"[spec.v: Invalid value: 4: spec.v in body should be a multiple of 5, <nil>: Invalid value: "": "spec.v" must validate all the schemas (allOf)]"#,
        ),
        (
            r#"{"type":"string","not":{"enum":["x"]}}"#,
            r#""y""#,
            r#""x""#,
            r#"<nil>: Invalid value: "": "spec.v" must not validate the schema (not)"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false,"x-kubernetes-preserve-unknown-fields":true}"#,
            r#"{"a":"b"}"#,
            r#"{"c":"b"}"#,
            r#"Invalid value: "c": spec.v.c in body is a forbidden property"#,
        ),
        (
            r#"{"type":"number","multipleOf":0.5}"#,
            "1.5",
            "1.7",
            "Invalid value: 1.7: spec.v in body should be a multiple of 0.5",
        ),
    ] {
        let schema = json::parse(schema.as_bytes()).unwrap();
        let widget = widget(&value!({"type": "object", "properties": {"v": schema.clone()}}));
        let (_, errors) = stored(&widget, &format!(r#"{{"v":{good}}}"#));
        assert_eq!(errors, "", "{good} of {schema:?}");
        let (_, errors) = stored(&widget, &format!(r#"{{"v":{bad}}}"#));
        let place = if error.starts_with(['<', '[']) && !error.contains("]: Duplicate") {
            ""
        } else if error.starts_with(['[', '.']) {
            "spec.v"
        } else {
            "spec.v: "
        };
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
    assert!(matches!(Structural::compile("Widget", &schema).err().unwrap().problem, Problem::Pattern { .. }));
}

#[test]
fn an_update_is_not_refused_for_what_it_leaves_as_it_was() {
    let widget = widget(&value!({"type": "object", "properties": {
        "old": {"type": "string", "maxLength": 2i64},
        "new": {"type": "string", "maxLength": 2i64},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {
            "type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "string", "maxLength": 2i64}}
        }},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    }}));
    let object = |spec: Value| value!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": spec});
    let long = value!({"n": "a", "v": "long"});
    let old = object(value!({"old": "long", "list": [(long.clone())], "set": ["a", "a"]}));
    let same = object(value!({
        "old": "long", "list": [{"n": "b", "v": "ok"}, (long)], "set": ["a", "a", "b"]
    }));
    assert!(widget.validate_update(&same, &old).is_empty());
    assert!(!widget.validate(&same).is_empty());
    let worse = object(value!({"old": "longer", "new": "long", "list": [{"n": "a", "v": "longer"}]}));
    assert_eq!(widget.validate_update(&worse, &old).len(), 3);
}

#[test]
fn the_status_has_rules_of_its_own() {
    let schema = value!({"type": "object", "properties": {
        "spec": {"type": "string"},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}
    }});
    let widget = Structural::compile("Widget", &schema).unwrap();
    let object = value!({"spec": 1i64, "status": {"phase": 2i64}});
    assert_eq!(
        widget.validate_status_update(&object, &Value::Null).to_string(),
        r#"status.phase: Invalid value: "integer": phase in body must be of type string: "integer""#
    );
}

/// Schemas of a spec, with the errors of the whole; none where it is accepted.
#[test]
fn definitions_are_checked_in_upstream_s_words() {
    for (spec, error) in [
        (r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#, ""),
        (r#"{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]}"#, ""),
        (
            r#"{"x-kubernetes-int-or-string":true,"allOf":[{"anyOf":[{"type":"integer"},{"type":"string"}]},{"pattern":"a"}]}"#,
            "",
        ),
        (r#"{"type":"string","oneOf":[{"pattern":"a"}],"default":"a"}"#, ""),
        (r#"{}"#, "s.properties[spec].type: Required value: must not be empty for specified object fields"),
        (
            r#"{"type":"text"}"#,
            r#"s.properties[spec].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string""#,
        ),
        (r#"{"type":"array"}"#, "s.properties[spec].items: Required value: must be specified"),
        (
            r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"string"}}"#,
            "s.properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            r#"{"type":"object","anyOf":[{"properties":{"a":{"type":"string"}}}]}"#,
            "s.properties[spec].anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
        ),
        (
            r#"{"type":"string","default":3}"#,
            r#"s.properties[spec].default: Invalid value: "integer":  in body must be of type string: "integer""#,
        ),
        (
            r#"{"type":"object","default":{"a":1}}"#,
            r#"s.properties[spec].default: Invalid value: {"a":1}: must not have unknown fields"#,
        ),
        (
            r#"{"type":"array","items":{"type":"object","properties":{"n":{"type":"string"}}},"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["n"]}"#,
            "s.properties[spec].items.properties[n].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            r#"{"type":"array","items":{"type":"object"},"x-kubernetes-list-type":"set"}"#,
            "s.properties[spec].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
        (
            r#"{"type":"array","uniqueItems":true,"items":{"type":"string"}}"#,
            "s.properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
    ] {
        let schema =
            value!({"type": "object", "properties": {"spec": (json::parse(spec.as_bytes()).unwrap())}});
        let errors = check(&schema, &Path::root("s"));
        let text = if errors.is_empty() { String::new() } else { errors.to_string() };
        assert_eq!(text, error, "{spec}");
    }
    let metadata = value!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}}
    }}}});
    assert_eq!(
        check(&metadata, &Path::root("s")).to_string(),
        "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
    );
}

/// A short text does not become an object as large as memory.
#[test]
fn defaults_are_bounded() {
    let member = value!({"type": "object", "default": {}, "properties": {"x": {"type": "string", "default": ("x".repeat(10_000))}}});
    let schema = value!({"type": "object", "properties": {"l": {"type": "array", "items": member}}});
    let structural = Structural::compile("com.example.v1.Widget", &schema).unwrap();
    let filled = |items: usize| {
        let mut object = value!({"l": (vec![Value::map(); items])});
        structural.default(&mut object);
        let filled = object.get("l").items().filter(|item| !item.get("x").is_null()).count();
        (filled, crate::json::to_vec(&object).len())
    };
    assert_eq!(filled(100).0, 100);
    let (some, bytes) = filled(20_000);
    assert!(some < 1_000 && bytes > 8 << 20, "{some} of 20,000 items, {bytes} bytes");
}

#[test]
fn embedded_objects_have_the_defaults_of_their_metadata() {
    let metadata = value!({"type": "object", "properties": {"name": {"type": "string", "default": "web"}}});
    let template = |metadata: &Value| {
        value!({"type": "object", "properties": {"template": {
            "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
            "properties": {
                "apiVersion": {"type": "string", "default": "v1"}, "kind": {"type": "string", "default": "Pod"},
                "metadata": metadata.clone()
            }
        }}})
    };
    let widget_of = |metadata: &Value| widget(&template(metadata));
    let given = |name: &str| value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    for (text, expected) in [
        (r#"{"metadata": {}}"#, given("web")),
        (r#"{"metadata": {"name": "own"}, "kind": "Pod"}"#, given("own")),
        ("{}", value!({"apiVersion": "v1", "kind": "Pod"})),
    ] {
        let (spec, errors) = stored(&widget_of(&metadata), &format!(r#"{{"template": {text}}}"#));
        assert_eq!((spec.get("template"), &*errors), (&expected, ""), "{text}");
    }
    let mut whole = metadata;
    whole.set("default", Value::map());
    let (spec, _) = stored(&widget_of(&whole), r#"{"template": {}}"#);
    assert_eq!(spec.get("template"), &given("web"));
}
