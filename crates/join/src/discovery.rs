//! How a machine with only a token determines the cluster's CA.
//!
//! The ConfigMap `kube-public/cluster-info` contains the CA, but the connection is not verified yet. The CA is trusted
//! if its digest is the one in the token or a flag, or if the ConfigMap is signed with the token. Otherwise (with a
//! token that only the server knows) it is trusted on first use, with a warning.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::{Client, ClientError, HttpConnection, Servers};
use clock::Clock;
use k8s_openapi::api::core::v1::ConfigMap;
use object::ObjectKey;
use sha2::{Digest, Sha256};

use crate::info::{CLUSTER_INFO, KUBECONFIG_ENTRY};
use crate::kubeconfig;
use crate::token::{BootstrapToken, JoinToken, ca_digest, hex};

/// The prefix of the entries with signatures; a token's ID follows.
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";

/// Why the cluster's CA cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No server answers, or it answers with an error.
    #[error("cannot get the cluster's CA from the server")]
    Api(#[from] ClientError),
    /// The server's answer cannot be parsed.
    #[error(
        "the server's ConfigMap kube-public/cluster-info contains no CA certificate: is this the server of \
            a cluster?"
    )]
    NoAuthority,
    /// The CA is another one than the token or the flag names.
    #[error(
        "the cluster's CA has the digest {found}, but {by} requires {wanted}: this is another cluster, or \
            the connection to the server is being intercepted"
    )]
    Digest {
        /// Of the certificate that the server showed.
        found: String,
        /// The source of the expected digest.
        by: &'static str,
        /// The digests that were wanted.
        wanted: String,
    },
    /// The token's ID is not known.
    #[error(
        "the server does not know token {id}: it has expired, was deleted, or belongs to another cluster \
            (`ironhull token create` on a server makes a new one)"
    )]
    UnknownToken {
        /// The token's ID, which is not secret.
        id: String,
    },
    /// The signature was made with another token.
    #[error(
        "the server's signature does not match the secret of token {id}: the token is wrong, or the \
            connection to the server is being intercepted"
    )]
    Signature {
        /// The token's ID, which is not secret.
        id: String,
    },
}

/// The cluster's CA certificate (PEM), proven as well as can be.
///
/// # Errors
/// [`DiscoveryError`]
pub async fn authority(
    servers: &Arc<Servers>,
    token: &JoinToken,
    key_hashes: &[String],
    clock: &Clock,
) -> Result<String, DiscoveryError> {
    let connection =
        HttpConnection::to_servers(Arc::clone(servers), tls::unverified_client(), None, "ironhull-agent")?;
    let client = Client::new(Arc::new(connection), clock.clone());
    let (namespace, name) = CLUSTER_INFO;
    let info: ConfigMap = client.get(&ObjectKey::namespaced(namespace, name)).await?;
    let entries = info.data.unwrap_or_default();
    let text = entries.get(KUBECONFIG_ENTRY).ok_or(DiscoveryError::NoAuthority)?;
    let authority = kubeconfig::authority(text).ok_or(DiscoveryError::NoAuthority)?;
    if let Some(wanted) = &token.ca_digest {
        check(std::slice::from_ref(wanted), ca_digest(&authority), "the token")?;
    }
    if !key_hashes.is_empty() {
        check(key_hashes, key_hash(&authority)?, "--discovery-token-ca-cert-hash")?;
    }
    if token.ca_digest.is_none() && key_hashes.is_empty() {
        match BootstrapToken::parse(&token.secret) {
            Some(token) => {
                let id = token.id.clone();
                let signature = entries
                    .get(&format!("{SIGNATURE_PREFIX}{id}"))
                    .ok_or(DiscoveryError::UnknownToken { id: id.clone() })?;
                if !is_signed(text, signature, &token) {
                    return Err(DiscoveryError::Signature { id });
                }
            }
            None => tracing::warn!(
                digest = ca_digest(&authority),
                "trusting the cluster's CA on first use: a token that begins with the CA's digest, as in \
                    the server's file agent-token, would verify it"
            ),
        }
    }
    Ok(authority)
}

fn check(wanted: &[String], found: String, by: &'static str) -> Result<(), DiscoveryError> {
    if wanted.contains(&found) {
        return Ok(());
    }
    Err(DiscoveryError::Digest { found, by, wanted: wanted.join(" or ") })
}

/// The digest of a CA's public key, as kubeadm names it.
fn key_hash(authority: &str) -> Result<String, DiscoveryError> {
    let (_, pem) =
        x509_parser::pem::parse_x509_pem(authority.as_bytes()).map_err(|_| DiscoveryError::NoAuthority)?;
    let certificate = pem.parse_x509().map_err(|_| DiscoveryError::NoAuthority)?;
    Ok(format!("sha256:{}", hex(&Sha256::digest(certificate.public_key().raw))))
}

/// Whether a detached JWS is one of the text by the token.
fn is_signed(text: &str, signature: &str, token: &BootstrapToken) -> bool {
    let Some((header, mac)) = signature.split_once("..") else { return false };
    let says = |header: &str| -> Option<bool> {
        let header = object::json::parse(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        Some(header.str_at("alg") == "HS256" && header.str_at("kid") == token.id)
    };
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(text));
    let key = jsonwebtoken::DecodingKey::from_secret(token.secret().as_bytes());
    let verified =
        jsonwebtoken::crypto::verify(mac, message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    says(header) == Some(true) && verified.unwrap_or(false)
}
