//! Starts one container: image, configuration, creation, start, `postStart`.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use client::EventType;
use cri::{ContainerConfig, ContainerState, CriError, PodSandboxConfig};
use k8s_openapi::api::core::v1::{HostIP, PodIP};
use tokio::time::Instant;
use volumes::subpath;

use super::context::Context;
use super::{hooks, mounts, terminate};
use crate::images::{Failure, Ready, Wanted};
use crate::observed::{Observed, restart_count};
use crate::pod::{ContainerKind, PodContainer, PodInfo};
use crate::spec::{self, ContainerInput, PodMounts, SpecError};
use crate::waiting::Waiting;

/// Starts the containers of one pod, in its sandbox.
pub(super) struct Starter<'a> {
    context: &'a Context,
    observed: &'a Observed,
    sandbox_id: String,
    sandbox: PodSandboxConfig,
    available: PodMounts,
    services: BTreeMap<String, String>,
    /// The pod with its addresses, which containers may refer to.
    pod: PodInfo,
    ips: Vec<String>,
}

/// A failure that is tried again after the usual time.
fn failure(reason: &'static str, message: impl Into<String>) -> Failure {
    Failure { waiting: Waiting::new(reason, message), retry_at: None }
}

fn config_error(error: &SpecError) -> Failure {
    failure("CreateContainerConfigError", causes::chain(error))
}

