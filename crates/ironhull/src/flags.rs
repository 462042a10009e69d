//! The raw command line and config file. Names follow k3s and Kubernetes where the meaning is the same.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use network::BackendType;

/// The default data directory.
pub const DATA_DIR: &str = "/var/lib/ironhull";
/// Where the config file is unless `IRONHULL_CONFIG` says otherwise.
const CONFIG_FILE: &str = "/etc/ironhull/config.yaml";

/// All of Kubernetes in one program.
#[derive(Debug, Parser)]
#[command(name = "ironhull", version, about)]
pub struct Cli {
    /// The format of log lines.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log more; give it twice to log everything.
    #[arg(short, long = "verbose", global = true, action = clap::ArgAction::Count)]
    pub verbosity: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a cluster on this machine: control plane and node.
    Server(Box<ServerFlags>),
    /// Join this machine to a cluster, to run its pods.
    Agent(Box<AgentFlags>),
    /// Create, list and delete the tokens that machines join with.
    Token(TokenFlags),
    /// Manage the container images on this machine.
    Image(ImageFlags),
    /// Back up the cluster's state to a file; the server must be stopped.
    Backup(BackupFlags),
    /// Restore the cluster's state from a backup; the server must be stopped.
    Restore(RestoreFlags),
    /// End this machine's pods and remove everything that Ironhull created on it.
    Reset(ResetFlags),
    /// Run clusters of many nodes on this machine, for development and experiments.
    Dev(dev::DevFlags),
}

/// Flags of `ironhull server`.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true)]
pub struct ServerFlags {
    /// The directory that holds all state.
    #[arg(long, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// The address to listen on; 0.0.0.0 listens on every address, IPv6 included if the cluster has it.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// The port of the API server.
    #[arg(long, default_value_t = 6443)]
    pub https_listen_port: u16,
    /// Also write the administrator's kubeconfig to this file.
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
    /// A bearer token that authenticates as the administrator.
    #[arg(long)]
    pub token: Option<String>,
    /// An additional name or address for the server's certificate.
    #[arg(long = "tls-san", value_name = "NAME")]
    pub tls_sans: Vec<String>,
    /// The pod network; for IPv4 and IPv6, one of each, separated by a comma.
    #[arg(long = "cluster-cidr", value_delimiter = ',', default_value = "10.42.0.0/16")]
    pub cluster_cidrs: Vec<String>,
    /// The Service network; for IPv4 and IPv6, one of each, separated by a comma.
    #[arg(long = "service-cidr", value_delimiter = ',', default_value = "10.43.0.0/16")]
    pub service_cidrs: Vec<String>,
    /// The address of cluster DNS, or one of each family; the tenth address of the Service network by default.
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// How pod traffic travels between nodes: vxlan, host-gw, udp or none.
    #[arg(long, default_value_t = BackendType::Vxlan)]
    pub flannel_backend: BackendType,
    /// How long certificates signed by the cluster stay valid, unless a request asks for less. Nodes renew theirs before
    /// they expire.
    #[arg(long, value_name = "DURATION", default_value = "8760h")]
    pub cluster_signing_duration: String,
    /// How long events are kept; 0 keeps them forever.
    #[arg(long, value_name = "DURATION", default_value = "1h0m0s")]
    pub event_ttl: String,
    /// Settings of horizontal pod autoscalers, and of the figures that they use.
    #[command(flatten)]
    pub autoscaling: AutoscalingFlags,
    /// Admission plugins to turn on in addition to those that are on by default. Their order does not matter.
    #[arg(long, value_name = "PLUGIN", value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins to turn off that are on by default.
    #[arg(long, value_name = "PLUGIN", value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// A file with the configuration of admission plugins (AdmissionConfiguration): PodSecurity, ResourceQuota,
    /// PodNodeSelector, PodTolerationRestriction, EventRateLimit, and the directories of webhooks and policies from files.
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
    /// A file with the configuration of the scheduler (KubeSchedulerConfiguration): profiles, plugins and their arguments,
    /// extenders.
    #[arg(long, value_name = "FILE")]
    pub scheduler_config: Option<PathBuf>,
    /// Start despite damaged or missing data, and accept the loss. When the server refuses to start, it says what is lost
    /// and which value accepts exactly that loss.
    #[arg(long, value_name = "LOSS")]
    pub accept_data_loss: Option<String>,
    /// Do not run pods on this machine.
    #[arg(long)]
    pub disable_agent: bool,
    /// Components to disable: dns, proxy, network-policy, servicelb, scheduler, controllers.
    #[arg(long, value_delimiter = ',')]
    pub disable: Vec<String>,
    /// Settings of this machine's node.
    #[command(flatten)]
    pub node: NodeFlags,
}

