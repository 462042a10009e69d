//! Pods and templates of pods (`pkg/api/pod/warnings.go`, `pkg/api/job/warnings.go`).

use std::collections::{HashMap, HashSet};

use object::{Value, quote};

use super::addresses::of_ip;
use super::storage::{self, of_fraction};
use super::{WARNINGS_MAX, labels, paths};
use crate::validation::field::Field;

/// Annotations that have no effect any more, each with what to do instead.
const GONE_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_ADVICE: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

/// Warns about a new pod.
pub(crate) fn of_pod(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    of_spec(&mut warnings, &Field::root(pod, "io.k8s.api.core.v1.Pod"), false);
    warnings
}

/// Warns about the addresses in a changed status of a pod.
pub(crate) fn of_pod_status(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let root = Field::root(pod, "io.k8s.api.core.v1.Pod");
    let status = root.child("status");
    for list in ["podIPs", "hostIPs"] {
        for address in status.child(list).items() {
            let ip = address.child("ip");
            of_ip(&mut warnings, &ip.path, ip.text());
        }
    }
    warnings
}

/// Warns about a template of pods.
pub(crate) fn of_template(template: &Field<'_, '_>) -> Vec<String> {
    let mut warnings = Vec::new();
    of_spec(&mut warnings, template, true);
    warnings
}

/// Warns about the spec of a job.
pub(crate) fn of_job_spec(spec: &Field<'_, '_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let number = |member: &str| spec.value.get(member).as_i64().unwrap_or(0);
    let is_indexed = spec.value.str_at("completionMode") == "Indexed";
    if is_indexed && number("completions") > 100_000 && number("parallelism") > 10_000 {
        warnings.push(format!(
            "{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
            spec.path
        ));
    }
    of_spec(&mut warnings, &spec.child("template"), true);
    warnings
}

fn of_spec(warnings: &mut Vec<String>, pod: &Field<'_, '_>, is_template: bool) {
    let spec = pod.child("spec");
    of_node_labels(warnings, &spec);
    of_annotations(warnings, pod, &spec, is_template);
    for volume in spec.child("volumes").items() {
        of_source(warnings, &volume);
        paths::of_volume(warnings, &volume);
    }
    of_duplicates(warnings, &spec);
    let overhead = spec.child("overhead");
    for name in ["memory", "ephemeral-storage"] {
        of_fraction(warnings, &overhead, name);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        spec.child(list).items().for_each(|container| of_container(warnings, &container));
    }
    of_ports(warnings, &spec);
    let grace = spec.child("terminationGracePeriodSeconds");
    if grace.number() < 0 {
        warnings.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            grace.path
        ));
    }
    of_pod_affinity(warnings, &spec);
    for server in spec.child("dnsConfig").child("nameservers").items() {
        of_ip(warnings, &server.path, server.text());
    }
    for alias in spec.child("hostAliases").items() {
        let ip = alias.child("ip");
        of_ip(warnings, &ip.path, ip.text());
    }
}

/// Labels of nodes, in all places that name some.
fn of_node_labels(warnings: &mut Vec<String>, spec: &Field<'_, '_>) {
    for (label, value) in spec.child("nodeSelector").entries() {
        if let Some(advice) = labels::deprecation(label) {
            warnings.push(format!("{}: {advice}", value.path));
        }
    }
    let affinity = spec.child("affinity");
    let affinity = affinity.child("nodeAffinity");
    let required = affinity.child("requiredDuringSchedulingIgnoredDuringExecution");
    required.child("nodeSelectorTerms").items().for_each(|term| labels::of_term(warnings, &term, false));
    for term in affinity.child("preferredDuringSchedulingIgnoredDuringExecution").items() {
        labels::of_term(warnings, &term.child("preference"), true);
    }
    for constraint in spec.child("topologySpreadConstraints").items() {
        let key = constraint.child("topologyKey");
        if let Some(advice) = labels::deprecation(key.text()) {
            warnings.push(format!("{}: {} is {advice}", key.path, key.text()));
        }
        of_selector(warnings, &constraint.child("labelSelector"));
    }
}

