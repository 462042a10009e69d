//! Kubeconfig files, with the server's address and the client's credentials.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::{Value, value};
use tls::{SecretFileError, write_secret};

/// Why a kubeconfig could not be written.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A directory on the way cannot be made.
    #[error("cannot make {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the kubeconfig")]
    File(#[from] SecretFileError),
}

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

/// A kubeconfig with one cluster and no user, for joining machines.
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

/// The CA certificate (PEM) of a kubeconfig's first cluster, if it is one.
pub fn authority(kubeconfig: &str) -> Option<String> {
    let config = object::yaml::parse(kubeconfig.as_bytes()).ok()?;
    let cluster = config.get("clusters").items().next()?;
    let pem = STANDARD.decode(cluster.at("cluster").str_at("certificate-authority-data")).ok()?;
    let pem = String::from_utf8(pem).ok()?;
    tls::certificates(&pem).ok()?;
    Some(pem)
}

/// The URL of a kubeconfig's first cluster; empty if there is none.
pub fn server(kubeconfig: &str) -> String {
    let config = object::yaml::parse(kubeconfig.as_bytes()).unwrap_or_default();
    let server = config.get("clusters").items().next().map(|cluster| cluster.at("cluster").str_at("server"));
    server.unwrap_or_default().to_owned()
}

/// Writes a kubeconfig, readable only by its owner, unless it exists already; missing parent directories are created.
///
/// # Errors
/// [`KubeconfigError`]
pub fn write(path: &Path, text: &str) -> Result<(), KubeconfigError> {
    if let Some(directory) = path.parent() {
        let failed = |source| KubeconfigError::Directory { path: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    if std::fs::read(path).is_ok_and(|present| present == text.as_bytes()) {
        return Ok(());
    }
    Ok(write_secret(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        for text in
            [without_user("https://192.0.2.1:6443", &pem), text("https://192.0.2.1:6443", &pem, "c", "k")]
        {
            assert_eq!(authority(&text).as_ref(), Some(&pem));
            assert_eq!(server(&text), "https://192.0.2.1:6443");
        }
        // An invalid certificate counts as none.
        assert_eq!(authority(&without_user("https://192.0.2.1:6443", "no certificate")), None);
        assert_eq!((authority("a: ["), server("a: [")), (None, String::new()));
    }
}
