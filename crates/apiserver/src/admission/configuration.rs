//! The configuration file of admission plugins: `AdmissionConfiguration` of `apiserver.config.k8s.io`, in YAML or JSON.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use object::{Value, yaml};
use serde::Deserialize;

use super::manifest::{Directories, Owner};
use super::optional::{Selectors, event_rate_limit, toleration_restriction};
use super::{DocumentError, pod_security, resource_quota};

const GROUP: &str = "apiserver.config.k8s.io";
const KIND: &str = "AdmissionConfiguration";
/// Both are alike.
const VERSIONS: [&str; 2] = ["v1", "v1alpha1"];
/// The plugins that have a configuration, besides those that read manifests.
const PLUGINS: [&str; 5] =
    ["PodSecurity", "ResourceQuota", "PodNodeSelector", "PodTolerationRestriction", "EventRateLimit"];

/// The configuration of the plugins that have one.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// That of PodSecurity.
    pub pod_security: pod_security::Config,
    /// That of ResourceQuota.
    pub resource_quota: resource_quota::Config,
    /// That of PodNodeSelector.
    pub node_selectors: Selectors,
    /// That of PodTolerationRestriction.
    pub tolerations: toleration_restriction::Config,
    /// That of EventRateLimit.
    pub event_limits: event_rate_limit::Config,
    /// Those of webhooks and policies: where their manifests are.
    pub manifests: Directories,
    /// Plugins, or fields of their configuration, that the file names and that have no configuration here. Like upstream, this server ignores them.
    pub ignored: Vec<String>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is not YAML or JSON.
    #[error("{path} is not YAML or JSON")]
    Text {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: yaml::YamlError,
    },
    /// A file contains another kind of document.
    #[error("{path}: expected {KIND} of {GROUP}/v1, found {kind:?} of {api_version:?}")]
    Kind {
        /// The file.
        path: PathBuf,
        /// The document's kind.
        kind: String,
        /// The document's version.
        api_version: String,
    },
    /// A field has the wrong type.
    #[error("{path} is not a valid {KIND}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: object::TypedError,
    },
    /// The configuration of a plugin cannot be used.
    #[error("{path}, plugin {plugin}")]
    Plugin {
        /// The file.
        path: PathBuf,
        /// The plugin.
        plugin: String,
        /// The cause.
        source: Box<DocumentError>,
    },
}

#[derive(Deserialize)]
struct Document {
    plugins: Option<Vec<PluginDocument>>,
}

#[derive(Deserialize)]
struct PluginDocument {
    name: String,
    /// A file with the plugin's configuration; relative to the directory of this one.
    path: Option<String>,
    /// Or the configuration itself.
    configuration: Option<Value>,
}

impl Configuration {
    /// Reads a file, and those that it refers to.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(path: &Path) -> Result<Configuration, ConfigurationError> {
        let document = document(path)?;
        let (kind, api_version) = (document.str_at("kind"), document.str_at("apiVersion"));
        let version = api_version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/'));
        if kind != KIND || !version.is_some_and(|version| VERSIONS.contains(&version)) {
            let (kind, api_version) = (kind.to_owned(), api_version.to_owned());
            return Err(ConfigurationError::Kind { path: path.to_owned(), kind, api_version });
        }
        let form = |source| ConfigurationError::Form { path: path.to_owned(), source };
        let Document { plugins } = object::from_value(&document).map_err(form)?;
        let mut read = Configuration::default();
        let mut seen = HashSet::new();
        for plugin in plugins.unwrap_or_default() {
            // The first of a name counts, as upstream.
            let is_known = PLUGINS.contains(&plugin.name.as_str()) || Owner::named(&plugin.name).is_some();
            if !is_known || !seen.insert(plugin.name.clone()) {
                read.ignored.push(plugin.name);
                continue;
            }
            let (content, path) = match (plugin.configuration, plugin.path) {
                (Some(content), _) => (content, path.to_owned()),
                (None, Some(own)) if !own.is_empty() => {
                    let own = path.parent().unwrap_or(Path::new("")).join(own);
                    (self::document(&own)?, own)
                }
                _ => continue,
            };
            read.configure(&plugin.name, &content).map_err(|source| ConfigurationError::Plugin {
                path,
                plugin: plugin.name,
                source: Box::new(source),
            })?;
        }
        Ok(read)
    }

    /// Reads the configuration of a plugin.
    fn configure(&mut self, plugin: &str, content: &Value) -> Result<(), DocumentError> {
        if let Some(owner) = Owner::named(plugin) {
            let unused = self.manifests.read(owner, content)?;
            self.ignored.extend(unused.iter().map(|field| format!("{plugin}.{field}")));
            return Ok(());
        }
        match plugin {
            "PodSecurity" => self.pod_security = pod_security::Config::from_document(content)?,
            "ResourceQuota" => self.resource_quota = resource_quota::Config::from_document(content)?,
            "PodNodeSelector" => self.node_selectors = Selectors::from_document(content),
            "PodTolerationRestriction" => {
                self.tolerations = toleration_restriction::Config::from_document(content)?;
            }
            _ => self.event_limits = event_rate_limit::Config::from_document(content)?,
        }
        Ok(())
    }
}

