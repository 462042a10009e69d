//! The process that owns a cluster.
//!
//! It starts the cluster, answers commands, and shuts the cluster down: on request, on a signal, or when its starter
//! exits before the cluster is ready. Operations on hosts block, and run on separate threads.

use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use join::kubeconfig;
use testbed::{Cluster, ClusterOptions, Cut, Network};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::flags::UpFlags;
use crate::protocol::{NodeAction, NodeStatus, Reply, Request, Status, say};
use crate::relay;
use crate::state::{Lock, StateDir};

/// The text that `up` writes to the supervisor's input when the cluster should keep running without it.
pub const DETACH: &str = "detach\n";

/// How long a command may take to send its request.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// The server's URL in the kubeconfig on its own host.
const SERVER_URL: &str = "https://127.0.0.1:6443";

/// A cluster that runs, as its commands see it.
struct Supervisor {
    state: StateDir,
    /// The API's address for the machine's shell.
    api: String,
    cluster: Mutex<Option<Cluster>>,
    /// Nodes that a command has cut off.
    cut_off: Mutex<Vec<String>>,
    /// Signals that the cluster should shut down.
    stop: watch::Sender<bool>,
    /// The clients that requested the shutdown, and wait for it.
    waiting: Mutex<Vec<UnixStream>>,
}

/// Owns a cluster until its end.
///
/// # Errors
/// The reason why the cluster could not be started, which is written to the standard output too.
pub async fn run(state: StateDir, flags: UpFlags) -> anyhow::Result<()> {
    // The terminal's signals are not for this process. It fails if there is already a session.
    let _ = rustix::process::setsid();
    let result = own(&state, &flags).await;
    if let Err(error) = &result {
        let _ = say(std::io::stdout(), &Reply::Failed(format!("{error:#}")));
    }
    result
}

async fn own(state: &StateDir, flags: &UpFlags) -> anyhow::Result<()> {
    let Some(lock) = state.lock()? else { bail!("a cluster {:?} is already running", state.name) };
    let stop = watch::Sender::new(false);
    listen_for_signals(stop.clone())?;
    let starter = stop.clone();
    std::thread::spawn(move || listen_to_starter(&starter));
    let supervisor = match start(state, flags, &stop).await {
        Ok(supervisor) => supervisor,
        Err(error) => {
            finish(state, lock)?;
            return Err(error);
        }
    };
    let _ = stop.subscribe().wait_for(|stopped| *stopped).await;
    tracing::info!("the cluster is shutting down");
    let status = supervisor.status();
    let cluster = supervisor.cluster().take();
    spawn_blocking(move || drop(cluster)).await?;
    let finished = finish(state, lock);
    let reply = match (&finished, &status) {
        (Ok(()), Ok(status)) => Reply::Done(status.clone()),
        (Err(error), _) | (_, Err(error)) => Reply::Failed(format!("{error:#}")),
    };
    for stream in guard(&supervisor.waiting).iter() {
        let _ = say(stream, &reply);
    }
    finished
}

/// Removes the files of a cluster whose hosts are gone, and then releases the lock.
fn finish(state: &StateDir, lock: Lock) -> anyhow::Result<()> {
    let removed = state.remove();
    drop(lock);
    removed
}

/// A signal shuts down the cluster.
fn listen_for_signals(stop: watch::Sender<bool>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        stop.send_replace(true);
    });
    Ok(())
}

/// If the starter of this process exits before the cluster is ready, the cluster is shut down.
fn listen_to_starter(stop: &watch::Sender<bool>) {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_err() || line != DETACH {
        stop.send_replace(true);
    }
}

/// Starts the cluster, and the relay to it.
async fn start(
    state: &StateDir,
    flags: &UpFlags,
    stop: &watch::Sender<bool>,
) -> anyhow::Result<Arc<Supervisor>> {
    let program = std::env::current_exe().context("cannot determine the path of this program")?;
    let options = ClusterOptions { agents: usize::from(flags.nodes) - 1, ..ClusterOptions::default() };
    let (directory, stopped) = (state.path(), stop.subscribe());
    let build = move || {
        let network = Network::with_directory(&directory)?;
        Cluster::start_reporting(&network, program, &options, &mut |done| {
            let heard = say(std::io::stdout(), &Reply::Step(done.to_owned()));
            heard.is_ok() && !*stopped.borrow()
        })
    };
    let cluster = spawn_blocking(build).await??;
    let listener = relay::listen().await?;
    let api = listener.local_addr()?.to_string();
    write_kubeconfigs(state, flags, &cluster, &api)?;
    link_logs(state, &cluster)?;
    let control = UnixListener::bind(state.socket()).context("cannot listen for commands")?;
    tokio::spawn(relay::run(listener, Arc::downgrade(cluster.server.host())));
    let supervisor = Arc::new(Supervisor {
        state: state.clone(),
        api,
        cluster: Mutex::new(Some(cluster)),
        cut_off: Mutex::default(),
        stop: stop.clone(),
        waiting: Mutex::default(),
    });
    let answering = Arc::clone(&supervisor);
    std::thread::spawn(move || {
        for stream in control.incoming().flatten() {
            answering.answer(stream);
        }
    });
    say(std::io::stdout(), &Reply::Done(supervisor.status()?))?;
    Ok(supervisor)
}

