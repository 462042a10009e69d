//! The API server over an in-memory store, which can be stopped and started again.

use std::sync::Arc;

use apiserver::pki::{Pki, PkiError};
use apiserver::user::{GROUP_MASTERS, GROUP_NETWORKS, GROUP_NODES, User};
use apiserver::{ApiServer, Config, StartError};
use client::Client;
use clock::Clock;
use store::{Embedded, Store, StoreError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::connection::Wire;
use crate::faults::ConnectionFaults;
use crate::gate::Gate;
use crate::running::{Current, Running};
use crate::{Faults, Journal, start_time};

/// A user who may do everything.
pub fn admin() -> User {
    User::new("admin", &[GROUP_MASTERS])
}

/// The agent of a node.
pub fn node(name: &str) -> User {
    User::new(format!("system:node:{name}"), &[GROUP_NODES])
}

/// The network parts of a node: service proxy, DNS, network policy.
pub fn network(node_name: &str) -> User {
    User::new(format!("ironhull:network:{node_name}"), &[GROUP_NETWORKS])
}

/// An API server and its store. Clones share it.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    store: Arc<dyn Store>,
    config: Config,
    faults: Faults,
    journal: Journal,
    running: Current,
    /// Keys do not get into objects.
    _keys: TempDir,
}

impl Server {
    /// Starts one with an empty store. Time, names and UIDs, and future faults, are drawn from `seed`. Must be called
    /// inside a tokio runtime with paused time.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(seed: u64) -> Server {
        Server::start_over(Clock::seeded(seed, start_time()), seed).await
    }

    /// Starts one in real time, for components that need the machine: sockets, packets, processes. Must be called inside a
    /// tokio runtime, and runs as long as that; [`Apart`](crate::Apart) has one of its own.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_in_real_time() -> Server {
        Server::start_over(Clock::system(), 0).await
    }

    async fn start_over(clock: Clock, seed: u64) -> Server {
        let keys = tempfile::tempdir().expect("a temporary directory can be made");
        make_keys(&keys).expect("keys can be made in an empty directory");
        let config = Config {
            pki_directory: keys.path().to_owned(),
            // An address for documentation (RFC 5737): endpoints may not be on the loopback.
            addresses: vec![[192, 0, 2, 10].into()],
            names: Vec::new(),
            port: 6443,
            service_cidrs: vec!["10.43.0.0/16".parse().expect("it is a network")],
            cluster_domain: "cluster.local".into(),
            tokens: Vec::new(),
            event_ttl: apiserver::EVENT_TTL,
            exposition: Default::default(),
            build: Default::default(),
        };
        let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(clock.clone()));
        let journal = Journal::new(clock.clone());
        journal.follow(&store).await;
        let (faults, running) = (Faults::new(seed), Current::default());
        let shared = Shared { clock, store, config, faults, journal, running, _keys: keys };
        let server = Server { shared: Arc::new(shared) };
        server.resume().await.expect("an empty store can be served");
        server
    }

    /// Kills the server at once, in the middle of its work. Acknowledged writes are in the store.
    pub fn stop(&self) {
        self.journal().note("the server ends");
        self.shared.running.end();
    }

    /// Starts a server over the store, as after [`Server::stop`].
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn resume(&self) -> Result<(), StartError> {
        let Shared { clock, store, config, faults, .. } = &*self.shared;
        let up = CancellationToken::new();
        let gate = Gate { store: Arc::clone(store), faults: faults.clone(), shut: up.clone() };
        let server = ApiServer::start(config, Arc::new(gate), clock.clone()).await?;
        self.journal().note("a server starts");
        self.shared.running.set(Running { server, up });
        Ok(())
    }

    /// Time and randomness.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The faults.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What was written.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// The store's revision, once the journal has seen everything up to it.
    pub async fn revision(&self) -> u64 {
        let revision = self.shared.store.current_revision().await;
        let revision = revision.expect("a store in memory is open while it is held");
        self.journal().caught_up(revision.0).await;
        revision.0
    }

    /// Drops the store's history, and with it the server's: watches that are behind must list again.
    ///
    /// # Panics
    /// If the store refuses.
    pub async fn compact(&self) {
        let revision = self.shared.store.current_revision().await.expect("a store in memory is open");
        match self.shared.store.compact(revision).await {
            // Nothing was written since the last time.
            Ok(()) | Err(StoreError::Compacted { .. }) => {}
            Err(error) => panic!("the store does not forget its history: {error}"),
        }
        if let Some(Running { server, .. }) = self.shared.running.get() {
            server.registry.hub.forget_before(revision);
        }
    }

    /// Has a node tell the running server what it and its pods use: a text as of its `/metrics/resource`.
    ///
    /// # Panics
    /// If it is not such a text.
    pub fn measured(&self, node: &str, text: &str) {
        if let Some(Running { server, .. }) = self.shared.running.get() {
            let period = apiserver::usage::RESOLUTION.as_secs() as u32;
            let taken = server.measures().read(node, text, self.clock().now(), period);
            taken.expect("the text of a test is in the format of metrics");
        }
    }

    /// A client of the administrator, which meets no faults while a server runs.
    pub fn admin(&self) -> Client {
        self.wire(admin(), None, CancellationToken::new())
    }

    /// A client of a component, which meets faults. Once `ended` is cancelled, none of its requests reach the server
    /// any more.
    pub fn component(&self, user: User, ended: CancellationToken) -> Client {
        let faults = Some(Arc::new(self.faults().connect(&user.name)));
        self.wire(user, faults, ended)
    }

    fn wire(&self, user: User, faults: Option<Arc<ConnectionFaults>>, ended: CancellationToken) -> Client {
        let (running, journal) = (self.shared.running.clone(), self.journal().clone());
        Client::new(Arc::new(Wire { running, journal, user, faults, ended }), self.clock().clone())
    }

    /// A client of a component that does not end.
    pub fn client(&self, user: User) -> Client {
        self.component(user, CancellationToken::new())
    }
}

/// Makes the keys of a cluster, and the certificates that a server asks for when it starts, from time and randomness of their
/// own, so that a server finds what it needs and draws nothing.
fn make_keys(directory: &TempDir) -> Result<(), PkiError> {
    let clock = Clock::seeded(0, start_time());
    let pki = Pki::open(directory.path(), &clock)?;
    pki.kept(&apiserver::node_proxy::client_certificate()).map(drop)
}
