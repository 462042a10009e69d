//! DefaultIngressClass: an Ingress without a class gets the one that is marked as default (upstream:
//! `plugin/pkg/admission/network/defaultingressclass`).

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::default_class::default_class;
use super::{Attributes, Operation, Plugin};

const INGRESSES: GroupResource<'static> = GroupResource::new("networking.k8s.io", "ingresses");
const CLASSES: GroupResource<'static> = GroupResource::new("networking.k8s.io", "ingressclasses");
/// The annotation that named the class before there was a field.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// The annotation that marks a class as default.
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// The plugin.
pub struct DefaultIngressClass;

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        let is_named = !object.at("spec.ingressClassName").is_null()
            || !object.at("metadata.annotations").get(CLASS_ANNOTATION).is_null();
        if !what.is(INGRESSES) || what.operation != Operation::Create || is_named {
            return Ok(());
        }
        if let Some(class) = default_class(what, CLASSES, &[DEFAULT_ANNOTATION]).await? {
            object.entry("spec").set("ingressClassName", class);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::TestServer;

    async fn class_of(server: &TestServer, ingress: Value) -> Option<String> {
        let base = value!({"metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}});
        let ingress = object::patch::merge_patch(base, ingress).unwrap();
        let path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses?dryRun=All";
        let made = server.json("POST", path, &ingress).await.unwrap();
        made.at("spec.ingressClassName").as_str().map(str::to_owned)
    }

    async fn add(server: &TestServer, name: &str, is_default: &str) {
        let class = value!({
            "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": is_default}},
            "spec": {"controller": "example.com/c"}
        });
        server.create("networking.k8s.io", "ingressclasses", "", class).await.unwrap();
    }

    #[tokio::test]
    async fn the_default_class_is_filled_in() {
        let server = TestServer::start().await;
        add(&server, "other", "false").await;
        assert_eq!(class_of(&server, value!({})).await, None);
        add(&server, "b", "true").await;
        assert_eq!(class_of(&server, value!({})).await.as_deref(), Some("b"));
        let named = value!({"spec": {"ingressClassName": "mine"}});
        assert_eq!(class_of(&server, named).await.as_deref(), Some("mine"));
        let annotated = value!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "old"}}});
        assert_eq!(class_of(&server, annotated).await, None);
    }
}
