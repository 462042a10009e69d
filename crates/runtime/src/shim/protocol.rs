//! The protocol between agent and shim over the shim's Unix socket.
//!
//! A frame is a big-endian `u32` length and that many bytes of JSON; file descriptors travel as
//! `SCM_RIGHTS` with the frame's first byte. A connection carries one [`Request`] and its [`Reply`]; two
//! requests keep it open: [`Request::Exec`] gets a second reply when the process ends, and
//! [`Request::Subscribe`] gets an [`Reply::Exit`] for every container that ends.
//!
//! The shim outlives the agent and may be older than it, so fields are only ever added, with defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest frame that is accepted: a launch specification with a large environment stays far below.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;

/// The name of the shim's socket inside the sandbox's state directory.
pub(crate) const SOCKET_NAME: &str = "shim.sock";

/// The name of the file, inside a container's state directory, that holds its [`ContainerState`].
pub(crate) const STATE_NAME: &str = "state.json";

/// A request to the shim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum Request {
    /// Start a container. Answered with [`Reply::Started`] once its program runs.
    Start {
        /// What to start.
        launch: Box<Launch>,
    },
    /// Run one more process in a container. The descriptors sent along are, in this order, those of stdin, stdout and
    /// stderr that `stdio` names; a process with a terminal takes none, and the reply contains the terminal's master
    /// side.
    Exec {
        /// The container.
        container: String,
        /// A name for [`Request::SignalExec`], unique in the sandbox.
        exec: String,
        /// What to run.
        process: Box<Process>,
        /// Which streams the descriptors are for.
        stdio: Stdio,
    },
    /// Connect streams to a container's own. The descriptors are as with [`Request::Exec`]: the shim reads
    /// stdin from the first and writes output to the others.
    Attach {
        /// The container.
        container: String,
        /// Which streams the descriptors are for.
        stdio: Stdio,
    },
    /// Send a signal to a container's first process.
    Signal {
        /// The container.
        container: String,
        /// The signal's number.
        signal: i32,
    },
    /// Send a signal to a process that [`Request::Exec`] started.
    SignalExec {
        /// The name given to it.
        exec: String,
        /// The signal's number.
        signal: i32,
    },
    /// Set the size of a container's terminal.
    Resize {
        /// The container.
        container: String,
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Reopen the container's log file, after a rotation.
    ReopenLog {
        /// The container.
        container: String,
    },
    /// Tell the state of every container the shim knows.
    States,
    /// Stay connected and receive the exit of every container.
    Subscribe,
    /// Kill what still runs and exit.
    Shutdown,
}

/// A reply of the shim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum Reply {
    /// Done.
    Done,
    /// A container or a process runs.
    Started {
        /// Its process id on the host.
        pid: i32,
        /// The identity that its user resolved to inside the container's root.
        identity: Identity,
        /// Wall-clock time of the start, nanoseconds since the epoch.
        started_at_nanos: i64,
    },
    /// The states of all containers.
    States {
        /// In the order of their identifiers.
        states: Vec<ContainerState>,
    },
    /// A container ended.
    Exit {
        /// How.
        state: ContainerState,
    },
    /// A process of [`Request::Exec`] ended.
    ExecExit {
        /// Its exit code; 128 plus the signal's number if a signal ended it.
        code: i32,
    },
    /// The request failed.
    Failed {
        /// A message for users.
        message: String,
        /// Whether the container or process that the request names is unknown.
        #[serde(default)]
        not_found: bool,
    },
}

/// The standard streams for which a request has descriptors.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stdio {
    /// Standard input.
    pub(crate) stdin: bool,
    /// Standard output.
    pub(crate) stdout: bool,
    /// Standard error.
    pub(crate) stderr: bool,
}

