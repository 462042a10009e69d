//! Labels and taints that a node registers with.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::Taint;

/// The effects of taints.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// Labels of Kubernetes' namespaces that a node may set on itself, and namespaces in which it may set all (upstream:
/// `k8s.io/kubelet/pkg/apis`).
const LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
const NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Labels from texts of the form `KEY=VALUE`.
///
/// # Errors
/// The label that is invalid, or that a node may not set.
pub fn labels(texts: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for text in texts {
        let (key, value) =
            text.split_once('=').with_context(|| format!("--node-label {text:?} is not KEY=VALUE"))?;
        check_key("--node-label", text, key)?;
        let wrong = object::names::is_valid_label_value(value);
        ensure!(wrong.is_empty(), "--node-label {text:?}: {}", wrong.join("; "));
        ensure!(
            is_own(key),
            "--node-label {text:?}: of the labels in kubernetes.io and k8s.io, a node may set only those \
                that start with {} or are among {}; set others with kubectl label",
            NAMESPACES.join(" or "),
            LABELS.join(", ")
        );
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

/// Whether a node may set a label on itself.
fn is_own(key: &str) -> bool {
    let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
    let is_below = |parent: &str| {
        namespace == parent || namespace.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    let is_reserved = is_below("kubernetes.io") || is_below("k8s.io");
    !is_reserved || LABELS.contains(&key) || NAMESPACES.into_iter().any(is_below)
}

/// Taints from texts of the form `KEY=VALUE:EFFECT`, or `KEY:EFFECT`.
///
/// # Errors
/// The taint that is invalid, or is given twice.
pub fn taints(texts: &[String]) -> anyhow::Result<Vec<Taint>> {
    let mut taints: Vec<Taint> = Vec::new();
    for text in texts {
        let (rest, effect) = text
            .rsplit_once(':')
            .with_context(|| format!("--node-taint {text:?} is not KEY=VALUE:EFFECT"))?;
        ensure!(
            EFFECTS.contains(&effect),
            "--node-taint {text:?}: the effect of a taint must be one of {}",
            EFFECTS.join(", ")
        );
        let (key, value) = rest.split_once('=').map_or((rest, None), |(key, value)| (key, Some(value)));
        check_key("--node-taint", text, key)?;
        let wrong = object::names::is_valid_label_value(value.unwrap_or_default());
        ensure!(wrong.is_empty(), "--node-taint {text:?}: {}", wrong.join("; "));
        if taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            bail!("--node-taint {text:?}: there is already a taint with this key and effect");
        }
        taints.push(Taint {
            key: key.to_owned(),
            value: value.filter(|value| !value.is_empty()).map(str::to_owned),
            effect: effect.to_owned(),
            time_added: None,
        });
    }
    Ok(taints)
}

fn check_key(flag: &str, text: &str, key: &str) -> anyhow::Result<()> {
    let wrong = object::names::is_qualified_name(key);
    ensure!(wrong.is_empty(), "{flag} {text:?}: {}", wrong.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_a_nodes_own() {
        let read = |text: &str| labels(&[text.to_owned()]);
        for good in [
            "color=blue",
            "empty=",
            "example.com/a=b",
            "node.kubernetes.io/disk=ssd",
            "topology.kubernetes.io/zone=z",
        ] {
            assert_eq!(read(good).unwrap().len(), 1, "{good}");
        }
        let bad = ["color", "=x", "a b=c", "a=b c", "node-role.kubernetes.io/worker=", "x.k8s.io/y=z"];
        for bad in bad {
            assert!(read(bad).unwrap_err().to_string().starts_with("--node-label"), "{bad}");
        }
    }

    #[test]
    fn taints_have_key_and_effect() {
        let read = |texts: &[&str]| taints(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let good = read(&["gpu=yes:NoSchedule", "gpu:NoExecute"]).unwrap();
        assert_eq!((good[0].value.as_deref(), good[1].value.as_deref()), (Some("yes"), None));
        for bad in [&["gpu"][..], &["gpu=yes:Never"], &[":NoSchedule"], &["a:NoExecute", "a=b:NoExecute"]] {
            assert!(read(bad).unwrap_err().to_string().starts_with("--node-taint"), "{bad:?}");
        }
    }
}
