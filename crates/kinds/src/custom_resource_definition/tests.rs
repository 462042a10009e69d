use object::json;

use super::*;

fn definition() -> Value {
    value!({
        "metadata": {"name": "widgets.example.com", "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [(version("v1", true))], "conversion": {"strategy": "None"}
        },
        "status": {"storedVersions": ["v1"]}
    })
}

fn version(name: &str, storage: bool) -> Value {
    value!({
        "name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer"}, "colors": {"type": "array", "items": {"type": "string"}}
        }}}}}
    })
}

#[test]
fn table() {
    let mut definition = definition();
    definition.set_path(&["spec", "names", "shortNames"], value!(["wd", "wdg"]));
    definition.set_path(&["status", "conditions"], value!([{"type": "Established", "status": "True"}]));
    let row = "widgets.example.com | Namespaced | v1(storage) | 2024-01-01T00:00:00Z | example.com | Widget | wd,wdg | true";
    crate::testing::check_row(&CustomResourceDefinitions, &definition, row);
}

#[test]
fn schemas_are_warned_of_once() {
    let mut definition = definition();
    let strategy = &CustomResourceDefinitions;
    assert!(strategy.warnings(&definition, None).is_empty());
    let mut version = version("v1", true);
    let field = value!({"type": "string", "format": "odd"});
    version.set_path(&["schema", "openAPIV3Schema", "properties", "spec", "properties", "size"], field);
    definition.set_path(&["spec", "versions"], value!([version]));
    let warnings = strategy.warnings(&definition, None);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("unrecognized format \"odd\""), "{warnings:?}");
    assert!(strategy.warnings(&definition, Some(&definition)).is_empty());
}

#[test]
fn a_version_once_stored_stays_recorded() {
    let versions = |stored: &str| {
        let version = |name: &str| value!({"name": name, "served": true, "storage": (name == stored)});
        value!({"versions": [(version("v1")), (version("v2"))]})
    };
    let mut old = value!({"spec": (versions("v1")), "status": {"storedVersions": ["v0"]}});
    CustomResourceDefinitions.prepare_create(&mut old);
    assert_eq!(old.get("status"), &value!({"storedVersions": ["v1"]}));
    let mut new = value!({"spec": (versions("v2"))});
    CustomResourceDefinitions.prepare_update(&mut new, &old);
    assert_eq!(new.get("status"), &value!({"storedVersions": ["v1", "v2"]}));
}

#[test]
fn a_deletion_waits_for_the_objects() {
    let mut object = definition();
    assert!(CustomResourceDefinitions.blocks_deletion(&object));
    object.entry("metadata").set("deletionTimestamp", "2024-01-02T00:00:00Z");
    CustomResourceDefinitions.prepare_deletion(&mut object);
    assert!(!CustomResourceDefinitions.blocks_deletion(&object));
    assert_eq!(object.at("metadata.finalizers"), &value!([CLEANUP_FINALIZER]));
    let condition = object.at("status.conditions").items().next().unwrap();
    assert_eq!(condition.str_at("reason"), "InstanceDeletionPending");
    assert_eq!(condition.str_at("lastTransitionTime"), "2024-01-02T00:00:00Z");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let mut object = definition();
    let condition =
        |status: &str, reason: &str| value!({"type": "Established", "status": status, "reason": reason});
    for (status, reason, time, expected) in
        [("False", "A", "1", "1"), ("False", "B", "2", "1"), ("True", "C", "3", "3"), ("True", "D", "4", "3")]
    {
        set_condition(&mut object, condition(status, reason), time.into());
        let found = object.at("status.conditions").items().next().unwrap();
        assert_eq!((found.str_at("reason"), found.str_at("lastTransitionTime")), (reason, expected));
    }
    assert_eq!(object.at("status.conditions").items().count(), 1);
    assert!(is_condition_true(&object, "Established"));
    let row = CustomResourceDefinitions.row(&object, &clock::Clock::system());
    assert_eq!(
        row,
        *value!([
            "widgets.example.com",
            "Namespaced",
            "v1(storage)",
            "2024-01-01T00:00:00Z",
            "example.com",
            "Widget",
            "",
            true
        ])
        .as_list()
        .unwrap()
    );
}

