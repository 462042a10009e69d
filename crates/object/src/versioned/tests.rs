use super::*;
use crate::value;

fn pod() -> Value {
    value!({
        "metadata": {
            "name": "web", "namespace": "default", "uid": "u-1", "resourceVersion": "42",
            "labels": {"tier": "front", "app": "web"}, "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
    })
}

#[test]
fn facts_are_read_once() {
    let pod = Versioned::from_value(
        TypeMeta::new("v1", "Pod"),
        &pod(),
        [("status.phase", "Running")].into_iter().collect(),
    )
    .unwrap();
    assert_eq!((pod.api_version(), pod.kind()), ("v1", "Pod"));
    assert_eq!((pod.namespace(), pod.name(), pod.uid().as_str()), ("default", "web", "u-1"));
    assert_eq!(pod.resource_version(), 42);
    assert!(pod.is_deleting());
    assert_eq!(pod.labels().iter().collect::<Vec<_>>(), [("app", "web"), ("tier", "front")]);
    assert_eq!((pod.label("tier"), pod.label("none")), (Some("front"), None));
    assert_eq!(pod.field("metadata.name"), Some("web"));
    assert_eq!((pod.field("status.phase"), pod.field("spec.nodeName")), (Some("Running"), None));
    assert_eq!(pod.value(), self::pod());
}

#[test]
fn resource_versions_are_numbers() {
    let type_meta = TypeMeta::new("v1", "Pod");
    let build = |rv: &str| {
        let object = value!({"metadata": {"name": "a", "resourceVersion": rv}});
        Versioned::from_value(Arc::clone(&type_meta), &object, FieldValues::default())
    };
    assert_eq!(build("").unwrap().resource_version(), 0);
    assert_eq!(build("18446744073709551615").unwrap().resource_version(), u64::MAX);
    assert!(matches!(build("x"), Err(VersionedError::ResourceVersion(_))));
}

#[test]
fn what_is_stored_gets_its_version_when_it_is_written_out() {
    let type_meta = TypeMeta::new("v1", "Pod");
    for (stored, written) in [
        (r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"resourceVersion":"120","name":"a"}}"#),
        (r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"120"}}"#),
    ] {
        let text = Text::from(stored);
        let phase = |_: &Value| [("status.phase", "Running")].into_iter().collect();
        let object = Versioned::from_stored(Arc::clone(&type_meta), text.clone(), 13, 120, phase).unwrap();
        assert_eq!(object.json(), written);
        assert_eq!(object.json_len(), written.len());
        assert_eq!(object.value().str_at("metadata.resourceVersion"), "120");
        assert!(object.stored().is_some_and(|kept| kept.is(&text)), "the text is shared");
        let later = object.at_version(1);
        assert_eq!((later.resource_version(), later.json_len()), (1, written.len() - 2));
        assert_eq!((later.key(), later.field("status.phase")), (object.key(), Some("Running")));
        assert_eq!(object.at_version(0).json(), stored, "a draft has none");
    }
    let whole = Versioned::from_value(type_meta, &pod(), FieldValues::default()).unwrap().at_version(43);
    assert_eq!((whole.resource_version(), whole.value().str_at("metadata.resourceVersion")), (43, "43"));
}

