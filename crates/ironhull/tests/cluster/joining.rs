//! A second machine joins the cluster by a token.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Agent, Host, Network, Server, output, until};

use crate::support::{PATIENCE, PROGRAM};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        Trial::test(format!("joining::{name}"), move || {
            test();
            Ok(())
        })
    };
    vec![trial("a_machine_joins_and_is_known_again", a_machine_joins_and_is_known_again)]
}

/// A server on one host, and another host beside it.
struct Pair {
    server: Server,
    other: Arc<Host>,
}

impl Pair {
    fn new(flags: &[&str]) -> Pair {
        let network = Network::new().unwrap();
        let host = |name| Arc::new(Host::on(&network, name).unwrap());
        let (host, other) = (host("one"), host("two"));
        let server = Server::start(&host, PROGRAM, flags).unwrap_or_else(|error| panic!("{error}"));
        Pair { server, other }
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.server.data_dir().join("agent-token")).unwrap().trim().to_owned()
    }

    fn agent(&self, token: &str, flags: &[&str]) -> Agent {
        Agent::start(&self.other, PROGRAM, &self.server.url(), token, flags).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        output(&mut self.server.kubectl(arguments)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits for a field of an object to be as `fits` wants it, and returns it.
    fn until(&self, object: &[&str], path: &str, fits: impl Fn(&str) -> bool) -> String {
        let path = format!("jsonpath={{{path}}}");
        until(&path, PATIENCE, || {
            let arguments = [&["get"], object, &["-o", &path]].concat();
            let text = output(&mut self.server.kubectl(&arguments)).map_err(|error| error.to_string())?;
            if fits(&text) { Ok(text) } else { Err(text) }
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }

    fn wait_ready(&self, agent: &Agent) {
        let name = self.other.name();
        self.server.wait_node(name).unwrap_or_else(|error| panic!("{error}\n--- agent\n{}", agent.log()));
    }
}

fn a_machine_joins_and_is_known_again() {
    let pair = Pair::new(&[]);
    let agent = pair.agent(&pair.token(), &[]);
    pair.wait_ready(&agent);
    let requests = pair.run(&["get", "csr"]);
    assert_eq!(requests.matches("Approved,Issued").count(), 3, "{requests}");
    let node = ["node", pair.other.name()];
    let uid = pair.until(&node, ".metadata.uid", |uid| !uid.is_empty());

    // The machine has its certificate and needs no token any more.
    agent.stop().unwrap();
    let lease = ["lease", pair.other.name(), "-n", "kube-node-lease"];
    let before = pair.until(&lease, ".spec.renewTime", |_| true);
    agent.set_flags(&["--server", &pair.server.url()]);
    agent.start_again().unwrap();
    pair.until(&lease, ".spec.renewTime", |time| time != before);
    pair.wait_ready(&agent);
    pair.until(&node, ".metadata.uid", |now| now == uid);
    assert_eq!(pair.run(&["get", "csr"]).lines().count(), 4, "no further requests");
}