fn of_selector(warnings: &mut Vec<String>, selector: &Field<'_, '_>) {
    if !selector.is_set() {
        warnings.push(format!("{}: a null labelSelector results in matching no pod", selector.path));
    }
}

fn of_pod_affinity(warnings: &mut Vec<String>, spec: &Field<'_, '_>) {
    let affinity = spec.child("affinity");
    for kind in ["podAffinity", "podAntiAffinity"] {
        let affinity = affinity.child(kind);
        for term in affinity.child("requiredDuringSchedulingIgnoredDuringExecution").items() {
            of_selector(warnings, &term.child("labelSelector"));
        }
        for term in affinity.child("preferredDuringSchedulingIgnoredDuringExecution").items() {
            of_selector(warnings, &term.child("podAffinityTerm").child("labelSelector"));
        }
    }
}

/// Annotations that fields have replaced.
fn of_annotations(warnings: &mut Vec<String>, pod: &Field<'_, '_>, spec: &Field<'_, '_>, is_template: bool) {
    let metadata = pod.child("metadata");
    let annotations = metadata.child("annotations");
    let mut warn = |key: &str, advice: &str| {
        if !annotations.value.get(key).is_null() {
            warnings.push(format!("{}: {advice}", annotations.path.key(key)));
        }
    };
    GONE_ANNOTATIONS.iter().for_each(|(key, advice)| warn(key, advice));
    let has = |context: &Value, profile: &str| !context.get(profile).is_null();
    let of_pod = spec.value.get("securityContext");
    if !has(of_pod, "seccompProfile") {
        warn(SECCOMP_OF_POD, SECCOMP_ADVICE);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.value.get(list).items() {
            let (name, own) = (container.str_at("name"), container.get("securityContext"));
            if !has(own, "seccompProfile") {
                warn(&format!("{SECCOMP_OF_CONTAINER}{name}"), SECCOMP_ADVICE);
            }
            // Of pods, the annotation becomes the field.
            if is_template && !has(of_pod, "appArmorProfile") && !has(own, "appArmorProfile") {
                let advice = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
                warn(&format!("{APP_ARMOR}{name}"), advice);
            }
        }
    }
}

/// Sources of volumes that are gone.
fn of_source(warnings: &mut Vec<String>, volume: &Field<'_, '_>) {
    let git = volume.child("gitRepo");
    if git.is_set() {
        warnings.push(format!("{}: deprecated in v1.11, and disabled by default in v1.33+", git.path));
    }
    for (source, since) in storage::GONE.iter().filter(|(source, _)| !volume.value.get(source).is_null()) {
        warnings.push(format!("{}: {since}", volume.path.child(storage::shown(source))));
    }
    let template = volume.child("ephemeral");
    let template = template.child("volumeClaimTemplate");
    if template.is_set() {
        storage::of_claim_spec(warnings, &template.child("spec"));
    }
}

/// Entries of lists that have the key of another one.
fn of_duplicates(warnings: &mut Vec<String>, spec: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for alias in spec.child("hostAliases").items() {
        let ip = alias.child("ip");
        if !seen.insert(ip.text()) {
            warnings.push(format!("{}: duplicate ip {}", ip.path, quote(ip.text())));
        }
    }
    seen.clear();
    let secrets = spec.child("imagePullSecrets");
    for secret in secrets.items() {
        let name = secret.child("name");
        if !seen.insert(name.text()) {
            warnings.push(format!("{}: duplicate name {}", name.path, quote(name.text())));
        }
    }
    for secret in secrets.items().filter(|secret| secret.value.get("name").is_empty()) {
        warnings.push(format!("{}: invalid empty name \"\"", secret.path.child("name")));
    }
}

