//! The plugin's configuration document: `PodSecurityConfiguration` of `pod-security.admission.config.k8s.io`.

use std::collections::HashSet;

use object::Value;
use object::field::{Errors, Path};
use object::names;
use serde::Deserialize;

use super::Config;
use super::level::{LEVEL_WRONG, Level, LevelVersion, Policy, VERSION_WRONG, Version};
use crate::admission::{Accepted, DocumentError};

const KIND: &str = "PodSecurityConfiguration";
const DOCUMENT: Accepted = Accepted {
    shown: ("pod-security.admission.config.k8s.io/v1", KIND),
    others: &[
        ("pod-security.admission.config.k8s.io/v1beta1", KIND),
        ("pod-security.admission.config.k8s.io/v1alpha1", KIND),
    ],
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[expect(dead_code, reason = "known before")]
    api_version: String,
    #[expect(dead_code, reason = "known before")]
    kind: String,
    defaults: Option<Defaults>,
    exemptions: Option<Exemptions>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Defaults {
    enforce: Option<String>,
    enforce_version: Option<String>,
    audit: Option<String>,
    audit_version: Option<String>,
    warn: Option<String>,
    warn_version: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Exemptions {
    usernames: Option<Vec<String>>,
    namespaces: Option<Vec<String>>,
    runtime_classes: Option<Vec<String>>,
}

impl Config {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_document(document: &Value) -> Result<Config, DocumentError> {
        let Document { defaults, exemptions, .. } = DOCUMENT.read(document)?;
        let defaults = defaults.unwrap_or_default();
        let mut errors = Errors::new();
        let mut mode = |name: &str, level: &Option<String>, version: &Option<String>| LevelVersion {
            level: read(&mut errors, name, level, Level::parse, LEVEL_WRONG),
            version: read(&mut errors, &format!("{name}-version"), version, Version::parse, VERSION_WRONG),
        };
        let defaults = Policy {
            enforce: mode("enforce", &defaults.enforce, &defaults.enforce_version),
            warn: mode("warn", &defaults.warn, &defaults.warn_version),
            audit: mode("audit", &defaults.audit, &defaults.audit_version),
        };
        let Exemptions { usernames, namespaces, runtime_classes } = exemptions.unwrap_or_default();
        let config = Config {
            defaults,
            exempt_users: usernames.unwrap_or_default(),
            exempt_namespaces: namespaces.unwrap_or_default(),
            exempt_runtime_classes: runtime_classes.unwrap_or_default(),
        };
        check_each(&mut errors, "namespaces", &config.exempt_namespaces, names::is_dns1123_label);
        let is_class = names::is_dns1123_subdomain;
        check_each(&mut errors, "runtimeClasses", &config.exempt_runtime_classes, is_class);
        check_each(&mut errors, "usernames", &config.exempt_users, |_| Vec::new());
        DOCUMENT.check_values(errors)?;
        Ok(config)
    }
}

/// One of the defaults. What the document does not say restricts nothing, in the newest version.
fn read<T: Default>(
    errors: &mut Errors,
    name: &str,
    text: &Option<String>,
    parse: impl FnOnce(&str) -> Option<T>,
    wrong: &str,
) -> T {
    let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { return T::default() };
    parse(text).unwrap_or_else(|| {
        errors.invalid(&Path::root("defaults").child(name), text, wrong);
        T::default()
    })
}

/// Checks the names of one kind of exemptions.
fn check_each(
    errors: &mut Errors,
    list: &'static str,
    values: &[String],
    check: impl Fn(&str) -> names::Messages,
) {
    let root = Path::root("exemptions");
    let place = root.child(list);
    let mut seen = HashSet::new();
    for (i, value) in values.iter().enumerate() {
        let path = place.index(i);
        let wrong = check(value);
        if !wrong.is_empty() {
            errors.invalid(&path, value.as_str(), wrong.join(", "));
        } else if value.is_empty() {
            errors.required(&path, "");
        } else if !seen.insert(value) {
            errors.duplicate(&path, value.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use object::{value, yaml};

    use super::*;

    const GROUP: &str = "pod-security.admission.config.k8s.io";

    fn read(text: &str) -> Result<Config, String> {
        let document = yaml::parse(text.as_bytes()).unwrap();
        Config::from_document(&document).map_err(|error| causes::chain(&error))
    }

    #[test]
    fn a_document_sets_defaults_and_exemptions() {
        for version in ["v1", "v1beta1", "v1alpha1"] {
            let config = read(&format!(
                "apiVersion: {GROUP}/{version}
kind: {KIND}
defaults:
  enforce: baseline
  enforce-version: v1.30
  audit: restricted
  audit-version: latest
  warn: restricted
exemptions:
  usernames: [system:serviceaccount:a:b]
  namespaces: [kube-system]
  runtimeClasses: [kata]
"
            ))
            .unwrap();
            let restricted = LevelVersion { level: Level::Restricted, version: Version::Latest };
            let baseline = LevelVersion { level: Level::Baseline, version: Version::Minor(30) };
            let defaults = Policy { enforce: baseline, audit: restricted, warn: restricted };
            assert_eq!(config.defaults, defaults);
            assert_eq!(config.exempt_users, ["system:serviceaccount:a:b"]);
            assert_eq!(config.exempt_namespaces, ["kube-system"]);
            assert_eq!(config.exempt_runtime_classes, ["kata"]);
        }
        let empty = read(&format!("apiVersion: {GROUP}/v1\nkind: {KIND}\n")).unwrap();
        assert_eq!(empty.defaults, Policy::default());
        let no_list = value!({"apiVersion": format!("{GROUP}/v1"), "kind": KIND, "exemptions": {}});
        assert!(Config::from_document(&no_list).unwrap().exempt_users.is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        let start = format!("apiVersion: {GROUP}/v1\nkind: {KIND}\n");
        let level = r#"PodSecurityConfiguration is invalid: defaults.enforce: Invalid value: "x": must be one of privileged, baseline, restricted"#;
        for (text, expected) in [
            (
                "apiVersion: v1\nkind: ConfigMap\n".to_owned(),
                r#"expected PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1, found "ConfigMap" of "v1""#,
            ),
            (
                format!("apiVersion: {GROUP}/v2\nkind: {KIND}\n"),
                r#"expected PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1, found "PodSecurityConfiguration" of "pod-security.admission.config.k8s.io/v2""#,
            ),
            (format!("{start}defaults: {{enforce: x}}\n"), level),
            (
                format!("{start}defaults: {{warn-version: '1.2', audit-version: v1.02}}\n"),
                r#"PodSecurityConfiguration is invalid: [defaults.warn-version: Invalid value: "1.2": must be "latest" or "v1.x", defaults.audit-version: Invalid value: "v1.02": must be "latest" or "v1.x"]"#,
            ),
            (
                format!("{start}exemptions: {{usernames: ['', a, a]}}\n"),
                r#"PodSecurityConfiguration is invalid: [exemptions.usernames[0]: Required value, exemptions.usernames[2]: Duplicate value: "a"]"#,
            ),
        ] {
            assert_eq!(read(&text).unwrap_err(), expected);
        }
        for (text, part) in [
            ("defaults: {enforced: x}", "unknown field `enforced`"),
            ("default: {}", "unknown field `default`"),
            ("exemptions: {usernames: a}", "invalid type: string \"a\", expected a sequence"),
            (
                "exemptions: {namespaces: [A]}",
                "exemptions.namespaces[0]: Invalid value: \"A\": a lowercase RFC 1123",
            ),
            ("exemptions: {runtimeClasses: [a, a]}", "exemptions.runtimeClasses[1]: Duplicate value: \"a\""),
        ] {
            let error = read(&format!("{start}{text}\n")).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
