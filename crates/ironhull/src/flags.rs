//! The command line and the config file, as people write them. Names follow k3s and Kubernetes where the
//! meaning is the same.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use network::overlay::BackendType;

/// Where the config file is unless `IRONHULL_CONFIG` says otherwise.
const CONFIG_FILE: &str = "/etc/ironhull/config.yaml";

/// All of Kubernetes in one program.
#[derive(Debug, Parser)]
#[command(name = "ironhull", version, about)]
pub struct Cli {
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// More log lines; twice for all.
    #[arg(short, long = "verbose", global = true, action = clap::ArgAction::Count)]
    pub verbosity: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
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
    /// Run a cluster on this machine: control side and node.
    Server(Box<ServerFlags>),
    /// Join a cluster: run its pods on this machine.
    Agent(Box<AgentFlags>),
    /// Make, list and delete the tokens by which machines join.
    Token(TokenFlags),
    /// Look after the images of this machine.
    Image(ImageFlags),
    /// Copy the cluster's state to a file, while no server runs.
    Backup(BackupFlags),
    /// Replace the cluster's state by a backup, while no server runs.
    Restore(RestoreFlags),
    /// End this machine's pods and remove everything that it got from Ironhull.
    Reset(ResetFlags),
    /// Run clusters of many nodes on this machine, to see what Kubernetes does.
    Dev(crate::dev::flags::DevFlags),
}

/// Flags of `ironhull server`.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true)]
pub struct ServerFlags {
    /// Where state is kept.
    #[arg(long, default_value = crate::config::DATA_DIR)]
    pub data_dir: PathBuf,
    /// The address to listen at; 0.0.0.0 are all, also those of IPv6 where the cluster has it.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// The port of the API.
    #[arg(long, default_value_t = 6443)]
    pub https_listen_port: u16,
    /// Write the administrator's kubeconfig to this file too.
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
    /// A bearer token that is the administrator's.
    #[arg(long)]
    pub token: Option<String>,
    /// More names or addresses for which the server's certificate is good.
    #[arg(long = "tls-san", value_name = "NAME")]
    pub tls_sans: Vec<String>,
    /// The network of pods; with IPv6 beside IPv4, both, separated by a comma.
    #[arg(long = "cluster-cidr", value_delimiter = ',', default_value = "10.42.0.0/16")]
    pub cluster_cidrs: Vec<String>,
    /// The network of Services; with IPv6 beside IPv4, both, separated by a comma.
    #[arg(long = "service-cidr", value_delimiter = ',', default_value = "10.43.0.0/16")]
    pub service_cidrs: Vec<String>,
    /// The address of the cluster's DNS, within the network of Services, or one of each family; the tenth by default.
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// How packets of pods travel between nodes: vxlan, host-gw, udp or none.
    #[arg(long, default_value_t = BackendType::Vxlan)]
    pub flannel_backend: BackendType,
    /// How long certificates hold that the cluster signs for nodes and other clients, where a request does not ask for
    /// less. Nodes renew theirs before they end.
    #[arg(long, value_name = "DURATION", default_value = "8760h")]
    pub cluster_signing_duration: String,
    /// How long events are kept; 0 keeps them for ever.
    #[arg(long, value_name = "DURATION", default_value = "1h0m0s")]
    pub event_ttl: String,
    /// Go on without data that is damaged or missing. The server says what is lost when it refuses to start, and the value
    /// that names this loss; it accepts no other.
    #[arg(long, value_name = "LOSS")]
    pub accept_data_loss: Option<String>,
    /// Run no pods on this machine.
    #[arg(long)]
    pub disable_agent: bool,
    /// Parts to leave out: dns, proxy, network-policy, servicelb, scheduler, controllers.
    #[arg(long, value_delimiter = ',')]
    pub disable: Vec<String>,
    /// What concerns this machine as a node.
    #[command(flatten)]
    pub node: NodeFlags,
}

