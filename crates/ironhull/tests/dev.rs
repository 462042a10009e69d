//! `ironhull dev`, as people use it: a cluster of several nodes that is broken, repaired and removed.
//!
//! A test host plays the part of the machine, so that everything that a cluster changes on it can be seen.

#![expect(clippy::unwrap_used, reason = "all of this is tests, but none of them is a #[test] function")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::images::build::ImageBuilder;
use testbed::{Host, TestbedError, output, timed, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ironhull");
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let trial = |name: &'static str, test: fn()| {
        Trial::test(name, move || {
            timed(name, test);
            Ok(())
        })
    };
    let trials = vec![
        trial("a_cluster_comes_breaks_and_goes", a_cluster_comes_breaks_and_goes),
        trial("whatever_ends_it_leaves_nothing", whatever_ends_it_leaves_nothing),
        trial("what_is_missing_is_told_first", what_is_missing_is_told_first),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A machine for a cluster.
struct Machine(Host);

impl Machine {
    fn new() -> Machine {
        Machine(Host::new().unwrap_or_else(|error| panic!("{error:?}")))
    }

    fn state_dir(&self) -> PathBuf {
        self.0.directory().join("clusters")
    }

    fn dev(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(PROGRAM);
        command.arg("dev").args(arguments).arg("--state-dir").arg(self.state_dir());
        command.env("IRONHULL_CONFIG", self.0.directory().join("no-config")).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        output(&mut self.dev(arguments)).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn fails(&self, arguments: &[&str]) -> String {
        match output(&mut self.dev(arguments)) {
            Err(TestbedError::Failed { output, .. }) => output,
            other => panic!("ironhull dev {arguments:?} should fail: {other:?}"),
        }
    }

    /// kubectl in the machine's own shell.
    fn kubectl(&self, kubeconfig: &PathBuf, arguments: &[&str]) -> Result<String, String> {
        let clients = std::env::var_os("IRONHULL_CLIENTS").map(PathBuf::from).unwrap_or_default();
        let mut command = self.0.command(clients.join("kubectl"));
        command.args(arguments).env("KUBECONFIG", kubeconfig).env("HOME", self.0.directory());
        output(&mut command).map_err(|error| error.to_string())
    }

    /// Everything that a cluster could leave behind, without the processes and cgroups of this check itself.
    fn traces(&self) -> String {
        let script = r#"
            echo links; ip -o link | cut -d: -f2 | cut -d@ -f1
            echo addresses; ip -o addr | awk '{ print $2, $4 }' | grep -v fe80
            echo routes; ip route; ip -6 route | grep -v fe80
            echo rules; nft list ruleset
            echo mounts; cut -d' ' -f2 /proc/self/mounts | sort
            echo cgroups; for mount in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do
              find "$mount" -mindepth 1 -type d | grep -v '/holder$'; done | sort
            echo processes; for process in /proc/[0-9]*; do
              tr '\0' ' ' < $process/cmdline 2>/dev/null | grep -a 'ironhull\|unshare\|cat' ; done
            echo files; find "$0" /run -mindepth 1 -not -path "*/.kube*" | sort
            true"#;
        let mut look = self.0.command("sh");
        output(look.args(["-c", script]).arg(self.0.directory())).unwrap()
    }

    fn until_as_before(&self, before: &str) {
        until("a machine as it was", PATIENCE, || {
            let now = self.traces();
            if now == before { Ok(()) } else { Err(difference(before, &now)) }
        })
        .unwrap_or_else(|error| panic!("{error:?}"));
    }
}

/// The lines of one text that are not in the other.
fn difference(before: &str, now: &str) -> String {
    let lines = |text: &str, other: &str, sign| -> String {
        let only = text.lines().filter(|line| !other.lines().any(|other| other == *line));
        only.map(|line| format!("{sign} {line}\n")).collect()
    };
    lines(before, now, '-') + &lines(now, before, '+')
}

fn a_cluster_comes_breaks_and_goes() {
    let machine = Machine::new();
    let before = machine.traces();
    let kubeconfig = machine.0.directory().join("asked-for");
    let said = machine.run(&["up", "--nodes", "2", "--write-kubeconfig", kubeconfig.to_str().unwrap()]);
    assert!(said.contains("The cluster \"dev\" is running: 2 nodes"), "{said}");
    println!("{said}");
    let kubectl = |arguments: &[&str]| machine.kubectl(&kubeconfig, arguments);
    let nodes = kubectl(&["get", "nodes", "--no-headers"]).unwrap();
    let ready = |nodes: &str| nodes.lines().filter(|line| line.contains(" Ready ")).count();
    assert_eq!(ready(&nodes), 2, "{nodes}");
    let mode = "stat -c %a \"$0\" \"$1\" \"$1\"/dev/kubeconfig";
    let mut stat = machine.0.command("sh");
    stat.args(["-c", mode]).arg(&kubeconfig).arg(machine.state_dir());
    assert_eq!(output(&mut stat).unwrap(), "600\n700\n600\n");

    // The document says where the nodes' logs are.
    for (node, says) in
        [("node-1", "Ironhull serves the Kubernetes API"), ("node-2", "Ironhull runs the node node-2")]
    {
        let log = machine.state_dir().join("dev/logs").join(node);
        let log = output(machine.0.command("cat").arg(log)).unwrap();
        assert!(log.contains(says), "{node}: {log}");
    }
    mounts_propagate_between_pods(&machine, &kubeconfig);

    // A second start is refused clearly, and another name is another cluster.
    let said = machine.fails(&["up"]);
    assert!(
        said.contains("a cluster \"dev\" is already running") && said.contains("ironhull dev down"),
        "{said}"
    );
    let status = machine.run(&["status"]);
    assert!(status.contains("node-2     running    198.51.100.3,2001:db8:100::3"), "{status}");
    assert!(machine.fails(&["status", "--name", "other"]).contains("there is no cluster \"other\""));
    assert!(machine.run(&["list"]).contains("dev                      2"));

    // A node is cut off and turned off, and is back each time.
    for (action, shown) in [("cut", "cut off"), ("stop", "stopped")] {
        let said = machine.run(&["node", action, "node-2"]);
        assert!(said.contains(&format!("node-2     {shown}")), "{said}");
        let unready = || {
            let nodes = kubectl(&["get", "node", "node-2", "--no-headers"])?;
            if nodes.contains("NotReady") { Ok(()) } else { Err(nodes) }
        };
        until("a node that is not ready", PATIENCE, unready).unwrap_or_else(|error| panic!("{error:?}"));
        let said = machine.run(&["node", "start", "node-2"]);
        assert!(said.contains("node-2     running"), "{said}");
        kubectl(&["wait", "--for=condition=Ready", "node/node-2", "--timeout=120s"]).unwrap();
    }
    let said = machine.fails(&["node", "cut", "node-9"]);
    assert!(said.contains("there is no node node-9: the nodes are node-1, node-2"), "{said}");
    let said = machine.fails(&["image", "import", "/nowhere/image.tar"]);
    assert!(said.contains("cannot read /nowhere/image.tar"), "{said}");
    let garbage = machine.0.directory().join("garbage.tar");
    std::fs::write(&garbage, "secret text ".repeat(100)).unwrap();
    let said = machine.fails(&["image", "import", garbage.to_str().unwrap()]);
    assert!(said.contains("it is not a tar archive") && !said.contains("secret"), "{said}");
    std::fs::remove_file(garbage).unwrap();

    assert_eq!(machine.run(&["down"]), "the cluster \"dev\" is gone\n");
    machine.until_as_before(&before);
    assert_eq!(machine.run(&["down"]), "there is no cluster \"dev\"\n");
}

/// Two pods on one node: one mounts, the other sees the mount, as on a machine.
const PROPAGATION: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: mounts}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: example.org/busybox:1
    command: [/bin/busybox, sh, -ec, 'busybox mkdir -p /shared/made; busybox mount -t tmpfs made /shared/made; echo seen > /shared/made/file; busybox sleep 1000']
    securityContext: {privileged: true}
    volumeMounts: [{name: shared, mountPath: /shared, mountPropagation: Bidirectional}]
  volumes: [{name: shared, hostPath: {path: /run/propagated, type: DirectoryOrCreate}}]
---
apiVersion: v1
kind: Pod
metadata: {name: sees}
spec:
  nodeName: node-2
  restartPolicy: Never
  containers:
  - name: c
    image: example.org/busybox:1
    command: [/bin/busybox, sh, -ec, 'until [ -e /shared/made/file ]; do busybox sleep 0.1; done; busybox cat /shared/made/file']
    volumeMounts: [{name: shared, mountPath: /shared, mountPropagation: HostToContainer}]
  volumes: [{name: shared, hostPath: {path: /run/propagated, type: DirectoryOrCreate}}]
"#;

fn mounts_propagate_between_pods(machine: &Machine, kubeconfig: &PathBuf) {
    let (archive, pods) =
        (machine.0.directory().join("busybox.tar"), machine.0.directory().join("pods.yaml"));
    let mut image = ImageBuilder::new();
    image.add_host_file("/bin/busybox", "/bin/busybox", 0o755).expect("busybox-static is installed");
    image.config().env = vec!["PATH=/bin".to_owned()];
    image.build().write_docker_archive(&archive, &["example.org/busybox:1"]).unwrap();
    let said = machine.run(&["image", "import", archive.to_str().unwrap()]);
    assert!(said.contains("node-2: imported"), "{said}");
    std::fs::write(&pods, PROPAGATION).unwrap();
    // The namespace's service account may come a little later than the nodes.
    let apply = || machine.kubectl(kubeconfig, &["apply", "-f", pods.to_str().unwrap()]);
    until("the pods", PATIENCE, apply).unwrap_or_else(|error| panic!("{error:?}"));
    let ended = "--for=jsonpath={.status.phase}=Succeeded";
    machine.kubectl(kubeconfig, &["wait", "pod/sees", ended, "--timeout=120s"]).unwrap_or_else(|error| {
        panic!("{error}\n{:?}", machine.kubectl(kubeconfig, &["describe", "pods"]));
    });
    assert_eq!(machine.kubectl(kubeconfig, &["logs", "sees"]).unwrap(), "seen\n");
    [archive, pods].iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

fn whatever_ends_it_leaves_nothing() {
    let machine = Machine::new();
    let before = machine.traces();
    // A signal during the start, as by ctrl-C. The first line appears when the first host exists.
    let up = machine.0.start("up", machine.dev(&["up", "--nodes", "1"])).unwrap();
    until("the first step", PATIENCE, || match up.log() {
        log if log.contains("the network is ready") => Ok(()),
        log => Err(log),
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
    kill(Pid::from_raw(up.pid()), Signal::SIGINT).unwrap();
    until("its end", PATIENCE, || match up.log() {
        log if log.contains("stopped by a signal") => Ok(()),
        log => Err(log),
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
    drop(up);
    std::fs::remove_file(machine.0.directory().join("logs/up")).unwrap();
    machine.until_as_before(&before);

    // The supervisor is killed: its hosts end, and the rest goes with `down`.
    machine.run(&["up", "--nodes", "1", "--name", "second"]);
    let status = machine.run(&["status", "--name", "second"]);
    let owner = status.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap();
    output(machine.0.command("kill").args(["-9", owner])).unwrap();
    until("the end of the supervisor", PATIENCE, || {
        let said = output(&mut machine.dev(&["list"])).map_err(|error| error.to_string())?;
        if said.contains("not running") { Ok(()) } else { Err(said) }
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
    machine.run(&["down", "--name", "second"]);
    machine.until_as_before(&before);
}

fn what_is_missing_is_told_first() {
    let machine = Machine::new();
    let before = machine.traces();
    let mut user = machine.0.command("setpriv");
    user.args(["--reuid=65534", "--clear-groups", PROGRAM, "dev", "up", "--state-dir"])
        .arg(machine.state_dir());
    let said = output(&mut user).unwrap_err().to_string();
    assert!(said.contains("this needs root"), "{said}");
    let said = machine.fails(&["up", "--name", "../x"]);
    assert!(said.contains("--name \"../x\""), "{said}");
    let said = machine.fails(&["up", "--nodes", "0"]);
    assert!(said.contains("0 is not in 1..=100"), "{said}");
    // A machine without nft cannot run clusters.
    let mut hidden = machine.0.command("sh");
    let script = "mount -t tmpfs hidden /usr/sbin && mount -t tmpfs hidden /sbin; exec \"$0\" dev up --state-dir \"$1\"";
    hidden.args(["-c", &format!("exec unshare --mount sh -c '{script}' \"$0\" \"$1\"")]);
    let said = output(hidden.arg(PROGRAM).arg(machine.state_dir())).unwrap_err().to_string();
    assert!(
        said.contains("nft") && said.contains("install the packages") && said.contains("nftables"),
        "{said}"
    );
    assert_eq!(difference(&before, &machine.traces()), "");
}
