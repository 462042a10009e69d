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
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
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
                let known =
                    self.resources[start..].iter().any(|known| known.resource.plural == resource.resource);
                let Some(kind) = resource.response_kind.filter(|_| !known) else { continue };
                self.resources.push(ServedResource {
                    resource: ResourceType {
                        group: name.clone().into(),
                        version: version.version.clone().into(),
                        plural: resource.resource.into(),
                        kind: kind.kind.into(),
                    },
                    namespaced: resource.scope == "Namespaced",
                    verbs: resource.verbs,
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
    }
}
