//! Facts that upstream's documents state, looked up in the table.

use schema::{Field, FieldType, ListType, Scope, Shape, TypeRef, Verb};

fn ty(name: &str) -> TypeRef {
    schema::type_by_name(name).unwrap_or_else(|| panic!("{name} is in the table"))
}

/// The field of a type of `core/v1`, also an embedded one.
fn core(owner: &str, name: &str) -> Field {
    let owner = ty(&format!("io.k8s.api.core.v1.{owner}"));
    owner.lookup(name).unwrap_or_else(|| panic!("{} has {name}", owner.name)).field.clone()
}

#[test]
fn pointers_tell_zero_from_absence() {
    let spec = ty("io.k8s.api.apps.v1.DeploymentSpec");
    assert!(spec.field("replicas").unwrap().pointer);
    assert!(!spec.field("minReadySeconds").unwrap().pointer);
    assert!(core("Secret", "immutable").pointer);
    assert!(core("Secret", "data").shape == Shape::Map);
    assert!(ty("io.k8s.api.admissionregistration.v1.WebhookClientConfig").field("caBundle").unwrap().pointer);
}

#[test]
fn list_types_and_merge_keys() {
    let cases: &[(&str, &str, &[&str], Option<&str>)] = &[
        ("Container", "ports", &["containerPort", "protocol"], Some("containerPort")),
        ("Container", "env", &["name"], Some("name")),
        ("Container", "volumeMounts", &["mountPath"], Some("mountPath")),
        ("PodSpec", "containers", &["name"], Some("name")),
        ("PodSpec", "volumes", &["name"], Some("name")),
        ("PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], Some("topologyKey")),
        ("ServiceSpec", "ports", &["port", "protocol"], Some("port")),
        ("ServiceAccount", "secrets", &["name"], Some("name")),
        ("PodStatus", "conditions", &["type"], Some("type")),
        ("NodeStatus", "conditions", &["type"], Some("type")),
    ];
    for (owner, name, keys, merge_key) in cases {
        let field = core(owner, name);
        assert_eq!(field.list_type, ListType::Map, "{owner}.{name}");
        assert_eq!(*field.list_map_keys, **keys, "{owner}.{name}");
        assert!(field.patch.merge, "{owner}.{name}");
        assert_eq!(field.patch.merge_key.as_deref(), *merge_key, "{owner}.{name}");
    }
    assert!(core("PodSpec", "volumes").patch.retain_keys);
    assert!(!core("PodSpec", "containers").patch.retain_keys);
    assert_eq!(core("PodSpec", "tolerations").list_type, ListType::Atomic);
    let meta = ty("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let finalizers = meta.field("finalizers").unwrap();
    assert_eq!(finalizers.list_type, ListType::Set);
    assert!(finalizers.patch.merge && finalizers.patch.merge_key.is_none());
    assert_eq!(meta.field("ownerReferences").unwrap().list_map_keys[0], "uid");
}

#[test]
fn atomic_maps_objects_and_the_granular_exception() {
    assert!(core("PodSpec", "nodeSelector").atomic_map);
    assert!(!core("Pod", "metadata").atomic_map);
    assert!(ty("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").atomic);
    assert!(ty("io.k8s.api.core.v1.ObjectReference").atomic);
    assert!(core("PersistentVolumeSpec", "claimRef").granular);
}

#[test]
fn defaults() {
    assert_eq!(core("ContainerPort", "protocol").default.as_deref(), Some("\"TCP\""));
    assert_eq!(core("AzureDiskVolumeSource", "cachingMode").default.as_deref(), Some("\"ReadWrite\""));
    assert_eq!(core("ISCSIVolumeSource", "iscsiInterface").default.as_deref(), Some("\"default\""));
    assert_eq!(core("Container", "name").default, None);
}

#[test]
fn embedded_types_show_their_fields_in_json() {
    let probe = ty("io.k8s.api.core.v1.Probe");
    let place = probe.lookup("httpGet").unwrap();
    assert_eq!((place.through[0].unwrap().number, place.field.number), (1, 2));
    assert!(place.through[1].is_none());
    let rule = ty("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations");
    let place = rule.lookup("apiGroups").unwrap();
    assert_eq!(place.through.map(|field| field.unwrap().number), [2, 2]);
    assert_eq!(place.field.number, 1);
    assert!(rule.lookup("ruleWithOperations").is_none(), "JSON does not show the name of the embedding");
    let mut names = Vec::new();
    rule.for_each_json_field(&mut |field| names.push(field.name.as_ref()));
    assert_eq!(names, ["resourceNames", "operations", "apiGroups", "apiVersions", "resources", "scope"]);
}

#[test]
fn every_field_has_its_number_and_place() {
    // Shown as JSON only: no client ever gets them as protobuf.
    let json_only = ["Table", "TableColumnDefinition", "TableRow", "TableRowCondition", "Info"];
    for ty in schema::types() {
        let short = ty.name.rsplit('.').next().unwrap();
        let order = ty.fields.iter().map(|field| (field.number == 0, field.number, &field.name));
        assert!(order.is_sorted(), "{}", ty.name);
        for field in ty.fields.iter() {
            let in_envelope = field.name == "apiVersion" || field.name == "kind";
            let numbered = field.number != 0 || in_envelope || json_only.contains(&short);
            assert!(numbered, "{}.{} has no number", ty.name, field.name);
            assert!(!field.inline || matches!(field.ty, FieldType::Message(_)), "{}", ty.name);
            let keyed = field.list_type == ListType::Map;
            assert_eq!(keyed, !field.list_map_keys.is_empty(), "{}.{}", ty.name, field.name);
            for key in field.list_map_keys.iter() {
                let item = field.message().expect("items with keys are objects");
                assert!(item.lookup(key).is_some(), "{}.{} has no key {key}", ty.name, field.name);
            }
        }
    }
}

#[test]
fn tables_are_in_the_order_of_their_keys() {
    assert!(schema::types().is_sorted_by_key(|ty| ty.name.as_ref()));
    assert!(schema::kinds().is_sorted_by_key(|kind| (kind.group, kind.version, kind.kind)));
    let keys = schema::resources().iter().map(|def| (&def.group, &def.version, &def.plural));
    assert!(keys.is_sorted());
}

#[test]
fn kinds_of_every_group_version() {
    for (group, version) in [("", "v1"), ("apps", "v1"), ("example.com", "v1alpha1")] {
        for kind in ["DeleteOptions", "CreateOptions", "WatchEvent"] {
            assert!(schema::type_by_gvk(group, version, kind).is_some(), "{group}/{version} {kind}");
        }
    }
    let found = [
        ("", "v1", "PodList"),
        ("", "v1", "List"),
        ("", "v1", "Status"),
        ("", "v1", "APIResourceList"),
        ("apps", "v1", "DeploymentList"),
        ("autoscaling", "v1", "Scale"),
        ("policy", "v1", "Eviction"),
        ("authentication.k8s.io", "v1", "TokenRequest"),
        ("admission.k8s.io", "v1", "AdmissionReview"),
        ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList"),
        ("apiextensions.k8s.io", "v1", "ConversionReview"),
        ("meta.k8s.io", "v1", "Table"),
        ("meta.k8s.io", "v1beta1", "Table"),
        ("meta.k8s.io", "v1", "PartialObjectMetadataList"),
        ("meta.k8s.io", "v1beta1", "PartialObjectMetadataList"),
    ];
    for (group, version, kind) in found {
        assert!(schema::type_by_gvk(group, version, kind).is_some(), "{group}/{version} {kind}");
    }
    assert!(schema::type_by_gvk("apps", "v1", "Status").is_none());
    assert!(schema::type_by_gvk("apps", "v2", "Deployment").is_none());
    assert!(schema::type_by_name("io.k8s.api.core.v1.Nothing").is_none());
}

#[test]
fn resources_verbs_and_subresources() {
    assert_eq!(schema::resources().len(), 74);
    for def in schema::resources() {
        let lists = def.supports(Verb::List);
        assert_eq!(lists, !def.list_kind.is_empty(), "{}", def.plural);
        assert!(!lists || schema::type_by_gvk(&def.group, &def.version, &def.list_kind).is_some());
        for subresource in def.subresources.iter() {
            let gvk = (&subresource.group, &subresource.version, &subresource.kind);
            assert!(schema::type_by_gvk(gvk.0, gvk.1, gvk.2).is_some(), "{}: {gvk:?}", def.plural);
        }
    }
    let pods = schema::resource("", "v1", "pods").unwrap();
    assert_eq!((pods.scope, pods.singular.as_ref()), (Scope::Namespaced, "pod"));
    assert_eq!(pods.verbs.len(), 8);
    assert_eq!(*pods.subresource("log").unwrap().verbs, [Verb::Get]);
    assert!(pods.subresource("log").unwrap().ty.is_none());
    assert_eq!(*pods.subresource("exec").unwrap().verbs, [Verb::Create, Verb::Get]);
    let eviction = pods.subresource("eviction").unwrap();
    assert_eq!((eviction.group.as_ref(), eviction.kind.as_ref()), ("policy", "Eviction"));
    let namespaces = schema::resource("", "v1", "namespaces").unwrap();
    assert!(!namespaces.supports(Verb::DeleteCollection));
    assert_eq!(*namespaces.subresource("finalize").unwrap().verbs, [Verb::Update]);
    assert_eq!(*schema::resource("", "v1", "bindings").unwrap().verbs, [Verb::Create]);
    assert!(schema::resource("", "v1", "deployments").is_none());
}
