use object::{Value, value};
use schema::{ResourceDef, SubresourceDef, Verb};

use super::*;
use crate::admission::Warnings;
use crate::testing::{TestServer, admin, value_of};

/// A resource of another group with the plural name and the subresources of a built-in one, over the same objects.
fn double(server: &TestServer, plural: &str, collection: &str) -> Arc<Endpoint> {
    let original = server.registry.endpoint("", "v1", plural).expect("the table has it");
    let mut parts: Vec<SubresourceDef> = original.def.subresources.to_vec();
    for name in ["finalize", "approval", "token", "eviction", "binding", "resize", "ephemeralcontainers"] {
        if original.def.subresource(name).is_none() {
            parts.push(SubresourceDef {
                name: name.into(),
                group: original.def.group.clone(),
                version: "v1".into(),
                kind: original.def.kind.clone(),
                verbs: vec![Verb::Create, Verb::Update, Verb::Patch].into(),
                ty: Some(original.def.ty.clone()),
            });
        }
    }
    let def =
        ResourceDef { group: "example.com".into(), subresources: parts.into(), ..(*original.def).clone() };
    let strategy = kinds::strategy(&def.group, &def.plural).into();
    Arc::new(Endpoint {
        def: Arc::new(def).into(),
        strategy,
        type_meta: Arc::clone(&original.type_meta),
        collection: server.registry.collection(collection).cloned(),
        conversion: None,
        terminating: false,
    })
}

async fn ask(
    server: &TestServer,
    endpoint: &Arc<Endpoint>,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Value, Status> {
    let path = format!("/apis/example.com/v1/{path}");
    let info = RequestInfo::parse(&method.parse().unwrap(), &path, None);
    let form = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let query = Query::read(&info)?;
    let body = Content::Tree(body.clone());
    let operation =
        Operation { info: Arc::new(info), content_type: Some(form.to_owned()), user_agent: None, body };
    let later = Instant::now() + overload::REQUEST_WITHIN;
    server
        .perform(&admin(), "uid", endpoint, operation, &query, (later, &Warnings::default()))
        .await
        .map(value_of)
}

async fn server_with_pod() -> (TestServer, Value) {
    let server = TestServer::start().await;
    let named = |name: &str| value!({"metadata": {"name": name}});
    server.create("", "serviceaccounts", "default", named("default")).await.unwrap();
    let pod = value!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": false
    }});
    let pod = server.create("", "pods", "default", pod).await.unwrap();
    (server, pod)
}

#[tokio::test]
async fn a_custom_resource_called_like_a_built_in_one_has_none_of_its_special_parts() {
    let (server, pod) = server_with_pod().await;
    let binding = value!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let bindings = double(&server, "bindings", "configmaps");
    let made = ask(&server, &bindings, "POST", "namespaces/default/bindings", &binding).await.unwrap();
    assert_eq!(made.at("metadata.namespace").as_str(), Some("default"), "an object like others is made");
    let pods = double(&server, "pods", "pods");
    let eviction = value!({"metadata": {"name": "p"}});
    let resources = value!({"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}});
    let extra = value!({"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}});
    for (method, part, body) in [
        ("POST", "binding", &binding),
        ("POST", "eviction", &eviction),
        ("PATCH", "resize", &resources),
        ("PATCH", "ephemeralcontainers", &extra),
        ("PATCH", "finalize", &resources),
        ("PATCH", "approval", &resources),
    ] {
        let path = format!("namespaces/default/pods/p/{part}");
        let refused = ask(&server, &pods, method, &path, body).await.expect_err(part);
        assert_eq!((refused.code, refused.reason.as_str()), (405, "MethodNotAllowed"), "{part}: {refused}");
    }
    let accounts = double(&server, "serviceaccounts", "serviceaccounts");
    let path = "namespaces/default/serviceaccounts/default/token";
    assert_eq!(ask(&server, &accounts, "POST", path, &value!({})).await.unwrap_err().code, 405);
    assert_eq!(server.get("", "pods", "default", "p").await.unwrap(), pod, "the pod is as it was");
}

#[tokio::test]
async fn a_custom_resource_called_namespaces_is_read_in_its_namespace() {
    let (server, _) = server_with_pod().await;
    for namespace in ["default", "kube-system"] {
        let object = value!({"metadata": {"name": namespace}});
        server.create("", "configmaps", namespace, object).await.unwrap();
    }
    let original = double(&server, "configmaps", "configmaps");
    let def = ResourceDef { plural: "namespaces".into(), ..(*original.def).clone() };
    let endpoint = Arc::new(Endpoint {
        def: Arc::new(def).into(),
        strategy: original.strategy.clone(),
        type_meta: Arc::clone(&original.type_meta),
        collection: original.collection.clone(),
        conversion: None,
        terminating: false,
    });
    let listed = ask(&server, &endpoint, "GET", "namespaces/default/namespaces", &Value::Null).await.unwrap();
    assert_eq!(listed, value!(["default/default"]));
    let components = double(&server, "componentstatuses", "configmaps");
    let listed = ask(&server, &components, "GET", "componentstatuses", &Value::Null).await.unwrap();
    assert_eq!(listed.items().count(), 2, "its own objects are listed, not the parts of the control plane");
}
