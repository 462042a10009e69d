use object::{Value, value};

use super::{conditions, names, parse};

fn definition(name: &str, plural: &str, kind: &str, short: &str) -> Value {
    value!({
        "metadata": {"name": name},
        "spec": {"group": "example.com", "names": {
            "plural": plural, "singular": (kind.to_lowercase()), "kind": kind, "listKind": format!("{kind}List"),
            "shortNames": [short]
        }},
        "status": {"storedVersions": ["v1"]}
    })
}

fn condition<'a>(definition: &'a Value, kind: &str) -> (&'a str, &'a str, &'a str) {
    let found =
        definition.at("status.conditions").items().find(|other| other.str_at("type") == kind).unwrap();
    (found.str_at("status"), found.str_at("reason"), found.str_at("message"))
}

#[test]
fn the_first_definition_that_asks_for_a_name_has_it() {
    let mut first = definition("widgets.example.com", "widgets", "Widget", "w");
    assert!(names::accept(&mut first, &[], "t"));
    assert_eq!(first.at("status.acceptedNames"), first.at("spec.names"));
    assert_eq!(condition(&first, "NamesAccepted"), ("True", "NoConflicts", "no conflicts found"));
    assert_eq!(condition(&first, "Established").1, "Installing");
    names::establish(&mut first, "t");
    assert_eq!(condition(&first, "Established").1, "InitialNamesAccepted");
    assert!(!names::accept(&mut first, &[], "t"), "nothing is left to do");

    let mut second = definition("windows.example.com", "windows", "Widget", "w");
    let others = [first];
    assert!(names::accept(&mut second, &others, "t"));
    assert_eq!(
        condition(&second, "NamesAccepted"),
        ("False", "ListKindConflict", r#""WidgetList" is already in use"#)
    );
    assert_eq!(condition(&second, "Established").1, "NotAccepted");
    assert_eq!(second.at("status.acceptedNames"), &value!({"plural": "windows"}));
    assert!(!names::accept(&mut second, &others, "t"), "it says so once");
    names::establish(&mut second, "t");
    assert_eq!(condition(&second, "Established").0, "False");
    // The name is free again.
    assert!(names::accept(&mut second, &[], "t"));
    assert_eq!(condition(&second, "NamesAccepted").0, "True");
}

#[test]
fn a_definition_whose_webhook_cannot_be_recognized_is_not_established() {
    let mut object = definition("widgets.example.com", "widgets", "Widget", "w");
    names::accept(&mut object, &[], "t");
    let bundle = |text: &str| value!({"webhook": {"clientConfig": {"caBundle": text}}});
    object.entry("spec").set("conversion", bundle("b2Rk"));
    names::distrust(&mut object, "t");
    let why = ("False", "InvalidCABundle", "The conversion webhook CABundle is invalid");
    assert_eq!(condition(&object, "Established"), why);
    assert!(!super::is_accepted(&object));
    object.entry("spec").set("conversion", bundle(""));
    names::distrust(&mut object, "t");
    assert_eq!(condition(&object, "Established"), why, "publication says otherwise");
    assert!(super::is_accepted(&object));
}

#[test]
fn a_schema_that_is_not_structural_is_shown() {
    let mut object = definition("widgets.example.com", "widgets", "Widget", "w");
    object.entry("spec").set(
        "versions",
        value!([
            {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}}}
        ]),
    );
    assert!(conditions(&mut object, "t"));
    let (status, reason, message) = condition(&object, "NonStructuralSchema");
    assert_eq!((status, reason), ("True", "Violations"));
    assert!(
        message.starts_with("spec.versions[0].schema.openAPIV3Schema.properties[spec].type"),
        "{message}"
    );
    assert!(!conditions(&mut object, "t"));
}

#[test]
fn columns_end_before_one_whose_path_cannot_be_read() {
    let column = |name: &str, path: &str| value!({"name": name, "type": "string", "jsonPath": path});
    let paths = [("A", ".spec.a"), ("B", ".status.b[-1:].c"), ("C", ".c["), ("D", ".spec.d")];
    let columns: Vec<Value> = paths.iter().map(|(name, path)| column(name, path)).collect();
    let found = parse::columns(&value!({"additionalPrinterColumns": columns}));
    assert_eq!(found.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
}