/// Flags of `ironhull agent`.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true)]
pub struct AgentFlags {
    /// Where state is kept.
    #[arg(long, default_value = "/var/lib/ironhull")]
    pub data_dir: PathBuf,
    /// A server of the cluster, `https://HOST:6443`; more than one where there are more.
    #[arg(long = "server", value_name = "URL", required = true)]
    pub servers: Vec<String>,
    /// What lets this machine join: a bootstrap token (`ironhull token create`), the server's own, or either with the
    /// digest of the cluster's CA in front, as in the server's file `agent-token`. A machine that has joined needs none.
    #[arg(long, env = "IRONHULL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file that holds the token.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// What the cluster's CA must be: `sha256:` and the digest of its public key, as kubeadm prints it.
    #[arg(long = "discovery-token-ca-cert-hash", value_name = "HASH")]
    pub ca_cert_hashes: Vec<String>,
    /// Parts to leave out: dns, proxy, network-policy.
    #[arg(long, value_delimiter = ',')]
    pub disable: Vec<String>,
    /// What concerns this machine as a node.
    #[command(flatten)]
    pub node: NodeFlags,
}

/// Flags of every machine that runs pods.
#[derive(Clone, Debug, Args)]
pub struct NodeFlags {
    /// The node's name; the host's by default.
    #[arg(long)]
    pub node_name: Option<String>,
    /// The node's address, or one of each family; by default that of the default route's interface, whatever it is at a
    /// time.
    #[arg(long = "node-ip", value_name = "IP", value_delimiter = ',')]
    pub node_ips: Vec<IpAddr>,
    /// The port of the node's own API.
    #[arg(long, default_value_t = 10250)]
    pub kubelet_port: u16,
    /// Use the CNI network that is configured in this directory (with --flannel-backend none).
    #[arg(long, value_name = "DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Where CNI plugins are.
    #[arg(
        long = "cni-bin-dir",
        value_name = "DIR",
        value_delimiter = ',',
        default_value = "/opt/cni/bin,/usr/lib/cni"
    )]
    pub cni_bin_dirs: Vec<PathBuf>,
    /// A label that the node registers with.
    #[arg(long = "node-label", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// A taint that the node registers with; a node that there is already keeps its taints.
    #[arg(long = "node-taint", value_name = "KEY=VALUE:EFFECT", value_delimiter = ',')]
    pub node_taints: Vec<String>,
    /// Networks whose addresses of this machine answer node ports, or `primary` for the node's own; those and the loopback
    /// addresses by default.
    #[arg(long = "nodeport-addresses", value_name = "CIDR", value_delimiter = ',')]
    pub nodeport_addresses: Vec<String>,
    /// Kernel parameters beyond the safe ones that pods may set, such as `net.core.somaxconn`, or beginnings of their
    /// names, such as `kernel.msg*`; only those of a pod's own namespaces.
    #[arg(long = "allowed-unsafe-sysctls", value_name = "NAME", value_delimiter = ',')]
    pub allowed_unsafe_sysctls: Vec<String>,
    /// What the node runs short of, and which pods it ends then.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// The MTU of pods' links; what the uplink and the backend leave by default.
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
}

/// When a node runs short, and how much it keeps of logs and images. Names and defaults are the kubelet's.
#[derive(Clone, Debug, Args)]
pub struct LimitFlags {
    /// Evict pods at once while less than this is left of a signal: memory.available, nodefs.available, nodefs.inodesFree,
    /// imagefs.available, imagefs.inodesFree or pid.available. By default
    /// memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%;
    /// one that is given replaces all of these.
    #[arg(long, value_name = "SIGNAL<AMOUNT", value_delimiter = ',')]
    pub eviction_hard: Option<Vec<String>>,
    /// Evict pods when less than this has been left for a grace period.
    #[arg(long, value_name = "SIGNAL<AMOUNT", value_delimiter = ',')]
    pub eviction_soft: Vec<String>,
    /// The grace periods of soft thresholds.
    #[arg(long, value_name = "SIGNAL=DURATION", value_delimiter = ',')]
    pub eviction_soft_grace_period: Vec<String>,
    /// How much more than a threshold is reclaimed once something must be.
    #[arg(long, value_name = "SIGNAL=AMOUNT", value_delimiter = ',')]
    pub eviction_minimum_reclaim: Vec<String>,
    /// The longest time in seconds that a pod has to end when a soft threshold is crossed.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub eviction_max_pod_grace_period: u32,
    /// How long a node says that it is short of something after it was last so.
    #[arg(long, value_name = "DURATION", default_value = "5m0s")]
    pub eviction_pressure_transition_period: String,
    /// Remove images that nothing uses once their disk is so full; 100 for never.
    #[arg(long, value_name = "PERCENT", default_value_t = 85, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_high_threshold: u8,
    /// How full the disk may be after that.
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_low_threshold: u8,
    /// The size of a container's log file at which a new one begins.
    #[arg(long, value_name = "BYTES", default_value = "10Mi")]
    pub container_log_max_size: String,
    /// How many log files a container keeps.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    pub container_log_max_files: u16,
}

