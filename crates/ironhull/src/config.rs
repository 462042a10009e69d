//! The flags, validated once.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use apiserver::admission::Selection;
use apiserver::admission::configuration::Configuration;
use ipnet::IpNet;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Taint;
use network::{BackendType, NodeAddresses};
use node::SysctlAllowlist;
use sha2::{Digest, Sha256};

use crate::cluster::ClusterSettings;
use crate::flags::{DATA_DIR, LimitFlags, NodeFlags, ServerFlags};

mod autoscaling;
mod node_ports;
mod registration;

pub use node_ports::NodePortAddresses;

/// The parts that `--disable` knows.
const PARTS: [&str; 6] = ["dns", "proxy", "network-policy", "servicelb", "scheduler", "controllers"];

/// The configuration of a machine that runs pods.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// The node's name.
    pub node_name: String,
    /// The node's addresses.
    pub addresses: NodeAddresses,
    /// The port of the node's own API.
    pub kubelet_port: u16,
    /// Where networks of other programs are configured and their plugins are, if such a network is used.
    pub cni: Option<(PathBuf, Vec<PathBuf>)>,
    /// Labels that the node registers with.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node registers with.
    pub taints: Vec<Taint>,
    /// Which addresses of this machine answer node ports.
    pub node_ports: NodePortAddresses,
    /// The kernel parameters that pods may set.
    pub sysctls: SysctlAllowlist,
    /// The MTU of pods' links, in bytes; `None` uses what the uplink leaves.
    pub mtu: Option<u32>,
    /// When the node evicts pods, and how much it keeps of logs and images.
    pub limits: NodeLimits,
    /// The disabled components.
    pub disabled: Vec<String>,
    /// The settings shared by all machines of the cluster.
    pub cluster: ClusterSettings,
}

/// The configuration of `ironhull server`.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address of the API.
    pub listen: std::net::SocketAddr,
    /// An additional path for the administrator's kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The administrator's bearer token; a secret.
    pub token: Option<String>,
    /// Names and addresses for the server's certificate.
    pub tls_sans: Vec<String>,
    /// How long certificates signed by the cluster stay valid.
    pub signing_duration: SignedDuration,
    /// How long events are kept; 0 for an unlimited time.
    pub event_ttl: std::time::Duration,
    /// How often nodes are asked what they and their pods use.
    pub metric_resolution: std::time::Duration,
    /// How horizontal pod autoscalers use that.
    pub autoscaling: controllers::AutoscalingOptions,
    /// The configuration of admission plugins.
    pub admission: Configuration,
    /// Which of them are on.
    pub plugins: Selection,
    /// The configuration of the scheduler, if there is a file of it.
    pub scheduler: Option<scheduler::Configuration>,
    /// The loss of data that is accepted.
    pub accept_loss: Option<String>,
    /// Whether this machine runs pods.
    pub agent: bool,
    /// The settings of this machine as a node, even if it runs no pods.
    pub node: NodeSettings,
}

impl ServerConfig {
    /// Checks the flags against each other and against this machine.
    ///
    /// # Errors
    /// The error, with the flag.
    pub fn validate(flags: ServerFlags) -> anyhow::Result<ServerConfig> {
        let service_cidrs = networks("--service-cidr", &flags.service_cidrs)?;
        let cluster_dns = match flags.cluster_dns {
            none if none.is_empty() => service_cidrs.iter().map(|network| dns_address(*network)).collect(),
            given => given,
        };
        let cluster = ClusterSettings {
            cluster_cidrs: networks("--cluster-cidr", &flags.cluster_cidrs)?,
            service_cidrs,
            cluster_dns,
            cluster_domain: flags.cluster_domain,
            backend: flags.flannel_backend,
        };
        check_networks(&cluster)?;
        for part in &flags.disable {
            ensure!(
                PARTS.contains(&part.as_str()),
                "--disable {part}: the components are {}",
                PARTS.join(", ")
            );
        }
        Ok(ServerConfig {
            listen: (listening(flags.bind_address, &cluster), flags.https_listen_port).into(),
            kubeconfig: flags.write_kubeconfig,
            token: flags.token,
            tls_sans: flags.tls_sans,
            signing_duration: signing_duration(&flags.cluster_signing_duration)?,
            event_ttl: event_ttl(&flags.event_ttl)?,
            metric_resolution: autoscaling::period(
                "--metric-resolution",
                &flags.autoscaling.metric_resolution,
            )?,
            autoscaling: autoscaling::options(&flags.autoscaling)?,
            admission: admission(flags.admission_control_config_file.as_deref())?,
            plugins: Selection::read(&flags.enable_admission_plugins, &flags.disable_admission_plugins)
                .map_err(|why| anyhow::anyhow!("{why}"))?,
            scheduler: scheduler(flags.scheduler_config.as_deref())?,
            accept_loss: flags.accept_data_loss,
            agent: !flags.disable_agent,
            node: NodeSettings::validate(flags.data_dir, flags.node, flags.disable, cluster)?,
        })
    }
}

