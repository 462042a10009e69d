//! The control plane's information for joining machines.
//!
//! - `kube-public/cluster-info`, readable anonymously: the server's address and its CA. Each bootstrap token signs it,
//!   so that the holder of a token can recognize an authentic copy (kubeadm's format).
//! - `kube-system/ironhull-cluster`, readable for nodes: the settings that all machines share.
//! - `<data-dir>/agent-token`, on the server: a token to join with, prefixed with the digest of the CA.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use client::{Client, ClientError, Patch};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::ObjectKey;
use serde_json::json;
use tls::{SecretFileError, write_secret};

use crate::kubeconfig;
use crate::token::{BootstrapToken, JoinToken, Terms, USAGES, ca_digest};

/// Namespace and name of the ConfigMap that is readable anonymously.
pub const CLUSTER_INFO: (&str, &str) = ("kube-public", "cluster-info");
/// Its entry with a kubeconfig without a user.
pub const KUBECONFIG_ENTRY: &str = "kubeconfig";
/// Namespace and name of the cluster's settings.
pub const CLUSTER_SETTINGS: (&str, &str) = ("kube-system", "ironhull-cluster");
/// Its entry with the settings, as JSON.
pub const SETTINGS_ENTRY: &str = "settings.json";
/// Its entry with the authority of clients' certificates, in PEM.
const CLIENT_CA_ENTRY: &str = "client-ca.crt";

/// The information to publish.
#[derive(Clone, Debug)]
pub struct JoinInfo {
    /// The address at which other machines reach the server.
    pub url: String,
    /// The authority of servers' certificates (PEM).
    pub authority: String,
    /// The settings that all machines share.
    pub settings: Settings,
    /// The file of the token to join with ([`token_file`]).
    pub token_file: PathBuf,
}

/// The settings that all machines of a cluster share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The settings, as JSON, for the code that runs nodes.
    pub json: String,
    /// The authority of clients' certificates (PEM).
    pub client_authority: String,
}

/// Why not everything could be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The API server refuses it, or cannot be asked.
    #[error(transparent)]
    Api(#[from] ClientError),
    /// The token's file cannot be written.
    #[error("cannot keep the token to join with")]
    Token(#[from] SecretFileError),
}

/// Why the cluster's settings are not known.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The API server refuses to return them, or cannot be reached.
    #[error(transparent)]
    Api(#[from] ClientError),
    /// An entry is missing.
    #[error("the ConfigMap {}/{} has no {entry}", CLUSTER_SETTINGS.0, CLUSTER_SETTINGS.1)]
    Missing {
        /// Which.
        entry: &'static str,
    },
}

/// The file of the token to join with, below a server's data directory.
pub fn token_file(data_dir: &Path) -> PathBuf {
    data_dir.join("agent-token")
}

/// Updates everything.
///
/// # Errors
/// [`PublishError`]
pub async fn publish(client: &Client, info: &JoinInfo) -> Result<(), PublishError> {
    let kubeconfig = kubeconfig::without_user(&info.url, &info.authority);
    set_entries(client, CLUSTER_INFO, [(KUBECONFIG_ENTRY, kubeconfig)].into()).await?;
    let Settings { json, client_authority } = info.settings.clone();
    let entries = [(SETTINGS_ENTRY, json), (CLIENT_CA_ENTRY, client_authority)];
    set_entries(client, CLUSTER_SETTINGS, entries.into()).await?;
    keep_token(client, &info.authority, &info.token_file).await
}

/// The settings that all machines share, as published by the control plane.
///
/// # Errors
/// [`SettingsError`]
pub async fn settings(client: &Client) -> Result<Settings, SettingsError> {
    let (namespace, name) = CLUSTER_SETTINGS;
    let map: ConfigMap = client.get(&ObjectKey::namespaced(namespace, name)).await?;
    let mut entries = map.data.unwrap_or_default();
    let mut entry = |entry: &'static str| entries.remove(entry).ok_or(SettingsError::Missing { entry });
    Ok(Settings { json: entry(SETTINGS_ENTRY)?, client_authority: entry(CLIENT_CA_ENTRY)? })
}

/// Sets entries of a ConfigMap and leaves its others as they are.
async fn set_entries(
    client: &Client,
    (namespace, name): (&str, &str),
    entries: BTreeMap<&str, String>,
) -> Result<(), ClientError> {
    let patch = Patch::Merge(json!({"data": entries}));
    match client.patch::<ConfigMap>(&ObjectKey::namespaced(namespace, name), "", &patch).await {
        Err(error) if error.is_not_found() => {}
        result => return result.map(drop),
    }
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(entries.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()),
        ..ConfigMap::default()
    };
    client.create(&map).await.map(drop)
}

