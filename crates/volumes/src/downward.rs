//! The downward API: fields of a pod and resources of its containers, as text.

use k8s_openapi::api::core::v1::{Container, Node, Pod, ResourceFieldSelector};
use object::Quantity;

/// A field or resource that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DownwardError {
    /// There is no such field.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// There is no such container.
    #[error("container {0} not found")]
    Container(String),
    /// There is no such resource.
    #[error("unsupported container resource : {0}")]
    Resource(String),
    /// A quantity cannot be read.
    #[error("{0}")]
    Quantity(String),
}

/// A field of a pod, as upstream's `fieldpath` and kubelet give it. Fields that are not known yet (addresses)
/// are empty.
///
/// # Errors
/// [`DownwardError::Field`] for other paths.
pub fn field(pod: &Pod, path: &str) -> Result<String, DownwardError> {
    let meta = &pod.metadata;
    let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(DownwardError::Field(path.to_owned())),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.iter().flatten())),
        "metadata.annotations" => Some(lines(meta.annotations.iter().flatten())),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "spec.restartPolicy" => spec.and_then(|spec| spec.restart_policy.clone()),
        "spec.schedulerName" => spec.and_then(|spec| spec.scheduler_name.clone()),
        "status.phase" => status.and_then(|status| status.phase.clone()),
        "status.hostIP" => status.and_then(|status| status.host_ip.clone()),
        "status.podIP" => status.and_then(|status| status.pod_ip.clone()),
        "status.hostIPs" => {
            let ips = status.iter().flat_map(|status| status.host_ips.iter().flatten());
            Some(ips.map(|ip| ip.ip.as_str()).collect::<Vec<_>>().join(","))
        }
        "status.podIPs" => {
            let ips = status.iter().flat_map(|status| status.pod_ips.iter().flatten());
            Some(ips.map(|ip| ip.ip.as_str()).collect::<Vec<_>>().join(","))
        }
        _ => return Err(DownwardError::Field(path.to_owned())),
    };
    Ok(value.unwrap_or_default())
}

/// `metadata.labels['key']` in its parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// Sorted lines of `key="value"`, the values quoted as Go quotes strings.
fn lines<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    map.map(|(key, value)| format!("{key}={}", object::quote(value))).collect::<Vec<_>>().join("\n")
}

/// A resource of a container, divided by the selector's divisor and rounded up. An unset limit is the node's
/// allocatable amount.
///
/// # Errors
/// If there is no such container or resource.
pub fn resource(
    pod: &Pod,
    node: &Node,
    selector: &ResourceFieldSelector,
    own_container: Option<&Container>,
) -> Result<String, DownwardError> {
    let name = selector.container_name.as_deref().unwrap_or_default();
    let container = match own_container {
        Some(own) if name.is_empty() || name == own.name => own,
        _ => find_container(pod, name).ok_or_else(|| DownwardError::Container(name.to_owned()))?,
    };
    let unsupported = || DownwardError::Resource(selector.resource.clone());
    let (list, resource) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let known =
        ["cpu", "memory", "ephemeral-storage"].contains(&resource) || resource.starts_with("hugepages-");
    if !known {
        return Err(unsupported());
    }
    let resources = container.resources.as_ref();
    let of = |list: Option<&std::collections::BTreeMap<String, _>>| {
        list.and_then(|list| list.get(resource)).cloned()
    };
    let amount = match list {
        "limits" => of(resources.and_then(|r| r.limits.as_ref()))
            .or_else(|| of(node.status.as_ref().and_then(|status| status.allocatable.as_ref()))),
        "requests" => of(resources.and_then(|r| r.requests.as_ref())),
        _ => return Err(unsupported()),
    };
    let parse =
        |text: &str| Quantity::parse(text).map_err(|error| DownwardError::Quantity(error.to_string()));
    let amount = parse(amount.as_ref().map_or("0", |amount| amount.0.as_str()))?;
    let divisor = selector.divisor.as_ref().map(|divisor| parse(&divisor.0)).transpose()?;
    Ok(divide(&amount, divisor.as_ref(), resource == "cpu").to_string())
}

fn divide(amount: &Quantity, divisor: Option<&Quantity>, is_cpu: bool) -> i64 {
    let units = |quantity: &Quantity| if is_cpu { quantity.milli_value() } else { quantity.value() };
    let one = if is_cpu { 1000 } else { 1 };
    let divisor = divisor.filter(|divisor| !divisor.is_zero()).map_or(one, units).max(1);
    let amount = units(amount);
    amount / divisor + i64::from(amount % divisor > 0)
}

fn find_container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .find(|container| container.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u",
                "labels": {"b": "2", "a": "say \"hi\""}, "annotations": {"x/y": "z"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {
                "limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}}}]},
            "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
        }))
        .unwrap()
    }

    #[test]
    fn fields_are_read() {
        let cases = [
            ("metadata.name", Some("web")),
            ("metadata.labels", Some("a=\"say \\\"hi\\\"\"\nb=\"2\"")),
            ("metadata.labels['b']", Some("2")),
            ("metadata.labels['none']", Some("")),
            ("metadata.annotations['x/y']", Some("z")),
            ("spec.nodeName", Some("n")),
            ("status.podIPs", Some("10.0.0.1,fd00::1")),
            ("status.hostIP", Some("")),
            ("spec.containers", None),
            ("spec['a']", None),
        ];
        for (path, value) in cases {
            assert_eq!(field(&pod(), path).ok().as_deref(), value, "{path}");
        }
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let node: Node =
            serde_json::from_value(json!({"metadata": {}, "status": {"allocatable": {"cpu": "1900m"}}}))
                .unwrap();
        let cases = [
            ("requests.cpu", None, Some("1")),
            ("requests.cpu", Some("1m"), Some("250")),
            ("limits.cpu", None, Some("2")),
            ("limits.memory", Some("1Mi"), Some("64")),
            ("limits.memory", None, Some("67108864")),
            ("requests.memory", None, Some("0")),
            ("requests.gpu", None, None),
        ];
        for (resource_name, divisor, value) in cases {
            let selector = ResourceFieldSelector {
                container_name: Some("c".into()),
                resource: resource_name.into(),
                divisor: divisor.map(|d| k8s_openapi::apimachinery::pkg::api::resource::Quantity(d.into())),
            };
            assert_eq!(resource(&pod(), &node, &selector, None).ok().as_deref(), value, "{resource_name}");
        }
    }
}
