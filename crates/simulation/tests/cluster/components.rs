//! The components of a cluster, each of which can be killed and started again.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::user::{GROUP_NODES, User};
use client::Informers;
use controllers::Accounts;
use hollow::{Node, Spec, Timing};
use simulation::Server;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A component that runs.
pub(crate) struct Running {
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start<F>(run: impl FnOnce(CancellationToken) -> F) -> Running
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ended = CancellationToken::new();
        Running { task: tokio::spawn(run(ended.clone())), ended }
    }

    /// Kills it at once: none of its requests reach the server any more.
    pub(crate) fn kill(self) {
        self.ended.cancel();
        self.task.abort();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

/// All controllers.
pub(crate) fn controllers(server: &Server) -> Running {
    let server = server.clone();
    Running::start(|ended| {
        let client = server.component(User::new("system:kube-controller-manager", &[]), ended.clone());
        let config = controllers::Config {
            cluster_cidrs: vec!["10.42.0.0/16".parse().unwrap()],
            root_ca: Some("a certificate\n".to_owned()),
            ..controllers::Config::default()
        };
        let wires = ended.clone();
        let accounts = Accounts::new(move |account| {
            server.component(User::service_account("kube-system", account, ""), wires.clone())
        });
        let context = controllers::Context {
            informers: Informers::new(client),
            accounts,
            metrics: controllers::Metrics::default(),
            config: Arc::new(config),
        };
        controllers::run(context, ended)
    })
}

/// The scheduler.
pub(crate) fn scheduler(server: &Server) -> Running {
    let server = server.clone();
    Running::start(|ended| async move {
        let client = server.component(User::new("system:kube-scheduler", &[]), ended.clone());
        scheduler::run(client.clone(), Informers::new(client), scheduler::Config::default(), ended).await;
    })
}

/// A hollow node, and its task.
pub(crate) struct HollowNode {
    pub(crate) node: Node,
    pub(crate) running: Running,
}

/// So much of each node's memory can be asked for.
const NODE_MEMORY_MIB: u32 = 8192;

/// A node of the cluster, with so much CPU. A restless one has containers that fail.
pub(crate) fn node(server: &Server, index: u8, cpu_milli: u32, restless: bool) -> HollowNode {
    let name = format!("node-{index}");
    let zone = format!("zone-{}", index % 2);
    let spec = Spec {
        name: name.clone(),
        labels: [("topology.kubernetes.io/zone".to_owned(), zone)].into(),
        address: Ipv4Addr::new(10, 42, index, 0),
        cpu_milli,
        memory_mib: NODE_MEMORY_MIB,
        pods_max: 40,
    };
    let fail = restless.then(|| Duration::from_secs(60)..Duration::from_secs(1200));
    let timing = Timing { fail, ..Timing::default() };
    let ended = CancellationToken::new();
    let client = server.component(User::new(format!("system:node:{name}"), &[GROUP_NODES]), ended);
    let node = Node::new(client, spec, timing);
    let runs = node.clone();
    let running = Running::start(|ended| async move { runs.run(ended).await });
    HollowNode { node, running }
}
