//! The controllers: each brings one part of the cluster from its actual to its desired state.
//!
//! | module | maintains |
//! | --- | --- |
//! | `deployment` | the ReplicaSets of a Deployment, old and new |
//! | `replicaset` | the pods of a ReplicaSet, and of a ReplicationController |
//! | `daemonset` | a pod on each node that fits |
//! | `statefulset` | pods with stable names, and their claims |
//! | `job` | the pods of a Job, until enough have succeeded |
//! | `ttlafterfinished` | the deletion of Jobs some time after their end |
//! | `cronjob` | the Jobs of a CronJob, started when its schedule is due |
//! | `endpointslice`, `endpoints` | the addresses behind a Service, in slices and in one object |
//! | `endpointslicemirroring` | slices for Endpoints that users wrote |
//! | `servicelb` | load balancers made of the nodes themselves |
//! | `namespace` | the removal of a deleted namespace's content |
//! | `serviceaccount`, `rootca` | the objects that every namespace must have |
//! | `garbage` | the deletion of objects whose owners are gone |
//! | `nodelifecycle`, `tainteviction` | conditions and taints of silent nodes, and the eviction of their pods |
//! | `podautoscaler` | the number of pods by what they use, or by other metrics |
//! | `podgc` | the deletion of pods that no node deletes |
//! | `disruption` | how many pods each disruption budget lets go |
//! | `nodeipam` | each node's ranges of pod addresses |
//! | `servicecidr` | the networks from which Services get addresses, ready and kept while they are used |
//! | `ipaddress` | an object for each address of a Service, and none for others |
//! | `clusterdns` | the Service of cluster DNS, and its endpoints on the nodes |
//! | `clusterroleaggregation` | the rules of ClusterRoles that are made of others |
//! | `resourcequota` | what is used of each quota |
//! | `bootstraptokens` | the expiry of the tokens that machines join with, and their signatures |
//! | `storageversionmigrator` | the storage of objects in the form that the server stores now |
//! | `certificates` | approval, signing and removal of certificate signing requests |
//!
//! `framework` runs them: a controller observes, plans in a pure function, and leaves the execution to one executor.
//! `docs/add-a-controller.md` says how to add one; `deployment` is the example to copy.
//!
//! Controllers talk to the API server through `client` and know nothing about its storage or about other controllers:
//! they interact only through objects.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use client::{Candidate, Informers, QueueMetrics};
use ipnet::IpNet;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod bootstraptokens;
mod certificates;
mod clusterdns;
mod clusterroleaggregation;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod endpointslicemirroring;
mod framework;
mod garbage;
mod health;
mod ipaddress;
mod job;
mod namespace;
mod nodeipam;
mod nodelifecycle;
mod podautoscaler;
mod podgc;
mod pods;
mod replicaset;
mod resourcequota;
mod revisions;
mod rootca;
mod serviceaccount;
mod servicecidr;
mod servicelb;
mod statefulset;
mod storageversionmigrator;
mod tainteviction;
mod template;
#[cfg(test)]
mod tests;
mod ttlafterfinished;

pub use certificates::{NODE_KEY_ANNOTATION, Signer, SignerError, Signers};
pub use cronjob::CronJobMetrics;
pub use framework::Accounts;
pub use health::Health;
pub use podautoscaler::Options as AutoscalingOptions;
pub use statefulset::Metrics as StatefulSetMetrics;

/// The options of all controllers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ranges of all pods' addresses, at most one of each family, such as `10.42.0.0/16`. Without any, the
    /// controllers assign no pod addresses to nodes.
    pub cluster_cidrs: Vec<IpNet>,
    /// The addresses of the cluster's DNS, at most one of each family. Without any, there is no Service for it.
    pub cluster_dns: Vec<IpAddr>,
    /// The PEM form of the authority that signs the API server's certificate. Without it none is published.
    pub root_ca: Option<String>,
    /// The authorities that sign certificates. Without them none are signed.
    pub signers: Option<Signers>,
    /// How long a node may be silent until it counts as unreachable.
    pub node_monitor_grace: SignedDuration,
    /// Whether Services of type LoadBalancer are served by the nodes; if not, by a controller of the user or not at
    /// all.
    pub service_lb: bool,
    /// The time zone of CronJobs that name none.
    pub time_zone: TimeZone,
    /// Of horizontal pod autoscalers.
    pub autoscaling: AutoscalingOptions,
    /// If several processes run controllers: how this one takes part in the election.
    pub leader_election: Option<Candidate>,
    /// Whether they run.
    pub health: Health,
}

