//! One run: a cluster starts, a workload runs under faults, and after a quiet period the result is checked.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use parking_lot::Mutex;
use simulation::{Forgotten, Rates, Server, start_time};

use crate::components::{self, HollowNode, Running};
use crate::invariants::{Invariants, Seen};
use crate::{batch, peace, workload};

/// How long a request is on its way at most, each way, when nothing is wrong. It takes some time even then: otherwise one component
/// that has not heard of a deletion yet and one that has could undo each other's work without end, in the very moment before the
/// first one hears of it (seeds 7 and 118 did).
const LATENCY: Duration = Duration::from_millis(2);

/// The parameters of a seed's run.
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) nodes: u8,
    /// How much CPU each has.
    pub(crate) node_cpu_milli: u32,
    /// How many things the workload does.
    pub(crate) steps: u32,
    /// Whether nothing but controllers takes pods away.
    pub(crate) is_calm: bool,
    /// The planted fault: controllers that never receive some events of this resource.
    pub(crate) forgets: Option<String>,
}

/// The cluster of a run.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) nodes: Vec<HollowNode>,
    /// How many nodes there have been, and how much CPU each gets.
    pub(crate) nodes_made: u8,
    pub(crate) node_cpu_milli: u32,
    pub(crate) controllers: Running,
    pub(crate) scheduler: Running,
    /// The content of the store.
    pub(crate) seen: Arc<Mutex<Seen>>,
    /// The workload's own randomness, so that it does not depend on how much the cluster draws.
    pub(crate) random: Clock,
}

/// So much CPU has a node that has enough, and one that has not.
const NODE_CPU_MILLI: u32 = 4000;
const TIGHT_CPU_MILLI: u32 = 700;

impl Cluster {
    /// One more node joins.
    pub(crate) fn add_node(&mut self, restless: bool) {
        self.nodes_made += 1;
        self.nodes.push(components::node(&self.server, self.nodes_made, self.node_cpu_milli, restless));
    }
}

impl Scenario {
    pub(crate) fn new(seed: u64) -> Scenario {
        // Every third seed is a calm one; in every fourth the nodes have room for half of the pods.
        let node_cpu_milli = if seed % 4 == 1 { TIGHT_CPU_MILLI } else { NODE_CPU_MILLI };
        let is_calm = seed.is_multiple_of(3);
        Scenario { seed, nodes: 5, node_cpu_milli, steps: 60, is_calm, forgets: None }
    }

    /// Runs the seed and returns what distinguishes its run from others.
    ///
    /// # Panics
    /// If an invariant does not hold, with the seed and what happened last.
    pub(crate) fn check(&self) -> u64 {
        simulation::run(async {
            let server = Server::start(self.seed).await;
            let journal = server.journal().clone();
            let seen = Arc::<Mutex<Seen>>::default();
            journal.observe(Invariants::new(journal.clone(), Arc::clone(&seen), self.is_calm));
            let log = std::env::var_os("LOG");
            if log.is_some() {
                journal.keep_all();
            }
            let run = self.run(&server, seen);
            let found = tokio::select! {
                biased;
                violation = journal.violated() => Err(violation),
                done = run => done,
            };
            if let Some(log) = log {
                std::fs::write(log, journal.tail()).expect("LOG names a file that can be written");
            }
            if let Err(violation) = found.and_then(|()| journal.violation().map_or(Ok(()), Err)) {
                let seed = self.seed;
                let log = journal.tail();
                panic!("seed {seed}: {violation}\nthe last changes:\n{log}\nseed {seed}: {violation}");
            }
            journal.hash()
        })
    }

    async fn run(&self, server: &Server, seen: Arc<Mutex<Seen>>) -> Result<(), String> {
        let random = Clock::seeded(self.seed, start_time());
        let mut cluster = Cluster {
            nodes: Vec::new(),
            nodes_made: 0,
            node_cpu_milli: self.node_cpu_milli,
            controllers: components::controllers(server),
            scheduler: components::scheduler(server),
            server: server.clone(),
            seen,
            random,
        };
        for index in 1..=self.nodes {
            cluster.add_node(!self.is_calm && index % 2 == 0);
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        server.faults().set(self.rates(&cluster.random));
        server.journal().note("the workload begins");
        workload::run(&mut cluster, self.steps, self.is_calm).await;
        server.journal().note("the workload ends");
        self.make_peace(&mut cluster).await;
        peace::check(&mut cluster).await
    }

    /// Faults of every kind, more of some in one seed and of others in another.
    fn rates(&self, random: &Clock) -> Rates {
        Rates {
            refused: random.random_below(40),
            conflict: random.random_below(40),
            unsent: random.random_below(20),
            lost_answer: random.random_below(20),
            broken_watch: random.random_below(20),
            expired_watch: random.random_below(5),
            late_event: random.random_below(20),
            slow_write: random.random_below(20),
            latency: LATENCY + Duration::from_millis(random.random_below(80)),
            forgotten_event: self.forgotten(),
        }
    }

    /// From here on the planted fault is the only one, every component runs, and there is space for all pods.
    async fn make_peace(&self, cluster: &mut Cluster) {
        let rates = Rates { forgotten_event: self.forgotten(), latency: LATENCY, ..Rates::default() };
        cluster.server.faults().set(rates);
        for HollowNode { node, .. } in &cluster.nodes {
            node.set_timing(hollow::Timing::default());
            node.set_connected(true);
        }
        // The last request of a node that is gone for good may have arrived after people had taken it out.
        workload::take_out_strangers(cluster).await;
        batch::suspend_all(cluster).await;
        cluster.node_cpu_milli = NODE_CPU_MILLI;
        for _ in 0..self.nodes {
            cluster.add_node(false);
        }
    }

    fn forgotten(&self) -> Option<Forgotten> {
        self.forgets.as_ref().map(|plural| Forgotten {
            rate: 100,
            user: "system:kube-controller-manager".to_owned(),
            plural: plural.clone(),
        })
    }
}
