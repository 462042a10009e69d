//! Clusters with both address families, and with IPv6 only.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Host, Server};

use crate::images;
use crate::support::{Cluster, Namespace, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        timed_trial(format!("dual_stack::{name}"), move || {
            test();
            Ok(())
        })
    };
    vec![
        trial("a_service_is_answered_on_both_families", a_service_is_answered_on_both_families),
        trial("ipv6_alone_is_a_cluster", ipv6_alone_is_a_cluster),
    ]
}

fn cluster(pods: &str, services: &str) -> Arc<Cluster> {
    let host = Arc::new(Host::new().unwrap_or_else(|error| panic!("{error:?}")));
    let registry = images::start_registry(&host);
    let flags = [format!("--cluster-cidr={pods}"), format!("--service-cidr={services}")];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = Server::start(&host, PROGRAM, &flags).unwrap_or_else(|error| panic!("{error:?}"));
    Arc::new(Cluster::of(server, registry))
}

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: c
    image: $BUSYBOX
    env: [{name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}]
    command: [sh, -c, "mkdir /www && echo $IPS > /www/index.html && httpd -f -p 80 -h /www"]
    readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

/// The items of a list field, by JSONPath.
fn list(namespace: &Namespace, object: &str, path: &str) -> Vec<String> {
    namespace.field(object, path).split_whitespace().map(str::to_owned).collect()
}

/// The page that a pod sees at an address or name. Debian's static busybox has no wget that survives a refusal.
fn page(namespace: &Namespace, from: &str, address: &str) -> String {
    let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} 80");
    namespace.until(&format!("a page from {address}"), || {
        let mut exec = namespace.kubectl(&["exec", from, "--", "sh", "-c", &script]);
        let answer = testbed::output(&mut exec).map_err(|error| error.to_string())?;
        let page = answer.split_once("\r\n\r\n").filter(|(head, _)| head.contains(" 200 "));
        page.map(|(_, page)| page.to_owned()).ok_or(answer)
    })
}

fn a_service_is_answered_on_both_families() {
    let cluster = cluster("10.42.0.0/16,fd42::/56", "10.43.0.0/16,fd43::/112");
    let namespace = Namespace::new(&cluster, "both");
    let node = format!("node/{}", cluster.host().name());
    assert_eq!(list(&namespace, &node, ".spec.podCIDRs[*]"), ["10.42.0.0/24", "fd42::/64"]);
    let internal = list(&namespace, &node, ".status.addresses[?(@.type==\"InternalIP\")].address");
    assert_eq!(internal.len(), 2, "{internal:?}");

    namespace.apply(PODS);
    namespace.wait("pod/web", "condition=Ready");
    namespace.wait("pod/client", "condition=Ready");
    let ips = list(&namespace, "pod/web", ".status.podIPs[*].ip");
    assert!(ips[0].starts_with("10.42.0.") && ips[1].starts_with("fd42::"), "{ips:?}");
    assert_eq!(list(&namespace, "pod/web", ".status.hostIPs[*].ip"), internal);
    let expected = format!("{}\n", ips.join(","));
    for ip in &ips {
        assert_eq!(page(&namespace, "client", ip), expected, "{ip}");
    }
    let hosts = namespace.exec("client", "cat /etc/hosts");
    for ip in list(&namespace, "pod/client", ".status.podIPs[*].ip") {
        assert!(hosts.contains(&format!("{ip}\tclient\n")), "{hosts}");
    }

    // One family at first; a patch adds the second one, and another removes it.
    assert_eq!(list(&namespace, "service/web", ".spec.ipFamilies[*]"), ["IPv4"]);
    namespace.run(&["patch", "service", "web", "-p", r#"{"spec":{"ipFamilyPolicy":"PreferDualStack"}}"#]);
    assert_eq!(list(&namespace, "service/web", ".spec.ipFamilies[*]"), ["IPv4", "IPv6"]);
    let addresses = list(&namespace, "service/web", ".spec.clusterIPs[*]");
    for address in &addresses {
        assert_eq!(page(&namespace, "client", address), expected, "{address}");
        let owner = namespace.field(&format!("ipaddress/{address}"), ".spec.parentRef.name");
        assert_eq!(owner, "web", "{address}");
    }
    // Both servers know both.
    let servers = namespace.exec("client", "grep nameserver /etc/resolv.conf");
    assert_eq!(servers, "nameserver 10.43.0.10\nnameserver fd43::a\n");
    for server in ["10.43.0.10", "fd43::a"] {
        namespace.until(&format!("both addresses of web from {server}"), || {
            let answer =
                namespace.exec("client", &format!("nslookup web.both.svc.cluster.local {server} || true"));
            let all = addresses.iter().all(|address| answer.contains(&format!("Address: {address}\n")));
            if all { Ok(()) } else { Err(answer) }
        });
    }
    namespace.run(&["patch", "service", "web", "-p", r#"{"spec":{"ipFamilyPolicy":"SingleStack"}}"#]);
    assert_eq!(list(&namespace, "service/web", ".spec.clusterIPs[*]"), [addresses[0].as_str()]);
    assert_eq!(page(&namespace, "client", &addresses[0]), expected);
    namespace.fails(&["get", &format!("ipaddress/{}", addresses[1])]);
}

fn ipv6_alone_is_a_cluster() {
    let cluster = cluster("fd42::/56", "fd43::/112");
    let namespace = Namespace::new(&cluster, "six");
    namespace.apply(PODS);
    // The probe uses IPv6 too.
    namespace.wait("pod/web", "condition=Ready");
    namespace.wait("pod/client", "condition=Ready");
    let ips = list(&namespace, "pod/web", ".status.podIPs[*].ip");
    assert!(ips.len() == 1 && ips[0].starts_with("fd42::"), "{ips:?}");
    let addresses = list(&namespace, "service/web", ".spec.clusterIPs[*]");
    assert!(addresses.len() == 1 && addresses[0].starts_with("fd43::"), "{addresses:?}");
    let expected = format!("{}\n", ips[0]);
    assert_eq!(page(&namespace, "client", &addresses[0]), expected);
    assert_eq!(page(&namespace, "client", "web.six.svc.cluster.local"), expected, "by its name");
    // The API from within a pod.
    let said = namespace.exec("client", "nc -w 5 kubernetes.default.svc 443 < /dev/null && echo open");
    assert_eq!(said, "open\n");
    let logs = namespace.run(&["exec", "web", "--", "cat", "/www/index.html"]);
    assert_eq!(logs, expected, "the way to the node's own API");
}
