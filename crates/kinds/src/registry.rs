//! The strategy of each resource.

use crate::simple::Simple;
use crate::strategy::Strategy;
use crate::*;

#[cfg(test)]
mod tests;

/// Custom resources, and whatever else is not built in.
static CUSTOM: Simple = Simple { updates_unconditionally: false, ..Simple::PLAIN };

/// Resources that are not stored: reviews.
static TRANSIENT: Simple = Simple::PLAIN;

/// The strategy of a resource. One that is not built in gets the generic strategy.
pub fn strategy(group: &str, plural: &str) -> &'static dyn Strategy {
    match group {
        "" => of_core(plural),
        "apps" => of_apps(plural),
        "batch" => match plural {
            "jobs" => &job::Jobs,
            "cronjobs" => &job::CronJobs,
            _ => &CUSTOM,
        },
        "networking.k8s.io" => of_networking(plural),
        "storage.k8s.io" => of_storage(plural),
        "resource.k8s.io" => of_resource(plural),
        "rbac.authorization.k8s.io" => match plural {
            "roles" => &rbac::ROLES,
            "rolebindings" => &rbac::ROLE_BINDINGS,
            "clusterroles" => &rbac::CLUSTER_ROLES,
            "clusterrolebindings" => &rbac::CLUSTER_ROLE_BINDINGS,
            _ => &CUSTOM,
        },
        "admissionregistration.k8s.io" => of_admission(plural),
        "authentication.k8s.io" | "authorization.k8s.io" => &TRANSIENT,
        _ => of_small_groups(group, plural),
    }
}

fn of_core(plural: &str) -> &'static dyn Strategy {
    match plural {
        "bindings" => &core::BINDINGS,
        "componentstatuses" => &core::COMPONENT_STATUSES,
        "configmaps" => &config_map::CONFIG_MAPS,
        "endpoints" => &core::ENDPOINTS,
        "events" => &event::CoreEvents,
        "limitranges" => &core::LIMIT_RANGES,
        "namespaces" => &namespace::Namespaces,
        "nodes" => &node::Nodes,
        "persistentvolumeclaims" => &persistent_volume::PersistentVolumeClaims,
        "persistentvolumes" => &persistent_volume::PersistentVolumes,
        "pods" => &pod::Pods,
        "podtemplates" => &core::POD_TEMPLATES,
        "replicationcontrollers" => &replica_set::ReplicationControllers,
        "resourcequotas" => &core::RESOURCE_QUOTAS,
        "secrets" => &secret::Secrets,
        "serviceaccounts" => &service_account::ServiceAccounts,
        "services" => &service::Services,
        _ => &CUSTOM,
    }
}

fn of_apps(plural: &str) -> &'static dyn Strategy {
    match plural {
        "controllerrevisions" => &controller_revision::CONTROLLER_REVISIONS,
        "daemonsets" => &daemon_set::DAEMON_SETS,
        "deployments" => &deployment::Deployments,
        "replicasets" => &replica_set::ReplicaSets,
        "statefulsets" => &stateful_set::STATEFUL_SETS,
        _ => &CUSTOM,
    }
}

fn of_networking(plural: &str) -> &'static dyn Strategy {
    match plural {
        "ingressclasses" => &networking::INGRESS_CLASSES,
        "ingresses" => &networking::INGRESSES,
        "ipaddresses" => &networking::IP_ADDRESSES,
        "networkpolicies" => &networking::NETWORK_POLICIES,
        "servicecidrs" => &networking::SERVICE_CIDRS,
        _ => &CUSTOM,
    }
}

fn of_storage(plural: &str) -> &'static dyn Strategy {
    match plural {
        "csidrivers" => &storage::CSI_DRIVERS,
        "csinodes" => &storage::CSI_NODES,
        "csistoragecapacities" => &storage::CSI_STORAGE_CAPACITIES,
        "storageclasses" => &storage::STORAGE_CLASSES,
        "volumeattachments" => &storage::VOLUME_ATTACHMENTS,
        "volumeattributesclasses" => &storage::VOLUME_ATTRIBUTES_CLASSES,
        _ => &CUSTOM,
    }
}

fn of_resource(plural: &str) -> &'static dyn Strategy {
    match plural {
        "deviceclasses" => &resource::DEVICE_CLASSES,
        "devicetaintrules" => &resource::DeviceTaintRules,
        "resourceclaims" => &resource::ResourceClaims,
        "resourceclaimtemplates" => &resource::RESOURCE_CLAIM_TEMPLATES,
        "resourceslices" => &resource::RESOURCE_SLICES,
        _ => &CUSTOM,
    }
}

fn of_admission(plural: &str) -> &'static dyn Strategy {
    match plural {
        "mutatingadmissionpolicies" => &admission::MUTATING_POLICIES,
        "mutatingadmissionpolicybindings" => &admission::MUTATING_POLICY_BINDINGS,
        "mutatingwebhookconfigurations" => &admission::MUTATING_WEBHOOKS,
        "validatingadmissionpolicies" => &admission::VALIDATING_POLICIES,
        "validatingadmissionpolicybindings" => &admission::VALIDATING_POLICY_BINDINGS,
        "validatingwebhookconfigurations" => &admission::VALIDATING_WEBHOOKS,
        _ => &CUSTOM,
    }
}

fn of_small_groups(group: &str, plural: &str) -> &'static dyn Strategy {
    match (group, plural) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            &custom_resource_definition::CustomResourceDefinitions
        }
        ("apiregistration.k8s.io", "apiservices") => &api_service::ApiServices,
        ("autoscaling", "horizontalpodautoscalers") => &horizontal_pod_autoscaler::AUTOSCALERS,
        ("certificates.k8s.io", "certificatesigningrequests") => &certificates::CertificateSigningRequests,
        ("certificates.k8s.io", "clustertrustbundles") => &certificates::CLUSTER_TRUST_BUNDLES,
        ("certificates.k8s.io", "podcertificaterequests") => &certificates::PodCertificateRequests,
        ("coordination.k8s.io", "leases") => &lease::LEASES,
        ("discovery.k8s.io", "endpointslices") => &endpoint_slice::EndpointSlices,
        ("events.k8s.io", "events") => &event::Events,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => &flow_control::FLOW_SCHEMAS,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => &flow_control::PRIORITY_LEVELS,
        ("metrics.k8s.io", "nodes") => &metrics::NODE_METRICS,
        ("metrics.k8s.io", "pods") => &metrics::POD_METRICS,
        ("node.k8s.io", "runtimeclasses") => &runtime_class::RUNTIME_CLASSES,
        ("policy", "poddisruptionbudgets") => &pod_disruption_budget::POD_DISRUPTION_BUDGETS,
        ("scheduling.k8s.io", "priorityclasses") => &priority_class::PRIORITY_CLASSES,
        ("storagemigration.k8s.io", "storageversionmigrations") => {
            &storage_version_migration::STORAGE_VERSION_MIGRATIONS
        }
        _ => &CUSTOM,
    }
}
