//! Names, as pods see them: the `[sig-network] DNS` tests of the conformance suite, whose titles are above ours.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::OUTSIDE_ADDRESS;

use crate::support::{Cluster, Namespace, SharedCluster, timed_trial, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "dns", name, test);
    vec![
        trial("should_provide_dns_for_the_cluster", should_provide_dns_for_the_cluster),
        trial("should_provide_dns_for_services", should_provide_dns_for_services),
        trial("should_provide_dns_for_pods_by_host_name", should_provide_dns_for_pods_by_host_name),
        trial("should_provide_dns_for_external_names", should_provide_dns_for_external_names),
        trial("should_support_configurable_name_servers", should_support_configurable_name_servers),
        // In a separate cluster: while its Service is broken, others get no answers.
        timed_trial("dns::the_service_is_as_it_should_be", || {
            the_service_is_as_it_should_be(&Namespace::new(&Arc::new(Cluster::start()), "dns-service"));
            Ok(())
        }),
        trial("names_of_other_servers", names_of_other_servers),
        trial("dig_gets_what_it_asks_for", dig_gets_what_it_asks_for),
    ]
}

/// A pod to send queries from.
const CLIENT: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
"#;

/// Asks by `nslookup` in the pod `client` until the answer has all of `expected`.
fn resolves(namespace: &Namespace, question: &str, expected: &[&str]) {
    namespace.until(&format!("{expected:?} in the answer to {question}"), || {
        let answer = namespace.exec("client", &format!("nslookup {question} 2>&1 || true"));
        if expected.iter().all(|text| answer.contains(text)) { Ok(()) } else { Err(answer) }
    });
}

/// "[sig-network] DNS should provide DNS for the cluster [Conformance]", and
/// "[sig-network] DNS should provide /etc/hosts entries for the cluster [Conformance]"
fn should_provide_dns_for_the_cluster(namespace: &Namespace) {
    namespace.apply(CLIENT);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: on-host}
spec:
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
---
apiVersion: v1
kind: Pod
metadata: {name: named}
spec:
  hostname: dns-querier-1
  subdomain: dns-test-service
  hostAliases: [{ip: 192.0.2.44, hostnames: [friend, friend.example]}]
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
"#,
    );
    namespace.wait("pod/client", "condition=Ready");
    resolves(namespace, "kubernetes.default.svc.cluster.local", &["Address: 10.43.0.1\n"]);
    resolves(namespace, "10.43.0.1", &["name = kubernetes.default.svc.cluster.local"]);
    // By TCP and from a pod in the host's network, too.
    namespace.wait("pod/on-host", "condition=Ready");
    let said = namespace.exec("on-host", "ping -c 1 -W 1 kubernetes.default | head -1");
    assert!(said.starts_with("PING kubernetes.default (10.43.0.1)"), "{said}");
    namespace.wait("pod/named", "condition=Ready");
    let place = &namespace.name;
    let full = format!("dns-querier-1.dns-test-service.{place}.svc.cluster.local");
    let hosts = namespace.exec("named", "cat /etc/hosts");
    let ip = namespace.field("pod/named", ".status.podIP");
    assert!(hosts.contains(&format!("{ip}\t{full}\tdns-querier-1\n")), "{hosts}");
    assert!(hosts.contains("192.0.2.44\tfriend\tfriend.example\n"), "{hosts}");
    assert_eq!(namespace.exec("named", "hostname -f").trim(), full);
}

