//! `ironhull agent`: a machine that joins a cluster and runs its pods.
//!
//! The crate `join` joins the cluster; this module passes it the flags, and starts the components of a node with the
//! result.

use anyhow::{Context, bail, ensure};
use client::{ClientError, RequestMetrics};
use clock::Clock;
use join::info::Settings;
use join::token::is_digest;
use join::{JoinConfig, JoinError, JoinToken, Joined, SettingsError};
use metrics::Exposition;
use node::ServingTls;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::NodeAccess;
use crate::config::{NodeSettings, node_name};
use crate::flags::AgentFlags;
use crate::lifetime::run_until_signal;
use crate::node_role;

/// The parts that `--disable` knows.
const PARTS: [&str; 3] = ["dns", "proxy", "network-policy"];
/// The default port in a server's URL.
const SERVER_PORT: u16 = 6443;
/// The pause after an attempt to reach a server.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(2);
/// The user agent of the node's clients.
const USER_AGENT: &str = concat!("kubelet/v1.37.0 ironhull/", env!("CARGO_PKG_VERSION"));

/// Runs an agent until it is stopped. Containers keep running.
///
/// # Errors
/// Why it cannot run.
pub async fn run(flags: AgentFlags) -> anyhow::Result<()> {
    let clock = Clock::system();
    let exposition = Exposition::default();
    let config = join_config(&flags, exposition.with(RequestMetrics::register))?;
    let url = format!("https://{}", config.servers[0]);
    let (joined, shared) = join(&config, &clock).await?;
    let cluster = serde_json::from_str(&shared.json).context("cannot understand the cluster's settings")?;
    let settings = NodeSettings::validate(flags.data_dir, flags.node, flags.disable, cluster)?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let member = joined.stay(settings.addresses.subscribe(), &stop, &mut tasks).await?;
    let access = NodeAccess {
        node: member.node,
        network: member.network,
        informers: member.informers,
        serving: ServingTls {
            identity: member.serving,
            client_authorities: tls::certificates(&shared.client_authority)?,
        },
        key_digest: Some(member.key_digest),
        exposition,
        clock,
    };
    crate::tell(format_args!("Ironhull runs the node {} of the cluster at {url}", settings.node_name));
    tasks.spawn(crate::memory::give_back(stop.clone()));
    node_role::start(&settings, access, &stop, &mut tasks).await?;
    run_until_signal(&stop, tasks).await
}

/// Joins the cluster, and reads what all of its machines agree on. A server that cannot be reached may yet start, or be on
/// the other side of a network that does: it is waited for.
async fn join(config: &JoinConfig, clock: &Clock) -> anyhow::Result<(Joined, Settings)> {
    let mut told = String::new();
    loop {
        let attempt = async {
            let joined = Joined::new(config.clone(), clock).await.context("cannot join the cluster")?;
            let settings = joined.settings().await.context("cannot read the cluster's settings")?;
            Ok::<_, anyhow::Error>((joined, settings))
        };
        let error = match attempt.await {
            Err(error) if may_pass(&error) => causes::chain(error.as_ref()),
            done => return done,
        };
        if told != error {
            tracing::warn!(error, "no server can be reached; trying again until one can");
            told = error;
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Whether an attempt failed for want of a server. One that answers has decided, and so has one that shows a certificate that
/// this machine does not believe.
fn may_pass(error: &anyhow::Error) -> bool {
    let is_unreachable = |error: &ClientError| match error {
        ClientError::Transport { .. } => true,
        ClientError::Api(status) => matches!(status.code, 429 | 500..),
        _ => false,
    };
    // Errors that only pass others on do not show them as their cause.
    let of_client = |cause: &'_ (dyn std::error::Error + 'static)| match cause.downcast_ref() {
        Some(JoinError::Connection(error)) => is_unreachable(error),
        _ => match cause.downcast_ref() {
            Some(SettingsError::Api(error)) => is_unreachable(error),
            _ => cause.downcast_ref().is_some_and(is_unreachable),
        },
    };
    let unreachable = error.chain().any(of_client);
    let of_tls = |cause: &(dyn std::error::Error + 'static)| {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
    };
    unreachable && !error.chain().any(of_tls)
}

fn join_config(flags: &AgentFlags, requests: RequestMetrics) -> anyhow::Result<JoinConfig> {
    for part in &flags.disable {
        ensure!(
            PARTS.contains(&part.as_str()),
            "--disable {part}: the components of an agent are {}",
            PARTS.join(", ")
        );
    }
    let token = match (&flags.token, &flags.token_file) {
        (Some(token), _) => Some(JoinToken::parse(token).context("--token")?),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("--token-file: cannot read {}", path.display()))?;
            Some(JoinToken::parse(&text).with_context(|| format!("--token-file {}", path.display()))?)
        }
        (None, None) => None,
    };
    for hash in &flags.ca_cert_hashes {
        let fits = hash.strip_prefix("sha256:").is_some_and(is_digest);
        ensure!(
            fits,
            "--discovery-token-ca-cert-hash {hash}: must be sha256: followed by 64 hexadecimal digits"
        );
    }
    Ok(JoinConfig {
        data_dir: flags.data_dir.clone(),
        node_name: node_name(&flags.node)?,
        servers: flags.servers.iter().map(|url| server_address(url)).collect::<anyhow::Result<_>>()?,
        token,
        key_hashes: flags.ca_cert_hashes.iter().map(|hash| hash.to_ascii_lowercase()).collect(),
        user_agent: USER_AGENT.to_owned(),
        requests,
    })
}

/// The address of a server's URL.
fn server_address(url: &str) -> anyhow::Result<String> {
    let uri: http::Uri = url.parse().with_context(|| format!("--server {url:?} is not a URL"))?;
    let host = uri.host().filter(|host| !host.is_empty());
    let is_plain = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    match (uri.scheme_str(), host) {
        (Some("https"), Some(host)) if is_plain => {
            Ok(format!("{host}:{}", uri.port_u16().unwrap_or(SERVER_PORT)))
        }
        _ => bail!("--server {url:?} is not a URL such as https://192.0.2.1:6443"),
    }
}
