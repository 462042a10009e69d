//! RuntimeClass: a pod's class must exist, and defines the pod's overhead and the nodes where it can run (upstream:
//! `plugin/pkg/admission/runtimeclass`).

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use object::{Quantity, Status, Value, quote};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};

const CLASSES: GroupResource<'static> = GroupResource::new("node.k8s.io", "runtimeclasses");
const OTHER_OVERHEAD: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const NO_OVERHEAD: &str =
    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

/// The plugin.
pub struct RuntimeClass;

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !is_new_pod(what) {
            return Ok(());
        }
        let class = class_of(what, object).await?;
        let overhead = class.at("overhead.podFixed");
        if !class.get("overhead").is_null() {
            let given = object.at("spec.overhead");
            if !given.is_null() && !are_equal(given, overhead) {
                return Err(what.forbidden(OTHER_OVERHEAD));
            }
            object.entry("spec").set("overhead", overhead.clone());
        }
        merge_selector(object, class.at("scheduling.nodeSelector")).map_err(|why| what.forbidden(&why))?;
        merge_tolerations(object, class.at("scheduling.tolerations"));
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        if !is_new_pod(what) {
            return Ok(());
        }
        let class = class_of(what, object).await?;
        let overhead = object.at("spec.overhead");
        if class.get("overhead").is_null() {
            return if overhead.is_null() { Ok(()) } else { Err(what.forbidden(NO_OVERHEAD)) };
        }
        match are_equal(overhead, class.at("overhead.podFixed")) {
            true => Ok(()),
            false => Err(what.forbidden(OTHER_OVERHEAD)),
        }
    }
}

fn is_new_pod(what: &Attributes<'_>) -> bool {
    what.is(GroupResource::PODS) && what.operation == Operation::Create
}

/// The pod's class; null if it names none.
async fn class_of(what: &Attributes<'_>, pod: &Value) -> Result<Arc<Value>, Status> {
    let Some(name) = pod.at("spec.runtimeClassName").as_str() else { return Ok(Arc::default()) };
    match what.reader.find(CLASSES, "", name).await? {
        Some(class) => Ok(class.tree()),
        None => Err(what.forbidden(&format!("pod rejected: RuntimeClass {} not found", quote(name)))),
    }
}

/// Whether two lists of amounts are the same, however they are written.
fn are_equal(a: &Value, b: &Value) -> bool {
    let amounts = |amounts: &Value| -> HashMap<String, Quantity> {
        let each = amounts.entries();
        each.map(|(name, amount)| {
            let amount = amount.as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or_default();
            (name.to_owned(), amount)
        })
        .collect()
    };
    amounts(a) == amounts(b)
}

/// Restricts the pod to nodes where its class can run.
fn merge_selector(pod: &mut Value, of_class: &Value) -> Result<(), String> {
    if of_class.is_empty() {
        return Ok(());
    }
    let selector = pod.entry("spec").entry("nodeSelector");
    for (key, value) in of_class.entries() {
        let wanted = value.as_str().unwrap_or_default();
        match selector.get(key).as_str() {
            Some(given) if given != wanted => {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
                ));
            }
            _ => selector.set(key.to_owned(), wanted),
        }
    }
    Ok(())
}

/// Adds the tolerations of the class. If one of two tolerates everything that the other does, it replaces the other.
fn merge_tolerations(pod: &mut Value, of_class: &Value) {
    if of_class.is_empty() {
        return;
    }
    let tolerations = pod.entry("spec").entry("tolerations");
    let all: Vec<Value> = tolerations.items().chain(of_class.items()).cloned().collect();
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let is_covered = merged.iter().any(|other| covers(other, toleration))
            || all[index + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !is_covered {
            merged.push(toleration.clone());
        }
    }
    *tolerations = Value::from(merged);
}

