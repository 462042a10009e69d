//! A separate machine, made of namespaces and connected to a [`Network`].
//!
//! While it is switched on, a holder process keeps the namespaces (see `holder`). Its disk is a directory: it stays
//! when the host is switched off, and is removed when the host is dropped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::cgroups::HostCgroups;
use crate::error::cannot;
use crate::holder::{self, Holder};
use crate::network::Port;
use crate::process::Process;
use crate::{Capture, Cut, Network, TestbedError, left_over, output};

/// The address of the first host of a network (of a network for documentation, RFC 5737).
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// The content of every host's `/etc/resolv.conf`.
const RESOLV_CONF: &str = "nameserver 203.0.113.1\nsearch outside.test\n";
/// Process 1 of a host that is off: an id that the kernel never gives (it stops at 2^22), so that `nsenter` fails.
const NO_PROCESS: i32 = i32::MAX;
/// See there.
const ENTER: &str = include_str!("host/enter.sh");
/// See there.
const SETUP: &str = include_str!("host/setup.sh");

/// A test host. See the [crate's description](crate).
#[derive(Debug)]
pub struct Host {
    /// Unique on this machine.
    id: String,
    name: String,
    network: Arc<Network>,
    port: Port,
    running: Mutex<Option<Running>>,
    // Last, because it contains the others' files.
    directory: TempDir,
}

/// The state of a host while it is on.
#[derive(Debug)]
struct Running {
    holder: Holder,
    cgroups: HostCgroups,
}

impl Host {
    /// Creates a host in a separate network. Its name is unique.
    ///
    /// # Errors
    /// If the machine refuses, as it does anybody but root.
    pub fn new() -> Result<Host, TestbedError> {
        Host::make(&Network::new()?, None)
    }

    /// Connects one more host to a network, and turns it on. Names are up to the caller; two networks may use the
    /// same.
    ///
    /// # Errors
    /// If the machine refuses, or if the network is full.
    pub fn on(network: &Arc<Network>, name: &str) -> Result<Host, TestbedError> {
        Host::make(network, Some(name))
    }

