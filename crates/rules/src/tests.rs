//! Rules of definitions, and objects that keep or break them. Texts and costs are upstream's.

use std::sync::Arc;

use object::field::Path;
use object::{Value, json, value};

use crate::{Rules, check};

fn schema(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

/// A schema whose `spec` has this one.
fn with_spec(spec: &str) -> Value {
    schema(&format!(r#"{{"type": "object", "properties": {{"spec": {spec}}}}}"#))
}

fn rules(schema: &Value) -> Rules {
    let text = String::from_utf8(json::to_vec(schema)).unwrap();
    Rules::of(schema, &Arc::from(text)).unwrap()
}

fn found(spec: &str, object: &Value, old: Option<&Value>) -> String {
    rules(&with_spec(spec)).validate(object, old).to_string()
}

/// What a definition with this spec is told.
fn told(spec: &str) -> String {
    check(&with_spec(spec), false, &Path::root("s")).to_string()
}

#[test]
fn broken_rules_are_told_with_their_words_and_fields() {
    let object = value!({"spec": {"min": 3i64, "max": 2i64, "names": ["a", "b"], "free": {"x": 1i64}}});
    let properties = r#""properties": {
        "min": {"type": "integer"}, "max": {"type": "integer"},
        "names": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 5}},
        "free": {"type": "object", "additionalProperties": {"type": "integer"}}
    }"#;
    for (rule, expected) in [
        (r#"{"rule": "self.min <= self.max"}"#, "spec: Invalid value: failed rule: self.min <= self.max"),
        (r#"{"rule": "self.min <= self.max", "message": " no more "}"#, "spec: Invalid value: no more"),
        (
            r#"{"rule": "self.min <= self.max", "message": "m", "messageExpression": "self.names[0] + ' is not ' + self.names[1]"}"#,
            "spec: Invalid value: a is not b",
        ),
        // A message that cannot be made, or not be shown, gives way.
        (
            r#"{"rule": "self.min <= self.max", "message": "m", "messageExpression": "string(1 / 0)"}"#,
            "spec: Invalid value: m",
        ),
        (
            r#"{"rule": "self.min <= self.max", "message": "m", "messageExpression": "'a\\nb'"}"#,
            "spec: Invalid value: m",
        ),
        (
            r#"{"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueForbidden", "fieldPath": ".min"}"#,
            "spec.min: Forbidden: m",
        ),
        (
            r#"{"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueRequired", "fieldPath": "['max']"}"#,
            "spec.max: Required value: m",
        ),
        (r#"{"rule": "self.min <= self.max", "reason": "FieldValueDuplicate"}"#, "spec: Duplicate value"),
        (
            r#"{"rule": "self.min / 0 == 1"}"#,
            r#"spec: Invalid value: "object": division by zero evaluating rule: self.min / 0 == 1"#,
        ),
        (
            r#"{"rule": "self.free.nothing == 1"}"#,
            r#"spec: Invalid value: "object": no such key: nothing evaluating rule: self.free.nothing == 1"#,
        ),
        (r#"{"rule": "self.names.exists(n, n == 'a') && self.free.x == 1"}"#, "[]"),
    ] {
        let spec = format!(r#"{{"type": "object", "x-kubernetes-validations": [{rule}], {properties}}}"#);
        assert_eq!(told(&spec), "[]", "{rule}");
        assert_eq!(found(&spec, &object, None), expected, "{rule}");
    }
}

#[test]
fn values_of_every_place_have_their_path() {
    let positive = r#""x-kubernetes-validations": [{"rule": "self > 0"}]"#;
    let spec = format!(
        r#"{{"type": "object", "properties": {{
            "list": {{"type": "array", "items": {{"type": "integer", {positive}}}}},
            "map": {{"type": "object", "additionalProperties": {{"type": "integer", {positive}}}}},
            "a-b": {{"type": "integer", {positive}}},
            "1": {{"type": "integer", {positive}}},
            "nothing": {{"type": "integer", "nullable": true, {positive}}}
        }}}}"#
    );
    let object = value!({"spec": {
        "list": [1i64, (-1i64)], "map": {"x": (-2i64)}, "a-b": (-3i64), "1": (-4i64), "nothing": (Value::Null)
    }});
    assert_eq!(
        found(&spec, &object, None),
        "[spec.list[1]: Invalid value: -1: failed rule: self > 0, \
         spec.map[x]: Invalid value: -2: failed rule: self > 0, \
         spec.a-b: Invalid value: -3: failed rule: self > 0, \
         spec.1: Invalid value: -4: failed rule: self > 0]"
    );
}

#[test]
fn a_whole_object_has_no_path() {
    let schema = schema(
        r#"{"type": "object", "x-kubernetes-validations": [
            {"rule": "self.metadata.name == self.kind + self.apiVersion"}
        ]}"#,
    );
    assert_eq!(check(&schema, false, &Path::root("s")).to_string(), "[]");
    let object = value!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x"}});
    assert_eq!(
        rules(&schema).validate(&object, None).to_string(),
        "<nil>: Invalid value: failed rule: self.metadata.name == self.kind + self.apiVersion"
    );
}