/// Wherever the parts of a text begin and end, the resource version comes to its place.
#[test]
fn a_text_that_is_like_others_gets_its_version() {
    let rest = "x".repeat(300);
    let pod =
        |name: &str| format!(r#"{{"metadata":{{"name":"{name}","uid":"1"}},"spec":{{"text":"{rest}"}}}}"#);
    let texts = ["a", "b", "c", "longer"].map(|name| Text::compact(pod(name).as_bytes()));
    assert!(texts[2].own_len() < 10 && texts[2].chunks().count() == 3);
    let type_meta = TypeMeta::new("v1", "Pod");
    for (text, whole) in texts.iter().zip(["a", "b", "c", "longer"].map(pod)) {
        for at in 0..whole.len() {
            let fields = |_: &Value| FieldValues::default();
            let object = Versioned::from_stored(Arc::clone(&type_meta), text.clone(), at, 7, fields).unwrap();
            let (head, rest) = whole.split_at(at);
            let comma = if rest.starts_with('}') { "" } else { "," };
            let expected = format!("{head}\"resourceVersion\":\"7\"{comma}{rest}");
            assert_eq!((object.json(), object.json_len()), (expected.clone().into(), expected.len()));
            assert_eq!(object.at_version(0).json(), whole);
        }
    }
}

#[test]
fn versions_of_an_object_share_what_is_equal() {
    let type_meta = TypeMeta::new("v1", "Pod");
    let version = |pod: &Value, node: &str, previous: Option<&Versioned>| {
        let fields = [("spec.nodeName", node)].into_iter().collect();
        Versioned::draft(Arc::clone(&type_meta), pod, "{}".into(), 1, fields, previous)
    };
    let first = version(&pod(), "", None);
    let same = version(&pod(), "", Some(&first));
    assert!(Arc::ptr_eq(&first.0.facts, &same.0.facts));
    let bound = version(&pod(), "n1", Some(&first));
    assert_eq!((first.field("spec.nodeName"), bound.field("spec.nodeName")), (Some(""), Some("n1")));
    assert!(Arc::ptr_eq(&first.key().name, &bound.key().name) && Arc::ptr_eq(&first.uid().0, &bound.uid().0));
    let mut another = pod();
    another.entry("metadata").set("uid", "another");
    let another = version(&another, "n1", Some(&bound));
    assert_eq!((another.uid().as_str(), another.key()), ("another", bound.key()));
}

#[test]
fn one_typed_form_is_shared() {
    #[derive(serde::Deserialize)]
    struct Named {
        metadata: Meta,
    }
    #[derive(serde::Deserialize)]
    struct Meta {
        name: String,
    }
    let json = Bytes::from_static(br#"{"metadata":{"name":"web"}}"#);
    let object = Versioned::from_json(TypeMeta::new("v1", "Pod"), json, |_| FieldValues::default()).unwrap();
    let first = object.typed::<Named>().unwrap();
    assert_eq!(first.metadata.name, "web");
    assert!(Arc::ptr_eq(&first, &object.clone().typed::<Named>().unwrap()));
    // Another type does not displace the kept one.
    assert_eq!(object.typed::<serde_json::Value>().unwrap()["metadata"]["name"], "web");
    assert!(Arc::ptr_eq(&first, &object.typed::<Named>().unwrap()));
    assert!(matches!(object.typed::<u8>(), Err(VersionedError::Typed { .. })));
    // Another form is made for its caller alone.
    assert_eq!(*object.tree(), object.value());
}

#[test]
fn a_tree_is_kept_once_asked_for() {
    let object = Versioned::from_value(TypeMeta::new("v1", "Pod"), &pod(), FieldValues::default()).unwrap();
    let tree = object.tree();
    assert_eq!(*tree, object.value());
    assert!(Arc::ptr_eq(&tree, &object.clone().tree()));
}

#[test]
fn the_protobuf_form_is_made_once() {
    let ty = schema::type_by_gvk("", "v1", "Pod").unwrap();
    let object = Versioned::from_value(TypeMeta::new("v1", "Pod"), &pod(), FieldValues::default()).unwrap();
    let first = object.protobuf(&ty).unwrap();
    assert_eq!(first.as_ptr(), object.protobuf(&ty).unwrap().as_ptr());
    assert_eq!(first, protobuf::encode_message(&pod(), &ty).unwrap());
    let broken =
        Versioned::from_value(TypeMeta::new("v1", "Pod"), &value!({"spec": 1}), FieldValues::default())
            .unwrap();
    assert!(matches!(broken.protobuf(&ty), Err(VersionedError::Protobuf { .. })));
}

#[test]
fn keys_print_and_parse() {
    for (text, key) in [
        ("default/web", ObjectKey::namespaced("default", "web")),
        ("node-1", ObjectKey::cluster("node-1")),
        ("node-1", ObjectKey::namespaced("", "node-1")),
    ] {
        assert_eq!(key.to_string(), text);
        assert_eq!(text.parse::<ObjectKey>().unwrap(), key);
    }
    for bad in ["", "/", "a/", "/b", "a/b/c"] {
        assert!(bad.parse::<ObjectKey>().is_err(), "{bad}");
    }
}