/// How usage is measured, and how autoscalers use it. The names and the defaults are upstream's.
#[derive(Clone, Debug, Args)]
pub struct AutoscalingFlags {
    /// How often nodes are asked what they and their pods use.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub metric_resolution: String,
    /// How often horizontal pod autoscalers look at their metrics.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub horizontal_pod_autoscaler_sync_period: String,
    /// How long an autoscaler that names no window remembers recommendations before it scales down.
    #[arg(long, value_name = "DURATION", default_value = "5m0s")]
    pub horizontal_pod_autoscaler_downscale_stabilization: String,
    /// How far a metric may be from its target, as a fraction, before an autoscaler acts.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.1)]
    pub horizontal_pod_autoscaler_tolerance: f64,
    /// How long after a pod's start its processor usage counts only while it is ready.
    #[arg(long, value_name = "DURATION", default_value = "5m0s")]
    pub horizontal_pod_autoscaler_cpu_initialization_period: String,
    /// How long after a pod's start a change to not ready is taken for part of the start.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub horizontal_pod_autoscaler_initial_readiness_delay: String,
}

/// Flags of `ironhull agent`.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true)]
pub struct AgentFlags {
    /// The directory that holds all state.
    #[arg(long, default_value = "/var/lib/ironhull")]
    pub data_dir: PathBuf,
    /// A server of the cluster, `https://HOST:6443`; repeat it if there are several.
    #[arg(long = "server", value_name = "URL", required = true)]
    pub servers: Vec<String>,
    /// The token to join with: a bootstrap token (`ironhull token create`) or the server's own token, either of them
    /// optionally prefixed with the digest of the cluster's CA, as in the server's file `agent-token`. A machine that has
    /// already joined needs none.
    #[arg(long, env = "IRONHULL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file that contains the token.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// The expected CA of the cluster: `sha256:` and the digest of its public key, as kubeadm prints it.
    #[arg(long = "discovery-token-ca-cert-hash", value_name = "HASH")]
    pub ca_cert_hashes: Vec<String>,
    /// Components to disable: dns, proxy, network-policy.
    #[arg(long, value_delimiter = ',')]
    pub disable: Vec<String>,
    /// Settings of this machine's node.
    #[command(flatten)]
    pub node: NodeFlags,
}

/// Flags of every machine that runs pods.
#[derive(Clone, Debug, Args)]
pub struct NodeFlags {
    /// The node's name; the host name by default.
    #[arg(long)]
    pub node_name: Option<String>,
    /// The node's address, or one of each family; by default the current address of the default route's interface.
    #[arg(long = "node-ip", value_name = "IP", value_delimiter = ',')]
    pub node_ips: Vec<IpAddr>,
    /// The port of the node's own API server (the kubelet's port).
    #[arg(long, default_value_t = 10250)]
    pub kubelet_port: u16,
    /// Use the CNI network configured in this directory (requires --flannel-backend none).
    #[arg(long, value_name = "DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// The directories that contain CNI plugins.
    #[arg(
        long = "cni-bin-dir",
        value_name = "DIR",
        value_delimiter = ',',
        default_value = "/opt/cni/bin,/usr/lib/cni"
    )]
    pub cni_bin_dirs: Vec<PathBuf>,
    /// A label to register the node with.
    #[arg(long = "node-label", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// A taint to register the node with; a node that is already registered keeps its taints.
    #[arg(long = "node-taint", value_name = "KEY=VALUE:EFFECT", value_delimiter = ',')]
    pub node_taints: Vec<String>,
    /// Serve node ports on this machine's addresses within these networks, or on the node's own addresses (`primary`); by
    /// default on the node's own and the loopback addresses.
    #[arg(long = "nodeport-addresses", value_name = "CIDR", value_delimiter = ',')]
    pub nodeport_addresses: Vec<String>,
    /// Additional kernel parameters that pods may set, such as `net.core.somaxconn`, or prefixes such as `kernel.msg*`;
    /// only parameters of a pod's own namespaces.
    #[arg(long = "allowed-unsafe-sysctls", value_name = "NAME", value_delimiter = ',')]
    pub allowed_unsafe_sysctls: Vec<String>,
    /// When the node runs short of resources, and how much it keeps of logs and images.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// The MTU of pods; by default the uplink's MTU minus the overhead of the backend.
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
}

/// When a node runs short, and how much it keeps of logs and images. Names and defaults are the kubelet's.
#[derive(Clone, Debug, Args)]
pub struct LimitFlags {
    /// Evict pods immediately while a signal is below its threshold: memory.available, nodefs.available,
    /// nodefs.inodesFree, imagefs.available, imagefs.inodesFree or pid.available. The default is
    /// memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%;
    /// setting any threshold replaces all of these.
    #[arg(long, value_name = "SIGNAL<AMOUNT", value_delimiter = ',')]
    pub eviction_hard: Option<Vec<String>>,
    /// Evict pods when a signal has been below its threshold for the grace period.
    #[arg(long, value_name = "SIGNAL<AMOUNT", value_delimiter = ',')]
    pub eviction_soft: Vec<String>,
    /// The grace period of each soft threshold.
    #[arg(long, value_name = "SIGNAL=DURATION", value_delimiter = ',')]
    pub eviction_soft_grace_period: Vec<String>,
    /// How much more than the threshold to reclaim once a signal has crossed it.
    #[arg(long, value_name = "SIGNAL=AMOUNT", value_delimiter = ',')]
    pub eviction_minimum_reclaim: Vec<String>,
    /// The maximum grace period in seconds of pods that are evicted because of a soft threshold.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub eviction_max_pod_grace_period: u32,
    /// How long the node keeps reporting pressure after a signal was last below its threshold.
    #[arg(long, value_name = "DURATION", default_value = "5m0s")]
    pub eviction_pressure_transition_period: String,
    /// Remove unused images when their disk is this full, in percent; 100 disables it.
    #[arg(long, value_name = "PERCENT", default_value_t = 85, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_high_threshold: u8,
    /// Remove unused images until their disk is no fuller than this, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_low_threshold: u8,
    /// Rotate a container's log file when it reaches this size.
    #[arg(long, value_name = "BYTES", default_value = "10Mi")]
    pub container_log_max_size: String,
    /// The maximum number of log files per container.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    pub container_log_max_files: u16,
}

