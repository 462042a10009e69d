//! The host name of a pod and its `/etc/hosts`.

use std::fmt::Write;

use crate::pod::PodInfo;

/// The longest label of a domain name.
const LABEL_MAX: usize = 63;
/// The longest host name that Linux accepts.
const HOSTNAME_MAX: usize = 64;

/// The first label of the pod's host name, and the domain it is in (empty for none).
pub(crate) fn hostname(pod: &PodInfo, cluster_domain: &str) -> (String, String) {
    let spec = pod.spec();
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(name) = set(&spec.hostname_override) {
        return (name, String::new());
    }
    let name = set(&spec.hostname).unwrap_or_else(|| {
        let cut: String = pod.key.name.chars().take(LABEL_MAX).collect();
        cut.trim_end_matches(['-', '.']).to_owned()
    });
    let domain =
        set(&spec.subdomain).map(|sub| format!("{sub}.{}.svc.{cluster_domain}", pod.key.namespace()));
    (name, domain.unwrap_or_default())
}

/// The kernel's host name: with the domain if the pod requests it and it fits.
pub(super) fn kernel_hostname(pod: &PodInfo, cluster_domain: &str) -> String {
    let (name, domain) = hostname(pod, cluster_domain);
    if pod.spec().set_hostname_as_fqdn != Some(true) || domain.is_empty() {
        return name;
    }
    let full = format!("{name}.{domain}");
    if full.len() <= HOSTNAME_MAX { full } else { name }
}

/// The content of a pod's `/etc/hosts`. `host` is the node's own, for pods in its network.
pub(crate) fn hosts_file(pod: &PodInfo, ips: &[String], cluster_domain: &str, host: &str) -> String {
    let mut text = String::new();
    if pod.host_network() {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(host);
    } else {
        text.push_str(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let (name, domain) = hostname(pod, cluster_domain);
        for ip in ips {
            match domain.as_str() {
                "" => text.push_str(&format!("{ip}\t{name}\n")),
                domain => text.push_str(&format!("{ip}\t{name}.{domain}\t{name}\n")),
            }
        }
    }
    let aliases = pod.spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        writeln!(text, "{}\t{names}", alias.ip).expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    fn pod(name: &str, mut spec: serde_json::Value) -> PodInfo {
        spec["containers"] = json!([]);
        let pod = json!({"metadata": {"name": name, "namespace": "a"}, "spec": spec});
        PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap()))
    }

    #[test]
    fn host_names_are_short_or_full() {
        let long = "x".repeat(62) + "-yyy";
        let cases = [
            (pod("web", json!({})), "web"),
            (pod(&long, json!({})), &"x".repeat(62)),
            (pod("web", json!({"hostname": "h"})), "h"),
            (pod("web", json!({"hostname": "h", "subdomain": "s"})), "h"),
            (
                pod("web", json!({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true})),
                "h.s.a.svc.c.l",
            ),
        ];
        for (pod, name) in cases {
            assert_eq!(kernel_hostname(&pod, "c.l"), name);
        }
    }

    #[test]
    fn the_hosts_file_names_the_pod_and_its_aliases() {
        let pod = pod(
            "web",
            json!({"subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["x", "y"]}]}),
        );
        let text = hosts_file(&pod, &["10.0.0.1".into()], "c.l", "");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        let tail = "10.0.0.1\tweb.s.a.svc.c.l\tweb\n\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n";
        assert!(text.ends_with(tail), "{text}");
    }
}
