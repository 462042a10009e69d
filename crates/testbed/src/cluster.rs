//! A cluster of several hosts: one server, and agents that joined it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Agent, Host, Network, Server, TestbedError, output};

/// What a [`Cluster`] is made of.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// How many hosts join the server's.
    pub agents: usize,
    /// Flags of `ironhull server`.
    pub server_flags: Vec<String>,
    /// Flags of each `ironhull agent`.
    pub agent_flags: Vec<String>,
}

/// A server and agents, each on a host of its own: `node-1` is the server's, and the agents' follow.
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
        let program = program.into();
        let host = |number: usize| Host::on(network, &format!("node-{number}")).map(Arc::new);
        let server = Server::start(&host(1)?, &program, &borrowed(&options.server_flags))?;
        let mut cluster = Cluster { server, agents: Vec::new() };
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
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// Makes a token by which an agent may join.
    ///
    /// # Errors
    /// What the command said, if it failed.
    pub fn token(&self) -> Result<String, TestbedError> {
        let said = output(&mut self.server.ironhull(&["token", "create"]))?;
        Ok(said.trim().to_owned())
    }

    /// Waits until every node is ready.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] or [`TestbedError::Late`], with the end of a log.
    pub fn wait_ready(&self) -> Result<(), TestbedError> {
        for agent in &self.agents {
            let ready = self.server.wait_node(agent.host().name());
            // That the agent ended tells more than that its node is not ready.
            ready.or_else(|error| agent.check().and(Err(error)))?;
        }
        Ok(())
    }

    /// The hosts, in the order of their names.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        std::iter::once(self.server.host()).chain(self.agents.iter().map(Agent::host))
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.hosts().find(|host| host.name() == name)
    }

    /// The agent on the host of this name.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.host().name() == name)
    }

    /// Takes images from an archive, on every host.
    ///
    /// # Errors
    /// What the command said, if it failed.
    pub fn import_image(&self, archive: &Path) -> Result<(), TestbedError> {
        self.server.import_image(archive)?;
        self.agents.iter().try_for_each(|agent| agent.import_image(archive).map(drop))
    }
}

fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}