#[test]
fn rules_about_changes_see_the_earlier_state() {
    let spec = r#"{"type": "object", "properties": {
        "size": {"type": "integer", "x-kubernetes-validations": [
            {"rule": "self >= oldSelf", "message": "only grows"}
        ]},
        "set": {"type": "integer", "x-kubernetes-validations": [
            {"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": true, "message": "stays"}
        ]},
        "parts": {
            "type": "array", "maxItems": 10, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object", "required": ["name"],
                "properties": {"name": {"type": "string", "maxLength": 9}, "n": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.n == oldSelf.n", "message": "n stays"}]
            }
        }
    }}"#;
    assert_eq!(told(spec), "[]");
    let old = value!({"spec": {"size": 5i64, "set": 1i64, "parts": [
        {"name": "a", "n": 1i64}, {"name": "b", "n": 2i64}
    ]}});
    let new = value!({"spec": {"size": 4i64, "set": 2i64, "parts": [
        {"name": "c", "n": 9i64}, {"name": "b", "n": 3i64}, {"name": "a", "n": 1i64}
    ]}});
    assert_eq!(found(spec, &new, None), "[]");
    assert_eq!(
        found(spec, &new, Some(&old)),
        "[spec.size: Invalid value: 4: only grows, spec.set: Invalid value: 2: stays, \
         spec.parts[1]: Invalid value: n stays]"
    );
}

/// What broke a rule before and has not changed is told, not refused (KEP-4008).
#[test]
fn unchanged_values_are_tolerated() {
    let spec = r#"{"type": "object", "properties": {
        "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0", "message": "positive"}]},
        "other": {"type": "integer"}
    }}"#;
    let rules = rules(&with_spec(spec));
    let old = value!({"spec": {"size": (-1i64), "other": 1i64}});
    let new = value!({"spec": {"size": (-1i64), "other": 2i64}});
    let found = rules.validate(&new, Some(&old));
    assert!(found.is_empty(), "{found}");
    let told: Vec<String> = found.tolerated().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["spec.size: Invalid value: -1: positive"]);
    let changed = value!({"spec": {"size": (-2i64), "other": 2i64}});
    assert_eq!(rules.validate(&changed, Some(&old)).to_string(), "spec.size: Invalid value: -2: positive");
}

#[test]
fn the_budget_of_an_object_ends_its_validation() {
    let spec = r#"{"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [
            {"rule": "[1,2,3,4,5,6,7,8,9,10].all(x, [1,2,3,4,5,6,7,8,9,10].all(y, [1,2,3,4,5,6,7,8,9,10].all(z, x + y + z > self)))"}
        ]}}
    }}"#;
    let list: Vec<Value> = (0..20_000).map(|_| Value::from(-1i64)).collect();
    let found = found(spec, &value!({"spec": {"list": list}}), None);
    assert!(
        found.ends_with(
            "Invalid value: \"integer\": validation failed due to running out of cost budget, no further validation rules will be run"
        ),
        "{found}"
    );
}

#[test]
fn an_expression_that_costs_too_much_ends_alone() {
    let spec = r#"{"type": "object", "properties": {"text": {"type": "string"}}, "x-kubernetes-validations": [
        {"rule": "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, self.text.contains('xyz') || a + b > 0))"}
    ]}"#;
    let object = value!({"spec": {"text": ("x".repeat(1_000_000))}});
    assert_eq!(
        found(spec, &object, None),
        "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: [1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, self.text.contains('xyz') || a + b > 0))"
    );
}

