use super::*;
use crate::value;

fn ty(api_version: &str, kind: &str) -> TypeRef {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::type_by_gvk(group, version, kind).unwrap()
}

fn decode(kind: &str, json: &str) -> Result<Decoded, DecodeError> {
    let api_version = if kind == "Deployment" { "apps/v1" } else { "v1" };
    decode_json(json.as_bytes(), &ty(api_version, kind))
}

fn strict(decoded: &Decoded) -> Vec<String> {
    decoded.strict_errors.iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_and_duplicate_fields_are_reported_in_order() {
    let decoded = decode(
        "Deployment",
        r#"{"metadata":{"name":"a","unknownMeta":1,"labels":{"x":"1","x":"2"}},
            "spec":{"unknown1":1,"paused":true,"paused":false,"template":{"spec":{"containers":[
              {"name":"c"},{"name":"d","unknownNested":"v","image":"a","image":"b"}]}}},"Spec":{},"unknown1":2}"#,
    )
    .unwrap();
    assert_eq!(
        strict(&decoded),
        [
            r#"unknown field "metadata.unknownMeta""#,
            r#"duplicate field "metadata.labels.x""#,
            r#"unknown field "spec.unknown1""#,
            r#"duplicate field "spec.paused""#,
            r#"unknown field "spec.template.spec.containers[1].unknownNested""#,
            r#"duplicate field "spec.template.spec.containers[1].image""#,
            r#"unknown field "Spec""#,
            r#"unknown field "unknown1""#,
        ]
    );
    let spec = decoded.value.get("spec");
    assert!(spec.get("paused").is_null(), "the last duplicate is false, which Go omits");
    assert!(spec.get("unknown1").is_null());
    assert_eq!(decoded.value.at("metadata.labels"), &value!({"x": "2"}));
    assert_eq!(spec.at("template.spec.containers").items().nth(1).unwrap().str_at("image"), "b");
}

#[test]
fn findings_are_bounded() {
    let members: Vec<String> = (0..500).map(|i| format!("\"x{i}\":1")).collect();
    let decoded = decode("Pod", &format!("{{{}}}", members.join(","))).unwrap();
    assert_eq!(decoded.strict_errors.len(), STRICT_ERRORS_MAX);
}

#[test]
fn wrong_types_are_refused_in_gos_words() {
    for (kind, json, error) in [
        (
            "Deployment",
            r#"{"spec":{"replicas":"3"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Pod",
            r#"{"metadata":{"name":5}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            "Pod",
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "Pod",
            r#"{"metadata":{"labels":["a"]}}"#,
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":["a"]}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"image":[]}]}}"#,
            "json: cannot unmarshal array into Go struct field Container.spec.containers.image of type string",
        ),
        ("Pod", "[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            "Pod",
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
        ),
        (
            "Pod",
            r#"{"spec":{"overhead":{"cpu":"1x"}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("Secret", r#"{"data":{"a":"b!"}}"#, "illegal base64 data at input byte 1"),
        (
            "Service",
            r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
    ] {
        assert_eq!(decode(kind, json).unwrap_err().to_string(), error, "{json}");
    }
}

#[test]
fn trees_look_as_go_would_encode_them() {
    let decoded = decode(
        "Pod",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"","creationTimestamp":null,
             "deletionTimestamp":"2024-01-01T02:00:00+02:00","generation":0,"labels":{"b":"1","a":null},"finalizers":[]},
            "spec":{"terminationGracePeriodSeconds":0,"hostNetwork":false,"overhead":{"cpu":1.5,"memory":" 1024Mi "},
              "containers":[null,{"name":"c","command":null,"volumeMounts":[],"resources":{"limits":{}}}]}}"#,
    )
    .unwrap();
    let expected = value!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "deletionTimestamp": "2024-01-01T00:00:00Z", "labels": {"a": "", "b": "1"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "overhead": {"cpu": "1500m", "memory": "1Gi"},
            "containers": [{"name": "", "resources": {}}, {"name": "c", "resources": {}}],
        },
        "status": {},
    });
    assert_eq!(decoded.value, expected);
    assert_eq!(strict(&decoded), [""; 0]);
    assert_eq!(
        decode_value(expected.clone(), &ty("v1", "Pod")).unwrap().value,
        expected,
        "a second run does nothing"
    );
    let labels: Vec<&str> = decoded.value.at("metadata.labels").as_map().unwrap().keys().collect();
    assert_eq!(labels, ["a", "b"], "Go sorts maps");
}