/// Makes the file's token unless the one in it is still good.
async fn keep_token(client: &Client, authority: &str, path: &Path) -> Result<(), PublishError> {
    let digest = ca_digest(authority);
    let kept = std::fs::read_to_string(path).ok().and_then(|text| JoinToken::parse(&text).ok());
    if let Some(kept) = kept.filter(|kept| kept.ca_digest.as_deref() == Some(&digest))
        && let Some(token) = BootstrapToken::parse(&kept.secret)
        && client.find::<Secret>(&token.secret_key()).await?.is_some()
    {
        return Ok(());
    }
    let token = BootstrapToken::generate(client.clock());
    let terms = Terms {
        description: "The token in the server's file agent-token.".to_owned(),
        usages: USAGES.map(str::to_owned).into(),
        ..Terms::default()
    };
    client.create(&token.secret_object(&terms)).await?;
    let text = format!("{}\n", JoinToken { ca_digest: Some(digest), secret: token.text() }.text());
    Ok(write_secret(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use simulation::{Server, User, network};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_published_is_read_and_a_good_token_stays() {
        let server = Server::start(1).await;
        let client = server.client(User::new("ironhull:join-info", &[]));
        let directory = tempfile::tempdir().unwrap();
        let mut info = JoinInfo {
            url: "https://192.0.2.1:6443".to_owned(),
            authority: "a CA".to_owned(),
            settings: Settings { json: "{}".to_owned(), client_authority: "another CA".to_owned() },
            token_file: token_file(directory.path()),
        };
        publish(&client, &info).await.unwrap();
        assert_eq!(settings(&server.client(network("n"))).await.unwrap(), info.settings);
        let first = std::fs::read_to_string(&info.token_file).unwrap();
        let joining = JoinToken::parse(&first).unwrap();
        assert_eq!(joining.ca_digest, Some(ca_digest("a CA")));

        // Signatures, which others add, stay; the token is still good.
        let key = ObjectKey::namespaced(CLUSTER_INFO.0, CLUSTER_INFO.1);
        let mut map: ConfigMap = server.find(&key).await.unwrap();
        map.data.get_or_insert_default().insert("jws-kubeconfig-abcdef".to_owned(), "signature".to_owned());
        server.put(&map).await;
        info.url = "https://192.0.2.2:6443".to_owned();
        publish(&client, &info).await.unwrap();
        let entries = server.find::<ConfigMap>(&key).await.unwrap().data.unwrap();
        assert_eq!(kubeconfig::server(&entries[KUBECONFIG_ENTRY]), info.url);
        assert!(entries.contains_key("jws-kubeconfig-abcdef"));
        assert_eq!(std::fs::read_to_string(&info.token_file).unwrap(), first);

        // One that the server does not know any more, or of another CA, is replaced.
        server.remove::<Secret>(&BootstrapToken::parse(&joining.secret).unwrap().secret_key()).await;
        publish(&client, &info).await.unwrap();
        let second = std::fs::read_to_string(&info.token_file).unwrap();
        assert_ne!(second, first);
        info.authority = "a third CA".to_owned();
        publish(&client, &info).await.unwrap();
        let third = JoinToken::parse(&std::fs::read_to_string(&info.token_file).unwrap()).unwrap();
        assert_eq!(third.ca_digest, Some(ca_digest("a third CA")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_entry_is_named() {
        let server = Server::start(1).await;
        let metadata = ObjectMeta {
            namespace: Some(CLUSTER_SETTINGS.0.to_owned()),
            name: Some(CLUSTER_SETTINGS.1.to_owned()),
            ..ObjectMeta::default()
        };
        server.create(&ConfigMap { metadata, ..ConfigMap::default() }).await;
        let error = settings(&server.client(network("n"))).await.unwrap_err();
        assert_eq!(error.to_string(), "the ConfigMap kube-system/ironhull-cluster has no settings.json");
    }
}
