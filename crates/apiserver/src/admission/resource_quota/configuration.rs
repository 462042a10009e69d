//! The plugin's configuration document: `ResourceQuotaConfiguration` of `apiserver.config.k8s.io`, and `Configuration` of
//! `resourcequota.admission.k8s.io`, which is older.

use object::field::{Errors, Path};
use object::{Value, value};
use semantics::quota::{Scope, scopes};
use serde::Deserialize;

use super::limited::Limited;
use crate::admission::{Accepted, DocumentError};

const DOCUMENT: Accepted = Accepted {
    shown: ("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"),
    others: &[
        ("resourcequota.admission.k8s.io/v1beta1", "Configuration"),
        ("resourcequota.admission.k8s.io/v1alpha1", "Configuration"),
    ],
};
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// Which resources are used only where a quota limits them.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(super) limited: Vec<Limited>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[expect(dead_code, reason = "known before")]
    api_version: String,
    #[expect(dead_code, reason = "known before")]
    kind: String,
    limited_resources: Option<Vec<LimitedResource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LimitedResource {
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    resource: String,
    match_contains: Option<Vec<String>>,
    match_scopes: Option<Vec<MatchScope>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatchScope {
    #[serde(default)]
    scope_name: String,
    #[serde(default)]
    operator: String,
    values: Option<Vec<String>>,
}

impl Config {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_document(document: &Value) -> Result<Config, DocumentError> {
        let Document { limited_resources, .. } = DOCUMENT.read(document)?;
        let mut errors = Errors::new();
        let root = Path::root("limitedResources");
        let mut limited = Vec::new();
        for (index, rule) in limited_resources.unwrap_or_default().into_iter().enumerate() {
            let path = root.index(index);
            if rule.resource.is_empty() {
                errors.required(&path.child("resource"), "");
            }
            let given = rule.match_scopes.unwrap_or_default();
            let place = path.child("matchScopes");
            for (index, scope) in given.iter().enumerate() {
                // Without one, the scope's name says it all.
                if !scope.operator.is_empty() && !OPERATORS.contains(&scope.operator.as_str()) {
                    let path = place.index(index);
                    errors.not_supported(&path.child("operator"), scope.operator.as_str(), &OPERATORS);
                }
            }
            limited.push(Limited {
                group: rule.api_group,
                plural: rule.resource,
                contains: rule.match_contains.unwrap_or_default(),
                scopes: scopes_of(given),
            });
        }
        DOCUMENT.check_values(errors)?;
        Ok(Config { limited })
    }
}

/// The scopes, as a quota would have them.
fn scopes_of(given: Vec<MatchScope>) -> Vec<Scope> {
    let expressions = given.into_iter().map(|scope| {
        let values: Vec<Value> = scope.values.unwrap_or_default().into_iter().map(Value::from).collect();
        value!({"scopeName": (scope.scope_name), "operator": (scope.operator), "values": (values)})
    });
    let expressions: Vec<Value> = expressions.collect();
    scopes(&value!({"spec": {"scopeSelector": {"matchExpressions": (expressions)}}}))
}

#[cfg(test)]
mod tests {
    use object::yaml;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let document = yaml::parse(text.as_bytes()).unwrap();
        Config::from_document(&document).map_err(|error| causes::chain(&error))
    }

    #[test]
    fn a_document_limits_resources() {
        for (api_version, kind) in DOCUMENT.others.iter().chain([&DOCUMENT.shown]) {
            let config = read(&format!(
                "apiVersion: {api_version}
kind: {kind}
limitedResources:
- resource: persistentvolumeclaims
  matchContains: [.storageclass.storage.k8s.io/requests.storage]
- apiGroup: apps
  resource: deployments
- resource: pods
  matchScopes: [{{scopeName: PriorityClass, operator: In, values: [high, higher]}}, {{scopeName: BestEffort}}]
"
            ))
            .unwrap();
            let [claims, deployments, pods] = &config.limited[..] else { panic!("{config:?}") };
            assert_eq!(claims.contains, [".storageclass.storage.k8s.io/requests.storage"]);
            assert_eq!((&*deployments.group, &*deployments.plural), ("apps", "deployments"));
            let scopes: Vec<String> = pods.scopes.iter().map(Scope::to_string).collect();
            assert_eq!(scopes, ["{PriorityClass In [high higher]}", "{BestEffort Exists []}"]);
        }
        assert!(
            read(&format!("apiVersion: {}\nkind: {}\n", DOCUMENT.shown.0, DOCUMENT.shown.1))
                .unwrap()
                .limited
                .is_empty()
        );
    }

    #[test]
    fn mistakes_are_named() {
        let start = format!("apiVersion: {}\nkind: {}\n", DOCUMENT.shown.0, DOCUMENT.shown.1);
        for (text, expected) in [
            (
                "apiVersion: v1\nkind: ConfigMap\n".to_owned(),
                r#"expected ResourceQuotaConfiguration of apiserver.config.k8s.io/v1, found "ConfigMap" of "v1""#,
            ),
            (
                format!("{start}limitedResources: [{{matchContains: [cpu]}}]\n"),
                "ResourceQuotaConfiguration is invalid: limitedResources[0].resource: Required value",
            ),
            (
                format!(
                    "{start}limitedResources: [{{resource: pods, matchScopes: [{{scopeName: PriorityClass, operator: Is}}]}}]\n"
                ),
                r#"ResourceQuotaConfiguration is invalid: limitedResources[0].matchScopes[0].operator: Unsupported value: "Is": supported values: "In", "NotIn", "Exists", "DoesNotExist""#,
            ),
        ] {
            assert_eq!(read(&text).unwrap_err(), expected);
        }
        let unknown =
            read(&format!("{start}limitedResources: [{{resource: pods, contains: []}}]\n")).unwrap_err();
        assert!(unknown.contains("unknown field `contains`"), "{unknown}");
    }
}