/// The configuration of admission plugins in a file, if one is given.
fn admission(file: Option<&Path>) -> anyhow::Result<Configuration> {
    let Some(file) = file else { return Ok(Configuration::default()) };
    let configuration = Configuration::read(file).context("--admission-control-config-file")?;
    for plugin in &configuration.ignored {
        tracing::warn!(
            plugin,
            "the admission plugin has no such configuration here; what the file says is ignored"
        );
    }
    Ok(configuration)
}

/// The configuration of the scheduler in a file, if one is given.
fn scheduler(file: Option<&Path>) -> anyhow::Result<Option<scheduler::Configuration>> {
    let Some(file) = file else { return Ok(None) };
    let configuration = scheduler::Configuration::read(file)
        .with_context(|| format!("--scheduler-config {}", file.display()))?;
    for field in &configuration.ignored {
        tracing::warn!(field, "the scheduler has no such setting here; what the file says is ignored");
    }
    Ok(Some(configuration))
}

/// When a node evicts pods, and how much it keeps of logs and images.
#[derive(Clone, Debug)]
pub struct NodeLimits {
    /// When pods are evicted.
    pub eviction: node::EvictionConfig,
    /// How full the disk of images may be, in percent, before unused ones are removed, and afterwards.
    pub image_gc_percent: (u8, u8),
    /// The size of a log file at which a new one begins, in bytes.
    pub log_bytes_max: u64,
    /// The maximum number of log files per container.
    pub log_files_max: usize,
}

impl NodeLimits {
    fn parse(flags: &LimitFlags) -> anyhow::Result<NodeLimits> {
        let eviction = node::EvictionConfig::parse(&node::EvictionFlags {
            hard: flags.eviction_hard.as_deref(),
            soft: &flags.eviction_soft,
            soft_grace: &flags.eviction_soft_grace_period,
            minimum_reclaim: &flags.eviction_minimum_reclaim,
            pod_grace_seconds_max: flags.eviction_max_pod_grace_period.into(),
            pressure_transition: &flags.eviction_pressure_transition_period,
        });
        let (high, low) = (flags.image_gc_high_threshold, flags.image_gc_low_threshold);
        ensure!(low < high, "--image-gc-low-threshold {low} must be below --image-gc-high-threshold {high}");
        let size = object::Quantity::parse(&flags.container_log_max_size).ok();
        let size = size.and_then(|size| u64::try_from(size.value()).ok()).filter(|bytes| *bytes > 0);
        Ok(NodeLimits {
            eviction: eviction.context("--eviction-hard, --eviction-soft or a related flag")?,
            image_gc_percent: (high, low),
            log_bytes_max: size.with_context(|| {
                let text = &flags.container_log_max_size;
                format!("--container-log-max-size {text:?} is not a size such as 10Mi")
            })?,
            log_files_max: flags.container_log_max_files.into(),
        })
    }
}

