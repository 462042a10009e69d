use proptest::prelude::*;

use super::*;
use crate::decode::decode_value;
use crate::value;

fn find(api_version: &str, kind: &str) -> Option<TypeRef> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::type_by_gvk(group, version, kind)
}

fn there_and_back(value: &Value) -> Value {
    let ty = find(value.str_at("apiVersion"), value.str_at("kind")).unwrap();
    decode(&encode(value, &ty).unwrap(), &find).unwrap().value
}

#[test]
fn zeros_of_pointers_are_kept_and_others_dropped() {
    let ty = find("apps/v1", "Deployment").unwrap();
    let deployment = value!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "generation": 0},
        "spec": {"replicas": 0, "paused": false, "selector": null, "minReadySeconds": 0},
    });
    let canonical = decode_value(deployment, &ty).unwrap().value;
    assert!(canonical.at("spec.paused").is_null());
    let back = there_and_back(&canonical);
    assert_eq!(back, canonical);
    assert_eq!(back.at("spec.replicas").as_i64(), Some(0));
}

#[test]
fn types_with_forms_of_their_own_come_back() {
    for (api_version, kind, part) in [
        ("v1", "Secret", value!({"data": {"a": "AAEC", "b": ""}})),
        (
            "v1",
            "Service",
            value!({"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 1, "targetPort": -5}]}}),
        ),
        (
            "v1",
            "Event",
            value!({"eventTime": "2010-01-01T01:01:01.000010Z", "firstTimestamp": "1969-12-31T23:59:59Z"}),
        ),
        (
            "v1",
            "Pod",
            value!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "100m"}}}]}}),
        ),
        (
            "apps/v1",
            "ControllerRevision",
            value!({"data": {"spec": {"x": [1.5, null, "<"]}}, "revision": -1}),
        ),
        (
            "authentication.k8s.io/v1",
            "TokenReview",
            value!({"status": {"user": {"extra": {"a": ["x", "y"], "b": []}}}}),
        ),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            value!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
                "items": {"type": "string"}, "additionalProperties": true, "maximum": 1.5, "default": {"a": 1},
                "properties": {"x": {"items": [{"type": "a"}], "additionalProperties": {"type": "b"},
                    "dependencies": {"a": ["b"], "c": {"type": "d"}}, "enum": ["a", 1, null]}},
            }}}]}}),
        ),
    ] {
        let mut object = part;
        object.set("apiVersion", api_version);
        object.set("kind", kind);
        let ty = find(api_version, kind).unwrap();
        let canonical = decode_value(object, &ty).unwrap();
        assert_eq!(canonical.strict_errors, []);
        assert_eq!(there_and_back(&canonical.value), canonical.value, "{kind}");
    }
}

#[test]
fn empty_objects_of_every_kind_come_back() {
    for kind in schema::kinds() {
        let ty = TypeRef::Static(kind.ty);
        let canonical = decode_value(Value::map(), &ty).unwrap().value;
        let bytes = encode_message(&canonical, &ty).unwrap();
        assert_eq!(bytes, encode_message(&Value::Null, &ty).unwrap(), "{}", kind.kind);
        assert_eq!(decode_message(&bytes, &ty, &find).unwrap(), canonical, "{}", kind.kind);
        assert_eq!(decode_message(&[], &ty, &find).unwrap(), canonical, "{}", kind.kind);
    }
}

