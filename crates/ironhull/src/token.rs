//! `ironhull token`: the tokens that machines join with, as Secrets of the cluster.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use client::{Client, DeleteOptions, HttpConnection, ListOptions};
use clock::Clock;
use jiff::{SignedDuration, Timestamp};
use join::info::{CLUSTER_INFO, KUBECONFIG_ENTRY};
use join::kubeconfig;
use join::token::{BootstrapToken, JoinToken, Terms, USAGE_PREFIX, USAGES, ca_digest};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use object::ObjectKey;

use crate::flags::{TokenCommand, TokenFlags};

/// The namespace of tokens' Secrets.
const NAMESPACE: &str = "kube-system";
/// The field selector for them.
const TYPE_SELECTOR: &str = "type=bootstrap.kubernetes.io/token";

/// Runs the command.
///
/// # Errors
/// Errors of the flags, or of the API server.
pub async fn run(flags: TokenFlags) -> anyhow::Result<()> {
    let clock = Clock::system();
    let path = flags.kubeconfig.unwrap_or_else(|| flags.data_dir.join("kubeconfig"));
    match flags.command {
        TokenCommand::Create { ttl, description, usages, groups, print_join_command } => {
            let expires = expiry(&ttl, clock.now())?;
            let terms = Terms { description, usages, groups, expires };
            check(&terms)?;
            create(&connect(path, clock).await?, &terms, print_join_command).await
        }
        TokenCommand::List => list(&connect(path, clock).await?).await,
        TokenCommand::Delete { tokens } => delete(&connect(path, clock).await?, &tokens).await,
    }
}

async fn connect(kubeconfig: PathBuf, clock: Clock) -> anyhow::Result<Client> {
    let connection = HttpConnection::from_kubeconfig(&kubeconfig, "ironhull-token").await;
    let connection = connection.with_context(|| {
        format!("cannot use {}: tokens are created on a server, or with --kubeconfig", kubeconfig.display())
    })?;
    Ok(Client::new(Arc::new(connection), clock))
}

/// When a token with a lifetime of `ttl` from now expires; never, for 0.
fn expiry(ttl: &str, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    if ttl == "0" {
        return Ok(None);
    }
    let wrong = || format!("--ttl {ttl:?} is neither 0 nor a duration such as 24h or 90m");
    let ttl: SignedDuration = ttl.parse().with_context(wrong)?;
    if ttl.is_zero() {
        return Ok(None);
    }
    ensure!(ttl.is_positive(), wrong());
    let end = now.checked_add(ttl).ok().and_then(|end| Timestamp::from_second(end.as_second()).ok());
    end.map(Some).with_context(wrong)
}

fn check(terms: &Terms) -> anyhow::Result<()> {
    for usage in &terms.usages {
        ensure!(
            USAGES.contains(&usage.as_str()),
            "--usages {usage}: a usage must be one of {}",
            USAGES.join(", ")
        );
    }
    for group in &terms.groups {
        let is_theirs = group.strip_prefix("system:bootstrappers:").is_some_and(|rest| !rest.is_empty());
        ensure!(is_theirs, "--groups {group}: groups of tokens must start with system:bootstrappers:");
    }
    Ok(())
}

async fn create(client: &Client, terms: &Terms, print_join_command: bool) -> anyhow::Result<()> {
    let (namespace, name) = CLUSTER_INFO;
    let info: ConfigMap = client
        .get(&ObjectKey::namespaced(namespace, name))
        .await
        .context("cannot read the cluster's information for joining machines")?;
    let text = info.data.and_then(|mut data| data.remove(KUBECONFIG_ENTRY)).unwrap_or_default();
    let authority = kubeconfig::authority(&text);
    let authority = authority.with_context(|| format!("the ConfigMap {namespace}/{name} has no CA"))?;
    let token = BootstrapToken::generate(client.clock());
    client.create(&token.secret_object(terms)).await.context("cannot create the token")?;
    let token = JoinToken { ca_digest: Some(ca_digest(&authority)), secret: token.text() }.text();
    if print_join_command {
        println!("ironhull agent --server {} --token {token}", kubeconfig::server(&text));
    } else {
        println!("{token}");
    }
    Ok(())
}

async fn list(client: &Client) -> anyhow::Result<()> {
    let options = ListOptions { field_selector: TYPE_SELECTOR.to_owned(), ..ListOptions::default() };
    let secrets = client.list::<Secret>(NAMESPACE, &options).await.context("cannot list the tokens")?.items;
    let mut rows = vec![["ID", "EXPIRES", "USAGES", "EXTRA GROUPS", "DESCRIPTION"].map(str::to_owned)];
    rows.extend(secrets.iter().map(|secret| row(secret, client.clock().now())));
    let widths = [0, 1, 2, 3].map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    for [id, expires, usages, groups, description] in rows {
        let [a, b, c, d] = widths;
        println!(
            "{}",
            format!("{id:a$}   {expires:b$}   {usages:c$}   {groups:d$}   {description}").trim_end()
        );
    }
    Ok(())
}

fn row(secret: &Secret, now: Timestamp) -> [String; 5] {
    let entry = |name: &str| -> String {
        let bytes = secret.data.as_ref().and_then(|data| data.get(name));
        bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
    };
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    let usages = USAGES.into_iter().filter(|usage| entry(&format!("{USAGE_PREFIX}{usage}")) == "true");
    let expires = entry("expiration");
    let expires = match expires.parse::<Timestamp>() {
        _ if expires.is_empty() => "<never>".to_owned(),
        Ok(end) if end <= now => format!("{expires} (past)"),
        _ => expires,
    };
    [
        entry("token-id"),
        expires,
        or_none(usages.collect::<Vec<_>>().join(",")),
        or_none(entry("auth-extra-groups")),
        or_none(entry("description")),
    ]
}

async fn delete(client: &Client, tokens: &[String]) -> anyhow::Result<()> {
    for text in tokens {
        // The ID is enough to identify a token, and the secret is not printed.
        let text = JoinToken::parse(text).map(|token| token.secret).unwrap_or_default();
        let id = BootstrapToken::parse(&text).map_or(text, |token| token.id);
        let is_id =
            id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        ensure!(is_id, "give a token or the six characters of its ID");
        let key = ObjectKey::namespaced(NAMESPACE, format!("bootstrap-token-{id}"));
        match client.delete::<Secret>(&key, &DeleteOptions::default()).await {
            Ok(()) => println!("token {id} deleted"),
            Err(error) if error.is_not_found() => bail!("token {id} does not exist"),
            Err(error) => return Err(error).with_context(|| format!("cannot delete token {id}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_when_they_are_told_to() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let at = |text: &str| expiry(text, now).unwrap().map(|end| end.to_string());
        assert_eq!(at("24h").as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(at("1h30m").as_deref(), Some("2026-01-01T01:30:00Z"));
        assert_eq!(at("0"), None);
        assert_eq!(at("0s"), None);
        for wrong in ["soon", "-1h", ""] {
            assert!(expiry(wrong, now).unwrap_err().to_string().starts_with("--ttl"), "{wrong}");
        }
    }

    #[test]
    fn terms_are_checked() {
        let terms = |usage: &str, group: &str| Terms {
            usages: vec![usage.into()],
            groups: vec![group.into()],
            ..Terms::default()
        };
        assert!(check(&terms("signing", "system:bootstrappers:x")).is_ok());
        assert!(check(&terms("cooking", "system:bootstrappers:x")).is_err());
        assert!(check(&terms("signing", "system:masters")).is_err());
    }
}