impl NodeSettings {
    /// Checks the flags of a node against this machine.
    ///
    /// # Errors
    /// The error, with the flag.
    pub fn validate(
        data_dir: PathBuf,
        flags: NodeFlags,
        disabled: Vec<String>,
        cluster: ClusterSettings,
    ) -> anyhow::Result<NodeSettings> {
        ensure!(
            flags.cni_conf_dir.is_none() || cluster.backend == BackendType::None,
            "--cni-conf-dir cannot be used with the cluster's --flannel-backend {}: a CNI network routes \
                between nodes itself. Start all servers with --flannel-backend none, or this machine \
                without --cni-conf-dir",
            cluster.backend
        );
        Ok(NodeSettings {
            data_dir,
            node_name: node_name(&flags)?,
            node_ports: NodePortAddresses::parse(&flags.nodeport_addresses)?,
            addresses: node_addresses(&flags, &cluster)?,
            kubelet_port: flags.kubelet_port,
            cni: flags.cni_conf_dir.map(|directory| (directory, flags.cni_bin_dirs)),
            labels: registration::labels(&flags.node_labels)?,
            taints: registration::taints(&flags.node_taints)?,
            sysctls: SysctlAllowlist::with_unsafe(&flags.allowed_unsafe_sysctls)
                .context("--allowed-unsafe-sysctls")?,
            mtu: flags.mtu,
            limits: NodeLimits::parse(&flags.limits)?,
            disabled,
            cluster,
        })
    }

