//! `ironhull agent`: a machine that joins a cluster and runs its pods.
//!
//! Joining is the crate `join`'s; this gives it the flags, and starts what every node runs with what came of it.

use anyhow::{Context, bail, ensure};
use clock::Clock;
use join::token::is_digest;
use join::{JoinConfig, JoinToken, Joined};
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
/// The port of a server whose URL names none.
const SERVER_PORT: u16 = 6443;
/// Whom the node's clients say they are.
const USER_AGENT: &str = concat!("kubelet/v1.37.0 ironhull/", env!("CARGO_PKG_VERSION"));

/// Runs an agent until it is told to stop. Containers live on.
///
/// # Errors
/// Why it cannot run.
pub async fn run(flags: AgentFlags) -> anyhow::Result<()> {
    let clock = Clock::system();
    let config = join_config(&flags)?;
    let url = format!("https://{}", config.servers[0]);
    let joined = Joined::new(config, &clock).await.context("cannot join the cluster")?;
    let shared = joined.settings().await.context("cannot read the cluster's settings")?;
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
        clock,
    };
    crate::tell(format_args!("Ironhull runs the node {} of the cluster at {url}", settings.node_name));
    tasks.spawn(crate::memory::give_back(stop.clone()));
    node_role::start(&settings, access, &stop, &mut tasks).await?;
    run_until_signal(&stop, tasks).await
}

fn join_config(flags: &AgentFlags) -> anyhow::Result<JoinConfig> {
    for part in &flags.disable {
        ensure!(
            PARTS.contains(&part.as_str()),
            "--disable {part}: an agent's parts are {}",
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
        ensure!(fits, "--discovery-token-ca-cert-hash {hash}: it is sha256: and 64 hexadecimal digits");
    }
    Ok(JoinConfig {
        data_dir: flags.data_dir.clone(),
        node_name: node_name(&flags.node)?,
        servers: flags.servers.iter().map(|url| server_address(url)).collect::<anyhow::Result<_>>()?,
        token,
        key_hashes: flags.ca_cert_hashes.iter().map(|hash| hash.to_ascii_lowercase()).collect(),
        user_agent: USER_AGENT.to_owned(),
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
