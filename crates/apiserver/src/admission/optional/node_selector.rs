//! PodNodeSelector: the pods of a namespace run on certain nodes only (upstream: `plugin/pkg/admission/podnodeselector`).
//!
//! The namespace's annotation says which, or the plugin's configuration; that can also limit what pods may select.

use std::collections::BTreeMap;

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::writes_pod;
use crate::admission::{Attributes, Plugin};

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
/// The entry of the configuration for namespaces without the annotation.
const DEFAULT: &str = "clusterDefaultNodeSelector";

type Labels = BTreeMap<String, String>;

/// The plugin's configuration: by namespace what its pods may select, and the default.
#[derive(Clone, Debug, Default)]
pub struct Selectors(BTreeMap<String, String>);

impl Selectors {
    /// Reads the configuration, `podNodeSelectorPluginConfig`. As upstream, what is not a text counts as absent.
    pub fn from_document(document: &Value) -> Selectors {
        let entries = document.get("podNodeSelectorPluginConfig").entries();
        let texts = entries.filter_map(|(name, text)| Some((name.to_owned(), text.as_str()?.to_owned())));
        Selectors(texts.collect())
    }

    fn of(&self, name: &str) -> Result<Labels, Status> {
        labels(self.0.get(name).map_or("", String::as_str))
    }
}

/// The plugin.
pub struct PodNodeSelector {
    /// Its configuration.
    pub selectors: Selectors,
}

#[async_trait]
impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !writes_pod(what, false) {
            return Ok(());
        }
        let wanted = self.check(what, object).await?;
        for (key, value) in wanted {
            object.entry("spec").entry("nodeSelector").set(key, value);
        }
        self.check_allowed(what, object)
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        if !writes_pod(what, false) {
            return Ok(());
        }
        self.check(what, object).await?;
        self.check_allowed(what, object)
    }
}

impl PodNodeSelector {
    /// What the namespace selects, if the pod selects nothing else.
    async fn check(&self, what: &Attributes<'_>, pod: &Value) -> Result<Labels, Status> {
        let namespace = what.reader.find(GroupResource::NAMESPACES, "", what.namespace).await?;
        let namespace = namespace.ok_or_else(|| Status::not_found("", "namespaces", what.namespace))?;
        let wanted = match namespace.tree().at("metadata.annotations").get(ANNOTATION).as_str() {
            Some(text) => labels(text)?,
            None => self.selectors.of(DEFAULT)?,
        };
        let own = pod.at("spec.nodeSelector");
        let differs =
            |(key, value): (&String, &String)| own.get(key).as_str().is_some_and(|own| own != value);
        match wanted.iter().any(differs) {
            false => Ok(wanted),
            true => Err(refused(
                what,
                pod,
                "pod node label selector conflicts with its namespace node label selector",
            )),
        }
    }

    fn check_allowed(&self, what: &Attributes<'_>, pod: &Value) -> Result<(), Status> {
        let allowed = self.selectors.of(what.namespace)?;
        let is_allowed =
            |(key, value): (&str, &Value)| allowed.get(key).map(String::as_str) == value.as_str();
        match allowed.is_empty() || pod.at("spec.nodeSelector").entries().all(is_allowed) {
            true => Ok(()),
            false => Err(refused(
                what,
                pod,
                "pod node label selector labels conflict with its namespace whitelist",
            )),
        }
    }
}

fn refused(what: &Attributes<'_>, pod: &Value, why: &str) -> Status {
    Status::forbidden(what.resource.group, what.resource.plural, pod.str_at("metadata.name"), why)
}

/// The labels of `a=b,c=d`.
fn labels(text: &str) -> Result<Labels, Status> {
    let mut labels = Labels::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let parts: Vec<&str> = part.split('=').map(str::trim).collect();
        let invalid = |why: String| Status::failure(object::Reason::Unknown, why);
        let [key, value] = parts[..] else { return Err(invalid(format!("invalid selector: {part}"))) };
        let key_wrong = object::names::is_qualified_name(key);
        if !key_wrong.is_empty() {
            return Err(invalid(format!("invalid label key {key:?}: {}", key_wrong.join("; "))));
        }
        let value_wrong = object::names::is_valid_label_value(value);
        if !value_wrong.is_empty() {
            let why = value_wrong.join("; ");
            return Err(invalid(format!("invalid label value: {value:?}: at key: {key:?}: {why}")));
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}
