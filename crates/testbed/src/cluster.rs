//! A cluster of several hosts: one server, and agents that joined it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::cannot;
use crate::{Agent, Host, Network, Server, TestbedError};

/// The configuration of a [`Cluster`].
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// How many hosts join the server's.
    pub agents: usize,
    /// Flags of `ironhull server`.
    pub server_flags: Vec<String>,
    /// Flags of each `ironhull agent`.
    pub agent_flags: Vec<String>,
}

/// A server and agents, each on a separate host: `node-1` is the server's, and the agents' follow.
#[derive(Debug)]
pub struct Cluster {
    /// The server, whose host runs pods too.
    pub server: Server,
    /// The agents, in the order of their hosts' names.
    pub agents: Vec<Agent>,
}

impl Cluster {
    /// Starts a cluster of `program` in `network`, and waits until all nodes are ready.
    ///
    /// # Errors
    /// If a host cannot be made, or a node is not ready in time; the text holds the end of logs.
    pub fn start(
        network: &Arc<Network>,
        program: impl Into<PathBuf>,
        options: &ClusterOptions,
    ) -> Result<Cluster, TestbedError> {
        Cluster::start_reporting(network, program, options, &mut |_| true)
    }

    /// As [`Cluster::start`], with progress: `report` is called for each step, and returns whether to continue.
    ///
    /// # Errors
    /// As [`Cluster::start`], and [`TestbedError::Stopped`] if `report` has said so.
    pub fn start_reporting(
        network: &Arc<Network>,
        program: impl Into<PathBuf>,
        options: &ClusterOptions,
        report: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Cluster, TestbedError> {
        let program = program.into();
        let mut step = |done: &str| if report(done) { Ok(()) } else { Err(TestbedError::Stopped) };
        let host = |number: usize| Host::on(network, &format!("node-{number}")).map(Arc::new);
        let first = host(1)?;
        step("the network is ready; starting the server on node-1")?;
        let server = Server::start(&first, &program, &borrowed(&options.server_flags))?;
        let mut cluster = Cluster { server, agents: Vec::new() };
        step("node-1 is ready")?;
        if options.agents == 0 {
            return Ok(cluster);
        }
        let (token, url) = (cluster.token()?, cluster.server.url());
        for number in 0..options.agents {
            let host = host(number + 2)?;
            cluster.agents.push(Agent::start(
                &host,
                &program,
                &url,
                &token,
                &borrowed(&options.agent_flags),
            )?);
        }
        for agent in &cluster.agents {
            cluster.wait_agent(agent)?;
            step(&format!("{} is ready", agent.host().name()))?;
        }
        Ok(cluster)
    }

    /// The token by which an agent joins, as the server keeps it for its administrator.
    ///
    /// # Errors
    /// If there is none.
    pub fn token(&self) -> Result<String, TestbedError> {
        let path = self.server.data_dir().join("agent-token");
        let text = std::fs::read_to_string(&path).map_err(cannot(format!("read {}", path.display())))?;
        Ok(text.trim().to_owned())
    }

    /// Waits until every node is ready.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] or [`TestbedError::Late`], with the end of a log.
    pub fn wait_ready(&self) -> Result<(), TestbedError> {
        self.server.wait_ready()?;
        self.agents.iter().try_for_each(|agent| self.wait_agent(agent))
    }

    fn wait_agent(&self, agent: &Agent) -> Result<(), TestbedError> {
        let ready = self.server.wait_node(agent.host().name());
        // The end of the agent explains more than that its node is not ready.
        ready.or_else(|error| agent.check().and(Err(error)))
    }

    /// The hosts, in the order of their names.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        std::iter::once(self.server.host()).chain(self.agents.iter().map(Agent::host))
    }

    /// The log of the program on each host, with the host's name.
    pub fn logs(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        let server = (self.server.host().name(), self.server.log_path());
        let agents = self.agents.iter().map(|agent| (agent.host().name(), agent.log_path()));
        std::iter::once(server).chain(agents)
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.hosts().find(|host| host.name() == name)
    }

    /// The agent on the host of this name.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.host().name() == name)
    }

    /// Turns a node's host off; see [`Host::power_off`].
    ///
    /// # Errors
    /// [`TestbedError::NoHost`] if there is no such node.
    pub fn stop_node(&self, name: &str) -> Result<(), TestbedError> {
        self.known_host(name)?.power_off();
        Ok(())
    }

    /// Makes a node whole: its host is on and connected, and the program runs. Nothing is done twice.
    ///
    /// # Errors
    /// [`TestbedError::NoHost`] if there is no such node; otherwise if the machine refuses.
    pub fn start_node(&self, name: &str) -> Result<(), TestbedError> {
        let host = self.known_host(name)?;
        host.power_on()?;
        host.reconnect()?;
        if self.is_running(name) {
            return Ok(());
        }
        self.agent(name).map_or_else(|| self.server.start_again(), Agent::start_again)
    }

    /// Whether the program runs on a node.
    pub fn is_running(&self, name: &str) -> bool {
        self.agent(name).map_or_else(|| self.server.check(), Agent::check).is_ok()
    }

    /// As [`Cluster::host`], with the names that there are in the error.
    ///
    /// # Errors
    /// [`TestbedError::NoHost`].
    pub fn known_host(&self, name: &str) -> Result<&Arc<Host>, TestbedError> {
        self.host(name).ok_or_else(|| TestbedError::NoHost {
            name: name.to_owned(),
            known: self.hosts().map(|host| host.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Takes images from an archive, on every host.
    ///
    /// # Errors
    /// The command's output, if it failed.
    pub fn import_image(&self, archive: &Path) -> Result<(), TestbedError> {
        self.hosts().try_for_each(|host| self.import_image_on(host.name(), archive).map(drop))
    }

    /// Takes images from an archive, on one host.
    ///
    /// # Errors
    /// The command's output, if it failed; otherwise it is returned.
    pub fn import_image_on(&self, name: &str, archive: &Path) -> Result<String, TestbedError> {
        self.known_host(name)?;
        self.agent(name)
            .map_or_else(|| self.server.import_image(archive), |agent| agent.import_image(archive))
    }
}

fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}