/// The content of a file; JSON is YAML too.
fn document(path: &Path) -> Result<Value, ConfigurationError> {
    let text = std::fs::read(path);
    let text = text.map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })?;
    yaml::parse(&text).map_err(|source| ConfigurationError::Text { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::pod_security::Level;

    const START: &str =
        "apiVersion: apiserver.config.k8s.io/v1 # of the file\nkind: AdmissionConfiguration\n";
    const DOCUMENT: &str = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\ndefaults: {enforce: baseline}\n";

    fn read(directory: &Path, text: &str) -> Result<Configuration, String> {
        let path = directory.join("admission.yaml");
        std::fs::write(&path, text).unwrap();
        let read = Configuration::read(&path).map_err(|error| causes::chain(&error));
        read.map_err(|error| error.replace(&format!("{}/", directory.display()), ""))
    }

    #[test]
    fn plugins_are_configured_in_the_file_or_in_another() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("pods.yaml"), DOCUMENT).unwrap();
        let inside = DOCUMENT.replace('\n', "\n    ");
        for plugin in [
            format!("- name: PodSecurity\n  configuration:\n    {inside}"),
            "- {name: PodSecurity, path: pods.yaml}\n".to_owned(),
            format!("- {{name: PodSecurity, path: {}}}\n", directory.path().join("pods.yaml").display()),
        ] {
            let text = format!("{START}plugins:\n{}\n- name: ImagePolicyWebhook\n", plugin.trim_end());
            let read = read(directory.path(), &text).unwrap();
            assert_eq!(read.pod_security.defaults.enforce.level, Level::Baseline, "{text}");
            assert_eq!(read.ignored, ["ImagePolicyWebhook"]);
        }
        let json = r#"{"apiVersion": "apiserver.config.k8s.io/v1alpha1", "kind": "AdmissionConfiguration"}"#;
        for text in [START, json] {
            assert_eq!(
                read(directory.path(), text).unwrap().pod_security.defaults.enforce.level,
                Level::Privileged
            );
        }
    }

    #[test]
    fn directories_of_manifests_are_checked() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let place = directory.path().display().to_string();
        let hooks = |fields: &str| {
            format!(
                "{START}plugins:\n- name: MutatingAdmissionWebhook\n  configuration: {{apiVersion: \
                 apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, {fields}}}\n"
            )
        };
        let good =
            read(directory.path(), &hooks(&format!("kubeConfigFile: /k, staticManifestsDir: {place}")));
        assert_eq!(good.unwrap().ignored, ["MutatingAdmissionWebhook.kubeConfigFile"]);
        let start = "admission.yaml, plugin MutatingAdmissionWebhook: ";
        let of = |text: &str| hooks(text);
        for (text, expected) in [
            (
                of("staticManifestsDir: a/b"),
                r#"staticManifestsDir: Invalid value: "a/b": must be an absolute file path"#,
            ),
            (of("kubeConfigFile: a"), r#"kubeConfigFile: Invalid value: "a": must be an absolute file path"#),
            (
                of("staticManifestsDir: /none/of/these"),
                r#"staticManifestsDir: Invalid value: "/none/of/these": unable to read: No such file"#,
            ),
            (of(&format!("staticManifestsDir: {}", file.display())), "must be a directory"),
            (of("manifests: /"), "unknown field `manifests`"),
            (
                of("").replace("WebhookAdmission", "MutatingAdmissionPolicy"),
                "expected WebhookAdmissionConfiguration of apiserver.config.k8s.io/v1, found",
            ),
        ] {
            let error = read(directory.path(), &text).unwrap_err();
            assert!(error.starts_with(start) && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = format!("{START}plugins: [{{name: PodSecurity, path: none.yaml}}]\n");
        let wrong = DOCUMENT.replace("enforce", "enforced").replace('\n', "\n    ");
        for (text, expected) in [
            ("a: [", "admission.yaml is not YAML or JSON: "),
            (
                DOCUMENT,
                r#"admission.yaml: expected AdmissionConfiguration of apiserver.config.k8s.io/v1, found "PodSecurityConfiguration" of "pod-security.admission.config.k8s.io/v1""#,
            ),
            (&format!("{START}plugins: {{}}\n"), "admission.yaml is not a valid AdmissionConfiguration: "),
            (
                &format!("{START}plugins: [{{path: x}}]\n"),
                "admission.yaml is not a valid AdmissionConfiguration: missing field `name`",
            ),
            (&missing, "cannot read none.yaml: No such file or directory"),
            (
                &format!(
                    "{START}plugins: [{{name: ResourceQuota, configuration: {{kind: Pod, apiVersion: v1}}}}]\n"
                ),
                r#"admission.yaml, plugin ResourceQuota: expected ResourceQuotaConfiguration of apiserver.config.k8s.io/v1, found "Pod" of "v1""#,
            ),
            (
                &format!("{START}plugins:\n- name: PodSecurity\n  configuration:\n    {wrong}"),
                "admission.yaml, plugin PodSecurity: cannot read PodSecurityConfiguration: unknown field `enforced`",
            ),
        ] {
            let error = read(directory.path(), text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let gone = Configuration::read(Path::new("/none/a.yaml")).unwrap_err();
        assert_eq!(gone.to_string(), "cannot read /none/a.yaml");
    }
}
