//! DefaultStorageClass: a claim without a class gets the one that is marked as default (upstream:
//! `plugin/pkg/admission/storage/storageclass/setdefault`).

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::default_class::default_class;
use super::{Attributes, Operation, Plugin};

const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");
const CLASSES: GroupResource<'static> = GroupResource::new("storage.k8s.io", "storageclasses");
/// The annotation that named a claim's class before there was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// The annotations that mark a class as default.
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The plugin.
pub struct DefaultStorageClass;

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        // An empty name is one too: the claim wants a volume without a class.
        let is_named = !object.at("spec.storageClassName").is_null()
            || !object.at("metadata.annotations").get(CLASS_ANNOTATION).is_null();
        if !what.is(CLAIMS) || what.operation != Operation::Create || is_named {
            return Ok(());
        }
        if let Some(class) = default_class(what, CLASSES, &DEFAULT_ANNOTATIONS).await? {
            object.entry("spec").set("storageClassName", class);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::TestServer;

    const PATH: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

    fn claim(change: Value) -> Value {
        let claim = value!({"metadata": {"name": "c"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
        }});
        object::patch::merge_patch(claim, change).unwrap()
    }

    async fn class_of(server: &TestServer, change: Value) -> Option<String> {
        let made = server.json("POST", &format!("{PATH}?dryRun=All"), &claim(change)).await.unwrap();
        made.at("spec.storageClassName").as_str().map(str::to_owned)
    }

    async fn add(server: &TestServer, name: &str, annotation: &str, is_default: &str) {
        let mut class = value!({"metadata": {"name": name}, "provisioner": "example.com/p"});
        class.entry("metadata").entry("annotations").set(annotation.to_owned(), is_default);
        server.create("storage.k8s.io", "storageclasses", "", class).await.unwrap();
    }

    #[tokio::test]
    async fn the_default_class_is_filled_in() {
        let server = TestServer::start().await;
        let [annotation, beta] = DEFAULT_ANNOTATIONS;
        add(&server, "other", annotation, "false").await;
        assert_eq!(class_of(&server, value!({})).await, None);
        add(&server, "b", beta, "true").await;
        assert_eq!(class_of(&server, value!({})).await.as_deref(), Some("b"));
        for class in ["mine", ""] {
            let named = value!({"spec": {"storageClassName": class}});
            assert_eq!(class_of(&server, named).await.as_deref(), Some(class));
        }
        let mut annotated = value!({});
        annotated.entry("metadata").entry("annotations").set(CLASS_ANNOTATION, "old");
        assert_eq!(class_of(&server, annotated).await, None);
    }

    #[tokio::test]
    async fn an_existing_claim_is_left_alone() {
        let server = TestServer::start().await;
        let mut claim = server.json("POST", PATH, &claim(value!({}))).await.unwrap();
        add(&server, "a", DEFAULT_ANNOTATIONS[0], "true").await;
        claim.entry("metadata").set("labels", value!({"a": "b"}));
        let changed = server.json("PUT", &format!("{PATH}/c"), &claim).await.unwrap();
        assert!(changed.at("spec.storageClassName").is_null());
    }
}
