//! Executes a plan: sandbox, kills, starts.

use client::EventType;
use cri::{CriError, PodSandboxConfig};
use jiff::Timestamp;
use tokio::time::Instant;

use super::context::Context;
use super::{gc, mounts, start, terminate};
use crate::images::Failure;
use crate::observed::Observed;
use crate::plan::{KillReason, Plan, SandboxPlan};
use crate::spec::{PodMounts, SandboxInput, check_sandbox, dns_config, sandbox_config, warning};

/// What a sync has done.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Containers that were to start.
    pub(super) containers: Vec<(String, Result<(), Failure>)>,
    /// When a volume must be set up again.
    pub(super) refresh_at: Option<Timestamp>,
    /// Everything was done, or a container's status shows the failure.
    pub(super) complete: bool,
}

/// Carries out a plan, as far as possible.
pub(super) async fn sync(context: &Context, plan: &Plan) -> Report {
    if plan.sandbox == SandboxPlan::Stop {
        let grace_seconds = context.pod.grace_period_seconds();
        return Report { complete: terminate::terminate(context, grace_seconds).await, ..Report::default() };
    }
    let Some((volumes, refresh_at)) = mounts::set_up(context).await else {
        return Report { complete: false, ..Report::default() };
    };
    let mut report = Report { refresh_at, complete: true, ..Report::default() };
    if let SandboxPlan::Create { attempt } = plan.sandbox
        && !replace_sandbox(context, attempt).await
    {
        report.complete = false;
        return report;
    }
    kill_all(context, plan).await;
    if !plan.start.is_empty() {
        start_all(context, plan, volumes, &mut report).await;
    }
    gc::collect(context).await;
    report
}

async fn kill_all(context: &Context, plan: &Plan) {
    let kills = plan.kill.iter().map(|kill| async move {
        let Some(container) = context.pod.container(&kill.name) else { return };
        let name = container.name();
        let (message, probe) = match kill.why {
            KillReason::Changed => (format!("Container {name} definition changed, will be restarted"), None),
            KillReason::Liveness => (
                format!("Container {name} failed liveness probe, will be restarted"),
                container.spec.liveness_probe.as_ref(),
            ),
            KillReason::Startup => (
                format!("Container {name} failed startup probe, will be restarted"),
                container.spec.startup_probe.as_ref(),
            ),
            KillReason::Unknown => {
                (format!("Container {name} is in unknown state, try killing it before restart"), None)
            }
        };
        let of_probe = probe.and_then(|probe| probe.termination_grace_period_seconds);
        let grace_seconds = of_probe.unwrap_or_else(|| context.pod.grace_period_seconds());
        terminate::kill(context, &kill.id, container, &message, grace_seconds).await;
    });
    futures::future::join_all(kills).await;
}

/// Stops the remains of older sandboxes and creates a new one.
async fn replace_sandbox(context: &Context, attempt: u32) -> bool {
    let Context { shared, pod, observed, .. } = context;
    if observed.is_alive() || !observed.sandboxes.is_empty() {
        shared.pod_event(
            pod,
            EventType::Normal,
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        );
        if !terminate::terminate(context, pod.grace_period_seconds()).await {
            return false;
        }
    }
    if context.cancel.is_cancelled() {
        return true;
    }
    match create_sandbox(context, attempt).await {
        Ok(()) => true,
        Err(error) => {
            let message = format!("Failed to create pod sandbox: {}", error.full_message());
            shared.pod_event(pod, EventType::Warning, "FailedCreatePodSandBox", message);
            false
        }
    }
}

fn configuration(context: &Context, attempt: u32) -> PodSandboxConfig {
    let Context { shared, pod, .. } = context;
    let resolver =
        dns_config(pod, &shared.host_resolver(), &shared.config.cluster_dns, &shared.config.cluster_domain);
    for message in resolver.left_out {
        shared.pod_event(pod, EventType::Warning, "DNSConfigForming", message);
    }
    if resolver.lacks_cluster_dns {
        let message = format!(
            "pod: {:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \
             \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
            pod.display()
        );
        shared.pod_event(pod, EventType::Warning, "MissingClusterDNS", message);
    }
    let cgroup_driver = context.observed.engine.cgroup_driver;
    sandbox_config(pod, SandboxInput { config: &shared.config, attempt, cgroup_driver, dns: resolver.config })
}

async fn create_sandbox(context: &Context, attempt: u32) -> Result<(), CriError> {
    let Context { shared, pod, .. } = context;
    check_sandbox(pod).map_err(|error| CriError::InvalidArgument(error.to_string()))?;
    if let Some(warning) = warning(pod, shared.facts.security) {
        shared.pod_event(pod, EventType::Warning, "SELinuxNotEnabled", warning);
    }
    let config = configuration(context, attempt);
    std::fs::create_dir_all(&config.log_directory)
        .map_err(|error| CriError::internal(format!("make {}", config.log_directory), error))?;
    let handler = runtime_handler(context).await?;
    let since = Instant::now();
    let run = shared.runtime.run_pod_sandbox(&config, &handler).await;
    shared.metrics.sandbox_started(&handler, since.elapsed(), run.is_ok());
    run?;
    if let Err(error) =
        crate::cgroups::limit_pod(pod, &shared.config.cgroup_root, context.observed.engine.cgroup_driver)
    {
        tracing::warn!(pod = %pod.key, %error, "cannot set the limits of the pod's cgroup");
    }
    Ok(())
}

/// The engine's handler for the pod's RuntimeClass.
async fn runtime_handler(context: &Context) -> Result<String, CriError> {
    use k8s_openapi::api::node::v1::RuntimeClass;
    let Some(name) = context.pod.spec().runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(String::new());
    };
    let key = object::ObjectKey::cluster(name);
    let class = context.shared.client.get::<RuntimeClass>(&key).await;
    class.map(|class| class.handler).map_err(|error| {
        CriError::internal(format!("failed to get sandbox runtime: RuntimeClass {name:?}"), error)
    })
}

async fn start_all(context: &Context, plan: &Plan, volumes: PodMounts, report: &mut Report) {
    let Context { shared, pod, cancel, .. } = context;
    let observed = match Observed::ask(&shared.engine, &pod.uid).await {
        Ok(observed) => observed,
        Err(error) => {
            tracing::warn!(pod = %pod.key, error = error.full_message(), "cannot query the engine about a \
                pod");
            report.complete = false;
            return;
        }
    };
    let Some(sandbox) = observed.ready_sandbox() else {
        report.complete = false;
        return;
    };
    let config = configuration(context, sandbox.metadata.attempt);
    let mut starter = match start::Starter::new(context, &observed, config, volumes).await {
        Ok(starter) => starter,
        Err(failure) => {
            let all = plan.start.iter().map(|index| pod.containers[*index].name().to_owned());
            report.containers.extend(all.map(|name| (name, Err(failure.clone()))));
            return;
        }
    };
    for index in &plan.start {
        if cancel.is_cancelled() {
            return;
        }
        let container = &pod.containers[*index];
        let result = starter.start(container).await;
        if cancel.is_cancelled() && result.is_err() {
            return;
        }
        let result = result.inspect_err(|failure| {
            tracing::debug!(pod = %pod.key, container = container.name(), reason = failure.waiting.reason, "cannot start");
        });
        report.containers.push((container.name().to_owned(), result));
    }
}
