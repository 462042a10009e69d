//! `ironhull agent`: a machine that joins a cluster and runs its pods.
//!
//! It learns the cluster's CA (`discovery`), gets a certificate for its node by a signing request, then as that node
//! the certificates of its own API and of its network parts (`credential`), reads what all machines of the cluster
//! agree on, and starts what every node runs. Nothing on the machine is changed until it has its certificate. A
//! machine that has joined needs no token any more.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use client::{Client, HttpConnection, Informers, Servers};
use clock::Clock;
use k8s_openapi::api::core::v1::ConfigMap;
use node::ServingTls;
use object::ObjectKey;
use tls::Identity;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::NodeAddresses;
use crate::cluster::ClusterSettings;
use crate::config::{NodeSettings, node_name};
use crate::flags::AgentFlags;
use crate::join_info::{CLIENT_CA_ENTRY, CLUSTER_SETTINGS, SETTINGS_ENTRY};
use crate::node_role::{self, NodeAccess};
use crate::server::run_until_signal;

pub mod credential;
pub mod discovery;
mod servers;
pub mod token;

use credential::{Credential, CredentialError, Kind, Machine, keep_renewed};
use servers::ServersFile;
use token::JoinToken;

/// The parts that `--disable` knows.
const PARTS: [&str; 3] = ["dns", "proxy", "network-policy"];
/// The port of a server whose URL names none.
const SERVER_PORT: u16 = 6443;
/// Whom the node's clients say they are.
const USER_AGENT: &str = concat!("kubelet/v1.37.0 ironhull/", env!("CARGO_PKG_VERSION"));

/// What an agent runs with.
struct AgentConfig {
    data_dir: PathBuf,
    /// `host:port`.
    servers: Vec<String>,
    token: Option<JoinToken>,
    /// What the digest of the CA's public key must be; any, where there is none.
    key_hashes: Vec<String>,
    machine: Machine,
}

/// Runs an agent until it is told to stop. Containers live on.
///
/// # Errors
/// Why it cannot run.
pub async fn run(flags: AgentFlags) -> anyhow::Result<()> {
    let clock = Clock::system();
    let config = AgentConfig::validate(&flags)?;
    let joined = Joined::new(&config, &clock).await.context("cannot join the cluster")?;
    let (cluster, client_ca) = joined.settings().await.context("cannot read the cluster's settings")?;
    let settings = NodeSettings::validate(flags.data_dir, flags.node, flags.disable, cluster)?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let servers = Arc::clone(&joined.servers);
    let access = joined.access(&client_ca, &settings.addresses, &stop, &mut tasks).await?;
    let file = ServersFile::new(&config.machine.directory);
    let following = servers::follow(servers, config.servers.clone(), file, access.informers.clone());
    let stopped = stop.clone();
    tasks.spawn(async move {
        stopped.run_until_cancelled(following).await;
    });
    crate::tell(format_args!(
        "Ironhull runs the node {} of the cluster at https://{}",
        settings.node_name, config.servers[0]
    ));
    tasks.spawn(crate::memory::give_back(stop.clone()));
    node_role::start(&settings, access, &stop, &mut tasks).await?;
    run_until_signal(&stop, tasks).await
}

impl AgentConfig {
    fn validate(flags: &AgentFlags) -> anyhow::Result<AgentConfig> {
        for part in &flags.disable {
            ensure!(
                PARTS.contains(&part.as_str()),
                "--disable {part}: an agent's parts are {}",
                PARTS.join(", ")
            );
        }
        let servers = flags.servers.iter().map(|url| server_address(url)).collect::<anyhow::Result<_>>()?;
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
            let fits = hash.strip_prefix("sha256:").is_some_and(token::is_digest);
            ensure!(fits, "--discovery-token-ca-cert-hash {hash}: it is sha256: and 64 hexadecimal digits");
        }
        Ok(AgentConfig {
            data_dir: flags.data_dir.clone(),
            servers,
            token,
            key_hashes: flags.ca_cert_hashes.iter().map(|hash| hash.to_ascii_lowercase()).collect(),
            machine: Machine {
                node_name: node_name(&flags.node)?,
                node_ips: Vec::new(),
                directory: flags.data_dir.join("agent"),
            },
        })
    }

    fn authority_file(&self) -> PathBuf {
        self.machine.directory.join("server-ca.crt")
    }

    fn token(&self) -> anyhow::Result<&JoinToken> {
        self.token.as_ref().with_context(|| {
            format!(
                "this machine has not joined yet ({} has no certificate of node {} that holds): give a token by \
                 --token; the server's file agent-token has one",
                self.data_dir.display(),
                self.machine.node_name
            )
        })
    }
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

/// A machine with its certificates.
struct Joined {
    machine: Machine,
    servers: Arc<Servers>,
    /// The node's client, and what it shows.
    node: (Client, Arc<Identity>, Credential),
    /// The same of its network parts.
    network: (Client, Arc<Identity>, Credential),
}