/// Flags of `ironhull token`.
#[derive(Debug, Args)]
pub struct TokenFlags {
    /// Where the server's state is kept: its `kubeconfig` is used.
    #[arg(long, global = true, default_value = "/var/lib/ironhull")]
    pub data_dir: PathBuf,
    /// Another kubeconfig to use.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, with the digest of the cluster's CA in front.
    Create {
        /// How long it holds, such as 24h or 90m; 0 for ever.
        #[arg(long, default_value = "24h")]
        ttl: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
        /// What it may be used for: signing (proves the CA), authentication.
        #[arg(long, value_delimiter = ',', default_value = "signing,authentication")]
        usages: Vec<String>,
        /// More groups of those who show it; they start with `system:bootstrappers:`.
        #[arg(long, value_delimiter = ',')]
        groups: Vec<String>,
        /// Print the whole command that makes a machine join.
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
    /// Where state is kept.
    #[arg(long, global = true, default_value = crate::config::DATA_DIR)]
    pub data_dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Get an image from a registry.
    Pull {
        /// The image, for example `nginx:1.29`.
        name: String,
    },
    /// Take images from an archive, as `docker save` and OCI tools write them.
    Import {
        /// The archive, plain or compressed by gzip.
        file: PathBuf,
    },
    /// List the images.
    #[command(visible_alias = "ls")]
    List,
    /// Remove images.
    Rm {
        /// Their names or ids.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Flags of `ironhull backup`.
#[derive(Debug, Args)]
pub struct BackupFlags {
    /// Where the server's state is kept.
    #[arg(long, default_value = crate::config::DATA_DIR)]
    pub data_dir: PathBuf,
    /// The backup to write; the file must not exist.
    pub file: PathBuf,
}

/// Flags of `ironhull restore`.
#[derive(Debug, Args)]
pub struct RestoreFlags {
    /// Where the server's state is kept.
    #[arg(long, default_value = crate::config::DATA_DIR)]
    pub data_dir: PathBuf,
    /// The backup.
    pub file: PathBuf,
}

/// Flags of `ironhull reset`.
#[derive(Debug, Args)]
pub struct ResetFlags {
    /// Where state is kept.
    #[arg(long, default_value = crate::config::DATA_DIR)]
    pub data_dir: PathBuf,
}

/// The arguments with those of the config file in front of the subcommand's own, which win.
///
/// # Errors
/// Where the file cannot be read, or holds something that is no flag.
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

/// The flags that a config file names: `name: value`, `name: true`, or a list for flags that may come often.
fn flags_of(text: &[u8], path: &Path) -> anyhow::Result<Vec<OsString>> {
    let config = object::yaml::parse(text).with_context(|| format!("{} is no YAML", path.display()))?;
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
                other => bail!("{}: {name}: {other:?} is no value of a flag", path.display()),
            };
            flags.push(format!("--{name}={text}").into());
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_file_names_flags() {
        let text = b"https-listen-port: 7443\ndisable-agent: true\ntls-san: [a, b]\ntoken: \"0123\"\n";
        // In the order of their names.
        let flags = flags_of(text, Path::new("f")).unwrap();
        let expected =
            ["--disable-agent", "--https-listen-port=7443", "--tls-san=a", "--tls-san=b", "--token=0123"];
        assert_eq!(flags, expected);
        assert!(flags_of(b"node-ip: {a: b}", Path::new("f")).is_err());
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let arguments = ["ironhull", "server", "--https-listen-port=1", "--https-listen-port=2"];
        let Command::Server(flags) = Cli::parse_from(arguments).command else { panic!("no server") };
        assert_eq!(flags.https_listen_port, 2);
    }
}
