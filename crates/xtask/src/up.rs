//! `cargo xtask up`: a cluster on this machine, with a sample application that answers.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, output, run as run_command, target};
use crate::{host, image};

/// Where the cluster of `up` keeps its state.
pub(crate) const DATA_DIR: &str = "/var/lib/ironhull";
/// How long each step of the cluster may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// The image of the sample application.
const IMAGE: &str = "docker.io/ironhull/sample-web:1";

const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: sample-web}
spec:
  replicas: 2
  selector: {matchLabels: {app: sample-web}}
  template:
    metadata: {labels: {app: sample-web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: docker.io/ironhull/sample-web:1
        imagePullPolicy: Never
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: sample-web}
spec:
  type: NodePort
  selector: {app: sample-web}
  ports: [{port: 80, targetPort: 8080}]
"#;

/// The file with the server's process id.
pub(crate) fn pid_file() -> PathBuf {
    Path::new(DATA_DIR).join("up.pid")
}

/// The profile that `up` builds with: see the workspace's manifest.
const PROFILE: &str = "up";

/// The program as `up` builds it.
pub(crate) fn program() -> PathBuf {
    target().join(PROFILE).join("ironhull")
}

/// Brings the cluster up.
pub(crate) fn run() -> Result<()> {
    bring_up().context("the cluster did not start; `cargo xtask down` cleans up")
}

fn bring_up() -> Result<()> {
    host::require_root()?;
    host::install_for_up()?;
    let clients = host::clients()?;
    println!("building (the first time takes a few minutes)");
    let archive = build(PROFILE, &["ironhull"])?;
    fs::create_dir_all(DATA_DIR)?;
    let mut server = start_server()?;
    let kubeconfig = Path::new(DATA_DIR).join("kubeconfig");
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(clients.join("kubectl"));
        command.env("KUBECONFIG", &kubeconfig).args(arguments);
        command
    };
    println!("waiting for the node");
    let within = format!("--timeout={}s", PATIENCE.as_secs());
    wait(&mut server, || {
        kubectl(&["get", "nodes", "-o", "name"]).output().is_ok_and(|found| !found.stdout.is_empty())
    })?;
    run_command(&mut kubectl(&["wait", "--for=condition=Ready", "node", "--all", &within]))?;
    run_command(Command::new(program()).args(["image", "import", "--data-dir", DATA_DIR]).arg(&archive))?;
    println!("deploying the sample application ({IMAGE})");
    apply(&mut kubectl(&["apply", "-f", "-"]))?;
    run_command(&mut kubectl(&["rollout", "status", "deployment/sample-web", &within]))?;
    let address =
        output(&mut kubectl(&["get", "service", "sample-web", "-o", "jsonpath={.spec.clusterIP}"]))?;
    let port =
        output(&mut kubectl(&["get", "service", "sample-web", "-o", "jsonpath={.spec.ports[0].nodePort}"]))?;
    let page = fetch(&address, &mut server)?;
    println!("\nhttp://{address}/ answers:\n{page}");
    println!("The cluster is running. Try next:\n");
    println!("  export KUBECONFIG={} PATH=$PATH:{}", kubeconfig.display(), clients.display());
    println!("  kubectl get pods -o wide");
    println!("  curl http://127.0.0.1:{port}/");
    println!("  kubectl scale deployment sample-web --replicas=5");
    println!("  kubectl logs -f deployment/sample-web");
    println!("\n`cargo xtask down` stops it. The server's log is {}.", log_file().display());
    Ok(())
}

fn log_file() -> PathBuf {
    Path::new(DATA_DIR).join("server.log")
}

/// Builds programs, each in the package of its name, and packs the sample application, linked statically, into an image
/// archive of one file. Returns the archive's path.
pub(crate) fn build(profile: &str, programs: &[&str]) -> Result<PathBuf> {
    let mut build = cargo(&["build", "--profile", profile]);
    for program in programs {
        build.args(["--package", program, "--bin", program]);
    }
    run_command(&mut build)?;
    let mut sample = cargo(&["rustc", "--profile", profile, "--package", "sample-web"]);
    run_command(sample.args(["--", "-C", "target-feature=+crt-static"]))?;
    let archive = target().join("sample-web.tar");
    image::pack(&target().join(profile).join("sample-web"), IMAGE, &archive)?;
    Ok(archive)
}

fn start_server() -> Result<Child> {
    if let Ok(pid) = fs::read_to_string(pid_file())
        && Path::new("/proc").join(pid.trim()).exists()
    {
        bail!(
            "a cluster of `cargo xtask up` is already running (process {}): `cargo xtask down` stops it",
            pid.trim()
        );
    }
    let log = File::create(log_file())?;
    let mut command = Command::new(program());
    command
        .args(["server", "--data-dir", DATA_DIR])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // A separate session: the cluster outlives this command and its terminal.
    command.process_group(0);
    let child = command.spawn().with_context(|| format!("cannot start {}", program().display()))?;
    fs::write(pid_file(), child.id().to_string())?;
    Ok(child)
}

/// Waits until something holds, as long as the server lives.
fn wait(server: &mut Child, holds: impl Fn() -> bool) -> Result<()> {
    let turns = PATIENCE.as_millis() / 200;
    for _ in 0..turns {
        if let Some(status) = server.try_wait()? {
            let log = fs::read_to_string(log_file()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("the server exited ({status}); its last output:\n{}", tail.join("\n"));
        }
        if holds() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    bail!("nothing after {} s; the server's log is {}", PATIENCE.as_secs(), log_file().display())
}

fn apply(command: &mut Command) -> Result<()> {
    use std::io::Write;
    let mut child = command.stdin(Stdio::piped()).spawn().context("cannot run kubectl")?;
    child.stdin.take().context("kubectl takes no input")?.write_all(MANIFEST.as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("kubectl apply failed: {status}");
    }
    Ok(())
}

/// Fetches the page through the Service.
fn fetch(address: &str, server: &mut Child) -> Result<String> {
    use std::cell::RefCell;
    use std::io::{Read, Write};
    let page = RefCell::new(String::new());
    let get = || -> std::io::Result<String> {
        let target = format!("{address}:80");
        let target = target.parse().map_err(std::io::Error::other)?;
        let mut stream = std::net::TcpStream::connect_timeout(&target, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET / HTTP/1.0\r\nHost: sample-web\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    wait(server, || match get() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
            let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            page.replace(body.unwrap_or_default());
            true
        }
        _ => false,
    })?;
    Ok(page.into_inner())
}