/// The state of a container as the shim keeps it, in memory and in [`STATE_NAME`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerState {
    /// The container.
    pub(crate) id: String,
    /// Process id of its first process on the host.
    pub(crate) pid: i32,
    /// The identity that the process runs under.
    pub(crate) identity: Identity,
    /// Wall-clock time of the start, nanoseconds since the epoch.
    pub(crate) started_at_nanos: i64,
    /// Set once it ended.
    #[serde(default)]
    pub(crate) exit: Option<Exit>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exit {
    /// The exit code; 128 plus the signal's number if a signal ended it.
    pub(crate) code: i32,
    /// Wall-clock time of the exit, nanoseconds since the epoch.
    pub(crate) finished_at_nanos: i64,
    /// Whether the kernel killed a process of the container because it was over its memory limit.
    pub(crate) oom_killed: bool,
}

/// User and groups of a process, as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// User.
    pub(crate) uid: u32,
    /// Primary group.
    pub(crate) gid: u32,
    /// Supplementary groups, the primary group among them.
    pub(crate) groups: Vec<u32>,
}

/// Everything needed to start a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Launch {
    /// The container.
    pub(crate) id: String,
    /// Its state directory, where the shim writes [`STATE_NAME`].
    pub(crate) state_dir: PathBuf,
    /// The assembled root filesystem on the host.
    pub(crate) rootfs: PathBuf,
    /// Mount the root filesystem read-only.
    pub(crate) readonly_rootfs: bool,
    /// The namespaces to enter or create.
    pub(crate) namespaces: Namespaces,
    /// What to mount, in this order.
    pub(crate) mounts: Vec<Mount>,
    /// Device nodes beyond the default ones.
    pub(crate) devices: Vec<Device>,
    /// Paths inside the container that are hidden.
    pub(crate) masked_paths: Vec<String>,
    /// Paths inside the container that cannot be written.
    pub(crate) readonly_paths: Vec<String>,
    /// The cgroup, below the root of each hierarchy.
    pub(crate) cgroup: String,
    /// The limits of the cgroup.
    pub(crate) resources: Resources,
    /// The kernel's preference when it must kill for memory, -1000 to 1000.
    pub(crate) oom_score_adj: i32,
    /// The first process.
    pub(crate) process: Process,
    /// The log file in the CRI format; `None` drops the output.
    pub(crate) log_path: Option<PathBuf>,
    /// How large the log may be.
    pub(crate) log_limits: LogLimits,
    /// Give the process a standard input that attached clients can write to.
    pub(crate) stdin: bool,
    /// Close that input when the first attached client that brought one leaves.
    pub(crate) stdin_once: bool,
}

/// How large a log may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLimits {
    /// The size of a file at which another one begins, in bytes.
    pub(crate) bytes_max: u64,
    /// How many files there are, the one that is written included.
    pub(crate) files_max: usize,
}

impl Default for LogLimits {
    /// Upstream's `containerLogMaxSize` and `containerLogMaxFiles`.
    fn default() -> LogLimits {
        LogLimits { bytes_max: 10 << 20, files_max: 5 }
    }
}

/// The namespaces of a container. The mount and cgroup namespaces are always its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Namespaces {
    /// A pinned network namespace; the host's if `None`.
    pub(crate) network: Option<PathBuf>,
    /// A pinned IPC namespace; the host's if `None`.
    pub(crate) ipc: Option<PathBuf>,
    /// A pinned UTS namespace; the host's if `None`.
    pub(crate) uts: Option<PathBuf>,
    /// The process id namespace.
    pub(crate) pid: PidNamespace,
}

/// Where a container's processes get their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PidNamespace {
    /// A new namespace.
    #[default]
    Private,
    /// One namespace for all containers of the sandbox that ask for it.
    Pod,
    /// The host's.
    Host,
    /// That of another container of the sandbox, by its identifier.
    Container(String),
}

