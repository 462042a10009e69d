//! A machine that joins: from a token, or from its stored certificates, to clients whose certificates are renewed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, ClientError, HttpConnection, Informers, RequestMetrics, Servers};
use clock::Clock;
use tls::{Identity, SecretFileError, write_secret};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::credential::{Credential, keep_renewed};
use crate::discovery::{self, DiscoveryError};
use crate::info::{self, Settings, SettingsError};
use crate::machine::{CredentialError, Kind, Machine};
use crate::servers::{self, ServersFile};
use crate::token::JoinToken;

/// The configuration of a joining machine.
#[derive(Clone, Debug)]
pub struct JoinConfig {
    /// Where state is kept; certificates and keys are in `agent` below it.
    pub data_dir: PathBuf,
    /// The machine's name as a node.
    pub node_name: String,
    /// The API servers that are known beforehand, as `host:port`.
    pub servers: Vec<String>,
    /// The token for the first join. A machine that has joined needs none.
    pub token: Option<JoinToken>,
    /// The accepted digests of the CA's public key, as `sha256:` and hexadecimal digits; empty accepts any.
    pub key_hashes: Vec<String>,
    /// The user agent of the node's clients.
    pub user_agent: String,
    /// Where the requests of the node's clients are counted.
    pub requests: RequestMetrics,
}

