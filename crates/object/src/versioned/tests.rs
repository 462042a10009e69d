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
        let text = Bytes::from_static(stored.as_bytes());
        let phase = |_: &Value| [("status.phase", "Running")].into_iter().collect();
        let object = Versioned::from_stored(Arc::clone(&type_meta), text.clone(), 13, 120, phase).unwrap();
        assert_eq!(object.json(), written);
        assert_eq!(object.json_len(), written.len());
        assert_eq!(object.value().str_at("metadata.resourceVersion"), "120");
        assert_eq!(object.stored().as_ptr(), text.as_ptr(), "the bytes are shared");
        let later = object.at_version(1);
        assert_eq!((later.resource_version(), later.json_len()), (1, written.len() - 2));
        assert_eq!((later.key(), later.field("status.phase")), (object.key(), Some("Running")));
        assert_eq!(object.at_version(0).json(), stored, "a draft has none");
    }
    let whole = Versioned::from_value(type_meta, &pod(), FieldValues::default()).unwrap().at_version(43);
    assert_eq!((whole.resource_version(), whole.value().str_at("metadata.resourceVersion")), (43, "43"));
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