/// Whether one toleration covers another.
fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let (operator, effect) = (wide.str_at("operator"), wide.str_at("effect"));
    let takes_all_keys = wide.str_at("key").is_empty() && operator == "Exists";
    if !takes_all_keys && wide.str_at("key") != narrow.str_at("key") {
        return false;
    }
    if !effect.is_empty() && effect != narrow.str_at("effect") {
        return false;
    }
    let seconds = |toleration: &Value| toleration.get("tolerationSeconds").as_i64();
    if effect == "NoExecute"
        && let Some(longest) = seconds(wide)
        && seconds(narrow).is_none_or(|asked| asked > longest)
    {
        return false;
    }
    match operator {
        "" | "Equal" => {
            narrow.str_at("operator") == "Equal" && narrow.str_at("value") == wide.str_at("value")
        }
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::TestServer;

    async fn server() -> TestServer {
        let server = TestServer::start().await;
        let account = value!({"metadata": {"name": "default"}});
        server.create("", "serviceaccounts", "default", account).await.unwrap();
        server
    }

    fn pod(spec: Value) -> Value {
        let pod = value!({
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}
        });
        object::patch::merge_patch(pod, value!({"spec": spec})).unwrap()
    }

    async fn admitted(server: &TestServer, spec: Value) -> Result<Value, Status> {
        server.json("POST", "/api/v1/namespaces/default/pods?dryRun=All", &pod(spec)).await
    }

    async fn add(server: &TestServer, class: Value) {
        let class = object::patch::merge_patch(value!({"handler": "runc"}), class).unwrap();
        server.create("node.k8s.io", "runtimeclasses", "", class).await.unwrap();
    }

    #[tokio::test]
    async fn a_class_must_exist() {
        let server = server().await;
        let refused = admitted(&server, value!({"runtimeClassName": "none"})).await.unwrap_err();
        assert_eq!(refused.code(), 403);
        let expected = r#"pods "p" is forbidden: pod rejected: RuntimeClass "none" not found"#;
        assert_eq!(refused.message, expected);
        add(&server, value!({"metadata": {"name": "plain"}})).await;
        admitted(&server, value!({"runtimeClassName": "plain"})).await.unwrap();
    }

    #[tokio::test]
    async fn overhead_is_the_classs() {
        let server = server().await;
        add(&server, value!({"metadata": {"name": "vm"}, "overhead": {"podFixed": {"cpu": "250m"}}})).await;
        let pod = admitted(&server, value!({"runtimeClassName": "vm"})).await.unwrap();
        assert_eq!(pod.str_at("spec.overhead.cpu"), "250m");
        let same = value!({"runtimeClassName": "vm", "overhead": {"cpu": "0.25"}});
        admitted(&server, same).await.unwrap();
        let other = value!({"runtimeClassName": "vm", "overhead": {"cpu": "1"}});
        let refused = admitted(&server, other).await.unwrap_err();
        assert!(refused.message.ends_with(OTHER_OVERHEAD), "{}", refused.message);
        let refused = admitted(&server, value!({"overhead": {"cpu": "1"}})).await.unwrap_err();
        assert!(refused.message.ends_with(NO_OVERHEAD), "{}", refused.message);
    }

    #[tokio::test]
    async fn a_class_says_where_its_pods_run() {
        let server = server().await;
        let gpu = value!({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"});
        let scheduling = value!({"nodeSelector": {"gpu": "yes"}, "tolerations": [(gpu.clone())]});
        add(&server, value!({"metadata": {"name": "gpu"}, "scheduling": scheduling})).await;
        let narrow = value!({"key": "gpu", "operator": "Equal", "value": "x", "effect": "NoSchedule"});
        let spec =
            value!({"runtimeClassName": "gpu", "nodeSelector": {"disk": "ssd"}, "tolerations": [narrow]});
        let pod = admitted(&server, spec).await.unwrap();
        assert_eq!(pod.at("spec.nodeSelector"), &value!({"disk": "ssd", "gpu": "yes"}));
        let own: Vec<&Value> = pod
            .at("spec.tolerations")
            .items()
            .filter(|toleration| toleration.str_at("key") == "gpu")
            .collect();
        assert_eq!(own, [&gpu]);
        let refused = admitted(&server, value!({"runtimeClassName": "gpu", "nodeSelector": {"gpu": "no"}}));
        let expected =
            "conflict: runtimeClass.scheduling.nodeSelector[gpu] = yes; pod.spec.nodeSelector[gpu] = no";
        assert!(refused.await.unwrap_err().message.ends_with(expected));
    }

    #[test]
    fn wide_tolerations_cover_narrow_ones() {
        let any = value!({"operator": "Exists"});
        let minute =
            value!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60});
        let hour =
            value!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600});
        let equal = value!({"key": "a", "operator": "Equal", "value": "b"});
        assert!(
            covers(&any, &equal) && covers(&any, &hour) && covers(&hour, &minute) && covers(&equal, &equal)
        );
        assert!(!covers(&minute, &hour) && !covers(&minute, &equal) && !covers(&equal, &any));
    }
}