/// "[sig-network] DNS should provide DNS for services [Conformance]", and "[sig-network] DNS should resolve DNS of
/// partial qualified names for services [LinuxOnly] [Conformance]"
fn should_provide_dns_for_services(namespace: &Namespace) {
    namespace.apply(CLIENT);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Service
metadata: {name: test-service}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80}]}
"#,
    );
    namespace.wait("pod/client", "condition=Ready");
    namespace.wait("pod/web", "condition=Ready");
    let place = &namespace.name;
    let address = namespace.field("service/test-service", ".spec.clusterIP");
    let pod = namespace.field("pod/web", ".status.podIP");
    let dashed = pod.replace('.', "-");
    let (service, headless) = (format!("test-service.{place}.svc"), format!("headless.{place}.svc"));
    resolves(namespace, &format!("{service}.cluster.local"), &[&format!("Address: {address}\n")]);
    resolves(namespace, &format!("{headless}.cluster.local"), &[&format!("Address: {pod}\n")]);
    // Partial names go through the search domains, by the resolver of the C library as well as by nslookup.
    for name in ["test-service", &format!("test-service.{place}"), &*service] {
        let said = namespace.exec("client", &format!("ping -c 1 -W 1 {name} | head -1"));
        assert!(said.contains(&format!("({address})")), "{said}");
    }
    resolves(
        namespace,
        &format!("-type=srv _http._tcp.{service}.cluster.local"),
        &[&format!("service = 0 100 80 {service}.cluster.local")],
    );
    resolves(
        namespace,
        &format!("-type=srv _http._tcp.{headless}.cluster.local"),
        &[&format!("service = 0 100 80 {dashed}.{headless}.cluster.local")],
    );
    resolves(namespace, &address, &[&format!("name = {service}.cluster.local")]);
    resolves(namespace, &pod, &[&format!("name = {dashed}.{headless}.cluster.local")]);
    resolves(namespace, &format!("{dashed}.{place}.pod.cluster.local"), &[&format!("Address: {pod}\n")]);
    // The name of a deleted Service is gone too.
    namespace.run(&["delete", "service", "test-service"]);
    resolves(namespace, &format!("{service}.cluster.local"), &["NXDOMAIN"]);
}

/// "[sig-network] DNS should provide DNS for pods for Hostname [Conformance]", and
/// "[sig-network] DNS should provide DNS for pods for Subdomain [Conformance]"
fn should_provide_dns_for_pods_by_host_name(namespace: &Namespace) {
    namespace.apply(CLIENT);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  hostname: dns-querier-2
  subdomain: dns-test-service-2
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
---
apiVersion: v1
kind: Service
metadata: {name: dns-test-service-2}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80}]}
"#,
    );
    namespace.wait("pod/client", "condition=Ready");
    namespace.wait("pod/web", "condition=Ready");
    let place = &namespace.name;
    let pod = namespace.field("pod/web", ".status.podIP");
    let service = format!("dns-test-service-2.{place}.svc.cluster.local");
    let name = format!("dns-querier-2.{service}");
    resolves(namespace, &name, &[&format!("Address: {pod}\n")]);
    resolves(namespace, &service, &[&format!("Address: {pod}\n")]);
    resolves(namespace, &pod, &[&format!("name = {name}")]);
    resolves(namespace, &format!("-type=srv _http._tcp.{service}"), &[&format!("0 100 80 {name}")]);
}

