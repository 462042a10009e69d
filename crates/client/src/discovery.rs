//! Discovery: the resources of a server, built-in, custom and aggregated.

use serde::Deserialize;

use crate::{Client, ClientError, ResourceType};

/// The aggregated form of discovery: all groups, or the core group, in one document.
pub(crate) const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A resource that a server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedResource {
    /// Its names.
    pub resource: ResourceType,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// The verbs that it supports.
    pub verbs: Vec<String>,
    /// All versions in which it is served, the preferred one first.
    pub versions: Vec<String>,
    /// Whether it has the subresource `scale`, in the form that all resources share.
    pub has_scale: bool,
}

impl ServedResource {
    /// Whether it has all of these verbs.
    pub fn supports(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|found| found == verb))
    }
}

/// The result of [`Client::discover`].
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// Each resource of each group once, in the version that the server prefers.
    pub resources: Vec<ServedResource>,
    /// The group versions that could not be queried: their server does not answer.
    pub stale: Vec<String>,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupMeta,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GroupMeta {
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    #[serde(default)]
    response_kind: Option<Kind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    subresources: Vec<Subresource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subresource {
    subresource: String,
    #[serde(default)]
    response_kind: Option<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Subresource {
    fn is_scale(&self) -> bool {
        self.subresource == "scale" && self.response_kind.as_ref().is_some_and(|kind| kind.kind == "Scale")
    }
}

impl Client {
    /// Asks the server for its resources.
    pub async fn discover(&self) -> Result<Discovered, ClientError> {
        let mut discovered = Discovered::default();
        for path in ["/api", "/apis"] {
            let response = self.connection().get_path(path, ACCEPT).await?;
            let groups: Groups = response.body.decode("the discovery document")?;
            groups.items.into_iter().for_each(|group| discovered.add(group));
        }
        Ok(discovered)
    }
}

impl Discovered {
    /// Adds a group, with its versions in the order of preference.
    fn add(&mut self, group: Group) {
        let name = group.metadata.name;
        let start = self.resources.len();
        for version in group.versions {
            if version.freshness == "Stale" {
                self.stale.push(format!("{name}/{}", version.version));
            }
            for resource in version.resources {
                let mut known = self.resources[start..].iter_mut();
                if let Some(known) = known.find(|known| known.resource.plural == resource.resource) {
                    known.versions.push(version.version.clone());
                    continue;
                }
                let has_scale = resource.subresources.iter().any(Subresource::is_scale);
                let Some(kind) = resource.response_kind else { continue };
                self.resources.push(ServedResource {
                    resource: ResourceType {
                        group: name.clone().into(),
                        version: version.version.clone().into(),
                        plural: resource.resource.into(),
                        kind: kind.kind.into(),
                    },
                    namespaced: resource.scope == "Namespaced",
                    verbs: resource.verbs,
                    versions: vec![version.version.clone()],
                    has_scale,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_version_of_each_resource_counts() {
        let group: Group = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "autoscaling"},
            "versions": [
                {"version": "v2", "freshness": "Current", "resources": [{
                    "resource": "horizontalpodautoscalers", "scope": "Namespaced", "verbs": ["list", "delete"],
                    "responseKind": {"group": "", "version": "", "kind": "HorizontalPodAutoscaler"},
                    "subresources": [
                        {"subresource": "status", "responseKind": {"kind": "HorizontalPodAutoscaler"}},
                        {"subresource": "scale", "responseKind": {"kind": "Scale"}},
                    ],
                }]},
                {"version": "v1", "freshness": "Stale", "resources": [{
                    "resource": "horizontalpodautoscalers", "scope": "Namespaced", "verbs": ["list"],
                    "responseKind": {"group": "", "version": "", "kind": "HorizontalPodAutoscaler"},
                }]},
            ],
        }))
        .unwrap();
        let mut discovered = Discovered::default();
        discovered.add(group);
        assert_eq!(discovered.stale, ["autoscaling/v1"]);
        let [only] = &discovered.resources[..] else { panic!("{discovered:?}") };
        assert_eq!(only.resource.to_string(), "horizontalpodautoscalers.autoscaling/v2");
        assert!(only.namespaced && only.supports(&["list", "delete"]) && !only.supports(&["watch"]));
        assert!(only.versions == ["v2", "v1"] && only.has_scale);
    }
}
