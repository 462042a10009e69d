//! Short-lived certificates are renewed while everything runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use libtest_mimic::Trial;
use testbed::{ClusterOptions, until};
use x509_parser::pem::parse_x509_pem;

use crate::support::{Cluster, LIMIT, Namespace, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("renewal::certificates_are_renewed_while_nodes_run", || {
        certificates_are_renewed_while_nodes_run();
        Ok(())
    })]
}

/// How long certificates are valid.
const LIFETIME: &str = "90s";
/// How long a renewal may take: a certificate's lifetime, plus extra time for a busy machine.
const RENEWED_WITHIN: Duration = Duration::from_secs(180);

/// A pod on each host.
const PODS: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: says}
spec:
  selector: {matchLabels: {app: says}}
  template:
    metadata: {labels: {app: says}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: $BUSYBOX, command: [sh, -c, 'echo hello; sleep 1000']}]
";

/// Number and end (seconds since 1970) of the certificate in a file.
#[derive(Clone, Debug, PartialEq)]
struct Certificate {
    serial: String,
    end: i64,
}

impl Certificate {
    fn read(path: &Path) -> Certificate {
        let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, pem) = parse_x509_pem(&text).unwrap();
        let parsed = pem.parse_x509().unwrap();
        Certificate { serial: parsed.raw_serial_as_string(), end: parsed.validity().not_after.timestamp() }
    }

    /// Waits for its replacement, which must appear before this one expires.
    fn renewed(&self, path: &Path) -> Certificate {
        let next = until(&format!("another certificate in {}", path.display()), RENEWED_WITHIN, || {
            match Certificate::read(path) {
                same if same == *self => Err(format!("{same:?}")),
                next => Ok(next),
            }
        });
        let next = next.unwrap_or_else(|error| panic!("{error:?}"));
        assert!(next.end > self.end && next.serial != self.serial, "{next:?} after {self:?}");
        next
    }
}

/// Logs, commands and the node API of each host.
fn everything_works(namespace: &Namespace) {
    for node in ["node-1", "node-2"] {
        let field = format!("spec.nodeName={node}");
        let pod = namespace.run(&["get", "pods", "-o", "name", "--field-selector", &field]);
        let pod = pod.trim();
        assert_eq!(namespace.run(&["logs", pod]), "hello\n");
        assert_eq!(namespace.exec(pod, "echo inside"), "inside\n");
        assert_eq!(namespace.run(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/healthz")]), "ok");
    }
}

fn certificates_are_renewed_while_nodes_run() {
    let options = ClusterOptions {
        agents: 1,
        server_flags: ["--cluster-signing-duration", LIFETIME].map(str::to_owned).into(),
        ..ClusterOptions::default()
    };
    let namespace = Namespace::new(&Arc::new(Cluster::with_options(&options)), "renewal");
    let (server, agent) = (&namespace.cluster.server, &namespace.cluster.agents[0]);
    namespace.apply(PODS);
    namespace.run(&["rollout", "status", "daemonset/says", LIMIT]);
    let since = |node: &str| {
        namespace
            .field(&format!("node/{node}"), r#".status.conditions[?(@.type=="Ready")].lastTransitionTime"#)
    };
    let ready_since = ["node-1", "node-2"].map(since);
    let of_agent = ["client-kubelet", "client-network", "serving-kubelet"]
        .map(|name| agent.data_dir().join("agent").join(format!("{name}.crt")));
    let files: Vec<PathBuf> =
        of_agent.into_iter().chain([server.data_dir().join("tls/serving-kubelet.crt")]).collect();
    let first: Vec<Certificate> = files.iter().map(|path| Certificate::read(path)).collect();
    let pids = (server.pid(), agent.pid());
    everything_works(&namespace);

    let renewed = |before: &[Certificate]| -> Vec<Certificate> {
        before.iter().zip(&files).map(|(certificate, path)| certificate.renewed(path)).collect()
    };
    let second = renewed(&first);
    let _third = renewed(&second);
    let clock = Clock::system();
    until("the end of the first certificates", RENEWED_WITHIN, || {
        let now = clock.now().as_second();
        match first.iter().map(|certificate| certificate.end).max() {
            Some(end) if end < now => Ok(()),
            end => Err(format!("{now} is not after {end:?}")),
        }
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
    everything_works(&namespace);
    namespace.wait("node/node-1", "condition=Ready");
    namespace.wait("node/node-2", "condition=Ready");
    // They were always ready, in the same processes.
    assert_eq!(["node-1", "node-2"].map(since), ready_since);
    assert_eq!((server.pid(), agent.pid()), pids);
    // New pods start. The status of the DaemonSet may still be about the old ones.
    namespace.run(&["delete", "pods", "--all", LIMIT]);
    let conditions = r#"jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
    let ready = until("new pods on both hosts", RENEWED_WITHIN, || {
        match namespace.run(&["get", "pods", "-o", conditions]) {
            ready if ready == "True True" => Ok(()),
            other => Err(other),
        }
    });
    ready.unwrap_or_else(|error| panic!("{error:?}"));
    everything_works(&namespace);
}