#[test]
fn rules_that_are_none_are_refused() {
    let whole = |rule: &str| {
        format!(
            r#"{{"type": "object", "properties": {{"a": {{"type": "integer"}}}}, "x-kubernetes-validations": [{rule}]}}"#
        )
    };
    let at = "s.properties[spec].x-kubernetes-validations[0]";
    for (rule, expected) in [
        (r#"{"rule": " "}"#, format!("{at}.rule: Required value: rule is not specified")),
        (
            r#"{"rule": "true", "message": " "}"#,
            format!(r#"{at}.message: Invalid value: " ": must be non-empty if specified"#),
        ),
        (
            r#"{"rule": "true", "message": "a\nb"}"#,
            format!(r#"{at}.message: Invalid value: "a\nb": must not contain line breaks"#),
        ),
        (
            r#"{"rule": "true ||\nfalse"}"#,
            format!("{at}.message: Required value: message must be specified if rule contains line breaks"),
        ),
        (
            r#"{"rule": "true", "reason": "Nonsense"}"#,
            format!(
                r#"{at}.reason: Unsupported value: "Nonsense": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired""#
            ),
        ),
        (
            r#"{"rule": "true", "fieldPath": ".b"}"#,
            format!(r#"{at}.fieldPath: Invalid value: ".b": must be a valid path"#),
        ),
        (
            r#"{"rule": "self.a == oldSelf.a", "messageExpression": "1"}"#,
            format!(
                r#"{at}.messageExpression: Invalid value: {{"rule":"self.a == oldSelf.a","messageExpression":"1"}}: messageExpression must evaluate to a string"#
            ),
        ),
        (
            r#"{"rule": "self.a"}"#,
            format!(
                r#"{at}.rule: Invalid value: {{"rule":"self.a"}}: cel expression must evaluate to a bool"#
            ),
        ),
        (
            r#"{"rule": "self.b == 0"}"#,
            format!(
                "{at}.rule: Invalid value: {{\"rule\":\"self.b == 0\"}}: compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b == 0\n | ....^"
            ),
        ),
        (
            r#"{"rule": "self.a > 0", "optionalOldSelf": true}"#,
            format!(
                "{at}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
            ),
        ),
    ] {
        assert_eq!(told(&whole(rule)), expected, "{rule}");
    }
}

#[test]
fn changes_of_what_has_no_earlier_state_are_refused() {
    let spec = r#"{"type": "array", "maxItems": 3, "items": {
        "type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf"}]
    }}"#;
    assert_eq!(
        told(spec),
        "s.properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: \"self > oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[spec]"
    );
}

#[test]
fn rules_that_may_cost_too_much_are_refused() {
    let dear = r#"{"type": "array", "items": {"type": "array", "items": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self.all(x, x.all(y, y == 'a'))"}]}"#;
    let message = told(dear);
    let path = "s.properties[spec].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";
    assert!(message.contains(path), "{message}");
    assert!(
        message.contains("s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x"),
        "{message}"
    );
    assert!(
        message.contains("s.properties[spec].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"),
        "{message}"
    );
    // With the same schema before, only the sum counts.
    let unchanged = check(&with_spec(dear), true, &Path::root("s")).to_string();
    assert!(!unchanged.contains("estimated rule cost exceeds"), "{unchanged}");
    let bounded = r#"{"type": "array", "maxItems": 10, "items": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10}},
        "x-kubernetes-validations": [{"rule": "self.all(x, x.all(y, y == 'a'))"}]}"#;
    assert_eq!(told(bounded), "[]");
}

/// Names of objects are not as long as strings without a bound.
#[test]
fn rules_cost_at_most_what_upstream_says() {
    let mut of = Value::Null;
    for line in include_str!("../facts/costs.txt").lines() {
        match line.split_once(' ') {
            None | Some(("#", _)) => {}
            Some(("schema", text)) => of = schema(text),
            Some((cost, rule)) => {
                let mut of = of.clone();
                of.set("x-kubernetes-validations", vec![value!({"rule": rule})]);
                let compiled = crate::compile::of_value(&of).unwrap();
                let got = match &compiled.rules[0].expression {
                    Some(Ok(expression)) => expression.cost.to_string(),
                    Some(Err(why)) => why.clone(),
                    None => String::new(),
                };
                assert_eq!(got, cost, "{rule}");
            }
        }
    }
}