/// Flags of `ironhull token`.
#[derive(Debug, Args)]
pub struct TokenFlags {
    /// The server's data directory, whose `kubeconfig` is used.
    #[arg(long, global = true, default_value = "/var/lib/ironhull")]
    pub data_dir: PathBuf,
    /// Use this kubeconfig instead.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it, prefixed with the digest of the cluster's CA.
    Create {
        /// How long the token stays valid, such as 24h or 90m; 0 means forever.
        #[arg(long, default_value = "24h")]
        ttl: String,
        /// A description for people.
        #[arg(long, default_value = "")]
        description: String,
        /// What the token may be used for: signing (proves the CA's identity), authentication.
        #[arg(long, value_delimiter = ',', default_value = "signing,authentication")]
        usages: Vec<String>,
        /// Additional groups to authenticate as; their names start with `system:bootstrappers:`.
        #[arg(long, value_delimiter = ',')]
        groups: Vec<String>,
        /// Print the complete command that joins a machine.
        #[arg(long)]
        print_join_command: bool,
    },
    /// List the tokens, without their secrets.
    #[command(visible_alias = "ls")]
    List,
    /// Delete tokens.
    #[command(visible_alias = "rm")]
    Delete {
        /// The tokens, or their IDs.
        #[arg(required = true)]
        tokens: Vec<String>,
    },
}

/// Flags of `ironhull image`.
#[derive(Debug, Args)]
pub struct ImageFlags {
    /// The directory that holds all state.
    #[arg(long, global = true, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Pull an image from a registry.
    Pull {
        /// The image, for example `nginx:1.29`.
        name: String,
    },
    /// Import images from an archive written by `docker save` or OCI tools.
    Import {
        /// The archive, plain or gzip-compressed; `-` reads it from standard input.
        file: PathBuf,
    },
    /// List the images.
    #[command(visible_alias = "ls")]
    List,
    /// Remove images.
    Rm {
        /// The images' names or IDs.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Flags of `ironhull backup`.
#[derive(Debug, Args)]
pub struct BackupFlags {
    /// The server's data directory.
    #[arg(long, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// The backup file to write; it must not exist.
    pub file: PathBuf,
}

/// Flags of `ironhull restore`.
#[derive(Debug, Args)]
pub struct RestoreFlags {
    /// The server's data directory.
    #[arg(long, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// The backup file.
    pub file: PathBuf,
}

/// Flags of `ironhull reset`.
#[derive(Debug, Args)]
pub struct ResetFlags {
    /// The directory that holds all state.
    #[arg(long, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
}

/// The arguments with those of the config file in front of the subcommand's own, which win.
///
/// # Errors
/// If the file cannot be read, or contains an unknown flag.
pub fn with_config_file(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let place = arguments.iter().position(|argument| argument == "server" || argument == "agent");
    let path = std::env::var_os("IRONHULL_CONFIG").map_or_else(|| PathBuf::from(CONFIG_FILE), PathBuf::from);
    if let Some(place) = place
        && path.exists()
    {
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        arguments.splice(place + 1..place + 1, flags_of(&text, &path)?);
    }
    Ok(arguments)
}

/// The flags that a config file names: `name: value`, `name: true`, or a list for flags that can be repeated.
fn flags_of(text: &[u8], path: &Path) -> anyhow::Result<Vec<OsString>> {
    let config =
        object::yaml::parse(text).with_context(|| format!("{} is not valid YAML", path.display()))?;
    let mut flags = Vec::new();
    for (name, value) in config.entries() {
        let items = value.as_list().unwrap_or(std::slice::from_ref(value));
        for item in items {
            let text = match item {
                object::Value::String(text) => text.to_string(),
                object::Value::Int(number) => number.to_string(),
                object::Value::Bool(true) => {
                    flags.push(format!("--{name}").into());
                    continue;
                }
                object::Value::Bool(false) => continue,
                other => bail!("{}: {name}: {other:?} is not a valid value of a flag", path.display()),
            };
            flags.push(format!("--{name}={text}").into());
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests;