/// One process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// The program and its arguments.
    pub(crate) args: Vec<String>,
    /// The environment, `NAME=value`.
    pub(crate) env: Vec<String>,
    /// The working directory; made if missing for a container's first process.
    pub(crate) cwd: String,
    /// Run on a terminal.
    pub(crate) tty: bool,
    /// The user, resolved inside the container's root.
    pub(crate) user: User,
    /// The capabilities, as bits by their numbers.
    pub(crate) capabilities: Capabilities,
    /// Set `no_new_privs`.
    pub(crate) no_new_privileges: bool,
    /// A seccomp filter: instructions of the kernel's classic BPF, as the 64 bits they have in memory.
    pub(crate) seccomp: Option<Vec<u64>>,
    /// The AppArmor profile to run under; the shim's own confinement if `None`.
    #[serde(default)]
    pub(crate) apparmor: Option<String>,
}

/// A user as a pod or an image names it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    /// A name or number, optionally followed by `:` and a group; empty is root.
    pub(crate) user: String,
    /// A primary group that overrides the user's.
    pub(crate) group: Option<u32>,
    /// Groups to add.
    pub(crate) supplemental_groups: Vec<u32>,
    /// Leave out the groups that `/etc/group` lists for the user (policy `Strict`).
    pub(crate) strict_groups: bool,
}

/// The capability sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    /// Bounding, and for root also effective and permitted.
    pub(crate) bounding: u64,
    /// Ambient and inheritable, which a process that is not root keeps over `execve`.
    pub(crate) ambient: u64,
}

/// A mount inside a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    /// The absolute path inside the container.
    pub(crate) destination: String,
    /// What is mounted there.
    pub(crate) source: MountSource,
    /// Read-only.
    pub(crate) readonly: bool,
    /// Read-only with everything below it.
    pub(crate) recursive_readonly: bool,
    /// Whether mounts made later cross between host and container.
    pub(crate) propagation: Propagation,
    /// Also forbid set-user-id programs, devices and execution.
    pub(crate) restricted: bool,
}

/// The source of a mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum MountSource {
    /// A file or directory of the host, with what is mounted below it.
    Bind(PathBuf),
    /// A new filesystem of this type.
    Filesystem {
        /// The type, for example `tmpfs`.
        kind: String,
        /// Its options, `name` or `name=value`.
        options: Vec<String>,
    },
    /// The container's own view of the cgroup hierarchies.
    Cgroup,
}

/// `mountPropagation` of a volume mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Propagation {
    /// None (`rprivate`).
    #[default]
    Private,
    /// From the host (`rslave`).
    HostToContainer,
    /// Both ways (`rshared`).
    Bidirectional,
}

/// A device node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    /// The absolute path inside the container.
    pub(crate) path: String,
    /// A block device, not a character device.
    pub(crate) block: bool,
    /// The major number.
    pub(crate) major: u32,
    /// The minor number.
    pub(crate) minor: u32,
    /// Permission bits of the node.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

/// The limits of a container's cgroup. Zero and `None` mean no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Resources {
    /// Relative weight, 2 to 262144 (`cpu.shares`).
    pub(crate) cpu_shares: u64,
    /// Microseconds in each period.
    pub(crate) cpu_quota: i64,
    /// Length of the period in microseconds.
    pub(crate) cpu_period: u64,
    /// The CPUs it may run on, for example `0-3`; empty for all.
    pub(crate) cpuset_cpus: String,
    /// The memory nodes it may use.
    pub(crate) cpuset_mems: String,
    /// Bytes.
    pub(crate) memory_limit: i64,
    /// Bytes of memory and swap together.
    pub(crate) memory_swap_limit: i64,
    /// Limits on huge pages: page size (for example `2MB`) and bytes.
    pub(crate) hugepage_limits: Vec<(String, u64)>,
    /// Values for files of cgroup v2, written as they stand.
    pub(crate) unified: Vec<(String, String)>,
    /// The devices it may use; `None` for all.
    pub(crate) devices: Option<Vec<DeviceRule>>,
}

/// One device that a container may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceRule {
    /// A block device, not a character device.
    pub(crate) block: bool,
    /// The major number; any if `None`.
    pub(crate) major: Option<u32>,
    /// The minor number; any if `None`.
    pub(crate) minor: Option<u32>,
    /// Some of `r`, `w` and `m` (read, write, make node).
    pub(crate) access: String,
}