    fn make(network: &Arc<Network>, name: Option<&str>) -> Result<Host, TestbedError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        left_over::sweep(network.directory());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}{}-{count}", left_over::PREFIX, std::process::id());
        let directory = tempfile::Builder::new()
            .prefix(&format!("{id}."))
            .tempdir_in(network.directory())
            .map_err(cannot("make a directory"))?;
        fs::create_dir(directory.path().join("logs")).map_err(cannot("make a directory"))?;
        let write = |file: &str, text: &str| fs::write(directory.path().join(file), text);
        write("resolv.conf", RESOLV_CONF).map_err(cannot("write resolv.conf"))?;
        let machine = format!("{}\n", Clock::system().uuid().simple());
        write("machine-id", &machine).map_err(cannot("write machine-id"))?;
        let host = Host {
            name: name.unwrap_or(&id).to_owned(),
            id,
            network: Arc::clone(network),
            port: network.port()?,
            running: Mutex::new(None),
            directory,
        };
        host.power_on()?;
        Ok(host)
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network that the host is connected to.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The host's addresses on the network: IPv4, then IPv6.
    pub fn addresses(&self) -> [IpAddr; 2] {
        self.port.addresses()
    }

    /// The host's IPv4 address on the network.
    pub fn address(&self) -> IpAddr {
        self.addresses()[0]
    }

    /// A directory that is removed with the host.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The host's network namespace, for sockets of the test itself. Each start of the host has a new one.
    pub fn network_namespace(&self) -> PathBuf {
        holder::network_namespace(self.init())
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

    /// The host's own directory below each cgroup hierarchy of this machine; none while it is off.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        self.running().as_ref().map(|running| running.cgroups.directories()).unwrap_or_default()
    }

    /// A command that runs `program` on the host. Arguments, streams and environment are yet to be set. It fails
    /// while the host is off.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let all = ["--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup"];
        holder::enter(self.init(), &all, program)
    }

    /// As [`Host::command`], on the network outside, as a neighbour of the host.
    pub fn command_outside(&self, program: impl AsRef<OsStr>) -> Command {
        self.network.command(program)
    }

    /// Starts a program that runs until it is dropped. Its output is appended to `logs/<name>` in the host's directory.
    ///
    /// # Errors
    /// If it cannot be started. It is not an error if it exits at once.
    pub fn start(&self, name: &str, mut command: Command) -> Result<Process, TestbedError> {
        let path = self.directory().join("logs").join(name);
        let log = File::options().create(true).append(true).open(&path).map_err(cannot("write a log"))?;
        let errors = log.try_clone().map_err(cannot("write a log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        Process::start(name, command, path)
    }

    /// Whether the host is on.
    pub fn is_on(&self) -> bool {
        self.running().is_some()
    }

    /// Switches the host off, as if unplugged: every process is killed, and the kernel's state (mounts, interfaces,
    /// routes, rules, cgroups, `/run`) is gone. The disk stays.
    pub fn power_off(&self) {
        if let Some(running) = self.running().take() {
            // The kernel takes some time to remove a network, which responds until then.
            self.network.disconnect(&self.port);
            drop(running);
        }
    }

    /// Switches the host on, with nothing running on it. Faults of its connection stay as they were.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn power_on(&self) -> Result<(), TestbedError> {
        let mut slot = self.running();
        if slot.is_some() {
            return Ok(());
        }
        let boot = format!("{}\n", Clock::system().uuid());
        fs::write(self.directory().join("boot_id"), boot).map_err(cannot("write boot_id"))?;
        let cgroups = HostCgroups::create(&self.id)?;
        let mut command = Command::new("sh");
        command
            .args(["-c", ENTER, "enter", &self.id, &self.name])
            .arg(self.directory())
            .args(cgroups.mounts())
            .env("SETUP", SETUP);
        let holder = match Holder::start(command, &self.directory().join("logs/setup")) {
            Ok(holder) => holder,
            Err(error) => {
                cgroups.remove();
                return Err(error);
            }
        };
        let running = slot.insert(Running { holder, cgroups });
        running.cgroups.settle(&running.holder.processes())?;
        self.network.connect(&self.port, &running.holder)
    }

    /// Kills every process that runs on the host (SIGKILL), as a machine without memory might. The host stays on.
    ///
    /// # Errors
    /// If the host's processes cannot be listed.
    pub fn kill_all(&self) -> Result<(), TestbedError> {
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
        let init = self.init();
        let own = namespace(&init.to_string());
        let entries = fs::read_dir("/proc").map_err(cannot("list processes"))?;
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            if let Ok(process) = name.parse::<i32>()
                && process != init
                && own.is_some()
                && namespace(&name) == own
            {
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
        }
        Ok(())
    }

    /// Cuts the host off: packets that it sends, packets to it, or both are lost on the way. The link stays up.
    ///
    /// # Errors
    /// If the network's rules cannot be changed.
    pub fn cut(&self, cut: Cut) -> Result<(), TestbedError> {
        self.network.change_faults(&self.port, |faults| faults.cut = Some(cut))
    }

    /// Pulls the host's cable: it is cut off, and its uplink has no carrier.
    ///
    /// # Errors
    /// If the link cannot be changed.
    pub fn unplug(&self) -> Result<(), TestbedError> {
        self.network.set_carrier(&self.port, false)
    }

    /// Loses this share of all packets to and from the host, at random.
    ///
    /// # Errors
    /// If the network's rules cannot be changed.
    pub fn lose(&self, percent: u8) -> Result<(), TestbedError> {
        self.network.change_faults(&self.port, |faults| faults.loss_percent = percent)
    }

    /// Undoes [`Host::cut`], [`Host::unplug`] and [`Host::lose`].
    ///
    /// # Errors
    /// If the network's rules cannot be changed.
    pub fn reconnect(&self) -> Result<(), TestbedError> {
        self.network.change_faults(&self.port, |faults| *faults = Default::default())?;
        self.network.set_carrier(&self.port, true)
    }

    /// Gives the host new addresses, which no host of the network has had; the old ones are removed at once.
    ///
    /// # Errors
    /// If the host is off, or the network is full.
    pub fn change_address(&self) -> Result<(), TestbedError> {
        let slot = self.running();
        self.port.renumber(self.network.next_number()?);
        match slot.as_ref() {
            Some(running) => self.network.address(&self.port, &running.holder),
            None => Ok(()),
        }
    }

    /// Sees every packet between the host and the network from now on.
    ///
    /// # Errors
    /// If the kernel gives no packet socket.
    pub fn capture(&self) -> Result<Capture, TestbedError> {
        self.network.capture(&self.port)
    }

    /// Process 1 of the host, as this machine counts.
    fn init(&self) -> i32 {
        self.running().as_ref().map_or(NO_PROCESS, |running| running.holder.init())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.holder.end();
        self.cgroups.remove();
    }
}

#[cfg(test)]
mod tests;