/// Changes of a valid definition, as a merge patch, and the errors that they make.
#[test]
fn definitions_are_refused_in_upstream_s_words() {
    for (patch, error) in [
        ("{}", ""),
        (
            r#"{"metadata":{"name":"widget.example.com"}}"#,
            r#"metadata.name: Invalid value: "widget.example.com": must be spec.names.plural+"."+spec.group"#,
        ),
        (
            r#"{"spec":{"scope":"Galaxy"}}"#,
            r#"spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced""#,
        ),
        (
            r#"{"spec":{"names":{"listKind":"Widget"}}}"#,
            r#"spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same"#,
        ),
        (
            r#"{"spec":{"names":{"shortNames":["W"]}}}"#,
            "spec.names.shortNames[0]: Invalid value: \"W\": a DNS-1035 label must consist of",
        ),
        (
            r#"{"spec":{"preserveUnknownFields":true}}"#,
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ),
        (
            r#"{"spec":{"versions":[{"name":"v1","served":true,"storage":true}]}}"#,
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
        (
            r#"{"spec":{"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{}}}}}]}}"#,
            "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
        ),
        (
            r#"{"spec":{"conversion":{"strategy":"Magic"}}}"#,
            r#"spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook""#,
        ),
        (
            r#"{"status":{"storedVersions":["v0","v1"]}}"#,
            "status.storedVersions[0]: Invalid value: \"v0\": missing from spec.versions",
        ),
    ] {
        let mut object = definition();
        object = object::patch::merge_patch(object, json::parse(patch.as_bytes()).unwrap()).unwrap();
        let errors = CustomResourceDefinitions.validate(&object);
        let text = if errors.is_empty() { String::new() } else { errors.to_string() };
        assert!(if error.is_empty() { text.is_empty() } else { text.starts_with(error) }, "{patch}: {text}");
    }
}

/// Members of the version, and the errors that they make.
#[test]
fn versions_are_refused_in_upstream_s_words() {
    for (members, error) in [
        (
            r#"{"additionalPrinterColumns":[{"name":"A","type":"text","jsonPath":"spec.a"}]}"#,
            r#"[spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string, spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec.a": must be a simple json path starting with .]"#,
        ),
        (
            r#"{"subresources":{"scale":{"specReplicasPath":".status.n","statusReplicasPath":""}}}"#,
            r#"[spec.subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec, spec.subresources.scale.statusReplicasPath: Required value]"#,
        ),
        // Upstream accepts any path that begins with a dot.
        (r#"{"additionalPrinterColumns":[{"name":"A","type":"string","jsonPath":"..a['b','c']"}]}"#, ""),
        (r#"{"selectableFields":[{"jsonPath":".spec.size"}]}"#, ""),
        (
            r#"{"selectableFields":[{"jsonPath":".spec.colors"},{"jsonPath":".spec.none"}]}"#,
            r#"[spec.selectableFields[0].jsonPath: Invalid value: ".spec.colors": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed., spec.selectableFields[1].jsonPath: Invalid value: ".spec.none": is an invalid path: does not refer to a valid field]"#,
        ),
        (
            r#"{"deprecationWarning":"old"}"#,
            r#"spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions"#,
        ),
    ] {
        let mut object = definition();
        let mut version = version("v1", true);
        version = object::patch::merge_patch(version, json::parse(members.as_bytes()).unwrap()).unwrap();
        object.entry("spec").set("versions", vec![version]);
        let errors = CustomResourceDefinitions.validate(&object);
        let text = if errors.is_empty() { String::new() } else { errors.to_string() };
        assert_eq!(text, error);
    }
    // What only some versions have keeps its place.
    let mut object = definition();
    let mut second = version("v2", true);
    second.set("additionalPrinterColumns", value!([{"type": "string", "jsonPath": ".spec.a"}]));
    object.entry("spec").set("versions", vec![version("v1", true), second]);
    let errors = CustomResourceDefinitions.validate(&object).to_string();
    assert!(errors.contains("spec.versions[1].additionalPrinterColumns[0].name: Required value"), "{errors}");
    assert!(errors.contains("must have exactly one version marked as storage version"), "{errors}");
}

#[test]
fn what_is_stored_cannot_change() {
    let mut old = definition();
    let mut new = old.clone();
    new.entry("spec").set("scope", "Cluster");
    new.entry("spec").entry("names").set("kind", "Gadget");
    assert!(CustomResourceDefinitions.validate_update(&new, &old).is_empty());
    set_condition(&mut old, value!({"type": "Established", "status": "True"}), Value::Null);
    let errors = CustomResourceDefinitions.validate_update(&new, &old).to_string();
    assert_eq!(
        errors,
        r#"[spec.scope: Invalid value: "Cluster": field is immutable, spec.names.kind: Invalid value: "Gadget": field is immutable]"#
    );
}

#[test]
fn groups_of_the_community_need_an_approval() {
    let mut object = definition();
    object.entry("spec").set("group", "widgets.k8s.io");
    object.entry("metadata").set("name", "widgets.widgets.k8s.io");
    let errors = CustomResourceDefinitions.validate(&object).to_string();
    assert!(
        errors.starts_with(
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have"
        ),
        "{errors}"
    );
    for (annotation, valid, reason) in [
        ("https://github.com/kubernetes/kubernetes/pull/1", true, "ApprovedAnnotation"),
        ("unapproved, an experiment", true, "UnapprovedAnnotation"),
        ("yes", false, "InvalidAnnotation"),
    ] {
        object.entry("metadata").set("annotations", value!({"api-approved.kubernetes.io": annotation}));
        assert_eq!(CustomResourceDefinitions.validate(&object).is_empty(), valid, "{annotation}");
        assert_eq!(validation::approval_condition(&object).str_at("reason"), reason);
    }
    assert!(validation::approval_condition(&definition()).is_null());
}

/// A definition whose objects a webhook converts, at this place.
fn converted(client: Value) -> Value {
    let mut object = definition();
    let webhook = value!({"conversionReviewVersions": ["v1"], "clientConfig": client});
    object.entry("spec").set("conversion", value!({"strategy": "Webhook", "webhook": webhook}));
    object
}

#[test]
fn webhooks_that_convert_are_called_by_https() {
    let at = "spec.conversion.webhookClientConfig";
    let form = "; desired format: https://host[/path]";
    let service = |members: Value| {
        let service = value!({"name": "n", "namespace": "ns", "port": 443i64});
        value!({"service": object::patch::merge_patch(service, members).unwrap()})
    };
    for (client, expected) in [
        (value!({"url": "https://a.example:8443/convert"}), vec![]),
        (value!({}), vec![format!("{at}: Required value: exactly one of url or service is required")]),
        (
            value!({"url": "http://u:p@/x?q#f"}),
            vec![
                format!("{at}.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{form}"),
                format!("{at}.url: Invalid value: \"\": host must be specified{form}"),
                format!("{at}.url: Invalid value: \"u\": user information is not permitted in the URL"),
                format!("{at}.url: Invalid value: \"f\": fragments are not permitted in the URL"),
                format!("{at}.url: Invalid value: \"q\": query parameters are not permitted in the URL"),
            ],
        ),
        (service(value!({"path": "/a/b"})), vec![]),
        (service(value!({"namespace": ""})), vec![format!("{at}.service.name: Required value")]),
        (
            service(value!({"port": 0i64, "path": "a//"})),
            vec![
                format!(
                    "{at}.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive"
                ),
                format!("{at}.service.path: Invalid value: \"a//\": must start with a '/'"),
                format!("{at}.service.path: Invalid value: \"a//\": segment[0] may not be empty"),
                format!("{at}.service.path: Invalid value: \"a//\": segment[1] may not be empty"),
            ],
        ),
    ] {
        let errors = CustomResourceDefinitions.validate(&converted(client.clone()));
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected, "{client:?}");
    }
}

#[test]
fn authorities_of_webhooks_can_be_read_once_a_definition_is_established() {
    use base64::Engine;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    let broken = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
    let other = certificate.replace("CERTIFICATE", "THING");
    let with = |bundle: &str| converted(value!({"url": "https://a.example", "caBundle": base64(bundle)}));
    let established = |mut object: Value| {
        set_condition(&mut object, value!({"type": "Established", "status": "True"}), Value::Null);
        object
    };
    let good = established(with(&certificate));
    for (bundle, why) in [
        ("", None),
        (&*certificate, None),
        (&*format!("{broken}{certificate}"), None),
        ("odd", Some("unable to parse bytes as PEM block")),
        (broken, Some("failed to parse certificate: x509: malformed certificate")),
        (&*other, Some("no valid certificate authority data seen")),
    ] {
        let new = with(bundle);
        assert_eq!(validation::conversion_can_be_trusted(&new), why.is_none());
        let told = |errors: field::Errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected: Vec<String> = why
            .map(|why| {
                let at = "spec.conversion.webhookClientConfig.caBundle";
                format!("{at}: Invalid value: {:?}: unable to load root certificates: {why}", base64(bundle))
            })
            .into_iter()
            .collect();
        assert_eq!(told(CustomResourceDefinitions.validate_update(&new, &good)), expected);
        // A definition that nothing is served of yet, and one that had such a bundle, may have it.
        assert!(CustomResourceDefinitions.validate(&new).is_empty());
        assert!(CustomResourceDefinitions.validate_update(&new, &with(&certificate)).is_empty());
        assert!(CustomResourceDefinitions.validate_update(&new, &established(with("odd"))).is_empty());
    }
}

#[test]
fn unknown_versions_of_reviews_may_stay() {
    let of = |versions: Value| {
        let mut object = converted(value!({"url": "https://a.example"}));
        object.entry("spec").entry("conversion").entry("webhook").set("conversionReviewVersions", versions);
        object
    };
    let (known, unknown) = (of(value!(["v1", "v7"])), of(value!(["v7"])));
    let why = "spec.conversion.conversionReviewVersions: Invalid value: [\"v7\"]: must include at least one of v1, v1beta1";
    assert_eq!(CustomResourceDefinitions.validate(&unknown).to_string(), why);
    assert_eq!(CustomResourceDefinitions.validate_update(&unknown, &known).to_string(), why);
    assert!(CustomResourceDefinitions.validate_update(&unknown, &unknown).is_empty());
}