#[test]
fn lists_without_omitempty_are_null() {
    let role = decode_json(b"{}", &ty("rbac.authorization.k8s.io/v1", "ClusterRole")).unwrap().value;
    assert_eq!(role, value!({"metadata": {}, "rules": null}));
    let role =
        decode_json(br#"{"rules":[]}"#, &ty("rbac.authorization.k8s.io/v1", "ClusterRole")).unwrap().value;
    assert_eq!(role, value!({"metadata": {}, "rules": []}));
}

#[test]
fn free_form_parts_stay_as_they_are() {
    let decoded = decode_json(
        br#"{"metadata":{"managedFields":[{"fieldsV1":{"f:spec":{},".":null}}]},
            "data":{"x":[null,0,""],"kind":"Other","a":1,"a":2}}"#,
        &ty("apps/v1", "ControllerRevision"),
    )
    .unwrap();
    assert_eq!(decoded.value.get("data"), &value!({"x": [null, 0, ""], "kind": "Other", "a": 2}));
    let entry = decoded.value.at("metadata.managedFields").items().next().unwrap();
    assert_eq!(entry.get("fieldsV1"), &value!({"f:spec": {}, ".": null}));
    assert_eq!(strict(&decoded), [""; 0], "upstream does not look for duplicates there");
}

#[test]
fn embedded_structs_are_looked_through() {
    let decoded = decode(
        "Pod",
        r#"{"spec":{"containers":[{"name":"c","livenessProbe":{"httpGet":{"port":"http"},"exec":null}}],
            "volumes":[{"name":"v","hostPath":{"path":"/x"},"nfs2":{}}]}}"#,
    )
    .unwrap();
    assert_eq!(strict(&decoded), [r#"unknown field "spec.volumes[0].nfs2""#]);
    let spec = decoded.value.get("spec");
    assert_eq!(spec.get("volumes"), &value!([{"name": "v", "hostPath": {"path": "/x"}}]));
    let probe = spec.get("containers").items().next().unwrap().get("livenessProbe");
    assert_eq!(probe, &value!({"httpGet": {"port": "http"}}));
}

#[test]
fn yaml_tells_duplicates_first_and_sorts() {
    let yaml = b"spec:\n  zzz: 1\n  replicas: 1\n  replicas: 2\nmetadata:\n  aaa: 1\n";
    let decoded = decode_yaml(yaml, &ty("apps/v1", "Deployment")).unwrap();
    assert_eq!(
        strict(&decoded),
        [
            "error converting YAML to JSON: yaml: unmarshal errors:\n  line 4: key \"replicas\" already set in map",
            r#"unknown field "metadata.aaa""#,
            r#"unknown field "spec.zzz""#,
        ]
    );
    assert_eq!(decoded.value.at("spec.replicas").as_i64(), Some(2));
    let error = decode_yaml(b"metadata: {name: yes}", &ty("v1", "Pod")).unwrap_err().to_string();
    assert_eq!(
        error,
        "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string"
    );
}

#[test]
fn custom_resources_keep_null_and_zero() {
    use std::borrow::Cow;
    use std::sync::Arc;

    use schema::{Field, FieldType, ListType, PatchStrategy, Shape, TypeDef};
    let field = |name: &'static str, shape, ty| Field {
        name: Cow::Borrowed(name),
        number: 0,
        shape,
        ty,
        pointer: true,
        always_in_json: false,
        required: false,
        inline: false,
        list_type: ListType::Atomic,
        list_map_keys: Cow::Borrowed(&[]),
        atomic_map: false,
        granular: false,
        patch: PatchStrategy::DEFAULT,
        default: None,
        nullable: false,
    };
    let shared = |name: &'static str, fields: Vec<Field>| {
        TypeRef::Shared(Arc::new(TypeDef {
            name: Cow::Borrowed(name),
            fields: Cow::Owned(fields),
            preserves_unknown: false,
            atomic: false,
            embedded: false,
            source: None,
            index: schema::FieldIndex::new(),
        }))
    };
    let spec = shared(
        "spec",
        vec![field("size", Shape::Single, FieldType::Int32), field("names", Shape::List, FieldType::String)],
    );
    let meta = schema::type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
    let ty = shared(
        "Widget",
        vec![
            field("metadata", Shape::Single, FieldType::Message(meta)),
            field("spec", Shape::Single, FieldType::Message(spec)),
        ],
    );
    let decoded = decode_json(
        br#"{"metadata":{"name":"w","generation":0},"spec":{"size":null,"names":[],"x":1,"size":"a"}}"#,
        &ty,
    )
    .unwrap();
    assert_eq!(decoded.value, value!({"metadata": {"name": "w"}, "spec": {"size": "a", "names": []}}));
    assert_eq!(strict(&decoded), [r#"unknown field "spec.x""#, r#"duplicate field "spec.size""#]);
}

#[test]
fn deep_objects_are_bounded_and_bear_all_codecs() {
    let ty = ty("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let nested = |depth: usize| {
        let schema = "{\"not\":".repeat(depth) + "{}" + &"}".repeat(depth);
        format!(r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{schema}}}}}]}}}}"#)
    };
    let decoded = decode_json(nested(crate::json::DEPTH_MAX - 6).as_bytes(), &ty).unwrap().value;
    assert!(crate::protobuf::encode(&decoded, &ty).is_ok());
    assert_eq!(crate::json::parse(&crate::json::to_vec(&decoded)).unwrap(), decoded);
    assert_eq!(crate::from_value::<Value>(&decoded).unwrap(), decoded);
    assert_eq!(
        decode_json(nested(crate::json::DEPTH_MAX).as_bytes(), &ty),
        Err(DecodeError::Json(JsonError::TooDeep))
    );
}
