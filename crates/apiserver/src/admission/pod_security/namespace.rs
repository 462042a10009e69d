//! Labels of namespaces: they must be valid, and a client that makes them stricter is warned about existing pods.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use object::{Status, Value};
use schema::GroupResource;

use super::evaluate::Findings;
use super::level::{Level, LevelVersion, Policy};
use super::pod::Pod;
use super::{Attributes, Operation, PodSecurity};

/// How many pods of a namespace are checked when its level changes.
const PODS_MAX: usize = 3000;

impl PodSecurity {
    pub(super) async fn validate_namespace(
        &self,
        what: &Attributes<'_>,
        namespace: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        let name = namespace.str_at("metadata.name");
        let read =
            |namespace: &Value| Policy::of_labels(namespace.at("metadata.labels"), &self.config.defaults);
        let (policy, errors) = read(namespace);
        let (before, old_errors) = read(old);
        let is_new = what.operation == Operation::Create;
        // Labels that were invalid before may stay.
        let texts =
            |errors: &object::field::Errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        if !errors.is_empty() && (is_new || texts(&errors) != texts(&old_errors)) {
            return Err(Status::invalid("", "Namespace", name, &errors));
        }
        let (now, was) = (policy.enforce, before.enforce);
        let is_stricter = now != was
            && now.level != Level::Privileged
            && (now.version != was.version || now.level > was.level);
        if !is_new && !is_stricter {
            return Ok(());
        }
        if self.config.exempt_namespaces.iter().any(|exempt| exempt == name) {
            if let Some(warning) = self.exempt_warning(name, &policy, namespace.at("metadata.labels")) {
                what.warnings.add(warning);
            }
        } else if !is_new {
            what.reader.catch_up().await?;
            self.violations(what, name, now).into_iter().for_each(|warning| what.warnings.add(warning));
        }
        Ok(())
    }

    /// Labels of an exempt namespace have no effect.
    fn exempt_warning(&self, name: &str, policy: &Policy, labels: &Value) -> Option<String> {
        if policy.is_privileged() || *policy == self.config.defaults {
            return None;
        }
        let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
        let stated = modes.iter().filter(|(mode, level)| {
            let label = format!("pod-security.kubernetes.io/{mode}");
            let is_there = |label: &str| !labels.get(label).is_null();
            level.level != Level::Privileged && (is_there(&label) || is_there(&format!("{label}-version")))
        });
        let stated: Vec<String> = stated.map(|(mode, level)| format!("{mode}={level}")).collect();
        let (name, policy) = (object::quote(name), stated.join(", "));
        Some(format!(
            "namespace {name} is exempt from Pod Security, and the policy ({policy}) will be ignored"
        ))
    }

    /// The violations of a namespace's new level by its pods: a line for each reason, with the first pod.
    fn violations(&self, what: &Attributes<'_>, namespace: &str, level: LevelVersion) -> Vec<String> {
        let pods = what.reader.all(GroupResource::PODS);
        let prefix = format!("{namespace}/");
        let of_namespace = pods.range::<_, str>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        let of_namespace =
            of_namespace.take_while(|(key, _)| key.starts_with(&prefix)).map(|(_, pod)| pod.value());
        let pods = self.prioritized(of_namespace);
        let checked = pods.len().min(PODS_MAX);
        let mut found: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        for pod in &pods[..checked] {
            let findings = Findings::of(level, Pod { metadata: pod.get("metadata"), spec: pod.get("spec") });
            if findings.is_empty() {
                continue;
            }
            let name = pod.str_at("metadata.name");
            let (first, count) = found.entry(findings.reasons()).or_insert((name, 0));
            *first = (*first).min(name);
            *count += 1;
        }
        let mut warnings = Vec::new();
        if checked < pods.len() {
            let all = pods.len();
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {checked} of {all} existing pods"
            ));
        }
        if !found.is_empty() {
            let name = object::quote(namespace);
            warnings.push(format!(
                "existing pods in namespace {name} violate the new PodSecurity enforce level \"{level}\""
            ));
        }
        let line = |(reasons, (pod, count)): (String, (&str, usize))| match count {
            1 => format!("{pod}: {reasons}"),
            2 => format!("{pod} (and 1 other pod): {reasons}"),
            count => format!("{pod} (and {} other pods): {reasons}", count - 1),
        };
        let mut lines: Vec<String> = found.into_iter().map(line).collect();
        lines.sort();
        warnings.extend(lines);
        warnings
    }

    /// The pods in the order in which they are checked: one of each controller comes first.
    fn prioritized(&self, pods: impl Iterator<Item = Value>) -> Vec<Value> {
        let (mut first, mut more, mut controllers) = (Vec::new(), Vec::new(), HashSet::new());
        for pod in pods {
            let class = pod.str_at("spec.runtimeClassName");
            if !class.is_empty() && self.config.exempt_runtime_classes.iter().any(|exempt| exempt == class) {
                continue;
            }
            let owners = pod.at("metadata.ownerReferences");
            let controller = owners.items().find(|owner| owner.get("controller").as_bool() == Some(true));
            let is_first = controller.is_none_or(|owner| controllers.insert(owner.str_at("uid").to_owned()));
            if is_first { first.push(pod) } else { more.push(pod) }
        }
        first.append(&mut more);
        first
    }
}
