//! A machine of its own, made of namespaces.
//!
//! One process holds the namespaces: process 1 of the host's pid namespace. It ends when its standard input does,
//! which is when the test ends in any way, and the kernel then kills every other process of the host; mounts and
//! interfaces go with the last of them.

mod cgroups;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::error::cannot;
use crate::process::{Process, only_child};
use crate::{TestbedError, output};
use cgroups::HostCgroups;

/// The host's address on its uplink (of a network for documentation, RFC 5737).
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// An address of the network outside, behind the host's default route.
pub const OUTSIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// What every host's `/etc/resolv.conf` says.
const RESOLV_CONF: &str = "nameserver 203.0.113.1\nsearch outside.test\n";

/// Enters the host's cgroups and new namespaces. Arguments: host, directory, mounts of cgroup hierarchies.
const ENTER: &str = r#"set -e
for mount in "$@"; do
  case $mount in /sys/fs/cgroup*) echo $$ > "$mount/$1/cgroup.procs";; esac
done
exec unshare --net --mount --pid --uts --ipc --cgroup --fork --mount-proc sh -c "$SETUP" setup "$@"
"#;

/// Sets the namespaces up, from within, and holds them. What is mounted and linked here is seen here only.
const SETUP: &str = r#"set -e
host=$1 directory=$2
shift 2
for mount in "$@"; do
  mount --bind "$mount/$host" "$mount"
done
hostname "$host"
mount -t tmpfs run /run
for place in etc opt var/lib var/log; do
  mkdir -p "$directory/changes/$place" "$directory/work/$place"
  layers="lowerdir=/$place,upperdir=$directory/changes/$place,workdir=$directory/work/$place"
  mount -t overlay overlay -o "$layers" "/$place"
done
# A link here may lead to /run, which is new.
resolv=$(readlink -m /etc/resolv.conf)
mkdir -p "${resolv%/*}"
[ -e "$resolv" ] || : > "$resolv"
mount --bind "$directory/resolv.conf" "$resolv"
ip link set lo up
: > "$directory/outside"
unshare --net="$directory/outside" true
ip link add uplink type veth peer name uplink netns "$directory/outside"
ip addr add 198.51.100.2/24 dev uplink
ip link set uplink up
nsenter --net="$directory/outside" sh -ec '
  ip link set lo up
  ip addr add 203.0.113.1/32 dev lo
  ip addr add 198.51.100.1/24 dev uplink
  ip link set uplink up'
ip route add default via 198.51.100.1
echo ready
# Whoever is orphaned here is buried by the kernel.
exec env --ignore-signal=CHLD cat > /dev/null
"#;

/// A test host. See the [crate's description](crate).
#[derive(Debug)]
pub struct Host {
    name: String,
    holder: Child,
    /// Process 1 of the host, as this machine counts.
    init: Pid,
    cgroups: HostCgroups,
    // Last: what the others hold is in it.
    directory: TempDir,
}

impl Host {
    /// Makes a host.
    ///
    /// # Errors
    /// Where the machine refuses, as it does anybody but root.
    pub fn new() -> Result<Host, TestbedError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        cgroups::sweep();
        let name =
            format!("{}{}-{}", cgroups::PREFIX, std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::Builder::new()
            .prefix(&format!("{name}."))
            .tempdir()
            .map_err(cannot("make a directory"))?;
        fs::create_dir(directory.path().join("logs")).map_err(cannot("make a directory"))?;
        fs::write(directory.path().join("resolv.conf"), RESOLV_CONF).map_err(cannot("write resolv.conf"))?;
        let cgroups = HostCgroups::create(&name)?;
        let setup_log = directory.path().join("logs/setup");
        let log = File::create(&setup_log).map_err(cannot("write a log"))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", ENTER, "enter", &name])
            .arg(directory.path())
            .args(cgroups.mounts())
            .env("SETUP", SETUP)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut holder = command.spawn().map_err(cannot("start a shell"))?;
        let mut said = String::new();
        let stdout = holder.stdout.take().map(BufReader::new);
        let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_line(&mut said));
        let init = only_child(holder.id());
        let is_ready = read.is_ok() && said == "ready\n";
        let (true, Ok(init)) = (is_ready, init) else {
            drop(holder.stdin.take());
            let _ = holder.wait();
            cgroups.remove();
            return Err(TestbedError::Setup(fs::read_to_string(&setup_log).unwrap_or_default()));
        };
        let host = Host { name, holder, init, cgroups, directory };
        host.cgroups.settle(&[host.holder.id(), init.as_raw().unsigned_abs()])?;
        Ok(host)
    }

    /// The host's name: unique, also among tests that run at the same time.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A directory that is removed with the host.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The host's network namespace, for sockets of the test itself.
    pub fn network_namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.init))
    }

    /// The files that programs on the host have made or changed in its `/etc`, `/opt`, `/var/lib`, `/var/log` and
    /// `/run`, which are the host's own.
    ///
    /// # Errors
    /// If the host cannot be looked at.
    pub fn changed_files(&self) -> Result<String, TestbedError> {
        let changes = self.directory().join("changes");
        let mut find = self.command("find");
        find.arg("/run").arg(changes).args(["-mindepth", "1", "!", "-type", "d"]);
        output(&mut find)
    }

    /// The host's own directory below each cgroup hierarchy of this machine.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        self.cgroups.directories()
    }

    /// A command that runs `program` on the host. Arguments, streams and environment are yet to be set.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target",
                &self.init.to_string(),
                "--net",
                "--mount",
                "--pid",
                "--uts",
                "--ipc",
                "--cgroup",
            ])
            .arg("--")
            .arg(program);
        command
    }

    /// As [`Host::command`], in the network outside, as a neighbour of the host.
    pub fn command_outside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("nsenter");
        command.arg(format!("--net={}", self.directory().join("outside").display())).arg(program);
        command
    }

    /// Starts a program that runs until it is dropped. What it says goes to `logs/<name>` in the host's
    /// directory, after what is there already.
    ///
    /// # Errors
    /// If it cannot be started. That it ends at once is no error.
    pub fn start(&self, name: &str, mut command: Command) -> Result<Process, TestbedError> {
        let path = self.directory().join("logs").join(name);
        let log = File::options().create(true).append(true).open(&path).map_err(cannot("write a log"))?;
        let errors = log.try_clone().map_err(cannot("write a log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        Process::start(name, command, path)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = kill(self.init, Signal::SIGKILL);
        // `unshare` ends with process 1, which ends after every other process of the host.
        let _ = self.holder.wait();
        self.cgroups.remove();
    }
}

#[cfg(test)]
mod tests;
