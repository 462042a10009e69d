//! The network of hosts: one Ethernet, and a network behind it.
//!
//! The network is a separate namespace with a bridge, to which every host is connected, and a router that is the hosts'
//! default gateway and represents the outside world. Networks are isolated from each other: all use the same addresses,
//! from prefixes for documentation (RFC 5737, RFC 3849).

mod capture;
mod faults;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hostnet::{NetNs, nft};
use tempfile::TempDir;

pub use capture::{Capture, Frame};
pub use faults::Cut;
pub(crate) use faults::Faults;

use crate::error::cannot;
use crate::holder::{self, Holder};
use crate::left_over::PREFIX;
use crate::process::Process;
use crate::{TestbedError, output};

/// An address of the network outside, behind each host's default route.
pub const OUTSIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// As [`OUTSIDE_ADDRESS`], for IPv6.
pub const OUTSIDE_ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);

/// The number of the router on the hosts' network; hosts have those after it.
const ROUTER: u8 = 1;
/// The last number of a host.
const LAST: u8 = 254;

/// Holds the network's namespaces.
const HOLD: &str = "echo ready\nexec env --ignore-signal=CHLD cat > /dev/null";

/// Makes the bridge and the router.
const SET_UP: &str = "link set lo up
link add lan type bridge forward_delay 0 mcast_snooping 0
addr add 198.51.100.1/24 dev lan
addr add 2001:db8:100::1/64 dev lan nodad
addr add 203.0.113.1/32 dev lo
addr add 2001:db8:200::1/128 dev lo
link set lan up
";

/// Settings of the network's namespace: packets that cross the bridge must not pass its packet filter.
const SETTINGS: [&str; 2] = ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"];

/// A network that hosts are connected to. See the [module's description](self).
#[derive(Debug)]
pub struct Network {
    holder: Holder,
    namespace: NetNs,
    /// The last number that was given to a host.
    last_number: AtomicU8,
    faults: Mutex<BTreeMap<String, Faults>>,
    /// Where the hosts' directories are.
    parent: PathBuf,
    // Last, because it contains the others' files.
    directory: TempDir,
}

/// A host's place at the bridge.
#[derive(Debug)]
pub(crate) struct Port {
    /// The bridge's interface.
    name: String,
    /// The host's part of its addresses.
    number: AtomicU8,
    mac: String,
}

impl Port {
    /// The host's addresses.
    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        let number = self.number.load(Ordering::Relaxed);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, u16::from(number));
        [Ipv4Addr::new(198, 51, 100, number).into(), v6.into()]
    }

    /// Other addresses, for the next time that they are set.
    pub(crate) fn renumber(&self, number: u8) {
        self.number.store(number, Ordering::Relaxed);
    }
}

impl Network {
    /// Makes a network without hosts. Files are in the system's directory for temporary ones.
    ///
    /// # Errors
    /// If the machine refuses, as it does anybody but root.
    pub fn new() -> Result<Arc<Network>, TestbedError> {
        Network::with_directory(&std::env::temp_dir())
    }

