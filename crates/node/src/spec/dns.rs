//! Name resolution of a pod (`pkg/kubelet/network/dns`).

use std::net::IpAddr;

use k8s_openapi::api::core::v1::PodDNSConfig;
use runtime::cri::DnsConfig;

use crate::pod::PodInfo;

/// What the node's `resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostResolver(pub(crate) DnsConfig);

impl HostResolver {
    /// Reads the text of a `resolv.conf`. As in the C library the last `search` counts.
    pub(crate) fn parse(text: &str) -> HostResolver {
        let mut config = DnsConfig::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => config.servers.extend(words.next()),
                Some("search") => config.searches = words.map(|domain| trim_dot(&domain)).collect(),
                Some("options") => config.options = words.collect(),
                _ => {}
            }
        }
        HostResolver(config)
    }
}

fn trim_dot(domain: &str) -> String {
    domain.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(domain).to_owned()
}

/// The resolver of a pod. The flag says that the pod wants the cluster's DNS, but the node knows none.
pub(crate) fn dns_config(
    pod: &PodInfo,
    host: &HostResolver,
    cluster_dns: &[IpAddr],
    cluster_domain: &str,
) -> (DnsConfig, bool) {
    let policy = pod.spec().dns_policy.as_deref().unwrap_or("ClusterFirst");
    let wants_cluster = match policy {
        "ClusterFirst" => !pod.host_network(),
        policy => policy == "ClusterFirstWithHostNet",
    };
    let mut config = match policy {
        "None" => DnsConfig::default(),
        _ if wants_cluster && !cluster_dns.is_empty() => {
            let mut searches = Vec::new();
            if !cluster_domain.is_empty() {
                searches.push(format!("{}.svc.{cluster_domain}", pod.key.namespace()));
                searches.push(format!("svc.{cluster_domain}"));
                searches.push(cluster_domain.to_owned());
            }
            append_new(&mut searches, &host.0.searches);
            DnsConfig {
                servers: cluster_dns.iter().map(ToString::to_string).collect(),
                searches,
                options: vec!["ndots:5".to_owned()],
            }
        }
        _ => host.0.clone(),
    };
    if let Some(own) = &pod.spec().dns_config {
        add(&mut config, own);
    }
    (config, wants_cluster && cluster_dns.is_empty())
}

fn append_new(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn add(config: &mut DnsConfig, own: &PodDNSConfig) {
    append_new(&mut config.servers, own.nameservers.as_deref().unwrap_or_default());
    append_new(&mut config.searches, own.searches.as_deref().unwrap_or_default());
    for option in own.options.iter().flatten() {
        let name = option.name.as_deref().unwrap_or_default();
        config.options.retain(|known| known.split(':').next() != Some(name));
        config.options.push(match option.value.as_deref() {
            Some(value) => format!("{name}:{value}"),
            None => name.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn policies_choose_servers() {
        let host =
            HostResolver::parse("# comment\nnameserver 1.1.1.1\nsearch corp.example. \noptions rotate\n");
        let cluster = ["10.43.0.10".parse().unwrap()];
        let cases = [
            (
                json!({}),
                "10.43.0.10",
                "a.svc.cluster.local svc.cluster.local cluster.local corp.example",
                "ndots:5",
            ),
            (json!({"dnsPolicy": "Default"}), "1.1.1.1", "corp.example", "rotate"),
            (json!({"hostNetwork": true}), "1.1.1.1", "corp.example", "rotate"),
            (
                json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": ["x"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
                "9.9.9.9",
                "x",
                "ndots:2 edns0",
            ),
            (
                json!({"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}),
                "10.43.0.10",
                "a.svc.cluster.local svc.cluster.local cluster.local corp.example",
                "ndots:1",
            ),
        ];
        for (mut spec, servers, searches, options) in cases {
            spec["containers"] = json!([]);
            let pod =
                serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a"}, "spec": spec}))
                    .unwrap();
            let (config, _) = dns_config(&PodInfo::new(Arc::new(pod)), &host, &cluster, "cluster.local");
            assert_eq!(config.servers.join(" "), servers);
            assert_eq!(config.searches.join(" "), searches);
            assert_eq!(config.options.join(" "), options);
        }
    }
}
