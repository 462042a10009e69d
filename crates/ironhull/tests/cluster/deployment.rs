//! A web server in three pods behind a Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{HOST_ADDRESS, output};

use crate::images::{NGINX_1, NGINX_2};
use crate::support::{LIMIT, Load, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "deployment", name, test);
    vec![
        trial("rolls_without_a_failed_request", rolls_without_a_failed_request),
        trial("a_bad_image_stalls", a_bad_image_stalls),
        trial("serves_pages_everywhere", serves_pages_everywhere),
        trial("heals_and_scales", heals_and_scales),
        trial("a_headless_service_names_its_pods", a_headless_service_names_its_pods),
    ]
}

/// Three pods with probes and limits, and a Service of each outward type.
pub const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
      - name: nginx
        image: $NGINX
        ports: [{name: http, containerPort: 80}]
        resources: {requests: {cpu: 20m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        livenessProbe: {httpGet: {path: /files/index.html, port: 80}, periodSeconds: 2, timeoutSeconds: 5}
        # As people do it: who still has the old address is served while the news spreads.
        lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
"#;

fn deploy(namespace: &Namespace) -> String {
    namespace.apply(WEB);
    let said = namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    assert!(said.ends_with("deployment \"web\" successfully rolled out\n"), "{said}");
    let address = namespace.field("service/web", ".spec.clusterIP");
    namespace.until("the page", || namespace.cluster.fetch(&address));
    address
}

/// How many of these pages each pod served.
fn shares(pages: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for page in pages {
        let pod = page.split(' ').next().unwrap_or_default().to_owned();
        *shares.entry(pod).or_insert(0) += 1;
    }
    shares
}

fn serves_pages_everywhere(namespace: &Namespace) {
    let address = deploy(namespace);
    let cluster = &namespace.cluster;
    // Every pod gets a share: by chance alone, one of three is left out of 90 once in 10^15.
    let served = shares((0..90).map(|_| cluster.fetch(&address).unwrap()));
    let names = namespace.run(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"]);
    let mut names: Vec<&str> = names.split_whitespace().collect();
    names.sort_unstable();
    assert_eq!(served.keys().collect::<Vec<_>>(), names, "{served:?}");

    // By the node's port: from the host, from its neighbour, and from within a pod.
    let port = namespace.field("service/web", ".spec.ports[0].nodePort");
    let by_port = format!("{HOST_ADDRESS}:{port}");
    assert!(cluster.fetch(&by_port).unwrap().ends_with(" version 1\n"));
    assert!(cluster.fetch(&format!("127.0.0.1:{port}")).unwrap().ends_with(" version 1\n"));
    let mut neighbour = cluster.host().command_outside("curl");
    let page = output(neighbour.args(["-sS", "-f", "-m", "5", &format!("http://{by_port}")])).unwrap();
    assert!(page.ends_with(" version 1\n"), "{page}");

    // By name, from another pod, and from a pod to itself.
    namespace.run(&["run", "client", &format!("--image={}", crate::images::BUSYBOX), "--", "sleep", "1000"]);
    namespace.wait("pod/client", "condition=Ready");
    let full = format!("web.{}.svc.cluster.local", namespace.name);
    for name in ["web", &format!("web.{}", namespace.name), &full, &format!("{full}."), &address, &by_port] {
        let page = namespace.exec("client", &format!("timeout 10 wget -q -O - http://{name}/"));
        assert!(page.ends_with(" version 1\n"), "{name}: {page}");
    }
    let lookup = namespace.exec("client", &format!("nslookup {full}"));
    assert!(lookup.contains(&address), "{lookup}");
    let missing = namespace.fails(&["exec", "client", "--", "nslookup", &format!("no.{full}")]);
    assert!(missing.contains("NXDOMAIN"), "{missing}");
    for _ in 0..6 {
        // One of these requests leads back to the pod that sent it.
        namespace.exec(names[0], "timeout 10 wget -q -O - http://web/");
    }
}

fn rolls_without_a_failed_request(namespace: &Namespace) {
    let address = deploy(namespace);
    let load = Load::start(namespace.cluster.host(), &format!("{address}:80"));
    let said = namespace.run(&["set", "image", "deployment/web", &format!("nginx={NGINX_2}")]);
    assert_eq!(said, "deployment.apps/web image updated\n");
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    // The last old pods end after the rollout: the load continues until they are gone.
    namespace.until("the end of the old pods", || {
        let pods = namespace.run(&["get", "pods", "-l", "app=web", "-o", "name"]);
        if pods.lines().count() == 3 { Ok(()) } else { Err(pods) }
    });
    let (pages, failures) = load.stop();
    assert_eq!(failures, Vec::<String>::new(), "besides {} pages", pages.len());
    let old = pages.iter().filter(|page| page.ends_with("version 1\n")).count();
    assert!(old > 0 && old < pages.len(), "{old} of {} pages were old", pages.len());
    assert_eq!(shares(pages.clone()).len(), 6, "three old pods and three new ones served");
    assert!(namespace.cluster.fetch(&address).unwrap().ends_with("version 2\n"));
    let sets = namespace.run(&["get", "replicasets", "-o", "jsonpath={.items[*].spec.replicas}"]);
    assert!(matches!(sets.as_str(), "0 3" | "3 0"), "{sets}");
    let restarted = namespace.run(&["rollout", "restart", "deployment/web"]);
    assert_eq!(restarted, "deployment.apps/web restarted\n");
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    let history = namespace.run(&["rollout", "history", "deployment/web"]);
    assert_eq!(history.lines().filter(|line| line.starts_with(['1', '2', '3'])).count(), 3, "{history}");
}

fn a_bad_image_stalls(namespace: &Namespace) {
    let address = deploy(namespace);
    // Only now: pulling the images of a new deployment may take longer on a loaded machine.
    let deadline = |seconds: u32| {
        let patch = format!(r#"{{"spec":{{"progressDeadlineSeconds":{seconds}}}}}"#);
        namespace.run(&["patch", "deployment/web", "--type=merge", "-p", &patch]);
    };
    deadline(10);
    let missing = "127.0.0.1:5000/nginx:missing";
    namespace.run(&["set", "image", "deployment/web", &format!("nginx={missing}")]);
    let said = namespace.fails(&["rollout", "status", "deployment/web", LIMIT]);
    assert!(said.contains("deployment \"web\" exceeded its progress deadline"), "{said}");
    let condition = r#".status.conditions[?(@.type=="Progressing")].reason"#;
    assert_eq!(namespace.field("deployment/web", condition), "ProgressDeadlineExceeded");
    // The three old pods continue to serve; one new pod waits.
    assert_eq!(namespace.field("deployment/web", ".status.readyReplicas"), "3");
    assert_eq!(namespace.field("deployment/web", ".status.unavailableReplicas"), "1");
    let pods = namespace.until_output(&["get", "pods"], "ImagePullBackOff");
    assert_eq!(pods.lines().filter(|line| line.contains("1/1")).count(), 3, "{pods}");
    assert!(namespace.cluster.fetch(&address).unwrap().ends_with("version 1\n"));
    deadline(600);
    let said = namespace.run(&["rollout", "undo", "deployment/web"]);
    assert_eq!(said, "deployment.apps/web rolled back\n");
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_1);
    assert_eq!(namespace.field("deployment/web", ".status.replicas"), "3");
    assert_eq!(namespace.field("deployment/web", condition), "NewReplicaSetAvailable");
}

fn heals_and_scales(namespace: &Namespace) {
    let address = deploy(namespace);
    let pods = || {
        let names =
            namespace.run(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"]);
        names.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // A container whose process is killed restarts in its pod.
    let first = pods()[0].clone();
    let pod = format!("pod/{first}");
    let id = namespace.field(&pod, ".status.containerStatuses[0].containerID");
    let id = id.strip_prefix("ironhull://").unwrap_or_else(|| panic!("{id}"));
    // With its first process a container's others end by themselves.
    let script = format!(
        "for pid in $(grep -sl {id} /proc/[0-9]*/cgroup | cut -d/ -f3); do kill -9 $pid || true; done"
    );
    output(namespace.cluster.host().command("sh").args(["-c", &script])).unwrap();
    namespace.wait(&pod, "jsonpath={.status.containerStatuses[0].restartCount}=1");
    namespace.wait(&pod, "condition=Ready");
    let last = ".status.containerStatuses[0].lastState.terminated";
    assert_eq!(namespace.field(&pod, &format!("{last}.exitCode")), "137");
    assert_eq!(namespace.field(&pod, &format!("{last}.reason")), "Error");
    let previous = namespace.run(&["logs", &first, "--previous"]);
    assert!(previous.contains("start worker process"), "{previous}");

    // A pod that is deleted is replaced.
    let said = namespace.run(&["delete", "pod", &first]);
    assert_eq!(said, format!("pod \"{first}\" deleted from {} namespace\n", namespace.name));
    namespace.wait("deployment/web", "jsonpath={.status.readyReplicas}=3");
    let now = pods();
    assert!(now.len() == 3 && !now.contains(&first), "{now:?}");

    for count in ["5", "1", "3"] {
        let said = namespace.run(&["scale", "deployment", "web", &format!("--replicas={count}")]);
        assert_eq!(said, "deployment.apps/web scaled\n");
        namespace.wait("deployment/web", &format!("jsonpath={{.status.readyReplicas}}={count}"));
        namespace.wait("deployment/web", &format!("jsonpath={{.status.replicas}}={count}"));
    }
    namespace.run(&["scale", "deployment", "web", "--replicas=0"]);
    namespace.until("no pods", || if pods().is_empty() { Ok(()) } else { Err(format!("{:?}", pods())) });
    // No endpoint is left: connections are refused at once instead of hanging.
    namespace.until("a refusal", || namespace.cluster.is_refused(&address));
}

fn a_headless_service_names_its_pods(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, selector: {app: peer}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: peer}}
spec:
  hostname: first
  subdomain: peers
  containers: [{name: c, image: $NGINX, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: peer}}
spec: {containers: [{name: c, image: $NGINX}]}
"#,
    );
    namespace.wait("pod/one", "condition=Ready");
    namespace.wait("pod/two", "condition=Ready");
    let addresses =
        [namespace.field("pod/one", ".status.podIP"), namespace.field("pod/two", ".status.podIP")];
    let lookup = |name: &str| output(&mut namespace.kubectl(&["exec", "two", "--", "nslookup", name]));
    let all = format!("peers.{}.svc.cluster.local", namespace.name);
    namespace.until("both addresses", || match lookup(&all) {
        Ok(answer) if addresses.iter().all(|address| answer.contains(address)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let answer = lookup(&format!("first.{all}")).unwrap();
    assert!(answer.contains(&addresses[0]) && !answer.contains(&addresses[1]), "{answer}");
    assert_eq!(namespace.exec("one", "hostname; hostname -f"), format!("first\nfirst.{all}\n"));
    let page = namespace.exec("two", "timeout 10 wget -q -O - http://first.peers/");
    assert!(page.starts_with("first version"), "{page}");
}
