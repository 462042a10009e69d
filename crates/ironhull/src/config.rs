//! The flags, validated once.

use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use ipnet::{IpNet, Ipv4Net};

use crate::flags::ServerFlags;

/// The parts that `--disable` knows.
const PARTS: [&str; 4] = ["dns", "proxy", "scheduler", "controllers"];

/// What `ironhull server` runs with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub listen: std::net::SocketAddr,
    /// Where else the administrator's kubeconfig goes.
    pub kubeconfig: Option<PathBuf>,
    /// The administrator's bearer token; a secret.
    pub token: Option<String>,
    /// Names and addresses for the server's certificate.
    pub tls_sans: Vec<String>,
    /// The network of pods.
    pub cluster_cidr: Ipv4Net,
    /// The network of Services.
    pub service_cidr: Ipv4Net,
    /// The address of the cluster's DNS.
    pub cluster_dns: IpAddr,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Whether this machine runs pods.
    pub agent: bool,
    /// What is left out.
    pub disabled: Vec<String>,
    /// The node's name.
    pub node_name: String,
    /// The node's address.
    pub node_ip: IpAddr,
    /// The port of the node's own API.
    pub kubelet_port: u16,
}

impl ServerConfig {
    /// Checks the flags against each other and against this machine.
    ///
    /// # Errors
    /// What is wrong, and with which flag.
    pub fn validate(flags: ServerFlags) -> anyhow::Result<ServerConfig> {
        let cluster_cidr = network("--cluster-cidr", &flags.cluster_cidr)?;
        let service_cidr = network("--service-cidr", &flags.service_cidr)?;
        ensure!(
            !cluster_cidr.contains(&service_cidr.network())
                && !service_cidr.contains(&cluster_cidr.network()),
            "--cluster-cidr {cluster_cidr} and --service-cidr {service_cidr} overlap: give pods and Services networks of their own"
        );
        ensure!(
            IpNet::from(service_cidr).contains(&flags.cluster_dns),
            "--cluster-dns {} is not within --service-cidr {service_cidr}",
            flags.cluster_dns
        );
        for part in &flags.disable {
            ensure!(PARTS.contains(&part.as_str()), "--disable {part}: the parts are {}", PARTS.join(", "));
        }
        let node_name = match flags.node_name {
            Some(name) => name,
            None => host_name()?,
        };
        let wrong = object::names::is_dns1123_subdomain(&node_name);
        ensure!(wrong.is_empty(), "--node-name {node_name:?}: {}", wrong.join("; "));
        let node_ip = match flags.node_ip {
            Some(ip) => ip,
            None => default_address().context("cannot tell this machine's address: name it by --node-ip")?,
        };
        Ok(ServerConfig {
            data_dir: flags.data_dir,
            listen: (flags.bind_address, flags.https_listen_port).into(),
            kubeconfig: flags.write_kubeconfig,
            token: flags.token,
            tls_sans: flags.tls_sans,
            cluster_cidr,
            service_cidr,
            cluster_dns: flags.cluster_dns,
            cluster_domain: flags.cluster_domain,
            agent: !flags.disable_agent,
            disabled: flags.disable,
            node_name,
            node_ip,
            kubelet_port: flags.kubelet_port,
        })
    }

    /// Whether a part runs.
    pub fn runs(&self, part: &str) -> bool {
        !self.disabled.iter().any(|disabled| disabled == part)
    }
}

fn network(flag: &str, text: &str) -> anyhow::Result<Ipv4Net> {
    let network: Ipv4Net =
        text.parse().with_context(|| format!("{flag} {text:?} is no IPv4 network such as 10.42.0.0/16"))?;
    if network.prefix_len() > 28 || network.prefix_len() < 8 {
        bail!("{flag} {text}: the prefix must be between /8 and /28");
    }
    Ok(network.trunc())
}

fn host_name() -> anyhow::Result<String> {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").context("cannot read this machine's name")?;
    Ok(name.trim().to_ascii_lowercase())
}

/// The address from which this machine would reach the world. No packet is sent: a datagram socket only looks
/// its route up.
fn default_address() -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // An address for documentation (RFC 5737), which nobody has.
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
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
        assert!(config.agent && config.runs("dns"));
        assert_eq!(config.listen.port(), 6443);
    }

    #[test]
    fn wrong_flags_are_named() {
        let table = [
            (["--cluster-cidr=banana"].as_slice(), "--cluster-cidr"),
            (&["--cluster-cidr=10.43.0.0/16"], "overlap"),
            (&["--cluster-dns=10.99.0.10"], "--cluster-dns"),
            (&["--disable=everything"], "--disable everything"),
            (&["--node-name=Big_Box"], "--node-name"),
            (&["--service-cidr=10.43.0.0/31", "--cluster-dns=10.43.0.1"], "--service-cidr"),
        ];
        for (flags, expected) in table {
            let error = validate(flags).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }
}
