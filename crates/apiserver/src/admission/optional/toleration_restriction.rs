//! PodTolerationRestriction: the pods of a namespace have certain tolerations, and no others than are allowed (upstream:
//! `plugin/pkg/admission/podtolerationrestriction`).

use async_trait::async_trait;
use object::{Reason, Status, Value, json, value};
use schema::GroupResource;
use semantics::QosClass;

use super::writes_pod;
use crate::admission::document::{Accepted, DocumentError};
use crate::admission::{Attributes, Operation, Plugin};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
/// Of how many tolerations those are left out that others contain.
const MERGED_MAX: usize = 500;
const DOCUMENT: Accepted =
    Accepted { shown: ("podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration"), others: &[] };

/// The plugin's configuration, for namespaces without annotations.
#[derive(Clone, Debug, Default)]
pub struct Config {
    defaults: Vec<Value>,
    allowed: Vec<Value>,
}

impl Config {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_document(document: &Value) -> Result<Config, DocumentError> {
        DOCUMENT.check(document)?;
        DOCUMENT.check_members(document, &["default", "whitelist"])?;
        let list = |member: &str| document.get(member).items().cloned().collect();
        Ok(Config { defaults: list("default"), allowed: list("whitelist") })
    }
}

/// The plugin.
pub struct PodTolerationRestriction {
    /// Its configuration.
    pub config: Config,
}

#[async_trait]
impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        "PodTolerationRestriction"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        if !writes_pod(what, true) {
            return Ok(());
        }
        let mut more = Vec::new();
        if what.operation == Operation::Create {
            more = annotated(what, DEFAULTS).await?.unwrap_or_else(|| self.config.defaults.clone());
        }
        if semantics::qos_class(object) != QosClass::BestEffort {
            more.push(value!({
                "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"
            }));
        }
        if !more.is_empty() {
            let mut all: Vec<Value> = object.at("spec.tolerations").items().cloned().collect();
            let merged = if all.len() + more.len() <= MERGED_MAX {
                all.extend(more);
                // Each is compared with all others.
                merge(&all)
            } else {
                // The next time they are there.
                more.retain(|one| !all.contains(one));
                all.extend(more);
                all
            };
            object.entry("spec").set("tolerations", merged);
        }
        self.validate(what, object, old).await
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        if !writes_pod(what, true) || object.at("spec.tolerations").is_empty() {
            return Ok(());
        }
        let (allowed, whose) = match annotated(what, ALLOWED).await? {
            Some(allowed) => (allowed, "namespace"),
            None => (self.config.allowed.clone(), "cluster"),
        };
        if allowed.is_empty() {
            return Ok(());
        }
        for one in object.at("spec.tolerations").items() {
            if !allowed.iter().any(|allowed| contains(allowed, one)) {
                return Err(Status::failure(
                    Reason::Unknown,
                    format!(
                        "pod tolerations (possibly merged with namespace default tolerations) conflict with its {whose} whitelist"
                    ),
                ));
            }
            // As many as fit into a pod, each compared with as many as fit into an annotation.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// The tolerations in an annotation of the namespace; none without it.
async fn annotated(what: &Attributes<'_>, annotation: &str) -> Result<Option<Vec<Value>>, Status> {
    let namespace = what.reader.find(GroupResource::NAMESPACES, "", what.namespace).await?;
    let namespace = namespace.ok_or_else(|| Status::not_found("", "namespaces", what.namespace))?;
    let namespace = namespace.tree();
    let Some(text) = namespace.at("metadata.annotations").get(annotation).as_str() else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    let list = json::parse(text.as_bytes()).map_err(|why| why.to_string());
    let list = list.and_then(|list| match list.as_list() {
        Some(tolerations) if tolerations.iter().all(|one| one.as_map().is_some()) => Ok(tolerations.to_vec()),
        _ => Err(format!("{annotation} is not a list of tolerations")),
    });
    list.map(Some).map_err(|why| Status::failure(Reason::Unknown, why))
}

/// The tolerations without those that another one contains.
fn merge(all: &[Value]) -> Vec<Value> {
    let mut merged = Vec::<Value>::new();
    for (at, one) in all.iter().enumerate() {
        let is_before = merged.iter().any(|other| contains(other, one));
        // Of two that contain each other the first stays.
        let is_behind = all[at + 1..].iter().any(|other| contains(other, one) && !contains(one, other));
        if !is_before && !is_behind {
            merged.push(one.clone());
        }
    }
    merged
}

/// Whether a toleration tolerates all that another one does.
fn contains(large: &Value, small: &Value) -> bool {
    let (key, effect, operator) = (large.str_at("key"), large.str_at("effect"), large.str_at("operator"));
    if key != small.str_at("key") && !(key.is_empty() && operator == "Exists") {
        return false;
    }
    if effect != small.str_at("effect") && !effect.is_empty() {
        return false;
    }
    if effect == "NoExecute"
        && let Some(longest) = large.get("tolerationSeconds").as_i64()
        && small.get("tolerationSeconds").as_i64().is_none_or(|seconds| seconds > longest)
    {
        return false;
    }
    let of_small = small.str_at("operator");
    match operator {
        "Exists" => true,
        "" | "Equal" => matches!(of_small, "" | "Equal") && large.str_at("value") == small.str_at("value"),
        other => other == of_small && large.str_at("value") == small.str_at("value"),
    }
}