/// "[sig-network] DNS should provide DNS for ExternalName services [Conformance]"
fn should_provide_dns_for_external_names(namespace: &Namespace) {
    namespace.apply(CLIENT);
    namespace.run(&["create", "service", "externalname", "away", "--external-name=foo.example.com"]);
    namespace.wait("pod/client", "condition=Ready");
    let place = &namespace.name;
    let name = format!("away.{place}.svc.cluster.local");
    resolves(namespace, &format!("-type=cname {name}"), &["canonical name = foo.example.com"]);
    namespace.run(&["patch", "service", "away", "-p", r#"{"spec":{"externalName":"bar.example.com"}}"#]);
    resolves(namespace, &format!("-type=cname {name}"), &["canonical name = bar.example.com"]);
    // An alias to a name of the cluster is followed.
    let target = r#"{"spec":{"externalName":"kubernetes.default.svc.cluster.local"}}"#;
    namespace.run(&["patch", "service", "away", "-p", target]);
    resolves(namespace, &name, &["Address: 10.43.0.1\n"]);
    namespace.run(&[
        "patch",
        "service",
        "away",
        "-p",
        r#"{"spec":{"type":"ClusterIP","externalName":null,"ports":[{"port":80,"protocol":"TCP"}]}}"#,
    ]);
    let address = namespace.field("service/away", ".spec.clusterIP");
    resolves(namespace, &name, &[&format!("Address: {address}\n")]);
}

/// "[sig-network] DNS should support configurable pod DNS nameservers [Conformance]"
fn should_support_configurable_name_servers(namespace: &Namespace) {
    let server = OUTSIDE_ADDRESS.to_string();
    namespace.apply(
        &r#"
apiVersion: v1
kind: Pod
metadata: {name: own}
spec:
  dnsPolicy: None
  dnsConfig: {nameservers: [$SERVER], searches: [resolv.conf.local], options: [{name: ndots, value: "3"}]}
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
"#
        .replace("$SERVER", &server),
    );
    namespace.wait("pod/own", "condition=Ready");
    let config = namespace.exec("own", "cat /etc/resolv.conf");
    for line in ["search resolv.conf.local\n", &format!("nameserver {server}\n"), "options ndots:3\n"] {
        assert!(config.contains(line), "{config}");
    }
}

/// The Service has the ports and addresses that clients rely on, and each node has its own endpoint.
fn the_service_is_as_it_should_be(namespace: &Namespace) {
    let field = |object: &str, path: &str| {
        let path = format!("jsonpath={{{path}}}");
        namespace.run(&["-n", "kube-system", "get", object, "-o", &path])
    };
    namespace.until("the Service kube-dns", || match field("service/kube-dns", ".spec.clusterIP") {
        ip if ip == "10.43.0.10" => Ok(()),
        other => Err(other),
    });
    assert_eq!(field("service/kube-dns", ".spec.ports[*].name"), "dns dns-tcp");
    assert_eq!(field("service/kube-dns", ".spec.trafficDistribution"), "PreferSameNode");
    let node = namespace.cluster.host().name();
    let slice = format!("endpointslice/kube-dns-ipv4-{node}");
    assert_eq!(field(&slice, ".endpoints[0].nodeName"), node);
    assert_eq!(field(&slice, ".metadata.ownerReferences[0].kind"), "Node");
    assert_eq!(field(&slice, ".endpoints[0].conditions.ready"), "true");
    // Accidental changes are repaired.
    namespace.run(&["-n", "kube-system", "delete", &slice]);
    namespace.until("the slice again", || {
        let mut get = namespace.kubectl(&["-n", "kube-system", "get", &slice]);
        testbed::output(&mut get).map_err(|error| error.to_string())
    });
    let annotation = "ironhull.io/dns-endpoints";
    namespace.run(&["annotate", "node", node, &format!("{annotation}=192.0.2.1:53"), "--overwrite"]);
    namespace.until("the annotation again", || {
        let text =
            namespace.field(&format!("node/{node}"), r".metadata.annotations.ironhull\.io/dns-endpoints");
        if text.starts_with("10.42.0.1:") { Ok(()) } else { Err(text) }
    });
}

/// The host's own servers, then those of the cluster's configuration; errors in it are reported and change nothing.
fn names_of_other_servers(namespace: &Namespace) {
    let host = namespace.cluster.host();
    let serve = |name: &str, port: &str, address: &str| {
        let mut dnsmasq = host.command_outside("dnsmasq");
        dnsmasq.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
        ]);
        dnsmasq.args([
            &format!("--listen-address={OUTSIDE_ADDRESS}"),
            &format!("--port={port}"),
            "--pid-file=",
        ]);
        dnsmasq.args(["--user=root", &format!("--address=/test/{address}")]);
        host.start(name, dnsmasq).unwrap()
    };
    let _own = serve("dns-own", "53", "192.0.2.10");
    let _corp = serve("dns-corp", "5353", "192.0.2.20");
    namespace.apply(CLIENT);
    namespace.wait("pod/client", "condition=Ready");
    resolves(namespace, "www.outside.test", &["Address: 192.0.2.10\n"]);
    // By an alias of the cluster too.
    namespace.run(&["create", "service", "externalname", "away", "--external-name=far.outside.test"]);
    let alias = format!("away.{}.svc.cluster.local", namespace.name);
    resolves(namespace, &alias, &["canonical name = far.outside.test", "Address: 192.0.2.10\n"]);
    let stubs = format!(r#"--from-literal=stubDomains={{"corp.test": ["{OUTSIDE_ADDRESS}:5353"]}}"#);
    namespace.run(&["-n", "kube-system", "create", "configmap", "kube-dns", &stubs]);
    resolves(namespace, "www.corp.test", &["Address: 192.0.2.20\n"]);
    resolves(namespace, "mail.outside.test", &["Address: 192.0.2.10\n"]);
    let wrong = r#"{"data":{"stubDomains":"{\"corp.test\": [\"banana\"]}"}}"#;
    namespace.run(&["-n", "kube-system", "patch", "configmap", "kube-dns", "-p", wrong]);
    namespace.until_output(
        &["-n", "kube-system", "get", "events", "--field-selector=reason=InvalidDNSConfig"],
        "stubDomains: corp.test: \"banana\" is not an address",
    );
    resolves(namespace, "ftp.corp.test", &["Address: 192.0.2.20\n"]);
    namespace.run(&["-n", "kube-system", "delete", "configmap", "kube-dns"]);
    resolves(namespace, "gopher.corp.test", &["Address: 192.0.2.10\n"]);
}

/// The protocol with `dig`: transports, sizes, types, classes, and queries that are not served.
fn dig_gets_what_it_asks_for(namespace: &Namespace) {
    let host = namespace.cluster.host();
    let dig = |arguments: &str| {
        let mut dig = host.command("dig");
        dig.args(["@10.43.0.10", "+tries=1", "+time=5"]).args(arguments.split(' '));
        // It fails for transfers that are refused, and says so.
        let output = dig.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let name = "kubernetes.default.svc.cluster.local";
    namespace.until("the first answer", || match dig(&format!("+short {name}")) {
        answer if answer == "10.43.0.1\n" => Ok(()),
        other => Err(other),
    });
    assert_eq!(dig(&format!("+tcp +short {name}")), "10.43.0.1\n");
    assert_eq!(dig("+short -x 10.43.0.1"), format!("{name}.\n"));
    assert_eq!(dig(&format!("+short {name} SRV")), format!("0 100 443 {name}.\n"));
    assert_eq!(dig("+short dns-version.cluster.local TXT"), "\"1.1.0\"\n");
    // Each question of a connection, one after the other.
    let two = dig(&format!("+tcp +keepopen +short {name} dns-version.cluster.local TXT"));
    assert_eq!(two, "10.43.0.1\n\"1.1.0\"\n");
    for (arguments, expected) in [
        // The spelling of the question, and flags.
        (
            "+noall +answer KUBERNETES.Default.svc.cluster.LOCAL",
            "KUBERNETES.Default.svc.cluster.LOCAL. 5 IN A",
        ),
        (name, "flags: qr aa rd ra; QUERY: 1, ANSWER: 1"),
        (&format!("{name} AAAA"), "status: NOERROR"),
        (&format!("{name} AAAA"), "hostmaster.cluster.local."),
        (&format!("{name} ANY"), "status: NOERROR"),
        (&format!("{name} TYPE65400"), "status: NOERROR"),
        ("no.such.name.cluster.local", "status: NXDOMAIN"),
        ("cluster.local SOA", "ns.dns.cluster.local. hostmaster.cluster.local."),
        (&format!("+dnssec {name}"), "flags: do; udp: 1232"),
        (&format!("+ednsopt=65001:abcd +bufsize=900 {name}"), "udp: 1232"),
        (&format!("+edns=1 +noednsnegotiation {name}"), "status: BADVERS"),
        ("version.bind CH TXT", "status: REFUSED"),
        (&format!("+opcode=notify {name}"), "status: NOTIMP"),
        (&format!("+opcode=update {name}"), "status: NOTIMP"),
        ("cluster.local AXFR", "; Transfer failed."),
    ] {
        let answer = dig(arguments);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&answer).contains(expected), "dig {arguments}: {answer}");
    }
    // More than fits into a datagram.
    let addresses: Vec<String> = (1..=100).map(|n| format!("{{addresses: [198.18.0.{n}]}}")).collect();
    namespace.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: many}}\nspec: {{clusterIP: None, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nports: [{{port: 80}}]\n\
         metadata: {{name: many-1, labels: {{kubernetes.io/service-name: many}}}}\nendpoints: [{}]\n",
        addresses.join(", ")
    ));
    let many = format!("many.{}.svc.cluster.local", namespace.name);
    namespace.until("all addresses, by TCP after a cut answer", || {
        let answer = dig(&format!("+short {many}"));
        if answer.lines().count() == 100 { Ok(()) } else { Err(answer) }
    });
    let cut = dig(&format!("+ignore +bufsize=512 {many}"));
    assert!(cut.contains("flags: qr aa tc rd ra;"), "{cut}");
}