#[test]
fn names_are_bounded() {
    let schema = schema(
        r#"{"type": "object", "x-kubernetes-validations": [{"rule": "self.metadata.name.contains(self.metadata.name) && self.metadata.generateName.contains(self.metadata.generateName)"}]}"#,
    );
    assert_eq!(check(&schema, false, &Path::root("s")).to_string(), "[]");
}

#[test]
fn defaults_keep_the_rules_of_their_schema() {
    let spec = r#"{"type": "object", "properties": {"n": {
        "type": "integer", "default": -1, "x-kubernetes-validations": [{"rule": "self > 0", "message": "positive"}]
    }}}"#;
    assert_eq!(told(spec), "s.properties[spec].properties[n].default: Invalid value: -1: positive");
}

#[test]
fn paths_of_fields() {
    let schema = schema(
        r#"{"properties": {"a": {"properties": {"b.c": {}, "it's": {}}}, "m": {"additionalProperties": {"properties": {"x": {}}}}}}"#,
    );
    for (path, expected) in [
        (".a", Ok("a")),
        (".a['b.c']", Ok("a.b.c")),
        (r".a['it\'s']", Ok("a.it's")),
        (".m.key.x", Ok("m[key].x")),
        (".m['k']", Ok("m[k]")),
        ("a", Err("expected [ or .")),
        (".a.", Err("unexpected end of JSON path")),
        (".b", Err("does not refer to a valid field")),
        (".a['b.c", Err("unexpected end of JSON path")),
        (".a['b.c'", Err("expected ]")),
        (".a[b]", Err("expected single quoted string")),
    ] {
        let normalized = crate::field_path::normalized(path, &schema);
        assert_eq!(normalized.as_deref(), expected.as_ref().copied(), "{path}");
    }
}

#[test]
fn types_that_contain_themselves_are_followed_once() {
    let ty = schema::type_by_gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    let shape = crate::shape_of_type(&ty, "CustomResourceDefinition");
    let compiler = crate::admission::Compiler::typed(
        crate::admission::Scope::default(),
        &shape,
        &Arc::new(cel::Shape::dynamic()),
    );
    let schema = "object.spec.versions[0].schema.openAPIV3Schema";
    for (text, fits) in [
        ("object.spec.group", true),
        ("object.spec.groups", false),
        (&*format!("{schema}.title"), true),
        (&*format!("{schema}.titles"), false),
        // Within itself, a type can be anything.
        (&*format!("{schema}.properties['a'].titles"), true),
    ] {
        assert_eq!(compiler.check(text).is_ok(), fits, "{text}");
    }
}

#[test]
fn chains_of_variables_end_before_the_stack_does() {
    use crate::admission::{Compiler, Returns, Scope};
    let last_of = |deep: &dyn Fn(usize) -> String| {
        let mut compiler = Compiler::new(Scope { variables: true, ..Scope::default() });
        let compiles = |at: &usize| compiler.compile_variable(&format!("v{at}"), &deep(*at)).is_ok();
        (0..4096).take_while(compiles).count()
    };
    let before = |at: usize| format!("variables.v{}", at.saturating_sub(1));
    let first = |at: usize, text: String| if at == 0 { "1".to_owned() } else { text };
    assert_eq!(last_of(&|at| first(at, format!("{} + 1", before(at)))), 67);
    assert_eq!(last_of(&|at| first(at, format!("variables.?v{}.orValue(1)", at.saturating_sub(1)))), 67);
    let nested = |at: usize| format!("{}{}{}", "size([".repeat(40), before(at), "])".repeat(40));
    assert_eq!(last_of(&|at| first(at, nested(at))), 5);
    // Those that do not stand within each other can be as many as one likes.
    assert_eq!(last_of(&|at| first(at, "variables.v0 + 1".to_owned())), 4096);
    let mut compiler = Compiler::new(Scope { variables: true, ..Scope::default() });
    for at in 0..5 {
        compiler.compile_variable(&format!("v{at}"), &first(at, nested(at))).unwrap();
    }
    let why = compiler.compile(&nested(5), Returns::Anything).unwrap_err();
    assert_eq!(why, "compilation failed: variables are nested too deeply: depth 426, limit 400");
}