/// Why a machine cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It has neither a certificate nor a token.
    #[error(
        "this machine has not joined yet ({data_dir} has no valid certificate of node {node_name}): give a token with \
         --token; the server's file agent-token has one"
    )]
    NoToken {
        /// Where a certificate would be.
        data_dir: PathBuf,
        /// The node.
        node_name: String,
    },
    /// The cluster's CA is not known.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The server does not know the token.
    #[error(
        "the server rejected the token: it is wrong, has expired or was deleted (`ironhull token create` on \
            a server makes a new one)"
    )]
    RefusedToken,
    /// There is no certificate.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// There is no certificate for the node's own API.
    #[error("cannot get the certificate of the node API")]
    Serving(#[source] CredentialError),
    /// The CA or a certificate cannot be used.
    #[error("cannot use a certificate")]
    Tls(#[from] rustls::Error),
    /// The connection cannot be set up.
    #[error(transparent)]
    Connection(#[from] ClientError),
    /// The CA cannot be kept.
    #[error("cannot keep the cluster's CA")]
    Authority(#[from] SecretFileError),
}

/// A machine with its certificates, which are not renewed yet.
pub struct Joined {
    config: JoinConfig,
    machine: Machine,
    servers: Arc<Servers>,
    /// The node.
    node: Ends,
    /// Its network parts.
    network: Ends,
}

/// A client of the API server, and its certificate.
struct Ends {
    client: Client,
    identity: Arc<Identity>,
    credential: Credential,
}

/// A machine that is a node of the cluster as long as the tasks of [`Joined::stay`] run.
pub struct Member {
    /// As the node itself (`system:node:<name>`).
    pub node: Client,
    /// As its network parts, which read what concerns all nodes.
    pub network: Client,
    /// The informers of the network components.
    pub informers: Informers,
    /// The certificate of the node's own API.
    pub serving: Arc<Identity>,
    /// The digest of the key with which this machine joined.
    pub key_digest: String,
}

impl JoinConfig {
    fn directory(&self) -> PathBuf {
        self.data_dir.join("agent")
    }

    fn token(&self) -> Result<&JoinToken, JoinError> {
        self.token.as_ref().ok_or_else(|| JoinError::NoToken {
            data_dir: self.data_dir.clone(),
            node_name: self.node_name.clone(),
        })
    }
}

impl Joined {
    /// Joins, or continues with the certificates stored when the machine joined. Nothing on the machine is changed
    /// before it has its certificate.
    ///
    /// # Errors
    /// [`JoinError`]
    pub async fn new(config: JoinConfig, clock: &Clock) -> Result<Joined, JoinError> {
        let machine = Machine {
            node_name: config.node_name.clone(),
            node_ips: Vec::new(),
            directory: config.directory(),
        };
        let known = ServersFile::new(&machine.directory).read();
        let servers = Servers::new(servers::joined(&config.servers, known));
        let kept = std::fs::read_to_string(authority_file(&machine.directory)).ok();
        let kept = kept.zip(machine.load(Kind::Node, clock.now()));
        let (authority, node) = match kept {
            Some(kept) => kept,
            None => first_time(&config, &machine, &servers, clock).await?,
        };
        let connect = |credential: Credential| -> Result<Ends, JoinError> {
            let identity = credential.identity()?;
            let tls = tls::client(&authority, Some(Arc::clone(&identity)))?;
            let connection = HttpConnection::to_servers(Arc::clone(&servers), tls, None, &config.user_agent)?;
            let connection = connection.measured_by(config.requests.clone());
            let client = Client::new(Arc::new(connection), clock.clone());
            Ok(Ends { client, identity, credential })
        };
        let node = connect(node)?;
        let network = connect(machine.obtain(&node.client, Kind::Network, clock.now()).await?)?;
        Ok(Joined { config, machine, servers, node, network })
    }

    /// The settings that all machines of the cluster share.
    ///
    /// # Errors
    /// [`SettingsError`]
    pub async fn settings(&self) -> Result<Settings, SettingsError> {
        info::settings(&self.network.client).await
    }

    /// Gets the certificate of the node's own API at its `addresses`. From now on certificates are renewed, and the list of
    /// servers follows the cluster.
    ///
    /// # Errors
    /// [`JoinError`]
    pub async fn stay(
        self,
        addresses: watch::Receiver<Vec<IpAddr>>,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Result<Member, JoinError> {
        let Joined { config, machine, servers, node, network } = self;
        let serving_machine = at(&machine, &addresses);
        let clock = node.client.clock();
        let serving = serving_machine.obtain(&node.client, Kind::Serving, clock.now()).await;
        let serving = serving.map_err(JoinError::Serving)?;
        let serving_identity = serving.identity()?;
        let key_digest = node.credential.key_digest().map_err(CredentialError::from)?;
        let renewals = [
            (Kind::Node, node.identity, node.credential),
            (Kind::Network, network.identity, network.credential),
            (Kind::Serving, Arc::clone(&serving_identity), serving),
        ];
        for (kind, identity, credential) in renewals {
            let renewal = Renewal {
                kind,
                identity,
                machine: machine.clone(),
                client: node.client.clone(),
                servers: Arc::clone(&servers),
                addresses: addresses.clone(),
            };
            until(stop, tasks, renewal.run(credential));
        }
        until(stop, tasks, cut_after_changes(Arc::clone(&servers), addresses));
        let informers = Informers::new(network.client.clone());
        let file = ServersFile::new(&machine.directory);
        until(stop, tasks, servers::follow(servers, config.servers, file, informers.clone()));
        Ok(Member {
            node: node.client,
            network: network.client,
            informers,
            serving: serving_identity,
            key_digest,
        })
    }
}

/// The task that renews one certificate.
struct Renewal {
    kind: Kind,
    identity: Arc<Identity>,
    machine: Machine,
    client: Client,
    servers: Arc<Servers>,
    addresses: watch::Receiver<Vec<IpAddr>>,
}

impl Renewal {
    async fn run(self, credential: Credential) {
        let changes = (self.kind == Kind::Serving).then(|| self.addresses.clone());
        let renew = || renew(at(&self.machine, &self.addresses), &self.client, self.kind);
        // Existing connections continue with the certificate with which they were opened, until it expires.
        let renewed = |_: &Credential| {
            if self.kind != Kind::Serving {
                self.servers.cut()
            }
        };
        let clock = self.client.clock();
        keep_renewed(clock, self.kind.file(), credential, &self.identity, changes, renew, renewed).await;
    }
}

async fn renew(machine: Machine, client: &Client, kind: Kind) -> Result<Credential, CredentialError> {
    let credential = machine.request(client, kind).await?;
    machine.save(kind, &credential)?;
    Ok(credential)
}

/// The machine with the addresses that it has now.
fn at(machine: &Machine, addresses: &watch::Receiver<Vec<IpAddr>>) -> Machine {
    Machine { node_ips: addresses.borrow().clone(), ..machine.clone() }
}

/// Closes connections after each change of the machine's address, because those from an old address are never answered.
async fn cut_after_changes(servers: Arc<Servers>, mut changes: watch::Receiver<Vec<IpAddr>>) {
    while changes.changed().await.is_ok() {
        servers.cut();
    }
}

/// Runs a task until `stop`.
fn until(stop: &CancellationToken, tasks: &mut JoinSet<()>, work: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(work).await;
    });
}

fn authority_file(directory: &Path) -> PathBuf {
    directory.join("server-ca.crt")
}

/// Determines the cluster's CA, gets the node's first certificate, and stores both.
async fn first_time(
    config: &JoinConfig,
    machine: &Machine,
    servers: &Arc<Servers>,
    clock: &Clock,
) -> Result<(String, Credential), JoinError> {
    let token = config.token()?;
    let authority = discovery::authority(servers, token, &config.key_hashes, clock).await?;
    let tls = tls::client(&authority, None)?;
    let connection =
        HttpConnection::to_servers(Arc::clone(servers), tls, Some(&token.secret), &config.user_agent)?;
    let client = Client::new(Arc::new(connection), clock.clone());
    let node = match machine.request(&client, Kind::Node).await {
        Err(CredentialError::Api(error)) if error.status().is_some_and(|status| status.code == 401) => {
            return Err(JoinError::RefusedToken);
        }
        result => result?,
    };
    machine.save(Kind::Node, &node)?;
    write_secret(&authority_file(&machine.directory), authority.as_bytes())?;
    Ok((authority, node))
}
