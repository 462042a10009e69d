//! The configuration of a container.

use cri::{
    ContainerConfig, ContainerMetadata, Image, ImageSpec, KeyValue, LinuxContainerConfig, Mount, StringMap,
};

use super::expand::expand;
use super::{resources, sandbox, security};
use crate::config::NodeConfig;
use crate::label;
use crate::pod::{PodContainer, PodInfo};

/// The inputs of a container's configuration, in addition to the pod.
pub(crate) struct ContainerInput<'a> {
    pub(crate) config: &'a NodeConfig,
    /// How often it was started before.
    pub(crate) attempt: u32,
    /// The image, and the reference to run it by.
    pub(crate) image: &'a Image,
    pub(crate) image_ref: String,
    pub(crate) environment: Vec<KeyValue>,
    pub(crate) mounts: Vec<Mount>,
    /// The ID of the container whose processes it should see.
    pub(crate) target: Option<String>,
    pub(crate) memory_capacity: i64,
    /// The host has only cgroup v2.
    pub(crate) unified: bool,
}

pub(crate) fn container_config(
    pod: &PodInfo,
    container: &PodContainer,
    input: ContainerInput<'_>,
) -> ContainerConfig {
    let spec = &container.spec;
    let value = |name: &str| {
        let found = input.environment.iter().find(|variable| variable.key == name);
        found.map(|variable| variable.value.as_str())
    };
    let expand_all = |list: &Option<Vec<String>>| {
        list.iter().flatten().map(|text| expand(text, value)).collect::<Vec<_>>()
    };
    let (command, args) = (expand_all(&spec.command), expand_all(&spec.args));
    let mut labels = sandbox::pod_labels(pod);
    labels.insert(label::CONTAINER_NAME.to_owned(), spec.name.clone());
    ContainerConfig {
        metadata: ContainerMetadata { name: spec.name.clone(), attempt: input.attempt },
        image: ImageSpec {
            image: input.image_ref,
            user_specified_image: spec.image.clone().unwrap_or_default(),
            ..ImageSpec::default()
        },
        command,
        args,
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        mounts: input.mounts,
        labels,
        annotations: annotations(pod, container, input.attempt),
        log_path: format!("{}/{}.log", spec.name, input.attempt),
        stdin: spec.stdin == Some(true),
        stdin_once: spec.stdin_once == Some(true),
        tty: spec.tty == Some(true),
        linux: LinuxContainerConfig {
            resources: resources::container_resources(pod, spec, input.memory_capacity, input.unified),
            security_context: security::of_container(
                pod,
                spec,
                input.image,
                input.target,
                &input.config.seccomp_dir,
            ),
        },
        stop_signal: spec
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.stop_signal.clone())
            .unwrap_or_default(),
        envs: input.environment,
        ..ContainerConfig::default()
    }
}

/// Data about the container that a later agent needs.
fn annotations(pod: &PodInfo, container: &PodContainer, attempt: u32) -> StringMap {
    let spec = &container.spec;
    StringMap::from([
        (label::CONTAINER_HASH.to_owned(), container.hash()),
        (label::RESTART_COUNT.to_owned(), attempt.to_string()),
        (
            label::MESSAGE_PATH.to_owned(),
            spec.termination_message_path.clone().unwrap_or_else(|| "/dev/termination-log".to_owned()),
        ),
        (
            label::MESSAGE_POLICY.to_owned(),
            spec.termination_message_policy.clone().unwrap_or_else(|| "File".to_owned()),
        ),
        (
            label::GRACE_PERIOD.to_owned(),
            pod.spec().termination_grace_period_seconds.unwrap_or(30).to_string(),
        ),
    ])
}
