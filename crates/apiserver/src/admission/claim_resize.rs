//! PersistentVolumeClaimResize: a claim grows only if its class allows it (upstream:
//! `plugin/pkg/admission/storage/persistentvolume/resize`).

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;
use semantics::{Amounts, View};

use super::{Attributes, Operation, Plugin};

const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");
const CLASSES: GroupResource<'static> = GroupResource::new("storage.k8s.io", "storageclasses");
/// The annotation that named a claim's class before there was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const UNBOUND: &str = "Only bound persistent volume claims can be expanded";
const FIXED: &str = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";

/// The plugin.
pub struct ClaimResize;

#[async_trait]
impl Plugin for ClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        if !what.is(CLAIMS) || what.operation != Operation::Update || !grows(object, old) {
            return Ok(());
        }
        if let Some(why) = unfit(object, old) {
            return Err(what.forbidden(why));
        }
        let class = what.reader.find(CLASSES, "", class_of(object)).await?;
        let allows =
            class.is_some_and(|class| class.tree().get("allowVolumeExpansion").as_bool() == Some(true));
        if allows { Ok(()) } else { Err(what.forbidden(FIXED)) }
    }
}

/// Whether a claim asks for more than before.
fn grows(claim: &Value, old: &Value) -> bool {
    let size = |claim: &Value| {
        let requests = Amounts::read(claim.field("spec").field("resources").field("requests"));
        requests.get("storage").cloned().unwrap_or_default()
    };
    size(claim) > size(old)
}

/// Why a claim cannot grow, whatever its class allows.
fn unfit(claim: &Value, old: &Value) -> Option<&'static str> {
    if old.str_at("status.phase") != "Bound" {
        return Some(UNBOUND);
    }
    let class = class_of(claim);
    (class.is_empty() || class != class_of(old)).then_some(FIXED)
}

/// The name of a claim's class; empty if it has none.
fn class_of(claim: &Value) -> &str {
    let noted = claim.at("metadata.annotations").get(CLASS_ANNOTATION).as_str();
    noted.unwrap_or_else(|| claim.str_at("spec.storageClassName"))
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::TestServer;

    const PATH: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

    fn claim(phase: &str, class: &str) -> Value {
        value!({"spec": {"storageClassName": class}, "status": {"phase": phase}})
    }

    #[test]
    fn a_claim_grows_if_it_is_bound_and_keeps_its_class() {
        let bound = claim("Bound", "gold");
        assert_eq!(unfit(&bound, &bound), None);
        assert_eq!(unfit(&bound, &claim("Pending", "gold")), Some(UNBOUND));
        assert_eq!(unfit(&claim("Bound", ""), &claim("Bound", "")), Some(FIXED));
        assert_eq!(unfit(&bound, &claim("Bound", "silver")), Some(FIXED));
        let mut noted = claim("Bound", "silver");
        noted.entry("metadata").entry("annotations").set(CLASS_ANNOTATION, "gold");
        assert_eq!(unfit(&noted, &bound), None, "the annotation counts");
    }

    /// Makes a bound claim of this class.
    async fn add(server: &TestServer, name: &str, class: &str) -> Value {
        let claim = value!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": {"requests": {"storage": "1Gi"}}
        }});
        let mut claim = server.json("POST", PATH, &claim).await.unwrap();
        claim.set("status", value!({"phase": "Bound"}));
        server.json("PUT", &format!("{PATH}/{name}/status"), &claim).await.unwrap()
    }

    #[tokio::test]
    async fn a_claim_grows_as_its_class_allows() {
        let server = TestServer::start().await;
        for (name, expands) in [("gold", value!(true)), ("silver", value!(false)), ("plain", Value::Null)] {
            let class = value!({
                "metadata": {"name": name}, "provisioner": "example.com/p", "allowVolumeExpansion": (expands)
            });
            server.create("storage.k8s.io", "storageclasses", "", class).await.unwrap();
        }
        for (class, allowed) in [("gold", true), ("silver", false), ("plain", false), ("missing", false)] {
            let mut claim = add(&server, class, class).await;
            claim.entry("metadata").set("labels", value!({"a": "b"}));
            let path = format!("{PATH}/{class}");
            let mut claim = server.json("PUT", &path, &claim).await.expect("it does not grow");
            claim.entry("spec").entry("resources").entry("requests").set("storage", "2Gi");
            let grown = server.json("PUT", &path, &claim).await;
            match allowed {
                true => drop(grown.expect(class)),
                false => {
                    let expected = format!("persistentvolumeclaims \"{class}\" is forbidden: {FIXED}");
                    let refused = grown.unwrap_err();
                    assert_eq!((refused.code(), refused.message), (403, expected));
                }
            }
        }
    }
}
