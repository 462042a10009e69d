//! Files by which clients find the server and show who they are.

use std::path::Path;

use anyhow::Context;
use apiserver::pki::write_secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::{Value, value};

/// A kubeconfig with one cluster and one user, by certificate and key (PEM). The text is a secret.
pub fn text(server: &str, authority: &str, certificate: &str, key: &str) -> String {
    let name = "default";
    let config: Value = value!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(authority)
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key)
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name
    });
    object::yaml::to_string(&config)
}

/// A kubeconfig with one cluster and nobody to be there, as machines that join read it.
pub fn without_user(server: &str, authority: &str) -> String {
    let config: Value = value!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(authority)
        }}],
        "users": [], "contexts": [], "current-context": ""
    });
    object::yaml::to_string(&config)
}

/// Writes a kubeconfig, readable for its owner alone; directories on the way are made.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    if std::fs::read(path).is_ok_and(|present| present == text.as_bytes()) {
        return Ok(());
    }
    write_secret(path, text.as_bytes())
        .with_context(|| format!("cannot write the kubeconfig {}", path.display()))
}