/// Names the nodes' logs, which are in the directories of their hosts.
fn link_logs(state: &StateDir, cluster: &Cluster) -> anyhow::Result<()> {
    let directory = state.logs();
    let failed = || format!("cannot write to {}", directory.display());
    std::fs::create_dir(&directory).with_context(failed)?;
    for (node, log) in cluster.logs() {
        std::os::unix::fs::symlink(log, directory.join(node)).with_context(failed)?;
    }
    Ok(())
}

/// Writes the administrator's kubeconfig for this machine's shell.
fn write_kubeconfigs(state: &StateDir, flags: &UpFlags, cluster: &Cluster, api: &str) -> anyhow::Result<()> {
    let own = std::fs::read_to_string(cluster.server.kubeconfig()).context("the server's kubeconfig")?;
    ensure!(own.contains(SERVER_URL), "the server's kubeconfig does not point to {SERVER_URL}");
    let text = own.replace(SERVER_URL, &format!("https://{api}"));
    kubeconfig::write(&state.kubeconfig(), &text)?;
    let Some(copy) = &flags.write_kubeconfig else { return Ok(()) };
    std::fs::write(state.copies(), copy.as_os_str().as_encoded_bytes())?;
    Ok(kubeconfig::write(copy, &text)?)
}

impl Supervisor {
    /// Answers one command.
    fn answer(&self, stream: UnixStream) {
        let request = || -> anyhow::Result<Request> {
            stream.set_read_timeout(Some(REQUEST_WITHIN))?;
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        };
        let result = match request() {
            Ok(Request::Down) => {
                if let Ok(kept) = stream.try_clone() {
                    guard(&self.waiting).push(kept);
                }
                self.stop.send_replace(true);
                return;
            }
            Ok(request) => self.carry_out(request, &stream),
            Err(error) => Err(error),
        };
        let reply = match result.and_then(|()| self.status()) {
            Ok(status) => Reply::Done(status),
            Err(error) => Reply::Failed(format!("{error:#}")),
        };
        // The client may be gone and not need the answer.
        let _ = say(&stream, &reply);
    }

    fn carry_out(&self, request: Request, stream: &UnixStream) -> anyhow::Result<()> {
        let slot = self.cluster();
        let cluster = slot.as_ref().context("the cluster is shutting down")?;
        match request {
            Request::Status | Request::Down => Ok(()),
            Request::ImportImage(archive) => import(cluster, &archive, stream),
            Request::Node { name, action } => self.change_node(cluster, &name, action),
        }
    }

    fn change_node(&self, cluster: &Cluster, name: &str, action: NodeAction) -> anyhow::Result<()> {
        let mut cut_off = guard(&self.cut_off);
        let host = cluster.known_host(name)?;
        match action {
            NodeAction::Stop => cluster.stop_node(name)?,
            NodeAction::Cut => {
                host.cut(Cut::Both)?;
                cut_off.push(name.to_owned());
            }
            NodeAction::Start => {
                cluster.start_node(name)?;
                cut_off.retain(|cut| cut != name);
            }
        }
        Ok(())
    }

    fn status(&self) -> anyhow::Result<Status> {
        let (slot, cut_off) = (self.cluster(), guard(&self.cut_off));
        let cluster = slot.as_ref().context("the cluster is shutting down")?;
        let nodes = cluster.hosts().map(|host| {
            let state = if !host.is_on() {
                "stopped"
            } else if cut_off.iter().any(|cut| cut == host.name()) {
                "cut off"
            } else if cluster.is_running(host.name()) {
                "running"
            } else {
                "failed"
            };
            let addresses = host.addresses().map(|address| address.to_string()).join(",");
            NodeStatus { name: host.name().to_owned(), addresses, state: state.to_owned() }
        });
        Ok(Status {
            name: self.state.name.clone(),
            supervisor: std::process::id(),
            api: self.api.clone(),
            kubeconfig: self.state.kubeconfig(),
            nodes: nodes.collect(),
        })
    }

    fn cluster(&self) -> MutexGuard<'_, Option<Cluster>> {
        guard(&self.cluster)
    }
}

/// Takes images from an archive on each node that is on.
fn import(cluster: &Cluster, archive: &Path, stream: &UnixStream) -> anyhow::Result<()> {
    let mut off = Vec::new();
    for host in cluster.hosts() {
        let name = host.name();
        if !host.is_on() {
            off.push(name);
            continue;
        }
        let said = cluster.import_image_on(name, archive).with_context(|| format!("on {name}"))?;
        for line in said.lines() {
            // The import continues when its client is gone.
            let _ = say(stream, &Reply::Step(format!("{name}: {line}")));
        }
    }
    ensure!(
        off.is_empty(),
        "the images were not imported on {}: start it, and import them again",
        off.join(", ")
    );
    Ok(())
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
