//! What the control side tells those who join.
//!
//! - `kube-public/cluster-info`, readable without any identity: where the server is and what its CA is. Each bootstrap
//!   token signs it, so that who holds a token can tell a true one (kubeadm's form).
//! - `kube-system/ironhull-cluster`, readable for nodes: the settings that all machines share.
//! - `<data-dir>/agent-token`, on the server: a token to join with, and the digest of the CA in front of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use apiserver::pki::write_secret;
use client::{Client, ClientError, Patch};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::ObjectKey;
use serde_json::json;

use crate::agent::token::{BootstrapToken, JoinToken, Terms, USAGES, ca_digest};
use crate::config::ServerConfig;
use crate::server::ControlPlane;
use crate::{identities, kubeconfig};

/// Namespace and name of what is readable without any identity.
pub const CLUSTER_INFO: (&str, &str) = ("kube-public", "cluster-info");
/// The entry of it with a kubeconfig that has no user.
pub const KUBECONFIG_ENTRY: &str = "kubeconfig";
/// Namespace and name of the cluster's settings.
pub const CLUSTER_SETTINGS: (&str, &str) = ("kube-system", "ironhull-cluster");
/// Its entries: the settings as JSON, and the authority of clients' certificates in PEM.
pub const SETTINGS_ENTRY: &str = "settings.json";
pub const CLIENT_CA_ENTRY: &str = "client-ca.crt";

/// The file of the token to join with.
pub fn token_file(data_dir: &Path) -> PathBuf {
    data_dir.join("agent-token")
}

/// Where other machines reach the server.
pub fn url(config: &ServerConfig) -> String {
    format!("https://{}", std::net::SocketAddr::new(config.node.addresses.primary(), config.listen.port()))
}

/// Brings all of it up to date.
///
/// # Errors
/// What the API server says, or why the file cannot be written.
pub async fn publish(config: &ServerConfig, plane: &ControlPlane) -> anyhow::Result<()> {
    let client = plane.client(identities::join_info());
    let pki = &plane.server.pki;
    let info = kubeconfig::without_user(&url(config), pki.server.certificate());
    set_entries(&client, CLUSTER_INFO, [(KUBECONFIG_ENTRY, info)].into()).await?;
    let settings = serde_json::to_string(&config.node.cluster)?;
    let entries = [(SETTINGS_ENTRY, settings), (CLIENT_CA_ENTRY, pki.client.certificate().to_owned())];
    set_entries(&client, CLUSTER_SETTINGS, entries.into()).await?;
    keep_token(&client, plane, &token_file(&config.node.data_dir)).await
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
async fn keep_token(client: &Client, plane: &ControlPlane, path: &Path) -> anyhow::Result<()> {
    let digest = ca_digest(plane.server.pki.server.certificate());
    let kept = std::fs::read_to_string(path).ok().and_then(|text| JoinToken::parse(&text).ok());
    if let Some(kept) = kept.filter(|kept| kept.ca_digest.as_deref() == Some(&digest))
        && let Some(token) = BootstrapToken::parse(&kept.secret)
        && client.find::<Secret>(&token.secret_key()).await?.is_some()
    {
        return Ok(());
    }
    let token = BootstrapToken::generate(&plane.clock);
    let terms = Terms {
        description: "The token of the server's file agent-token.".to_owned(),
        usages: USAGES.map(str::to_owned).into(),
        ..Terms::default()
    };
    client.create(&token.secret_object(&terms)).await?;
    let text = format!("{}\n", JoinToken { ca_digest: Some(digest), secret: token.text() }.text());
    write_secret(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