    /// The cgroup of all pods. Instances on one machine, each with its own host network, have different data
    /// directories, and therefore no common cgroup: one can be reset while the other is running.
    pub fn cgroup_root(&self) -> String {
        if self.data_dir == Path::new(DATA_DIR) {
            return "/ironhull".to_owned();
        }
        let digest = Sha256::digest(self.data_dir.as_os_str().as_encoded_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
        format!("/ironhull-{a:02x}{b:02x}{c:02x}{d:02x}")
    }

    /// The address on which this machine's own servers listen: all, of both families if the node has both.
    pub fn any_address(&self) -> IpAddr {
        match self.addresses.get().iter().any(IpAddr::is_ipv6) {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// Whether a component runs.
    pub fn runs(&self, part: &str) -> bool {
        !self.disabled.iter().any(|disabled| disabled == part)
    }
}

/// The name of this machine as a node.
///
/// # Errors
/// If the name cannot be one.
pub fn node_name(flags: &NodeFlags) -> anyhow::Result<String> {
    let name = match &flags.node_name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let wrong = object::names::is_dns1123_subdomain(&name);
    ensure!(wrong.is_empty(), "--node-name {name:?}: {}", wrong.join("; "));
    Ok(name)
}

/// The addresses of this machine as a node.
///
/// # Errors
/// If they cannot be determined, or there are two of one family.
fn node_addresses(flags: &NodeFlags, cluster: &ClusterSettings) -> anyhow::Result<NodeAddresses> {
    if flags.node_ips.is_empty() {
        let own = NodeAddresses::of_machine(&cluster.cluster_cidrs);
        return own.context("cannot determine this machine's address: set it with --node-ip");
    }
    one_of_each_family("--node-ip", flags.node_ips.iter().copied())?;
    Ok(NodeAddresses::fixed(flags.node_ips.clone()))
}

fn signing_duration(text: &str) -> anyhow::Result<SignedDuration> {
    let wrong = || format!("--cluster-signing-duration {text:?} is not a duration such as 8760h or 90m");
    let duration: SignedDuration = text.parse().with_context(wrong)?;
    ensure!(duration >= SignedDuration::from_secs(1), wrong());
    Ok(duration)
}

/// How long events are kept.
fn event_ttl(text: &str) -> anyhow::Result<std::time::Duration> {
    let wrong =
        || format!("--event-ttl {text:?} is not a duration such as 1h or 90m; 0 keeps events forever");
    let duration = if text == "0" { SignedDuration::ZERO } else { text.parse().with_context(wrong)? };
    std::time::Duration::try_from(duration).with_context(wrong)
}

fn networks(flag: &str, texts: &[String]) -> anyhow::Result<Vec<IpNet>> {
    let networks = texts.iter().map(|text| network(flag, text)).collect::<anyhow::Result<Vec<IpNet>>>()?;
    one_of_each_family(flag, networks.iter().map(IpNet::addr))?;
    Ok(networks)
}

fn network(flag: &str, text: &str) -> anyhow::Result<IpNet> {
    let network: IpNet =
        text.parse().with_context(|| format!("{flag} {text:?} is not a network such as 10.42.0.0/16"))?;
    let (shortest, longest) = if network.addr().is_ipv4() { (8, 28) } else { (16, 120) };
    if network.prefix_len() > longest || network.prefix_len() < shortest {
        bail!("{flag} {text}: the prefix must be between /{shortest} and /{longest}");
    }
    Ok(network.trunc())
}

fn one_of_each_family(flag: &str, addresses: impl Iterator<Item = IpAddr>) -> anyhow::Result<()> {
    let families: Vec<bool> = addresses.map(|address| address.is_ipv4()).collect();
    let distinct = families.len() <= 2 && families.first() != families.get(1);
    ensure!(!families.is_empty() && distinct, "{flag} takes one IPv4, one IPv6, or one of each");
    Ok(())
}

/// Checks the networks of a cluster against each other.
fn check_networks(cluster: &ClusterSettings) -> anyhow::Result<()> {
    let families =
        |networks: &[IpNet]| -> Vec<bool> { networks.iter().map(|n| n.addr().is_ipv4()).collect() };
    ensure!(
        families(&cluster.cluster_cidrs) == families(&cluster.service_cidrs),
        "--cluster-cidr and --service-cidr must have the same address families in the same order"
    );
    for pods in &cluster.cluster_cidrs {
        for services in &cluster.service_cidrs {
            ensure!(
                !pods.contains(services) && !services.contains(pods),
                "--cluster-cidr {pods} and --service-cidr {services} overlap: give pods and Services networks of \
                 their own"
            );
        }
    }
    one_of_each_family("--cluster-dns", cluster.cluster_dns.iter().copied())?;
    for address in &cluster.cluster_dns {
        ensure!(
            cluster.service_cidrs.iter().any(|network| network.contains(address)),
            "--cluster-dns {address} is not within --service-cidr {}",
            cluster.service_cidrs.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",")
        );
    }
    Ok(())
}

fn host_name() -> anyhow::Result<String> {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").context("cannot read this machine's name")?;
    Ok(name.trim().to_ascii_lowercase())
}

/// The tenth address of a network of Services, as is usual with Kubernetes.
fn dns_address(network: IpNet) -> IpAddr {
    match network {
        IpNet::V4(network) => Ipv4Addr::from_bits(network.network().to_bits() + 10).into(),
        IpNet::V6(network) => Ipv6Addr::from_bits(network.network().to_bits() + 10).into(),
    }
}

/// Pods of a cluster with IPv6 reach the API by IPv6.
fn listening(address: IpAddr, cluster: &ClusterSettings) -> IpAddr {
    let has_v6 = cluster.cluster_cidrs.iter().any(|network| network.addr().is_ipv6());
    if address == Ipv4Addr::UNSPECIFIED && has_v6 { Ipv6Addr::UNSPECIFIED.into() } else { address }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Cli, Command};

    fn validate(flags: &[&str]) -> anyhow::Result<ServerConfig> {
        let arguments = ["ironhull", "server", "--node-ip=192.0.2.7"].iter().chain(flags);
        let Command::Server(flags) = Cli::parse_from(arguments).command else { panic!("no server") };
        ServerConfig::validate(*flags)
    }

    #[test]
    fn defaults_are_good() {
        let config = validate(&[]).unwrap();
        assert!(config.agent && config.node.runs("dns"));
        assert_eq!(config.node.cluster.cluster_dns, ["10.43.0.10".parse::<IpAddr>().unwrap()]);
        assert!(config.listen.is_ipv4());
        assert_eq!(config.listen.port(), 6443);
        assert_eq!(config.signing_duration, SignedDuration::from_hours(365 * 24));
        assert_eq!(config.event_ttl.as_secs(), 3600);
        assert_eq!(validate(&["--event-ttl=10m"]).unwrap().event_ttl.as_secs(), 600);
        assert!(validate(&["--event-ttl=0"]).unwrap().event_ttl.is_zero());
        assert!(validate(&["--event-ttl=-1h"]).is_err() && validate(&["--event-ttl=soon"]).is_err());
        let duration = |text: &str| validate(&[text]).unwrap().signing_duration.as_secs();
        assert_eq!(duration("--cluster-signing-duration=1m30s"), 90);
        assert_eq!(duration("--cluster-signing-duration=8760h0m0s"), 8760 * 3600);
    }

    #[test]
    fn instances_have_cgroups_of_their_own() {
        let root = |flags: &[&str]| validate(flags).unwrap().node.cgroup_root();
        assert_eq!(root(&[]), "/ironhull");
        let (one, two) = (root(&["--data-dir=/srv/one"]), root(&["--data-dir=/srv/two"]));
        assert!(one.starts_with("/ironhull-") && one != two, "{one} {two}");
    }

    #[test]
    fn a_cluster_may_have_both_families_or_ipv6_alone() {
        let flags = ["--cluster-cidr=10.42.0.0/16,fd42::/56", "--service-cidr=10.43.0.0/16,fd43::/112"];
        let config = validate(&flags).unwrap();
        let dns: Vec<String> = config.node.cluster.cluster_dns.iter().map(IpAddr::to_string).collect();
        assert_eq!(dns, ["10.43.0.10", "fd43::a"]);
        assert_eq!(config.listen.to_string(), "[::]:6443");
        let config = validate(&["--cluster-cidr=fd42::/56", "--service-cidr=fd43::/112"]).unwrap();
        assert_eq!(config.node.cluster.cluster_dns, ["fd43::a".parse::<IpAddr>().unwrap()]);
        let own = [flags[0], flags[1], "--bind-address=192.0.2.7"];
        assert_eq!(validate(&own).unwrap().listen.to_string(), "192.0.2.7:6443");
    }

    #[test]
    fn node_ports_are_at_the_nodes_own_addresses_unless_told_otherwise() {
        let named = |flags: &[&str]| -> Vec<String> {
            let node = validate(flags).unwrap().node;
            node.node_ports.of(&node.addresses.get()).iter().map(IpNet::to_string).collect()
        };
        assert_eq!(named(&[]), ["192.0.2.7/32", "127.0.0.0/8"]);
        assert_eq!(named(&["--nodeport-addresses=primary"]), ["192.0.2.7/32"]);
        let networks = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(named(&["--nodeport-addresses=10.0.0.0/8,fd00::/8"]), networks);
        assert_eq!(named(&["--nodeport-addresses=10.0.0.0/8", "--nodeport-addresses=fd00::/8"]), networks);
    }

    #[test]
    fn wrong_flags_are_named() {
        let table = [
            (["--cluster-cidr=banana"].as_slice(), "--cluster-cidr"),
            (&["--cluster-cidr=10.43.0.0/16"], "overlap"),
            (&["--cluster-dns=10.99.0.10"], "--cluster-dns"),
            (&["--disable=everything"], "--disable everything"),
            (&["--cluster-signing-duration=soon"], "--cluster-signing-duration"),
            (&["--cluster-signing-duration=0s"], "--cluster-signing-duration"),
            (&["--cluster-signing-duration=-1h"], "--cluster-signing-duration"),
            (&["--node-name=Big_Box"], "--node-name"),
            (&["--service-cidr=10.43.0.0/31", "--cluster-dns=10.43.0.1"], "--service-cidr"),
            (&["--cluster-cidr=10.42.0.0/16,fd42::/56"], "same address families"),
            (&["--cluster-cidr=10.42.0.0/16,10.44.0.0/16"], "--cluster-cidr takes one IPv4"),
            (&["--allowed-unsafe-sysctls=net.core.somaxconn,vm.swappiness"], "--allowed-unsafe-sysctls"),
            (
                &["--nodeport-addresses=primary,10.0.0.0/8"],
                "--nodeport-addresses \"primary\" is not a network",
            ),
            (&["--nodeport-addresses=192.0.2.7"], "--nodeport-addresses \"192.0.2.7\""),
            (&["--cni-conf-dir=/etc/cni/net.d"], "--flannel-backend vxlan"),
        ];
        for (flags, expected) in table {
            let error = validate(flags).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }
}
