//! Rules of webhooks and policies: the requests that they are for (`plugin/webhook/predicates/rules`).

use object::Value;

use crate::admission::{GroupVersionResource, Operation};

const ALL: &str = "*";

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::admission) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resources and subresources; no subresource is an empty one.
    resources: Vec<(String, String)>,
    scope: String,
    /// The only names that are meant; empty: all.
    names: Vec<String>,
}

impl Rule {
    /// Reads a rule.
    pub(in crate::admission) fn read(rule: &Value) -> Rule {
        let texts = |member: &str| -> Vec<String> {
            rule.get(member).items().map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
        };
        let split = |resource: String| match resource.split_once('/') {
            Some((resource, part)) => (resource.to_owned(), part.to_owned()),
            None => (resource, String::new()),
        };
        Rule {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources").into_iter().map(split).collect(),
            scope: rule.str_at("scope").to_owned(),
            names: texts("resourceNames"),
        }
    }

    /// Whether the rule is for an object of this name, which is empty if the server is still to give one.
    pub(in crate::admission) fn names(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|known| known == name)
    }

    /// Whether the rule matches a request for a part of a resource. `namespace` is that of the request, for a Namespace
    /// its name.
    pub(in crate::admission) fn matches(
        &self,
        operation: Operation,
        resource: GroupVersionResource<'_>,
        subresource: &str,
        namespace: &str,
    ) -> bool {
        let is_in = |list: &[String], wanted: &str| list.iter().any(|item| item == ALL || item == wanted);
        let is_namespace = resource.group.is_empty() && resource.plural == "namespaces";
        let is_of_cluster = is_namespace || namespace.is_empty();
        let in_scope = match self.scope.as_str() {
            "" | ALL => true,
            "Namespaced" => !is_of_cluster,
            "Cluster" => is_of_cluster,
            _ => false,
        };
        in_scope
            && is_in(&self.operations, operation.name())
            && is_in(&self.groups, resource.group)
            && is_in(&self.versions, resource.version)
            && self.resources.iter().any(|(name, part)| {
                (name == ALL || name == resource.plural) && (part == ALL || part == subresource)
            })
    }
}
