//! An agent that knows several servers fails over to one that answers.

use std::net::SocketAddr;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Agent, Host, Network, Relay, RelayState, Server, output, until};

use crate::images;
use crate::support::{Cluster, Namespace, PATIENCE, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("failover::an_agent_moves_to_a_server_that_lives", || {
        an_agent_moves_to_a_server_that_lives();
        Ok(())
    })]
}

/// A pod on the second host with output.
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: $NAME}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: $BUSYBOX, command: [sh, -c, 'echo this is $NAME; sleep 1000']}]
";

/// A server, an agent, and exactly two paths between them.
struct Ways {
    namespace: Namespace,
    relays: [Relay; 2],
}

impl Ways {
    fn new() -> Ways {
        let network = Network::new().unwrap();
        let host = |name| Arc::new(Host::on(&network, name).unwrap());
        let (first, second) = (host("node-1"), host("node-2"));
        let registry = images::start_registry(&second);
        let server = Server::start(&first, PROGRAM, &[]).unwrap_or_else(|error| panic!("{error:?}"));
        let target = SocketAddr::new(first.address(), 6443);
        let relays = [(); 2].map(|()| Relay::start(&network, target).unwrap());
        // The agent learns the server's own address from the cluster, too.
        let rules = format!(
            "table inet test {{ chain output {{ type filter hook output priority -300; ip daddr {} tcp dport 6443 \
             reject with tcp reset; }}; }}",
            first.address()
        );
        output(second.command("nft").arg(rules)).unwrap();
        let token = std::fs::read_to_string(server.data_dir().join("agent-token")).unwrap();
        let [url, other] = [&relays[0], &relays[1]].map(|relay| format!("https://{}", relay.address()));
        let agent = Agent::start(&second, PROGRAM, &url, token.trim(), &["--server", &other]).unwrap();
        server.wait_node("node-2").unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", agent.log()));
        let mut cluster = Cluster::of(server, registry);
        cluster.agents.push(agent);
        Ways { namespace: Namespace::new(&Arc::new(cluster), "failover"), relays }
    }

    fn agent(&self) -> &Agent {
        &self.namespace.cluster.agents[0]
    }

    /// Waits until the agent's connections lead through a relay.
    fn until_used(&self, relay: &Relay) {
        until(&format!("connections by {}", relay.address()), PATIENCE, || match relay.connections() {
            0 => Err(self.agent().log()),
            _ => Ok(()),
        })
        .unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Breaks the path in use, and checks that the node continues with the other one.
    fn break_one(&self, number: usize, state: RelayState) {
        let [used, other] = [&self.relays[number], &self.relays[1 - number]];
        self.until_used(used);
        used.set(state);
        let lease = || self.namespace.run(&["get", "lease", "node-2", "-n", "kube-node-lease", "-o", "yaml"]);
        let before = lease();
        self.until_used(other);
        self.namespace.until("a renewed lease", || match lease() {
            now if now != before => Ok(()),
            same => Err(same),
        });
        self.namespace.wait("node/node-2", "condition=Ready");
        // It receives changes, and reports its status.
        let name = format!("pod-{number}-{state:?}").to_lowercase();
        self.namespace.apply(&POD.replace("$NAME", &name));
        self.namespace.wait(&format!("pod/{name}"), "condition=Ready");
        self.namespace.until_output(&["logs", &name], &format!("this is {name}\n"));
        assert_eq!(self.namespace.exec(&name, "echo inside"), "inside\n");
        used.set(RelayState::Open);
    }
}

fn an_agent_moves_to_a_server_that_lives() {
    let ways = Ways::new();
    let pid = ways.agent().pid();
    for (number, state) in [
        // A server that runs and does not answer, and one that is gone; each on both paths.
        (0, RelayState::Silent),
        (1, RelayState::Closed),
        (0, RelayState::Closed),
        (1, RelayState::Silent),
    ] {
        ways.break_one(number, state);
        ways.agent().check().unwrap_or_else(|error| panic!("{error:?}"));
    }
    assert_eq!(ways.agent().pid(), pid);
    assert!(ways.agent().log().contains("switched to another API server"), "{}", ways.agent().log());
}
