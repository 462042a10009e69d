//! Name resolution of a pod (`pkg/kubelet/network/dns`).

use std::net::IpAddr;

use cri::DnsConfig;
use k8s_openapi::api::core::v1::PodDNSConfig;

use crate::pod::PodInfo;

/// The maximum number of name servers.
const SERVERS_MAX: usize = 3;
/// The maximum number and total length of a pod's search domains; upstream's limits (KEP-2595).
const SEARCHES_MAX: usize = 32;
const SEARCH_LINE_MAX: usize = 2048;
/// The longest search domain: some resolvers abort for longer ones.
const SEARCH_MAX: usize = 253;

/// The content of the node's `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostResolver(pub(crate) DnsConfig);

impl HostResolver {
    /// Reads the text of a `resolv.conf`. The last `search` counts, as in the C library.
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

/// The resolver of a pod.
#[derive(Debug)]
pub(crate) struct PodResolver {
    pub(crate) config: DnsConfig,
    /// The pod wants the cluster's DNS, but the node knows none.
    pub(crate) lacks_cluster_dns: bool,
    /// Omitted entries that exceed the limits, for users.
    pub(crate) left_out: Vec<String>,
}

/// Makes the resolver of a pod from its policy, its own configuration, the node's and the cluster's.
pub(crate) fn dns_config(
    pod: &PodInfo,
    host: &HostResolver,
    cluster_dns: &[IpAddr],
    cluster_domain: &str,
) -> PodResolver {
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
    let left_out = limit(&mut config);
    PodResolver { config, lacks_cluster_dns: wants_cluster && cluster_dns.is_empty(), left_out }
}

/// Omits entries beyond the limits of resolvers; returns a text for each kind.
fn limit(config: &mut DnsConfig) -> Vec<String> {
    let mut left_out = Vec::new();
    if config.servers.len() > SERVERS_MAX {
        config.servers.truncate(SERVERS_MAX);
        left_out.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            config.servers.join(" ")
        ));
    }
    let count = config.searches.len();
    config.searches.truncate(SEARCHES_MAX);
    config.searches.retain(|domain| domain.len() <= SEARCH_MAX);
    while config.searches.join(" ").len() > SEARCH_LINE_MAX {
        config.searches.pop();
    }
    if config.searches.len() < count {
        left_out.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            config.searches.join(" ")
        ));
    }
    left_out
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
            let config = dns_config(&PodInfo::new(Arc::new(pod)), &host, &cluster, "cluster.local").config;
            assert_eq!(config.servers.join(" "), servers);
            assert_eq!(config.searches.join(" "), searches);
            assert_eq!(config.options.join(" "), options);
        }
    }

    #[test]
    fn what_is_too_much_is_left_out_and_told() {
        let list = |count: usize, make: &dyn Fn(usize) -> String| (0..count).map(make).collect::<Vec<_>>();
        let servers = list(4, &|n| format!("192.0.2.{n}"));
        let cases = [
            (list(3, &|n| format!("d{n}")), 3),
            (list(40, &|n| format!("d{n}")), 32),
            // One that is too long, between others.
            (vec!["a".into(), "x".repeat(254), "b".into()], 2),
            // Ten domains of 203 characters and the spaces between them fit.
            (list(20, &|n| format!("{n:02}.{}", "x".repeat(200))), 10),
        ];
        for (searches, kept) in cases {
            let mut config =
                DnsConfig { servers: servers.clone(), searches: searches.clone(), options: vec![] };
            let left_out = limit(&mut config);
            assert_eq!((config.servers.len(), config.searches.len()), (3, kept), "{searches:?}");
            assert!(left_out[0].ends_with("the applied nameserver line is: 192.0.2.0 192.0.2.1 192.0.2.2"));
            assert_eq!(left_out.len(), 1 + usize::from(kept < searches.len()), "{searches:?}");
        }
    }
}