#[test]
fn envelope_and_frame_are_upstreams() {
    assert_eq!(&*envelope("v1", "Pod", b"xy"), b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x02xy\x1a\0\x22\0");
    let frame = watch_frame("ADDED", b"obj");
    assert_eq!(&*frame, b"\0\0\0\x0e\x0a\x05ADDED\x12\x05\x0a\x03obj");
}

/// A list that is put together of its items' messages.
fn spliced(api_version: &str, kind: &str, metadata: &Value, items: &[Bytes]) -> Vec<u8> {
    let list = ListEnvelope::new(api_version, kind, metadata, items.iter().map(Bytes::len)).unwrap();
    let mut out = list.head().to_vec();
    items.iter().for_each(|item| list.item(item, &mut out));
    out.extend_from_slice(list.tail());
    out
}

#[test]
fn lists_are_spliced() {
    let pod = find("v1", "Pod").unwrap();
    let names = ["a".to_owned(), "b".to_owned(), "n".repeat(300)];
    let trees: Vec<Value> = names.iter().map(|name| value!({"metadata": {"name": &**name}})).collect();
    let metadata = value!({"resourceVersion": "7", "remainingItemCount": 0});
    for metadata in [metadata, Value::Null] {
        let list = |api_version: &str, kind: &str, items: &[Value]| {
            let mut list = value!({"apiVersion": api_version, "kind": kind, "items": items.to_vec()});
            if !metadata.is_null() {
                list.set("metadata", metadata.clone());
            }
            encode(&list, &find(api_version, kind).unwrap()).unwrap()
        };
        let encoded = |items: &[Value], ty: &schema::TypeRef| -> Vec<Bytes> {
            items.iter().map(|item| encode_message(item, ty).unwrap()).collect()
        };
        for items in [&trees[..2], &vec![trees[2].clone(); 50], &[]] {
            let whole = list("v1", "PodList", items);
            assert_eq!(spliced("v1", "PodList", &metadata, &encoded(items, &pod)), whole);
            // The numbers of this list's fields are others.
            let partial = find("meta.k8s.io/v1", "PartialObjectMetadata").unwrap();
            for version in ["meta.k8s.io/v1", "meta.k8s.io/v1beta1"] {
                let kind = "PartialObjectMetadataList";
                let whole = list(version, kind, items);
                assert_eq!(spliced(version, kind, &metadata, &encoded(items, &partial)), whole, "{version}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_path() {
    let pod = find("v1", "Pod").unwrap();
    let error =
        encode_message(&value!({"spec": {"containers": [{"name": "a"}, {"ports": {}}]}}), &pod).unwrap_err();
    assert_eq!(error.to_string(), "spec.containers[1].ports: cannot encode an object as a list");
    let error = encode_message(&value!({"metadata": {"labels": {"a": 1}}}), &pod).unwrap_err();
    assert_eq!(error.to_string(), "metadata.labels.a: cannot encode a number as a string");
}

#[test]
fn broken_bytes_are_refused() {
    let pod = find("v1", "Pod").unwrap();
    let message = |bytes: &[u8]| decode_message(bytes, &pod, &find);
    assert_eq!(decode(b"{}", &find), Err(DecodeError::NoEnvelope));
    assert!(matches!(decode(&envelope("v1", "None", b""), &find), Err(DecodeError::UnknownKind { .. })));
    assert_eq!(message(b"\x0a\x05abc"), Err(DecodeError::UnexpectedEnd));
    assert_eq!(message(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Err(DecodeError::UnexpectedEnd));
    assert_eq!(message(b"\x08"), Err(DecodeError::UnexpectedEnd));
    assert!(matches!(message(b"\x08\x01"), Err(DecodeError::WireType { .. })));
    assert_eq!(message(b"\x02\0"), Err(DecodeError::IllegalTag { number: 0, wire: 2 }));
    assert_eq!(
        message(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        Err(DecodeError::IntegerOverflow)
    );
    // Unknown fields are skipped.
    assert_eq!(message(b"\xfa\x07\x01x"), message(b""));
}

#[test]
fn depth_is_bounded() {
    let crd = find("apiextensions.k8s.io/v1", "CustomResourceDefinition").unwrap();
    // properties.not.not.not...
    let mut schema = vec![];
    for _ in 0..100_000 {
        let mut outer = Vec::new();
        wire::append_bytes(28, &schema, &mut outer);
        schema = outer;
        if schema.len() > 1 << 16 {
            break;
        }
    }
    let mut version = Vec::new();
    wire::append_bytes(1, &schema, &mut version);
    let mut outer = Vec::new();
    wire::append_bytes(4, &version, &mut outer);
    let mut spec = Vec::new();
    wire::append_bytes(7, &outer, &mut spec);
    let mut object = Vec::new();
    wire::append_bytes(2, &spec, &mut object);
    assert_eq!(decode_message(&object, &crd, &find), Err(DecodeError::TooDeep));
}

proptest! {
    #[test]
    fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        for kind in ["Pod", "Event", "Service", "Secret"] {
            let _ = decode_message(&bytes, &find("v1", kind).unwrap(), &find);
        }
        let mut enveloped = MAGIC.to_vec();
        enveloped.extend_from_slice(&bytes);
        let _ = decode(&enveloped, &find);
    }

    #[test]
    fn changed_bytes_do_not_panic(at in 0_usize..400, byte in any::<u8>()) {
        let ty = find("v1", "Pod").unwrap();
        let pod = value!({
            "metadata": {"name": "web", "labels": {"a": "b"}, "creationTimestamp": "2024-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 1}]}],
                "volumes": [{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "p", "mode": 420}]}}]},
        });
        let mut bytes = encode_message(&pod, &ty).unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(value) = decode_message(&bytes, &ty, &find) {
            // A decoded value can be encoded, and is in normal form afterwards.
            let again = decode_message(&encode_message(&value, &ty).unwrap(), &ty, &find).unwrap();
            prop_assert_eq!(again, value);
        }
    }
}