fn of_container(warnings: &mut Vec<String>, container: &Field<'_, '_>) {
    let resources = container.child("resources");
    for name in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            of_fraction(warnings, &resources.child(list), name);
        }
    }
    let mut seen = HashSet::new();
    for variable in container.child("env").items() {
        let (name, value) = (variable.value.str_at("name"), variable.value.str_at("value"));
        if seen.insert(name) {
            continue;
        }
        let reference = format!("$({name})");
        // A value that is made of the earlier one adds to it.
        let adds =
            value != reference && value.contains(&reference) && variable.value.get("valueFrom").is_null();
        if !adds {
            warnings.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                variable.path,
                quote(name)
            ));
        }
    }
}

/// A port's number and protocol.
type Own<'v> = (i64, &'v str);

/// A port of a container: where it is, and what of the node it takes.
struct Port<'v> {
    path: String,
    own: Own<'v>,
    of_node: i64,
    ip: &'v str,
}

/// Ports of the pod that are the same, or the same on some address of the node.
fn of_ports(warnings: &mut Vec<String>, spec: &Field<'_, '_>) {
    let (mut ports, mut known) = (Vec::new(), Known::default());
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.child(list).items() {
            for port in container.child("ports").items() {
                let number = |member: &str| port.value.get(member).as_i64().unwrap_or(0);
                let text = |member: &str| port.value.str_at(member);
                let own = (number("containerPort"), text("protocol"));
                let port = Port {
                    path: port.path.to_string(),
                    own,
                    of_node: number("hostPort"),
                    ip: text("hostIP"),
                };
                if !port.ip.is_empty() && port.of_node == 0 {
                    warnings.push(format!(
                        "{}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{}}}",
                        port.path,
                        text("name"),
                        own.0,
                        own.1,
                        port.ip
                    ));
                }
                for place in known.others(&port, WARNINGS_MAX.saturating_sub(warnings.len())) {
                    let other: &Port<'_> = &ports[place];
                    let what = match (port.of_node == other.of_node, port.ip == other.ip) {
                        (true, true) => "duplicate",
                        (true, false) if port.of_node != 0 => "dangerously ambiguous",
                        _ => "overlapping",
                    };
                    warnings.push(format!("{}: {what} port definition with {}", port.path, other.path));
                }
                known.add(&port, ports.len());
                ports.push(port);
            }
        }
    }
}

/// Places of ports, by what of them can clash. Looking at all others for each would take too long.
#[derive(Default)]
struct Known<'v> {
    all: HashMap<Own<'v>, Vec<usize>>,
    /// By the port of the node, too.
    of_node: HashMap<(Own<'v>, i64), Vec<usize>>,
    /// By the address of the node, too.
    of_address: HashMap<(Own<'v>, i64, &'v str), Vec<usize>>,
}

impl<'v> Known<'v> {
    fn add(&mut self, port: &Port<'v>, place: usize) {
        self.all.entry(port.own).or_default().push(place);
        self.of_node.entry((port.own, port.of_node)).or_default().push(place);
        self.of_address.entry((port.own, port.of_node, port.ip)).or_default().push(place);
    }

    /// The ports that clash with one, in their order, and at most so many.
    fn others(&self, port: &Port<'v>, max: usize) -> Vec<usize> {
        let of_address = |number: i64, ip| self.of_address.get(&(port.own, number, ip));
        let lists = match (port.of_node, port.ip) {
            (0, _) => [self.all.get(&port.own), None, None],
            // Without an address it is all of them.
            (number, "") => [self.of_node.get(&(port.own, 0)), self.of_node.get(&(port.own, number)), None],
            (number, ip) => {
                [self.of_node.get(&(port.own, 0)), of_address(number, ip), of_address(number, "")]
            }
        };
        let mut places: Vec<usize> =
            lists.into_iter().flatten().flat_map(|list| list.iter().copied().take(max)).collect();
        places.sort_unstable();
        places.truncate(max);
        places
    }
}
