//! A pod as the agent sees it: its containers of all kinds in one list, and settings with their defaults.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, ObjectReference, Pod, PodSpec, PodStatus};
use object::ObjectKey;

/// What to do with a container that exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> RestartPolicy {
        match text {
            Some("OnFailure") => RestartPolicy::OnFailure,
            Some("Never") => RestartPolicy::Never,
            _ => RestartPolicy::Always,
        }
    }
}

/// The pod's list that a container is in, and its life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerKind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: runs alongside the pod's containers (KEP-753).
    Sidecar,
    Regular,
    Ephemeral,
}

impl ContainerKind {
    pub(crate) fn is_init(self) -> bool {
        matches!(self, ContainerKind::Init | ContainerKind::Sidecar)
    }
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodContainer {
    pub(crate) kind: ContainerKind,
    pub(crate) spec: Container,
    /// The container whose processes an ephemeral container should see.
    pub(crate) target: Option<String>,
}

impl PodContainer {
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// The path in the pod, as events name it.
    pub(crate) fn field_path(&self) -> String {
        let list = match self.kind {
            ContainerKind::Init | ContainerKind::Sidecar => "initContainers",
            ContainerKind::Regular => "containers",
            ContainerKind::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.spec.name)
    }

    /// The fields whose change requires a new container: name and image.
    pub(crate) fn hash(&self) -> String {
        // FNV-1a (32 bit), as upstream's hasher: it only has to reveal changes.
        let text = [self.spec.name.as_str(), self.spec.image.as_deref().unwrap_or_default()].join("\0");
        let hash = text
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        format!("{hash:x}")
    }
}

/// A pod and its containers: init containers in their order, then regular, then ephemeral ones.
#[derive(Clone, Debug)]
pub(crate) struct PodInfo {
    pub(crate) pod: Arc<Pod>,
    pub(crate) uid: String,
    pub(crate) key: ObjectKey,
    pub(crate) containers: Vec<PodContainer>,
}

impl PodInfo {
    pub(crate) fn new(pod: Arc<Pod>) -> PodInfo {
        let mut containers = Vec::new();
        if let Some(spec) = &pod.spec {
            containers.extend(spec.init_containers.iter().flatten().map(|container| {
                let sidecar = semantics::pods::is_sidecar(container);
                let kind = if sidecar { ContainerKind::Sidecar } else { ContainerKind::Init };
                PodContainer { kind, spec: container.clone(), target: None }
            }));
            containers.extend(spec.containers.iter().map(|container| PodContainer {
                kind: ContainerKind::Regular,
                spec: container.clone(),
                target: None,
            }));
            containers.extend(spec.ephemeral_containers.iter().flatten().map(|container| PodContainer {
                kind: ContainerKind::Ephemeral,
                spec: container_of(container),
                target: container.target_container_name.clone().filter(|name| !name.is_empty()),
            }));
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        PodInfo { uid, key: client::meta_key(&pod.metadata), containers, pod }
    }

    pub(crate) fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&EMPTY)
    }

    /// The status at the API server.
    pub(crate) fn api_status(&self) -> &PodStatus {
        static EMPTY: std::sync::LazyLock<PodStatus> = std::sync::LazyLock::new(PodStatus::default);
        self.pod.status.as_ref().unwrap_or(&EMPTY)
    }

    pub(crate) fn restart_policy(&self) -> RestartPolicy {
        RestartPolicy::parse(self.spec().restart_policy.as_deref())
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    pub(crate) fn host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }

    /// The grace period in seconds: that of the deletion if there is one.
    pub(crate) fn grace_period_seconds(&self) -> i64 {
        let of_deletion = self.pod.metadata.deletion_grace_period_seconds.filter(|_| self.is_deleting());
        of_deletion.or(self.spec().termination_grace_period_seconds).unwrap_or(30).max(0)
    }

    pub(crate) fn of_kind(&self, kind: ContainerKind) -> impl Iterator<Item = &PodContainer> {
        self.containers.iter().filter(move |container| container.kind == kind)
    }

    pub(crate) fn container(&self, name: &str) -> Option<&PodContainer> {
        self.containers.iter().find(|container| container.name() == name)
    }

    /// The pod as events name it.
    pub(crate) fn reference(&self) -> ObjectReference {
        client::reference_to(&*self.pod)
    }

    /// A container of the pod as events name it.
    pub(crate) fn container_reference(&self, container: &PodContainer) -> ObjectReference {
        ObjectReference { field_path: Some(container.field_path()), ..self.reference() }
    }

    /// `name_namespace(uid)`, as upstream names pods in messages.
    pub(crate) fn display(&self) -> String {
        format!("{}_{}({})", self.key.name, self.key.namespace(), self.uid)
    }
}

/// Whether a container that ended is to run again, by its own rules (KEP-5307), its own policy and the pod's.
pub(crate) fn restarts_after(pod: &PodInfo, container: &PodContainer, exit_code: i32) -> bool {
    match container.kind {
        ContainerKind::Sidecar => return true,
        ContainerKind::Ephemeral => return false,
        ContainerKind::Init | ContainerKind::Regular => {}
    }
    let by_rule = container.spec.restart_policy_rules.iter().flatten().any(|rule| {
        let Some(on) = rule.exit_codes.as_ref().filter(|_| rule.action == "Restart") else { return false };
        let listed = on.values.iter().flatten().any(|code| *code == exit_code);
        if on.operator == "NotIn" { !listed } else { listed }
    });
    let own = container.spec.restart_policy.as_deref();
    let policy = own.map_or_else(|| pod.restart_policy(), |own| RestartPolicy::parse(Some(own)));
    by_rule
        || match policy {
            // An init container that succeeded is done.
            RestartPolicy::Always => container.kind == ContainerKind::Regular || exit_code != 0,
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        }
}

/// An ephemeral container as a container: it has the same fields except one.
fn container_of(ephemeral: &EphemeralContainer) -> Container {
    let e = ephemeral.clone();
    Container {
        args: e.args,
        command: e.command,
        env: e.env,
        env_from: e.env_from,
        image: e.image,
        image_pull_policy: e.image_pull_policy,
        lifecycle: e.lifecycle,
        liveness_probe: e.liveness_probe,
        name: e.name,
        ports: e.ports,
        readiness_probe: e.readiness_probe,
        resize_policy: e.resize_policy,
        resources: e.resources,
        restart_policy: e.restart_policy,
        restart_policy_rules: e.restart_policy_rules,
        security_context: e.security_context,
        startup_probe: e.startup_probe,
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path,
        termination_message_policy: e.termination_message_policy,
        tty: e.tty,
        volume_devices: e.volume_devices,
        volume_mounts: e.volume_mounts,
        working_dir: e.working_dir,
    }
}
