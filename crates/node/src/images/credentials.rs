//! Registry credentials in Secrets (`pkg/credentialprovider`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cri::AuthConfig;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One registry's entry in a Docker configuration.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
}

/// Credentials, each with its registry or path.
#[derive(Default)]
pub(super) struct Keyring {
    entries: Vec<(String, AuthConfig)>,
}

impl Keyring {
    /// Adds the credentials of a Secret of type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`.
    /// Unreadable entries are omitted, as upstream does.
    pub(super) fn add(&mut self, secret: &Secret) {
        let Some(data) = &secret.data else { return };
        if let Some(config) = data.get(".dockerconfigjson") {
            let parsed = serde_json::from_slice::<DockerConfig>(&config.0);
            self.add_all(parsed.map(|config| config.auths).unwrap_or_default());
        } else if let Some(config) = data.get(".dockercfg") {
            self.add_all(serde_json::from_slice(&config.0).unwrap_or_default());
        }
    }

    fn add_all(&mut self, entries: BTreeMap<String, Entry>) {
        for (registry, entry) in entries {
            let decoded =
                STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let (username, password) = match decoded.as_deref().and_then(|text| text.split_once(':')) {
                Some((username, password)) => {
                    (username.to_owned(), password.trim_end_matches('\0').to_owned())
                }
                None => (entry.username, entry.password),
            };
            let auth = AuthConfig {
                username,
                password,
                auth: String::new(),
                server_address: registry.clone(),
                identity_token: entry.identitytoken,
                registry_token: entry.registrytoken,
            };
            self.entries.push((normalized(&registry), auth));
        }
    }

    /// The credentials that fit an image, those for the longest path first.
    pub(super) fn matching(&self, image: &str) -> Vec<&AuthConfig> {
        let image = full_name(image);
        let mut fitting: Vec<_> = self.entries.iter().filter(|(place, _)| fits(place, &image)).collect();
        fitting.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
        fitting.into_iter().map(|(_, auth)| auth).collect()
    }
}

/// Registry and path, without scheme and API version.
fn normalized(registry: &str) -> String {
    let place = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    let place = place.trim_end_matches('/');
    let place = place.strip_suffix("/v1").or_else(|| place.strip_suffix("/v2")).unwrap_or(place);
    match place {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io".to_owned(),
        place => place
            .strip_prefix("index.docker.io/")
            .map_or(place.to_owned(), |path| format!("docker.io/{path}")),
    }
}

/// An image's name with its registry.
fn full_name(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

/// Whether a location is the image's registry, or a path prefix of the image. A `*` matches a part of one label.
fn fits(place: &str, image: &str) -> bool {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (image_host, image_path) = image.split_once('/').unwrap_or((image, ""));
    let (labels, image_labels): (Vec<_>, Vec<_>) =
        (host.split('.').collect(), image_host.split('.').collect());
    labels.len() == image_labels.len()
        && labels.iter().zip(image_labels).all(|(pattern, label)| label_fits(pattern, label))
        && image_path.starts_with(path)
}

fn label_fits(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            label.len() >= before.len() + after.len() && label.starts_with(before) && label.ends_with(after)
        }
        None => pattern == label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_by_registry_and_path() {
        let mut keyring = Keyring::default();
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "quay.io": {"username": "q", "password": "p"},
            "quay.io/team": {"username": "t", "password": "p"},
            "*.example.com": {"username": "e", "password": "p"}}}"#;
        let data = BTreeMap::from([(".dockerconfigjson".to_owned(), k8s_openapi::ByteString(config.into()))]);
        keyring.add(&Secret { data: Some(data), ..Secret::default() });
        let users = |image: &str| {
            keyring.matching(image).iter().map(|auth| auth.username.clone()).collect::<Vec<_>>()
        };
        assert_eq!(users("busybox"), ["hub"]);
        assert_eq!(users("docker.io/a/b:1"), ["hub"]);
        assert_eq!(users("quay.io/team/x"), ["t", "q"]);
        assert_eq!(users("quay.io/other/x"), ["q"]);
        assert_eq!(users("eu.example.com/x"), ["e"]);
        assert!(users("a.b.example.com/x").is_empty() && users("ghcr.io/x").is_empty());
    }
}
