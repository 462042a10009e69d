//! The environment of a container.

use std::collections::BTreeMap;

use cri::KeyValue;
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, Node};
use volumes::{ObjectCache, VolumeError, downward};

use super::SpecError;
use super::expand::expand;
use crate::pod::PodInfo;

/// Variables in their order of definition, each name once.
#[derive(Default)]
struct Variables {
    order: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Variables {
    fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        if self.values.insert(name.clone(), value.into()).is_none() {
            self.order.push(name);
        }
    }
}

/// The variables of a container: those of Services, then `envFrom`, then `env`; later ones win. `pod` must have its
/// addresses in its status.
///
/// # Errors
/// If an object or a key that is not optional is missing.
pub(crate) async fn environment(
    pod: &PodInfo,
    container: &Container,
    node: &Node,
    services: &BTreeMap<String, String>,
    objects: &ObjectCache,
) -> Result<Vec<KeyValue>, SpecError> {
    let mut variables = Variables::default();
    for source in container.env_from.iter().flatten() {
        add_all(&mut variables, pod.key.namespace(), source, objects).await?;
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => {
                let known = |name: &str| variables.values.get(name).or_else(|| services.get(name));
                Some(expand(value, |name| known(name).map(String::as_str)))
            }
            (_, Some(source)) => read(pod, container, node, source, objects).await?,
            (_, None) => Some(String::new()),
        };
        if let Some(value) = value {
            variables.set(&variable.name, value);
        }
    }
    let Variables { order, mut values } = variables;
    let own = order.into_iter().map(|key| KeyValue { value: values.remove(&key).unwrap_or_default(), key });
    let mut all: Vec<KeyValue> = own.collect();
    for (key, value) in services {
        if !all.iter().any(|variable| variable.key == *key) {
            all.push(KeyValue { key: key.clone(), value: value.clone() });
        }
    }
    Ok(all)
}

/// Adds every key of an object.
async fn add_all(
    variables: &mut Variables,
    namespace: &str,
    source: &EnvFromSource,
    objects: &ObjectCache,
) -> Result<(), SpecError> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    if let Some(reference) = &source.config_map_ref {
        let map = optional(objects.config_map(namespace, &reference.name).await, reference.optional)?;
        for (key, value) in map.iter().flat_map(|map| map.data.iter().flatten()) {
            variables.set(format!("{prefix}{key}"), value);
        }
    }
    if let Some(reference) = &source.secret_ref {
        let secret = optional(objects.secret(namespace, &reference.name).await, reference.optional)?;
        for (key, value) in secret.iter().flat_map(|secret| secret.data.iter().flatten()) {
            variables.set(format!("{prefix}{key}"), String::from_utf8_lossy(&value.0));
        }
    }
    Ok(())
}

/// Reads one value; `None` if it may be missing and is.
async fn read(
    pod: &PodInfo,
    container: &Container,
    node: &Node,
    source: &EnvVarSource,
    objects: &ObjectCache,
) -> Result<Option<String>, SpecError> {
    let namespace = pod.key.namespace();
    if let Some(selector) = &source.field_ref {
        return Ok(Some(downward::field(&pod.pod, &selector.field_path)?));
    }
    if let Some(selector) = &source.resource_field_ref {
        return Ok(Some(downward::resource(&pod.pod, node, selector, Some(container))?));
    }
    let (kind, name, key, may_miss, value) = if let Some(selector) = &source.config_map_key_ref {
        let map = optional(objects.config_map(namespace, &selector.name).await, selector.optional)?;
        let value = map.and_then(|map| map.data.as_ref()?.get(&selector.key).cloned());
        ("ConfigMap", &selector.name, &selector.key, selector.optional, value)
    } else if let Some(selector) = &source.secret_key_ref {
        let secret = optional(objects.secret(namespace, &selector.name).await, selector.optional)?;
        let value = secret.and_then(|secret| {
            Some(String::from_utf8_lossy(&secret.data.as_ref()?.get(&selector.key)?.0).into_owned())
        });
        ("Secret", &selector.name, &selector.key, selector.optional, value)
    } else {
        return Ok(Some(String::new()));
    };
    match value {
        None if may_miss != Some(true) => {
            let (key, name, namespace) = (key.clone(), name.clone(), namespace.to_owned());
            Err(SpecError::NoSuchKey { key, kind, namespace, name })
        }
        value => Ok(value),
    }
}

fn optional<T>(found: Result<T, VolumeError>, may_miss: Option<bool>) -> Result<Option<T>, SpecError> {
    match found {
        Err(VolumeError::NotFound { .. }) if may_miss == Some(true) => Ok(None),
        other => Ok(Some(other?)),
    }
}
