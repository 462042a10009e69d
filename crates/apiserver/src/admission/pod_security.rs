//! PodSecurity: pods must comply with the level that labels of their namespace request
//! (`k8s.io/pod-security-admission`).
//!
//! `enforce` refuses pods, `warn` warns the client about pods and about workloads that create pods, and `audit` writes
//! to the log. A namespace without labels gets the defaults, which restrict nothing unless the [`Config`] says
//! otherwise.

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};

mod checks;
mod configuration;
mod evaluate;
mod level;
mod namespace;
mod pod;
#[cfg(test)]
mod tests;

pub use level::{Level, LevelVersion, Policy, Version};

use evaluate::Findings;
use pod::Pod;

/// Resources whose objects create pods, with the path of the template.
const TEMPLATES: [(GroupResource<'static>, &str); 8] = [
    (GroupResource::new("", "replicationcontrollers"), "spec.template"),
    (GroupResource::new("", "podtemplates"), "template"),
    (GroupResource::new("apps", "replicasets"), "spec.template"),
    (GroupResource::new("apps", "deployments"), "spec.template"),
    (GroupResource::new("apps", "statefulsets"), "spec.template"),
    (GroupResource::new("apps", "daemonsets"), "spec.template"),
    (GroupResource::new("batch", "jobs"), "spec.template"),
    (GroupResource::new("batch", "cronjobs"), "spec.jobTemplate.spec.template"),
];
/// Subresources of pods that change no restricted field.
const HARMLESS: [&str; 8] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// The defaults for namespaces without labels, and the exemptions.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The policy of namespaces without labels.
    pub defaults: Policy,
    /// Users whose requests are not checked.
    pub exempt_users: Vec<String>,
    /// Namespaces that are not checked.
    pub exempt_namespaces: Vec<String>,
    /// Runtime classes whose pods are not checked.
    pub exempt_runtime_classes: Vec<String>,
}

/// The plugin.
#[derive(Default)]
pub struct PodSecurity {
    /// Defaults and exemptions.
    pub config: Config,
}

#[async_trait]
impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        if !matches!(what.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        if what.is(GroupResource::NAMESPACES) {
            return self.validate_namespace(what, object, old).await;
        }
        if what.group_resource() == GroupResource::PODS {
            let is_harmless = HARMLESS.contains(&what.subresource);
            if is_harmless || what.operation == Operation::Update && !changes_containers(object, old) {
                return Ok(());
            }
            let pod = Pod { metadata: object.get("metadata"), spec: object.get("spec") };
            return self.validate_pod(what, pod, true).await;
        }
        let template = TEMPLATES.iter().find(|(resource, _)| what.is(*resource));
        let template = template.map_or(&Value::Null, |(_, path)| object.at(path));
        if template.is_null() {
            return Ok(());
        }
        let pod = Pod { metadata: template.get("metadata"), spec: template.get("spec") };
        self.validate_pod(what, pod, false).await
    }
}

impl PodSecurity {
    /// Evaluates a pod, or a template of pods, which is never refused.
    async fn validate_pod(&self, what: &Attributes<'_>, pod: Pod<'_>, enforces: bool) -> Result<(), Status> {
        let is_exempt = |names: &[String], name: &str| !name.is_empty() && names.iter().any(|n| n == name);
        if is_exempt(&self.config.exempt_namespaces, what.namespace)
            || is_exempt(&self.config.exempt_users, &what.user.name)
            || is_exempt(&self.config.exempt_runtime_classes, pod.spec.str_at("runtimeClassName"))
        {
            return Ok(());
        }
        let namespace = what.reader.find(GroupResource::NAMESPACES, "", what.namespace).await?;
        let namespace = match namespace {
            Some(namespace) => namespace.tree(),
            None if !enforces => return Ok(()),
            None => {
                let name = object::quote(what.namespace);
                return Err(Status::internal_error(format!("failed to lookup namespace {name}")));
            }
        };
        // Invalid labels count as upstream counts them: as the strictest level for `enforce`, and not otherwise.
        let (policy, _) = Policy::of_labels(namespace.at("metadata.labels"), &self.config.defaults);
        let judge = |level: LevelVersion| Findings::of(level, pod);
        if enforces {
            let findings = judge(policy.enforce);
            if !findings.is_empty() {
                return Err(what.forbidden(&findings.text("violates", policy.enforce)));
            }
        }
        let audited = judge(policy.audit);
        if !audited.is_empty() {
            let resource = what.resource.plural;
            let (namespace, name, user) = (what.namespace, what.name, what.user.name.as_str());
            let violation = audited.text("would violate", policy.audit);
            tracing::info!(resource, namespace, name, user, violation, "PodSecurity audit");
        }
        let warned = judge(policy.warn);
        if !warned.is_empty() {
            what.warnings.add(warned.text("would violate", policy.warn));
        }
        Ok(())
    }
}

/// Whether containers were added or removed, or have a different image: no other restricted field can change.
fn changes_containers(pod: &Value, old: &Value) -> bool {
    let image = |container: &Value| container.str_at("image").to_owned();
    let regular = ["containers", "initContainers"].iter().any(|list| {
        let (now, before) = (pod.get("spec").get(list).items(), old.get("spec").get(list).items());
        now.len() != before.len() || now.zip(before).any(|(now, before)| image(now) != image(before))
    });
    let before = old.at("spec.ephemeralContainers");
    regular
        || pod.at("spec.ephemeralContainers").items().any(|container| {
            let name = container.str_at("name");
            let same = before.items().find(|before| before.str_at("name") == name);
            same.is_none_or(|before| image(before) != image(container))
        })
}