impl<'a> Starter<'a> {
    pub(super) async fn new(
        context: &'a Context,
        observed: &'a Observed,
        sandbox: PodSandboxConfig,
        mut available: PodMounts,
    ) -> Result<Starter<'a>, Failure> {
        let Context { shared, pod, .. } = context;
        let host_ips = shared.host_ips();
        let ips = if pod.host_network() { host_ips.clone() } else { observed.ips() };
        available.hosts_file =
            mounts::write_hosts_file(context, &ips).map_err(|error| config_error(&error))?;
        mounts::pull_image_volumes(context, &sandbox, &mut available).await?;
        shared.services.synced().await;
        let links = pod.spec().enable_service_links != Some(false);
        let services = spec::service_environment(&shared.services.list(), pod.key.namespace(), links);
        let sandbox_id = observed.ready_sandbox().map(|sandbox| sandbox.id.clone()).unwrap_or_default();
        let pod = with_addresses(pod, &ips, &host_ips);
        Ok(Starter { context, observed, sandbox_id, sandbox, available, services, pod, ips })
    }

    /// Starts one container.
    pub(super) async fn start(&mut self, container: &PodContainer) -> Result<(), Failure> {
        let result = self.try_start(container).await;
        if !self.context.cancel.is_cancelled() {
            let error = result.as_ref().err().map(|failure| failure.waiting.reason);
            self.context.shared.metrics.container_started(kind_of(container), error);
        }
        if let Err(failure) = &result {
            let Waiting { reason, message } = &failure.waiting;
            let text = match *reason {
                "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName"
                | "ImageInspectError" => format!("Error: {reason}"),
                "PostStartHookError" => return result,
                _ => format!("Error: {message}"),
            };
            let kind = if *reason == "ImagePullBackOff" { EventType::Normal } else { EventType::Warning };
            self.event(container, kind, if kind == EventType::Normal { "BackOff" } else { "Failed" }, text);
        }
        result
    }

    fn event(&self, container: &PodContainer, kind: EventType, reason: &str, message: impl Into<String>) {
        self.context.shared.container_event(&self.pod, container, kind, reason, message);
    }

    async fn try_start(&self, container: &PodContainer) -> Result<(), Failure> {
        let Context { shared, cancel, .. } = self.context;
        let since = Instant::now();
        let ready = tokio::select! {
            ready = self.image(container) => ready,
            () = cancel.cancelled() => return Err(failure("ContainerCreating", "")),
        };
        self.context.pulled.add(since.elapsed());
        let ready = ready?;
        let config = self.configuration(container, &ready).await.map_err(|error| config_error(&error))?;
        if cancel.is_cancelled() {
            return Err(failure("ContainerCreating", ""));
        }
        self.make_log_directory(&config).map_err(|error| failure("CreateContainerError", error))?;
        let runtime = &shared.runtime;
        let created = runtime.create_container(&self.sandbox_id, &config, &self.sandbox).await;
        let id = created.map_err(|error| failure("CreateContainerError", error.full_message()))?;
        self.event(container, EventType::Normal, "Created", "Container created");
        let started = runtime.start_container(&id).await;
        started.map_err(|error: CriError| failure("RunContainerError", error.full_message()))?;
        self.event(container, EventType::Normal, "Started", "Container started");
        self.link_log(container, &config, &id);
        self.post_start(container, &id).await
    }

    async fn image(&self, container: &PodContainer) -> Result<Ready, Failure> {
        let wanted = Wanted {
            pod: &self.pod,
            image: container.spec.image.as_deref().unwrap_or_default(),
            policy: container.spec.image_pull_policy.as_deref().unwrap_or_default(),
            about: &self.pod.container_reference(container),
            sandbox: &self.sandbox,
        };
        self.context.shared.images.ensure(wanted).await
    }

    async fn configuration(
        &self,
        container: &PodContainer,
        ready: &Ready,
    ) -> Result<ContainerConfig, SpecError> {
        let Context { shared, .. } = self.context;
        spec::check_container(&self.pod, &container.spec, shared.facts.security)?;
        spec::check_non_root(&self.pod, &container.spec, &ready.image)?;
        let node = shared.node();
        let environment =
            spec::environment(&self.pod, &container.spec, &node, &self.services, &shared.objects).await?;
        let message_file = mounts::make_termination_log(self.context, container.name())?;
        let (mut mounts, sub_paths) =
            spec::mounts(&self.pod, &container.spec, &self.available, &environment, &message_file)?;
        for place in sub_paths {
            let mount = &mut mounts[place.index];
            let (directory, name) =
                (shared.volumes.pod_directory(&self.pod.uid), container.name().to_owned());
            let volume = mount.host_path.clone();
            let bind = move || {
                subpath::bind(&directory, &place.volume, volume.as_ref(), &name, place.index, &place.path)
            };
            let failed =
                |source| SpecError::File { path: "the place of a volume's subPath".to_owned(), source };
            let bound = shared.trees.run(bind).await.map_err(failed)??;
            mount.host_path = bound.to_string_lossy().into_owned();
        }
        let input = ContainerInput {
            config: &shared.config,
            attempt: self.attempt(container),
            image: &ready.image,
            image_ref: ready.reference.clone(),
            environment,
            mounts,
            target: self.target(container)?,
            memory_capacity: shared.facts.memory_bytes,
            unified: shared.facts.unified_cgroups,
        };
        Ok(spec::container_config(&self.pod, container, input))
    }

    /// How often the container was started before, according to the engine or otherwise the API server.
    fn attempt(&self, container: &PodContainer) -> u32 {
        if let Some(newest) = self.observed.newest(container.name()) {
            return restart_count(newest) + 1;
        }
        let api = self.pod.api_status();
        let lists = [&api.container_statuses, &api.init_container_statuses];
        let mut known = lists.into_iter().flatten().flatten();
        let known = known.find(|status| status.name == container.name() && status.container_id.is_some());
        known.map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0) + 1)
    }

    fn target(&self, container: &PodContainer) -> Result<Option<String>, SpecError> {
        let Some(name) = &container.target else { return Ok(None) };
        let running = self.observed.newest(name).filter(|status| status.state == ContainerState::Running);
        running.map(|status| Some(status.id.clone())).ok_or_else(|| SpecError::NoTarget(name.clone()))
    }

    /// Creates the directory of the container's logs, in which the engine creates the files.
    fn make_log_directory(&self, config: &ContainerConfig) -> Result<(), String> {
        let log = std::path::Path::new(&self.sandbox.log_directory).join(&config.log_path);
        let Some(directory) = log.parent() else { return Ok(()) };
        std::fs::create_dir_all(directory).map_err(|error| format!("make {}: {error}", directory.display()))
    }

    /// Links the log to where collectors look for it.
    fn link_log(&self, container: &PodContainer, config: &ContainerConfig, id: &str) {
        let Some(directory) = &self.context.shared.config.log_links_dir else { return };
        let key = &self.pod.key;
        let link = directory.join(format!("{}_{}_{}-{id}.log", key.name, key.namespace(), container.name()));
        let log = std::path::Path::new(&self.sandbox.log_directory).join(&config.log_path);
        let made = std::fs::create_dir_all(directory).and_then(|()| symlink(log, link));
        if let Err(error) = made {
            tracing::warn!(pod = %key, %error, "cannot link a container's log");
        }
    }

    async fn post_start(&self, container: &PodContainer, id: &str) -> Result<(), Failure> {
        let handler = container.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(handler) = handler else { return Ok(()) };
        let run = hooks::run(self.context, handler, container, id, &self.ips);
        let result = tokio::select! {
            result = run => result,
            () = self.context.cancel.cancelled() => Ok(()),
        };
        let Err(message) = result else { return Ok(()) };
        tracing::debug!(pod = %self.pod.key, container = container.name(), message, "postStart failed");
        self.event(container, EventType::Warning, "FailedPostStartHook", "PostStartHook failed");
        let grace = self.pod.grace_period_seconds();
        terminate::kill(self.context, id, container, "FailedPostStartHook", grace).await;
        Err(failure("PostStartHookError", "PostStartHook failed"))
    }
}

/// What upstream's metrics call a container; one that restarts beside the others counts as an init container there.
fn kind_of(container: &PodContainer) -> &'static str {
    match container.kind {
        ContainerKind::Regular => "container",
        ContainerKind::Ephemeral => "ephemeral_container",
        _ => "init_container",
    }
}

/// The pod with the addresses of its sandbox.
fn with_addresses(pod: &PodInfo, ips: &[String], host_ips: &[String]) -> PodInfo {
    let mut object = (*pod.pod).clone();
    let status = object.status.get_or_insert_default();
    status.pod_ip = ips.first().cloned();
    status.pod_ips = Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect());
    status.host_ip = host_ips.first().cloned();
    status.host_ips = Some(host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    PodInfo { pod: Arc::new(object), ..pod.clone() }
}
