//! A cluster on a separate host, with real containers and kubectl: tests of what users do with it, and of the messages
//! for their mistakes.
//!
//! Needs root and what `cargo xtask test` installs. Most trials share one cluster, each in its own namespace; the first
//! trial that needs it starts it.

#![expect(clippy::unwrap_used, reason = "all of this is tests, but none of them is a #[test] function")]

#[path = "cluster/addresses.rs"]
mod addresses;
#[path = "cluster/admission.rs"]
mod admission;
#[path = "cluster/adoption.rs"]
mod adoption;
#[path = "cluster/apps.rs"]
mod apps;
#[path = "cluster/attach.rs"]
mod attach;
#[path = "cluster/attacks.rs"]
mod attacks;
#[path = "cluster/autoscaling.rs"]
mod autoscaling;
#[path = "cluster/bad_pods.rs"]
mod bad_pods;
#[path = "cluster/bounds.rs"]
mod bounds;
#[path = "cluster/charts.rs"]
mod charts;
#[path = "cluster/clean_up.rs"]
mod clean_up;
#[path = "cluster/cni.rs"]
mod cni;
#[path = "cluster/commands.rs"]
mod commands;
#[path = "cluster/cron_jobs.rs"]
mod cron_jobs;
#[path = "cluster/custom_resources.rs"]
mod custom_resources;
#[path = "cluster/deployment.rs"]
mod deployment;
#[path = "cluster/dns.rs"]
mod dns;
#[path = "cluster/dns_hosts.rs"]
mod dns_hosts;
#[path = "cluster/drain.rs"]
mod drain;
#[path = "cluster/dual_stack.rs"]
mod dual_stack;
#[path = "cluster/environment.rs"]
mod environment;
#[path = "cluster/failover.rs"]
mod failover;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/helm.rs"]
mod helm;
#[path = "cluster/hosts.rs"]
mod hosts;
#[path = "cluster/images.rs"]
mod images;
#[path = "cluster/javascript.rs"]
mod javascript;
#[path = "cluster/jobs.rs"]
mod jobs;
#[path = "cluster/joining.rs"]
mod joining;
#[path = "cluster/kube_rs.rs"]
mod kube_rs;
#[path = "cluster/kubectl.rs"]
mod kubectl;
#[path = "cluster/kubectl_forms.rs"]
mod kubectl_forms;
#[path = "cluster/lifecycle.rs"]
mod lifecycle;
#[path = "cluster/metrics.rs"]
mod metrics;
#[path = "cluster/network_policy.rs"]
mod network_policy;
#[path = "cluster/operator.rs"]
mod operator;
#[path = "cluster/overlay.rs"]
mod overlay;
#[path = "cluster/pods.rs"]
mod pods;
#[path = "cluster/policies.rs"]
mod policies;
#[path = "cluster/propagation.rs"]
mod propagation;
#[path = "cluster/proxied.rs"]
mod proxied;
#[path = "cluster/python.rs"]
mod python;
#[path = "cluster/quotas.rs"]
mod quotas;
#[path = "cluster/redis.rs"]
mod redis;
#[path = "cluster/renewal.rs"]
mod renewal;
#[path = "cluster/replication.rs"]
mod replication;
#[path = "cluster/server_side_apply.rs"]
mod server_side_apply;
#[path = "cluster/service_networks.rs"]
mod service_networks;
#[path = "cluster/services.rs"]
mod services;
#[path = "cluster/services_hosts.rs"]
mod services_hosts;
#[path = "cluster/signing_keys.rs"]
mod signing_keys;
#[path = "cluster/support.rs"]
mod support;
#[path = "cluster/volumes.rs"]
mod volumes;
#[path = "cluster/webhooks.rs"]
mod webhooks;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use support::SharedCluster;

/// The default number of concurrent trials, which wait most of the time.
const TRIALS_AT_ONCE: usize = 4;

fn main() {
    if operator::is_program() {
        return operator::program::main();
    }
    let shared = Arc::new(SharedCluster::default());
    let hosts = Arc::new(SharedCluster::with_agents(2));
    let trials: Vec<Trial> = [
        deployment::trials(&shared),
        replication::trials(&shared),
        apps::trials(&shared),
        jobs::trials(&shared),
        cron_jobs::trials(&shared),
        drain::trials(),
        addresses::trials(),
        admission::trials(),
        webhooks::trials(),
        adoption::trials(),
        lifecycle::trials(&shared),
        metrics::trials(&shared),
        autoscaling::trials(&shared),
        environment::trials(&shared),
        pods::trials(&shared),
        volumes::trials(&shared),
        propagation::trials(&shared),
        commands::trials(&shared),
        attach::trials(&shared),
        proxied::trials(&shared),
        python::trials(&shared),
        javascript::trials(&shared),
        kubectl::trials(&shared),
        kubectl_forms::trials(&shared),
        helm::trials(&shared),
        charts::trials(&shared),
        server_side_apply::trials(&shared),
        quotas::trials(&shared),
        custom_resources::trials(&shared),
        policies::trials(&shared),
        redis::trials(&shared),
        services::trials(&shared),
        services_hosts::trials(),
        kube_rs::trials(&shared),
        operator::trials(&shared, &hosts),
        bad_pods::trials(&shared),
        bounds::trials(&shared),
        dns::trials(&shared),
        dns_hosts::trials(),
        dual_stack::trials(),
        service_networks::trials(&shared),
        network_policy::trials(&shared),
        clean_up::trials(),
        signing_keys::trials(),
        hosts::trials(&hosts),
        failover::trials(),
        faults::trials(),
        joining::trials(),
        renewal::trials(),
        overlay::trials(),
        cni::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TRIALS_AT_ONCE);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed() {
        shared.keep_log();
    }
    // `exit` runs no destructors, and the cluster has one.
    drop(shared);
    drop(hosts);
    // Its measurements are valid only if nothing else is running.
    let alone = libtest_mimic::run(&arguments, attacks::trials());
    conclusion.exit_if_failed();
    alone.exit();
}
