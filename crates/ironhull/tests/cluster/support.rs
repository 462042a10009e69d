//! The cluster that trials share, and namespaces in it.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use hostnet::NetNs;
use libtest_mimic::{Failed, Trial};
use testbed::{Agent, ClusterOptions, Host, Network, Process, Server, TestbedError, output, timed, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::images;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ironhull");
/// The time limit of `kubectl wait` and similar commands, for a busy machine.
pub const LIMIT: &str = "--timeout=90s";
/// The same.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A trial whose duration is recorded.
pub fn timed_trial(
    name: impl Into<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let name = name.into();
    let named = name.clone();
    Trial::test(name, move || timed(&named, test))
}

/// A trial in the shared cluster, in a namespace of its name.
pub fn trial(shared: &Arc<SharedCluster>, group: &str, name: &'static str, test: fn(&Namespace)) -> Trial {
    let shared = Arc::clone(shared);
    timed_trial(format!("{group}::{name}"), move || {
        let namespace = Namespace::new(shared.get(), &name.replace('_', "-"));
        test(&namespace);
        Ok(())
    })
}

/// A cluster that trials share, from its first use on.
#[derive(Default)]
pub struct SharedCluster {
    cluster: OnceLock<Arc<Cluster>>,
    /// How many hosts joined the server's.
    agents: usize,
}

impl SharedCluster {
    /// One with this many hosts in addition to the server's.
    pub fn with_agents(agents: usize) -> SharedCluster {
        SharedCluster { cluster: OnceLock::new(), agents }
    }

    fn get(&self) -> &Arc<Cluster> {
        self.cluster.get_or_init(|| {
            Arc::new(if self.agents == 0 { Cluster::start() } else { Cluster::of_hosts(self.agents) })
        })
    }

    /// Keeps the server's log, for finding out why a trial failed.
    pub fn keep_log(&self) {
        if let Some(cluster) = self.cluster.get() {
            let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster.log");
            if std::fs::write(&path, cluster.server.log()).is_ok() {
                println!("the server's log: {}", path.display());
            }
        }
    }
}

/// A server on a separate host, with a registry, and hosts that joined it.
pub struct Cluster {
    pub server: Server,
    pub agents: Vec<Agent>,
    /// They are dropped before the hosts.
    _registries: Vec<Process>,
}

impl Cluster {
    pub fn start() -> Cluster {
        let host = Arc::new(Host::new().unwrap_or_else(|error| panic!("{error:?}")));
        let registry = images::start_registry(&host);
        let server = Server::start(&host, PROGRAM, &[]).unwrap_or_else(|error| panic!("{error:?}"));
        Cluster::of(server, registry)
    }

    /// Of running parts.
    pub fn of(server: Server, registry: Process) -> Cluster {
        Cluster { server, agents: Vec::new(), _registries: vec![registry] }
    }

    /// Without a registry.
    pub fn without_images() -> Cluster {
        let host = Arc::new(Host::new().unwrap_or_else(|error| panic!("{error:?}")));
        let server = Server::start(&host, PROGRAM, &[]).unwrap_or_else(|error| panic!("{error:?}"));
        Cluster { server, agents: Vec::new(), _registries: Vec::new() }
    }

    /// With additional hosts, each with the registry at its own loopback interface.
    pub fn of_hosts(agents: usize) -> Cluster {
        Cluster::with_options(&ClusterOptions { agents, ..ClusterOptions::default() })
    }

    /// Like [`Cluster::of_hosts`], with flags.
    pub fn with_options(options: &ClusterOptions) -> Cluster {
        let network = Network::new().unwrap_or_else(|error| panic!("{error:?}"));
        let cluster = testbed::Cluster::start(&network, PROGRAM, options);
        let testbed::Cluster { server, agents } = cluster.unwrap_or_else(|error| panic!("{error:?}"));
        let mut registries = vec![images::start_registry(server.host())];
        registries.extend(agents.iter().map(|agent| images::serve(agent.host(), server.host().directory())));
        Cluster { server, agents, _registries: registries }
    }

    pub fn host(&self) -> &Arc<Host> {
        self.server.host()
    }

    /// All hosts, in the order of their names.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        std::iter::once(self.host()).chain(self.agents.iter().map(Agent::host))
    }

    /// Fetches a page from the host; `path` has the address in front. The error contains curl's message.
    pub fn fetch(&self, path: &str) -> Result<String, String> {
        let mut curl = self.host().command("curl");
        output(curl.args(["-sS", "-f", "-m", "5", &format!("http://{path}")]))
            .map_err(|error| error.to_string())
    }

    /// Whether connections are refused at once; the error says what happens instead.
    pub fn is_refused(&self, address: &str) -> Result<(), String> {
        match self.fetch(address) {
            // curl could not connect. If there had been no answer at all, the code would be 28.
            Err(error) if error.contains("exit status: 7\n") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

/// A namespace in a cluster. It is deleted at the end of its trial; if that fails, its content is shown first.
pub struct Namespace {
    pub cluster: Arc<Cluster>,
    pub name: String,
}

impl Namespace {
    /// Makes the namespace, and waits until pods can be made in it.
    pub fn new(cluster: &Arc<Cluster>, name: &str) -> Namespace {
        let namespace = Namespace { cluster: Arc::clone(cluster), name: name.to_owned() };
        namespace.run(&["create", "namespace", name]);
        namespace.run(&["wait", "--for=create", "serviceaccount/default", LIMIT]);
        namespace
    }

    /// A kubectl command for this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut all = vec!["--namespace", &self.name];
        all.extend(arguments);
        self.cluster.server.kubectl(&all)
    }

    /// The output of kubectl, which must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        output(&mut self.kubectl(arguments)).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// The error of kubectl, which must fail.
    pub fn fails(&self, arguments: &[&str]) -> String {
        match output(&mut self.kubectl(arguments)) {
            Err(TestbedError::Failed { output, .. }) => output,
            other => panic!("kubectl {arguments:?} should fail: {other:?}"),
        }
    }

    /// Applies YAML, in which `$BUSYBOX` and similar variables stand for images.
    pub fn apply(&self, yaml: &str) {
        self.try_apply(yaml).unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Like [`Namespace::apply`], which may fail.
    pub fn try_apply(&self, yaml: &str) -> Result<String, TestbedError> {
        let names = [("$BUSYBOX", images::BUSYBOX), ("$NGINX", images::NGINX_1), ("$REDIS", images::REDIS)];
        let yaml = names.iter().fold(yaml.to_owned(), |yaml, (name, image)| yaml.replace(name, image));
        self.cluster.server.kubectl_with_input(&["--namespace", &self.name, "apply", "-f", "-"], &yaml)
    }

    /// `kubectl wait` for a condition (`--for`) of an object.
    pub fn wait(&self, what: &str, condition: &str) {
        self.run(&["wait", what, &format!("--for={condition}"), LIMIT]);
    }

    /// Waits until a pod has succeeded, and returns the output of its only container.
    pub fn output_of(&self, pod: &str) -> String {
        let pod = format!("pod/{pod}");
        // A pod that failed would never succeed: wait for either.
        let phase = self.until(&format!("the end of {pod}"), || {
            let phase = self.run(&["get", &pod, "-o", "jsonpath={.status.phase}"]);
            if matches!(phase.as_str(), "Succeeded" | "Failed") { Ok(phase) } else { Err(phase) }
        });
        let text = self.run(&["logs", &pod]);
        assert_eq!(phase, "Succeeded", "{pod}: {text}");
        text
    }

    /// A field by JSONPath, without the braces.
    pub fn field(&self, object: &str, path: &str) -> String {
        self.run(&["get", object, "-o", &format!("jsonpath={{{path}}}")])
    }

    /// Runs a shell command in a pod's container.
    pub fn exec(&self, pod: &str, script: &str) -> String {
        self.run(&["exec", pod, "--", "sh", "-ec", script])
    }

    /// [`testbed::until`] with the limit of all trials.
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
        until(what, PATIENCE, look).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Waits until kubectl's output holds a text, and returns the output.
    pub fn until_output(&self, arguments: &[&str], expected: &str) -> String {
        self.until(&format!("{expected:?} in kubectl {}", arguments.join(" ")), || {
            let text = output(&mut self.kubectl(arguments)).map_err(|error| error.to_string())?;
            if text.contains(expected) { Ok(text) } else { Err(text) }
        })
    }

    /// Starts kubectl, to be read while it runs.
    pub fn follow(&self, arguments: &[&str]) -> Following {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let name = format!("follow-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Following(self.cluster.host().start(&name, self.kubectl(arguments)).unwrap())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for arguments in [
                &["get", "all", "-o", "wide"][..],
                &["get", "events", "--sort-by=.lastTimestamp"],
                &["get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name}: {.status}{\"\\n\"}{end}"],
            ] {
                let text = output(&mut self.kubectl(arguments)).unwrap_or_else(|error| error.to_string());
                println!("--- {}: kubectl {}\n{text}", self.name, arguments.join(" "));
            }
            for agent in &self.cluster.agents {
                let log = agent.log();
                let lines: Vec<&str> = log.lines().rev().take(40).collect();
                let tail: Vec<&str> = lines.into_iter().rev().collect();
                println!("--- the agent of {}\n{}", agent.host().name(), tail.join("\n"));
            }
        }
        // The server ends soon, and nothing waits for this.
        let _ = self.kubectl(&["delete", "namespace", &self.name, "--wait=false"]).output();
    }
}

/// A running kubectl.
pub struct Following(Process);

impl Following {
    /// Waits until it has written a text, and returns its output so far.
    pub fn until(&self, expected: &str) -> String {
        until(&format!("{expected:?} from kubectl"), PATIENCE, || {
            let text = self.0.log();
            if text.contains(expected) { Ok(text) } else { Err(text) }
        })
        .unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Whether it has written a text; the error is its output so far.
    pub fn contains(&self, expected: &str) -> Result<(), String> {
        let text = self.0.log();
        if text.contains(expected) { Ok(()) } else { Err(text) }
    }

    /// Waits until kubectl exits by itself, and returns its whole output.
    pub fn end(mut self) -> String {
        self.0.wait(PATIENCE).unwrap_or_else(|error| panic!("{error:?}"));
        self.0.log()
    }
}

/// A program that runs under a terminal.
pub fn terminal(command: &Command) -> Child {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")))
        .collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            script.env(name, value);
        }
    }
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Pages fetched one after the other, each over a new connection, until [`Load::stop`].
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<String>, Vec<String>)>,
}

impl Load {
    /// Starts fetching from `address` (with port), from the host.
    pub fn start(host: &Host, address: &str) -> Load {
        let namespace = NetNs::open(&host.network_namespace()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (address, stopped) = (address.to_owned(), Arc::clone(&stop));
        let fetch_all = move || {
            let work = || async {
                let (mut pages, mut failures) = (Vec::new(), Vec::new());
                while !stopped.load(Ordering::Relaxed) {
                    match tokio::time::timeout(Duration::from_secs(5), get(&address)).await {
                        Ok(Ok(page)) => pages.push(page),
                        Ok(Err(error)) => failures.push(error.to_string()),
                        Err(_) => failures.push("no answer".to_owned()),
                    }
                }
                (pages, failures)
            };
            namespace.block_on(work).unwrap()
        };
        Load { stop, thread: std::thread::spawn(fetch_all) }
    }

    /// Stops, and returns the pages and the errors.
    pub fn stop(self) -> (Vec<String>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Fetches a page; `address` has a port.
pub async fn get(address: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, page)) if head.starts_with("HTTP/1.1 200") && !page.is_empty() => Ok(page.to_owned()),
        _ => Err(std::io::Error::other(format!("no page: {answer:?}"))),
    }
}
