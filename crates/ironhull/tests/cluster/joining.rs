//! A second machine joins the cluster with a token.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Agent, Host, Network, Server, TestbedError, output, until};

use crate::support::{LIMIT, PATIENCE, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        timed_trial(format!("joining::{name}"), move || {
            test();
            Ok(())
        })
    };
    vec![
        trial("a_machine_joins_and_is_known_again", a_machine_joins_and_is_known_again),
        trial("who_may_not_join_is_told_why", who_may_not_join_is_told_why),
        trial("a_machine_waits_for_its_server", a_machine_waits_for_its_server),
        trial("of_two_machines_with_one_name_one_joins", of_two_machines_with_one_name_one_joins),
    ]
}

/// A server on one host, and a second host.
struct Pair {
    server: Server,
    other: Arc<Host>,
}

impl Pair {
    fn new(flags: &[&str]) -> Pair {
        let network = Network::new().unwrap();
        let host = |name| Arc::new(Host::on(&network, name).unwrap());
        let (host, other) = (host("one"), host("two"));
        let server = Server::start(&host, PROGRAM, flags).unwrap_or_else(|error| panic!("{error:?}"));
        Pair { server, other }
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.server.data_dir().join("agent-token")).unwrap().trim().to_owned()
    }

    fn agent(&self, token: &str, flags: &[&str]) -> Agent {
        Agent::start(&self.other, PROGRAM, &self.server.url(), token, flags).unwrap()
    }

    /// The error of an agent that cannot join.
    fn refused(&self, arguments: &[&str]) -> String {
        let mut command = self.other.command(PROGRAM);
        command
            .args(["agent", "--data-dir"])
            .arg(self.other.directory().join("data"))
            .args(arguments)
            .env("IRONHULL_CONFIG", self.other.directory().join("no-config"));
        match output(&mut command) {
            Err(TestbedError::Failed { output, .. }) => output,
            other => panic!("{arguments:?} should fail: {other:?}"),
        }
    }

    fn ironhull(&self, arguments: &[&str]) -> String {
        output(&mut self.server.ironhull(arguments)).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn run(&self, arguments: &[&str]) -> String {
        output(&mut self.server.kubectl(arguments)).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Waits for a field of an object to satisfy `fits`, and returns it.
    fn until(&self, object: &[&str], path: &str, fits: impl Fn(&str) -> bool) -> String {
        let path = format!("jsonpath={{{path}}}");
        until(&path, PATIENCE, || {
            let arguments = [&["get"], object, &["-o", &path]].concat();
            let text = output(&mut self.server.kubectl(&arguments)).map_err(|error| error.to_string())?;
            if fits(&text) { Ok(text) } else { Err(text) }
        })
        .unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn wait_ready(&self, agent: &Agent) {
        let name = self.other.name();
        self.server.wait_node(name).unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", agent.log()));
    }
}

fn a_machine_joins_and_is_known_again() {
    let pair = Pair::new(&[]);
    let flags =
        ["--node-label", "color=blue,node.kubernetes.io/disk=ssd", "--node-taint", "gpu=yes:NoSchedule"];
    let agent = pair.agent(&pair.token(), &flags);
    pair.wait_ready(&agent);
    let node = ["node", pair.other.name()];
    pair.until(&node, ".metadata.labels.color", |label| label == "blue");
    pair.until(&node, ".spec.taints[?(@.key==\"gpu\")].effect", |effect| effect == "NoSchedule");
    // The server's own node shows its role.
    let role = |line: &str| -> (String, String) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[0].to_owned(), fields[2].to_owned())
    };
    until("the nodes' roles", PATIENCE, || {
        let nodes = output(&mut pair.server.kubectl(&["get", "nodes", "--no-headers"]))
            .map_err(|error| error.to_string())?;
        let mut roles: Vec<(String, String)> = nodes.lines().map(role).collect();
        roles.sort();
        let expected =
            [("one".to_owned(), "control-plane".to_owned()), ("two".to_owned(), "<none>".to_owned())];
        if roles == expected { Ok(()) } else { Err(nodes) }
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
    let requests = pair.run(&["get", "csr"]);
    assert_eq!(requests.matches("Approved,Issued").count(), 3, "{requests}");
    // The API server authenticates the node's API by its certificate, and the node the API server.
    let healthz = format!("/api/v1/nodes/{}/proxy/healthz", pair.other.name());
    assert_eq!(pair.run(&["get", "--raw", &healthz]), "ok");
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

    // The remains of a deleted node are deleted with it, and the name is free.
    pair.run(&["drain", pair.other.name(), "--ignore-daemonsets", "--delete-emptydir-data"]);
    agent.stop().unwrap();
    pair.run(&["delete", "node", pair.other.name()]);
    pair.run(&["wait", "--for=delete", &lease[..2].join("/"), lease[2], lease[3], LIMIT]);
}

fn who_may_not_join_is_told_why() {
    let pair = Pair::new(&["--token", "the-servers-own"]);
    let url = pair.server.url();
    let whole = pair.ironhull(&["token", "create", "--description", "for a test"]);
    let (digest, bare) = whole.trim().split_once("::").unwrap();
    let id = bare.split_once('.').unwrap().0;
    let listed = pair.ironhull(&["token", "list"]);
    assert!(listed.contains(id) && listed.contains("for a test") && !listed.contains(bare), "{listed}");
    // The signature is written separately.
    let signature = format!(".data.jws-kubeconfig-{id}");
    pair.until(&["configmap", "cluster-info", "-n", "kube-public"], &signature, |text| !text.is_empty());
    let wrong_digest = format!("K10{}::{bare}", "0".repeat(64));
    let wrong_secret = format!("{id}.aaaaaaaaaaaaaaaa");
    let wrong_both = format!("{digest}::{wrong_secret}");
    let name = ["--node-name", pair.server.host().name()];
    // Additional flags, and the expected error.
    let table: [(&[&str], &str); 9] = [
        (
            &["--token", &wrong_digest],
            "another cluster, or the connection to the server is being intercepted",
        ),
        (
            &["--token", bare, "--discovery-token-ca-cert-hash", &format!("sha256:{}", "0".repeat(64))],
            "another cluster",
        ),
        (&["--token", &wrong_secret], "does not match the secret of token"),
        (&["--token", &wrong_both], "the server rejected the token"),
        (&["--token", "unknown"], "the server rejected the token"),
        (&["--token", "aaaaaa.aaaaaaaaaaaaaaaa"], "the server does not know token aaaaaa"),
        (&["--token", "K10abc"], "may be truncated"),
        (&[], "this machine has not joined yet"),
        (&["--token", bare, name[0], name[1]], "NodeNameTaken"),
    ];
    for (flags, expected) in table {
        let said = pair.refused(&[&["--server", &url], flags].concat());
        assert!(said.contains(expected), "{flags:?}: {said}");
        assert!(!said.contains(bare.split_once('.').unwrap().1), "a secret is told: {said}");
    }
    assert!(!pair.other.directory().join("data").exists(), "something was left");

    // Deleted tokens are not accepted.
    pair.ironhull(&["token", "delete", id]);
    let said = pair.refused(&["--server", &url, "--token", whole.trim()]);
    assert!(said.contains("the server rejected the token"), "{said}");
    // The server's own token works as well, also without anything that proves the CA.
    let agent = pair.agent("the-servers-own", &[]);
    pair.wait_ready(&agent);
    assert!(agent.log().contains("trusting the cluster's CA on first use"), "{}", agent.log());
}

/// Machines start in any order: one whose server does not run yet says so, and joins when it does.
fn a_machine_waits_for_its_server() {
    let pair = Pair::new(&[]);
    let token = pair.token();
    pair.server.stop().unwrap();
    let agent = pair.agent(&token, &[]);
    let waits = "no server can be reached";
    until("the agent waits", PATIENCE, || {
        let log = agent.log();
        if log.contains(waits) { Ok(()) } else { Err(log) }
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
    assert!(agent.log().contains("Connection refused"), "{}", agent.log());
    pair.server.start_again().unwrap();
    pair.wait_ready(&agent);
}

fn of_two_machines_with_one_name_one_joins() {
    let pair = Pair::new(&[]);
    let third = Arc::new(Host::on(pair.server.host().network(), "three").unwrap());
    let token = pair.token();
    // The order is random: each name is another try.
    for name in ["twin-a", "twin-b", "twin-c", "twin-d"] {
        let flags = ["--node-name", name];
        let agents = std::thread::scope(|scope| {
            let starting = [&pair.other, &third].map(|host| {
                scope.spawn(|| Agent::start(host, PROGRAM, &pair.server.url(), &token, &flags).unwrap())
            });
            starting.map(|thread| thread.join().unwrap())
        });
        let loser = until("the end of one of them", PATIENCE, || {
            let ended: Vec<usize> = (0..2).filter(|number| agents[*number].check().is_err()).collect();
            match ended[..] {
                [only] => Ok(only),
                [] => Err("both run".to_owned()),
                _ => panic!("{}\n---\n{}", agents[0].log(), agents[1].log()),
            }
        });
        let loser =
            loser.unwrap_or_else(|error| panic!("{error:?}\n{}\n---\n{}", agents[0].log(), agents[1].log()));
        let (winner, loser) = (&agents[1 - loser], &agents[loser]);
        pair.server.wait_node(name).unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", winner.log()));
        winner.check().unwrap_or_else(|error| panic!("{error:?}"));
        let address =
            pair.until(&["node", name], ".status.addresses[?(@.type==\"InternalIP\")].address", |_| true);
        assert_eq!(address, winner.host().address().to_string());

        // The other one reports why, and has changed nothing.
        let log = loser.log();
        assert!(log.contains("NodeNameTaken") && log.contains("another name"), "{log}");
        assert!(!log.contains(token.split_once('.').unwrap().1), "a secret is told: {log}");
        let left = loser.data_dir().join("agent");
        assert!(!left.exists(), "{} is there", left.display());
        assert!(!loser.data_dir().join("engine").exists());

        // Once the name is free, the other one gets it at once.
        winner.stop().unwrap();
        winner.reset().unwrap();
        pair.run(&["delete", "node", name]);
        loser.start_again().unwrap();
        pair.server.wait_node(name).unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", loser.log()));
        let address =
            pair.until(&["node", name], ".status.addresses[?(@.type==\"InternalIP\")].address", |_| true);
        assert_eq!(address, loser.host().address().to_string());
        loser.stop().unwrap();
        loser.reset().unwrap();
        pair.run(&["delete", "node", name]);
    }
}
