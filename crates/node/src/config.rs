//! Configuration of a node agent.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Taint;
use metrics::Exposition;
use rustls::pki_types::CertificateDer;
use tls::Identity;
use tokio::sync::watch;

use crate::pressure::EvictionConfig;
use crate::sysctl::SysctlAllowlist;

/// The version that the node reports: that of the kubelet it corresponds to.
pub const KUBELET_VERSION: &str = "v1.37.0";

/// The settings of a node agent, validated by the code that creates them.
#[derive(Debug)]
pub struct NodeConfig {
    /// The name of the Node object.
    pub node_name: String,
    /// The node's addresses; the first is its primary one. They may change at any time.
    pub node_ips: watch::Receiver<Vec<IpAddr>>,
    /// The directory of the pods' volumes; created if missing.
    pub root_dir: PathBuf,
    /// Where containers' logs are: `<log_dir>/<namespace>_<pod>_<uid>/<container>/<n>.log`.
    pub log_dir: PathBuf,
    /// The host's own logs, which the node API shows at `/logs/`.
    pub host_log_dir: PathBuf,
    /// Where links to the logs are made for collectors (upstream's `/var/log/containers`); `None` for none.
    pub log_links_dir: Option<PathBuf>,
    /// The directory of seccomp profiles that pods may name.
    pub seccomp_dir: PathBuf,
    /// The kernel parameters that pods may set.
    pub sysctls: SysctlAllowlist,
    /// The name servers of pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster, without dots at its ends.
    pub cluster_domain: String,
    /// The node's own name resolution.
    pub resolv_conf: PathBuf,
    /// The port of the node API; 0 takes any free one.
    pub port: u16,
    /// The address that the node API listens on.
    pub bind_address: IpAddr,
    /// TLS for the node API; without it, the node API is not served.
    pub tls: Option<ServingTls>,
    /// Additional labels of the Node object.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Node object.
    pub annotations: BTreeMap<String, String>,
    /// The annotation that identifies the machine: a Node with this name but another value, or none, belongs to another
    /// machine and is left alone.
    pub machine_annotation: Option<String>,
    /// Taints that the node registers with.
    pub taints: Vec<Taint>,
    /// How many pods may run.
    pub pods_max: u32,
    /// The cgroup of all pods, a path from the hierarchy's root.
    pub cgroup_root: String,
    /// The size of a log file at which a new one begins, in bytes.
    pub log_bytes_max: u64,
    /// The maximum number of log files per container.
    pub log_files_max: usize,
    /// When pods are evicted.
    pub eviction: EvictionConfig,
    /// How full the disk of images may be, in percent, before images that nothing uses are removed, and down to what
    /// level. 100 disables this.
    pub image_gc_high_percent: u8,
    /// See [`image_gc_high_percent`](Self::image_gc_high_percent).
    pub image_gc_low_percent: u8,
    /// What the node shows at its own `/metrics`. The agent adds what it measures of itself.
    pub exposition: Exposition,
}

/// The certificate of the node API, and the CAs that it trusts.
#[derive(Debug)]
pub struct ServingTls {
    /// The certificate and its key, which may be renewed.
    pub identity: Arc<Identity>,
    /// The authorities of clients' certificates.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

impl NodeConfig {
    /// Upstream's defaults for a node of this name and address.
    pub fn new(node_name: impl Into<String>, node_ip: IpAddr, root_dir: impl Into<PathBuf>) -> NodeConfig {
        NodeConfig {
            node_name: node_name.into(),
            node_ips: watch::Sender::new(vec![node_ip]).subscribe(),
            root_dir: root_dir.into(),
            log_dir: "/var/log/pods".into(),
            host_log_dir: "/var/log".into(),
            log_links_dir: None,
            seccomp_dir: "/var/lib/kubelet/seccomp".into(),
            sysctls: SysctlAllowlist::default(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            port: 10250,
            bind_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            tls: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            machine_annotation: None,
            taints: Vec::new(),
            pods_max: 110,
            cgroup_root: "/kubepods".to_owned(),
            log_bytes_max: 10 << 20,
            log_files_max: 5,
            eviction: EvictionConfig::default(),
            image_gc_high_percent: 85,
            image_gc_low_percent: 80,
            exposition: Exposition::default(),
        }
    }

    /// The address of the node API.
    pub(crate) fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(self.bind_address, self.port)
    }
}