impl Default for Config {
    /// Upstream's defaults.
    fn default() -> Config {
        Config {
            cluster_cidrs: Vec::new(),
            cluster_dns: Vec::new(),
            root_ca: None,
            signers: None,
            node_monitor_grace: SignedDuration::from_secs(50),
            service_lb: true,
            time_zone: TimeZone::UTC,
            autoscaling: AutoscalingOptions::default(),
            leader_election: None,
            health: Health::default(),
        }
    }
}

/// The metrics of all controllers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Their queues.
    pub queues: QueueMetrics,
    /// The availability of StatefulSets.
    pub stateful_sets: StatefulSetMetrics,
    /// Of Jobs.
    jobs: job::JobMetrics,
    /// Those of CronJobs.
    pub cron_jobs: CronJobMetrics,
    /// Of autoscalers.
    autoscalers: podautoscaler::AutoscalerMetrics,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut metrics::Registry) -> Metrics {
        Metrics {
            queues: QueueMetrics::register(registry),
            stateful_sets: StatefulSetMetrics::register(registry),
            jobs: job::JobMetrics::register(registry),
            cron_jobs: CronJobMetrics::register(registry),
            autoscalers: podautoscaler::AutoscalerMetrics::register(registry),
        }
    }
}

/// The clients of the controllers.
#[derive(Clone, Debug)]
pub struct Context {
    /// The informers, one per kind and process, under an identity that may read everything.
    pub informers: Informers,
    /// The identities with which they write.
    pub accounts: Accounts,
    /// The metrics.
    pub metrics: Metrics,
    /// The options.
    pub config: Arc<Config>,
}

/// Runs all controllers until `cancel` is cancelled or, with an election, until leadership is lost. In that case the
/// caller should restart or exit.
pub async fn run(context: Context, cancel: CancellationToken) {
    let _running = context.config.health.running();
    let Some(candidate) = context.config.leader_election.clone() else {
        return run_all(context, cancel).await;
    };
    let client = context.informers.client().clone();
    candidate.run(&client, cancel, |stop| run_all(context, stop)).await;
}

async fn run_all(context: Context, cancel: CancellationToken) {
    let health = context.config.health.clone();
    let mut names = HashMap::new();
    let mut running = JoinSet::new();
    macro_rules! start {
        ($($controller:ty),* $(,)?) => {$(
            let task = running.spawn(framework::run::<$controller>(context.clone(), cancel.clone()));
            names.insert(task.id(), <$controller as framework::Controller>::NAME);
        )*};
    }
    start!(
        deployment::DeploymentController,
        replicaset::ReplicaSetController,
        replicaset::ReplicationManager,
        daemonset::DaemonSetController,
        statefulset::StatefulSetController,
        job::JobController,
        ttlafterfinished::TtlAfterFinished,
        cronjob::CronJobController,
        endpointslice::EndpointSliceController,
        endpoints::EndpointsController,
        endpointslicemirroring::EndpointSliceMirroring,
        namespace::NamespaceController,
        serviceaccount::ServiceAccountController,
        rootca::RootCaPublisher,
        nodeipam::NodeIpam,
        clusterdns::ClusterDns,
        clusterroleaggregation::ClusterRoleAggregation,
        servicecidr::ServiceCidrs,
        ipaddress::AddressRepair,
        podautoscaler::Autoscalers,
        podgc::PodGc,
        disruption::DisruptionController,
        nodelifecycle::NodeLifecycle,
        tainteviction::TaintEviction,
        garbage::GarbageCollector,
        resourcequota::QuotaController,
        storageversionmigrator::StorageVersionMigrator,
        bootstraptokens::TokenCleaner,
        bootstraptokens::BootstrapSigner,
        certificates::CsrApproving,
        certificates::CsrSigning,
        certificates::CsrCleaner,
    );
    if context.config.service_lb {
        start!(servicelb::ServiceLoadBalancer);
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            let controller = names.get(&error.id()).copied().unwrap_or_default();
            health.ended(controller);
            tracing::error!(controller, %error, "a controller exited");
        }
    }
}