    /// As [`Network::new`], with all files in `parent`. It must not be below `/etc`, `/opt`, `/run`, `/var/lib` or
    /// `/var/log`, where hosts have their own file systems.
    ///
    /// # Errors
    /// If the machine refuses, as it does anybody but root.
    pub fn with_directory(parent: &Path) -> Result<Arc<Network>, TestbedError> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-network.", std::process::id()))
            .tempdir_in(parent)
            .map_err(cannot("make a directory"))?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-ec", HOLD]);
        let holder = Holder::start(command, &directory.path().join("log"))?;
        let namespace = holder.network()?;
        let switch_off = || async {
            for setting in SETTINGS {
                // Missing if the kernel has no such filter.
                let _ = std::fs::write(Path::new("/proc/sys/net").join(setting), "0");
            }
        };
        namespace.block_on(switch_off)?;
        ip(&namespace, SET_UP)?;
        Ok(Arc::new(Network {
            holder,
            namespace,
            last_number: AtomicU8::new(ROUTER),
            faults: Mutex::default(),
            parent: parent.to_owned(),
            directory,
        }))
    }

    /// A command that runs `program` in the network, as a neighbour of the hosts that has the
    /// [outside addresses](OUTSIDE_ADDRESS) too. Files are this machine's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        holder::enter(self.holder.init(), &["--net", "--mount", "--pid"], program)
    }

    /// Starts a program that runs until it is dropped. Its output goes to a log with its name.
    ///
    /// # Errors
    /// If it cannot be started. It is not an error if it exits at once.
    pub fn start(&self, name: &str, mut command: Command) -> Result<Process, TestbedError> {
        let path = self.directory.path().join(name);
        let log = std::fs::File::create(&path).map_err(cannot("write a log"))?;
        let errors = log.try_clone().map_err(cannot("write a log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        Process::start(name, command, path)
    }

    /// The network's namespace, for sockets of the test itself.
    pub fn network_namespace(&self) -> PathBuf {
        holder::network_namespace(self.holder.init())
    }

    /// Where the hosts' directories are.
    pub(crate) fn directory(&self) -> &Path {
        &self.parent
    }

    /// A port for one more host.
    pub(crate) fn port(&self) -> Result<Port, TestbedError> {
        let number = self.next_number()?;
        Ok(Port {
            name: format!("port{number}"),
            number: AtomicU8::new(number),
            mac: format!("02:00:c6:33:64:{number:02x}"),
        })
    }

    /// A number that no host of the network has had.
    pub(crate) fn next_number(&self) -> Result<u8, TestbedError> {
        let next = |last: u8| (last < LAST).then(|| last + 1);
        let last = self.last_number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map(|last| last + 1).map_err(|_| TestbedError::Full)
    }

    /// Connects a host that was turned on.
    pub(crate) fn connect(&self, port: &Port, host: &Holder) -> Result<(), TestbedError> {
        let Port { name, mac, .. } = port;
        let lines = format!(
            "link add {name} type veth peer name uplink address {mac} netns {}\n\
             link set {name} master lan up\n",
            host.init()
        );
        ip(&self.namespace, &lines)?;
        self.address(port, host)
    }

    /// Removes a host's link.
    pub(crate) fn disconnect(&self, port: &Port) {
        // It is gone already if the host removed its end.
        let _ = ip(&self.namespace, &format!("link del {}\n", port.name));
    }

    /// Gives a host exactly the addresses of its port.
    pub(crate) fn address(&self, port: &Port, host: &Holder) -> Result<(), TestbedError> {
        let [v4, v6] = port.addresses();
        let lines = format!(
            "link set uplink up\naddr flush dev uplink scope global\n\
             addr add {v4}/24 dev uplink\naddr add {v6}/64 dev uplink nodad\n\
             route replace default via 198.51.100.1\nroute replace default via 2001:db8:100::1\n"
        );
        ip(&host.network()?, &lines)
    }

    /// Whether a host's link is up at this end, and therefore at the host's.
    pub(crate) fn set_carrier(&self, port: &Port, is_up: bool) -> Result<(), TestbedError> {
        let state = if is_up { "up" } else { "down" };
        ip(&self.namespace, &format!("link set {} {state}\n", port.name))
    }

    /// Changes the faults of a port.
    pub(crate) fn change_faults(
        &self,
        port: &Port,
        change: impl FnOnce(&mut Faults),
    ) -> Result<(), TestbedError> {
        let mut all = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(port.name.clone()).or_default());
        let rules = faults::rules(&all);
        Ok(self.namespace.block_on(|| async { nft::apply(&rules).await })??)
    }

    /// Sees the packets of a port.
    pub(crate) fn capture(&self, port: &Port) -> Result<Capture, TestbedError> {
        Capture::start(&self.namespace, &port.name)
    }
}

/// Runs lines of `ip` commands (iproute2) in a namespace, until one fails.
fn ip(namespace: &NetNs, lines: &str) -> Result<(), TestbedError> {
    let run = || async {
        use std::io::{Seek, Write};
        let mut file = tempfile::tempfile().map_err(cannot("write a file"))?;
        file.write_all(lines.as_bytes()).and_then(|()| file.rewind()).map_err(cannot("write a file"))?;
        output(Command::new("ip").args(["-batch", "-"]).stdin(file)).map(drop)
    };
    namespace.block_on(run)?
}

#[cfg(test)]
mod tests;
