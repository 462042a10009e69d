use super::*;

fn widget() -> Value {
    value!({
        "metadata": {"name": "w", "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a.b/c": "dotted"}},
        "spec": {"size": 3i64, "ratio": 0.5, "on": true, "names": ["x", "y"], "box": {"k": 1i64}},
        "status": {"conditions": [
            {"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True", "code": 7i64}
        ]}
    })
}

#[test]
fn paths_lead_to_the_first_value() {
    for (path, expected) in [
        (".spec.size", value!(3i64)),
        ("{.spec.size}", value!(3i64)),
        (".spec.names[0]", value!("x")),
        (".spec.names[-1]", value!("y")),
        (".spec.names[*]", value!("x")),
        (".metadata.labels['a.b/c']", value!("dotted")),
        (".metadata.labels['a\\.b/c']", value!("dotted")),
        (".metadata.labels.a\\.b/c", value!("dotted")),
        (r#".status.conditions[?(@.type=="Ready")].status"#, value!("True")),
        (".status.conditions[?(@.type == 'Synced')].status", value!("False")),
        (".status.conditions[?(@.code==7)].type", value!("Ready")),
        (".status.conditions[*].code", value!(7i64)),
        (".spec.box.*", value!(1i64)),
        (".status.conditions[-1:].type", value!("Ready")),
        (".status.conditions[1:].type", value!("Ready")),
        (".status.conditions[:1].type", value!("Synced")),
        (".status.conditions[0:2:2].code", Value::Null),
        (".status.conditions[::1].code", value!(7i64)),
        (".status.conditions[1:0].type", Value::Null),
        (".status.conditions[-3:].type", Value::Null),
        (".status.conditions[0:3].type", Value::Null),
        (".status.conditions[?(@.code)].type", value!("Ready")),
        (".status.conditions[?(@.type!='Synced')].type", value!("Ready")),
        (".status.conditions[?(@.code > 10)].type", Value::Null),
        (".status.conditions[?(@.code>=7)].type", value!("Ready")),
        (".status.conditions[?(@.code<8)].type", value!("Ready")),
        (".status.conditions[?(@.type==')]')].type", Value::Null),
        (".spec.names[?(@=='y')]", value!("y")),
        (".spec['absent','size']", value!(3i64)),
        (".spec['size', 'ratio']", value!(3i64)),
        (".spec.names[1,0]", value!("y")),
        (".spec.names[0,5]", Value::Null),
        (".status.conditions['type',0].type", value!("Synced")),
        ("..code", value!(7i64)),
        (".status..status", value!("False")),
        (".spec..k", value!(1i64)),
        (".spec.box..*", value!(1i64)),
        (".status..[0]", Value::Null),
        (".status.conditions..['code','type']", value!(7i64)),
        ("..nothing", Value::Null),
        (".spec.absent.deep", Value::Null),
        (".spec.names[5]", Value::Null),
        (".spec.names[-3]", Value::Null),
        (r#".status.conditions[?(@.type=="None")].status"#, Value::Null),
    ] {
        let parsed = JsonPath::parse(path).unwrap();
        assert_eq!(parsed.first(&widget()).cloned().unwrap_or_default(), expected, "{path}");
    }
    for path in [
        "",
        "spec",
        ".",
        "...a",
        ".a..",
        ".a[x,y]",
        ".a[",
        ".a[x]",
        ".a['b'",
        ".a[?(@.b=1)]",
        ".a[?(b)]",
        ".a[::0]",
        ".a[1:2:3:4]",
    ] {
        assert_eq!(JsonPath::parse(path), Err(JsonPathError(path.to_owned())));
    }
}

/// Each union and each descent multiplies the work.
#[test]
fn paths_that_lead_too_far_lead_nowhere() {
    let unions = format!(".spec{}", "['x','x']".repeat(60));
    let deep = (0..60).fold(value!({"leaf": 1i64}), |inner, _| value!({"x": inner}));
    let object = value!({"spec": deep});
    assert_eq!(JsonPath::parse(&unions).unwrap().first(&object), None);
    let descents = format!("{}..leaf", "..x".repeat(20));
    assert_eq!(JsonPath::parse(&descents).unwrap().first(&object), None);
    assert_eq!(JsonPath::parse("..x..leaf").unwrap().first(&object), Some(&value!(1i64)));
}

#[test]
fn cells_are_of_their_column_s_type() {
    let column = |kind: &str, path: &str| PrinterColumn {
        kind: kind.to_owned(),
        path: JsonPath::parse(path).unwrap(),
        ..PrinterColumn::age()
    };
    let clock = Clock::system();
    for (kind, path, expected) in [
        ("string", ".spec.size", value!("3")),
        ("string", ".spec.box", value!(r#"{"k":1}"#)),
        ("integer", ".spec.size", value!(3i64)),
        ("integer", ".spec.names", Value::Null),
        ("number", ".spec.ratio", value!(0.5)),
        ("boolean", ".spec.on", value!(true)),
        ("boolean", ".spec.size", Value::Null),
        ("date", ".spec.size", Value::Null),
        ("string", ".spec.absent", Value::Null),
    ] {
        assert_eq!(column(kind, path).cell(&widget(), &clock), expected, "{kind} {path}");
    }
    assert!(PrinterColumn::age().cell(&widget(), &clock).as_str().unwrap().ends_with('d'));
}

#[test]
fn a_status_update_changes_the_status_alone() {
    let schema = value!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
        "status": {"type": "object", "properties": {"seen": {"type": "integer"}}}
    }});
    let strategy = CustomResource {
        structural: Structural::compile("com.example.v1.Widget", &schema).unwrap(),
        rules: None,
        has_status: true,
        columns: vec![PrinterColumn::age()],
        selectable: vec![JsonPath::parse(".spec.size").unwrap()],
        scale: None,
        deprecation: None,
    };
    let old = value!({"metadata": {"name": "w", "labels": {"a": "1"}}, "spec": {"size": 1i64}});
    let mut new = value!({
        "metadata": {"name": "w", "labels": {"a": "2"}}, "spec": {"size": 2i64}, "status": {"seen": 1i64}
    });
    strategy.prepare_status_update(&mut new, &old);
    assert_eq!(new.get("spec"), old.get("spec"));
    assert_eq!(new.at("metadata.labels"), old.at("metadata.labels"));
    assert_eq!(new.at("status.seen").as_i64(), Some(1));
    assert_eq!(strategy.field_values(&old).iter().collect::<Vec<_>>(), [("spec.size", "1")]);
    assert!(strategy.is_selectable("spec.size") && !strategy.is_selectable("spec.color"));
    assert_eq!(strategy.column_definitions().len(), strategy.row(&old, &Clock::system()).len());
}