#[test]
fn long_messages_are_not_made_for_every_item() {
    let message = "m".repeat(1 << 20);
    let list = r#"{"type": "array", "maxItems": 200000, "items": {"type": "integer",
        "x-kubernetes-validations": [{"rule": "self > 1", "message": "MESSAGE"}]}}"#;
    let spec = list.replace("MESSAGE", &message);
    let items: Vec<Value> = (0..100_000).map(|_| Value::from(1i64)).collect();
    let object = value!({"spec": (items.clone())});
    let rules = rules(&with_spec(&spec));
    let errors = rules.validate(&object, None);
    assert_eq!((errors.len(), errors.omitted()), (100_000, 99_900));
    // What has not changed is compared once, not for each item.
    let changed = value!({"spec": items, "other": 1i64});
    let errors = rules.validate(&changed, Some(&object));
    assert_eq!((errors.len(), errors.tolerated().len()), (0, 100));
}

#[test]
fn defaults_within_each_other_are_compiled_once() {
    let rule = r#"{"rule": "self.all(x, x != 'RULE')"}"#;
    let many: Vec<String> = (0..1000).map(|at| rule.replace("RULE", &at.to_string())).collect();
    let leaf = format!(
        r#"{{"type": "array", "maxItems": 10, "items": {{"type": "string", "maxLength": 9}},
            "x-kubernetes-validations": [{}]}}"#,
        many.join(",")
    );
    let spec = (0..200).fold(leaf, |inner, _| {
        format!(r#"{{"type": "object", "default": {{}}, "properties": {{"a": {inner}}}}}"#)
    });
    assert_eq!(told(&spec), "[]");
}

#[test]
fn names_of_types_stay_short_and_different() {
    let leaves: Vec<String> = (0..500).map(|at| format!(r#""m{at}": {{"type": "object"}}"#)).collect();
    let leaves = format!(r#"{{"type": "object", "properties": {{{}}}}}"#, leaves.join(","));
    let long = "b".repeat(10_000);
    let schema = (0..50).fold(leaves, |inner, _| {
        let list = format!(r#"{{"type": "array", "items": {inner}}}"#);
        format!(r#"{{"type": "object", "properties": {{"{long}": {list}, "a": {{"type": "object"}}}}}}"#)
    });
    let mut found = Vec::new();
    names(&crate::shape_of(&self::schema(&schema), "selfType", false).unwrap(), &mut found);
    assert!(found.iter().all(|name| name.len() <= 1024));
    let count = found.len();
    assert!(count > 500);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), count);
}

/// The names of all types in a shape.
fn names(shape: &cel::Shape, found: &mut Vec<Arc<str>>) {
    match &shape.kind {
        cel::ShapeKind::List { items: inner, .. } | cel::ShapeKind::Map { values: inner } => {
            names(inner, found);
        }
        cel::ShapeKind::Object(object) => {
            found.push(Arc::clone(&object.name));
            object.fields.values().for_each(|field| names(&field.shape, found));
        }
        cel::ShapeKind::Scalar(_) | cel::ShapeKind::Dynamic => {}
    }
}

#[test]
fn a_trial_ends_with_its_budget_and_says_nothing_then() {
    let list = r#"{"type": "array", "maxItems": 100, "items": {"type": "integer",
        "x-kubernetes-validations": [{"rule": "self > 1"}]}}"#;
    let rules = rules(&with_spec(list));
    let object = |items: usize| {
        let items: Vec<Value> = (0..items).map(|at| Value::from(at as i64)).collect();
        value!({"spec": items})
    };
    assert!(rules.validate_within(&object(1), None, u64::MAX).is_none(), "nothing is compiled yet");
    let whole = rules.validate(&object(10), None);
    assert_eq!(whole.len(), 2);
    let told = |cost_max: u64| {
        let errors = rules.validate_within(&object(10), None, cost_max)?;
        Some(errors.to_string())
    };
    let enough = (0..1000).find(|cost_max| told(*cost_max).is_some()).unwrap();
    assert!(enough >= 10, "{enough}");
    assert_eq!(told(enough), Some(whole.to_string()));
    assert_eq!((told(enough - 1), told(0)), (None, None));
}