impl Joined {
    async fn new(config: &AgentConfig, clock: &Clock) -> anyhow::Result<Joined> {
        let machine = &config.machine;
        let file = ServersFile::new(&machine.directory);
        let servers = Servers::new(servers::joined(&config.servers, file.read()));
        let kept = std::fs::read_to_string(config.authority_file()).ok();
        let kept = kept.zip(machine.load(Kind::Node, clock.now()));
        let (authority, node) = match kept {
            Some(kept) => kept,
            None => first_time(config, &servers, clock).await?,
        };
        let connect = |credential: &Credential| -> anyhow::Result<(Client, Arc<Identity>)> {
            let identity = credential.identity()?;
            let tls = tls::client(&authority, Some(Arc::clone(&identity)))?;
            let connection = HttpConnection::to_servers(Arc::clone(&servers), tls, None, USER_AGENT)?;
            Ok((Client::new(Arc::new(connection), clock.clone()), identity))
        };
        let (node_client, node_identity) = connect(&node)?;
        let network = machine.obtain(&node_client, Kind::Network, clock.now()).await?;
        let (network_client, network_identity) = connect(&network)?;
        Ok(Joined {
            machine: machine.clone(),
            servers,
            node: (node_client, node_identity, node),
            network: (network_client, network_identity, network),
        })
    }

    /// What all machines of the cluster agree on, and the authority of clients' certificates (PEM).
    async fn settings(&self) -> anyhow::Result<(ClusterSettings, String)> {
        let (namespace, name) = CLUSTER_SETTINGS;
        let map: ConfigMap = self.network.0.get(&ObjectKey::namespaced(namespace, name)).await?;
        let mut entries = map.data.unwrap_or_default();
        let mut entry = |entry: &str| {
            entries.remove(entry).with_context(|| format!("the ConfigMap {namespace}/{name} has no {entry}"))
        };
        let settings = serde_json::from_str(&entry(SETTINGS_ENTRY)?)
            .with_context(|| format!("{SETTINGS_ENTRY} of the ConfigMap {namespace}/{name}"))?;
        Ok((settings, entry(CLIENT_CA_ENTRY)?))
    }

    /// What a node's role runs with. The certificates are renewed from now on.
    async fn access(
        self,
        client_ca: &str,
        addresses: &NodeAddresses,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<NodeAccess> {
        let Joined { mut machine, servers, node, network } = self;
        let clock = node.0.clock().clone();
        let changes = addresses.subscribe();
        machine.node_ips = addresses.get();
        let serving = machine.obtain(&node.0, Kind::Serving, clock.now()).await;
        let serving = serving.context("cannot get the certificate of the node API")?;
        let key_digest = node.2.key_digest()?;
        let serving_identity = serving.identity()?;
        let renewals = [
            (Kind::Node, &node.1, node.2),
            (Kind::Network, &network.1, network.2),
            (Kind::Serving, &serving_identity, serving),
        ];
        for (kind, identity, credential) in renewals {
            let (machine, client, identity) = (machine.clone(), node.0.clone(), Arc::clone(identity));
            let (servers, clock, stop) = (Arc::clone(&servers), clock.clone(), stop.clone());
            let addresses = addresses.clone();
            let changes = (kind == Kind::Serving).then(|| changes.clone());
            tasks.spawn(async move {
                let renew = || {
                    let machine = Machine { node_ips: addresses.get(), ..machine.clone() };
                    renew(machine, &client, kind)
                };
                // Connections that stand go on with the certificate with which they were made, until it ends.
                let renewed = |_: &Credential| {
                    if kind != Kind::Serving {
                        servers.cut()
                    }
                };
                let renewing =
                    keep_renewed(&clock, kind.file(), credential, &identity, changes, renew, renewed);
                stop.run_until_cancelled(renewing).await;
            });
        }
        // What was begun from an address that is gone is never answered.
        let (mut changes, stop) = (changes, stop.clone());
        tasks.spawn(async move {
            let cut = async {
                while changes.changed().await.is_ok() {
                    servers.cut();
                }
            };
            stop.run_until_cancelled(cut).await;
        });
        Ok(NodeAccess {
            node: node.0,
            informers: Informers::new(network.0.clone()),
            network: network.0,
            serving: ServingTls {
                identity: serving_identity,
                client_authorities: tls::certificates(client_ca)?,
            },
            key_digest: Some(key_digest),
            clock,
        })
    }
}

async fn renew(machine: Machine, client: &Client, kind: Kind) -> Result<Credential, CredentialError> {
    let credential = machine.request(client, kind).await?;
    machine.save(kind, &credential)?;
    Ok(credential)
}

/// Finds out the cluster's CA, gets the node's first certificate, and keeps both.
async fn first_time(
    config: &AgentConfig,
    servers: &Arc<Servers>,
    clock: &Clock,
) -> anyhow::Result<(String, Credential)> {
    let token = config.token()?;
    let authority = discovery::authority(servers, token, &config.key_hashes, clock).await?;
    let tls = tls::client(&authority, None)?;
    let connection = HttpConnection::to_servers(Arc::clone(servers), tls, Some(&token.secret), USER_AGENT)?;
    let client = Client::new(Arc::new(connection), clock.clone());
    let node = match config.machine.request(&client, Kind::Node).await {
        Err(CredentialError::Api(error)) if error.status().is_some_and(|status| status.code == 401) => bail!(
            "the server refuses the token: it is wrong, has expired or was deleted (`ironhull token create` on a \
             server makes a new one)"
        ),
        result => result?,
    };
    config.machine.save(Kind::Node, &node)?;
    apiserver::pki::write_secret(&config.authority_file(), authority.as_bytes())?;
    Ok((authority, node))
}
