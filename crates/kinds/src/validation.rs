//! Validation of objects: the rules of upstream's `pkg/apis/*/validation`.
//!
//! Reasons, paths and messages are part of the API. Each function takes an object whose unset fields have been
//! filled in ([`defaults`](crate::defaults)), and leaves its metadata to [`validate_metadata`], which is the same
//! for every kind.

mod admission;
mod api_service;
mod certificates;
mod cluster;
mod cluster_trust_bundle;
mod conditions;
mod config;
mod controller_revision;
mod cron_job;
mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod custom_resource_definition;
mod daemon_set;
mod device;
mod endpoints;
mod event;
pub(crate) mod field;
mod flow_schema;
mod horizontal_pod_autoscaler;
mod ingress;
mod job;
mod limit_range;
mod mail;
mod manifest;
mod metadata;
mod mutating_admission_policy;
mod mutating_admission_policy_binding;
mod network_policy;
mod networking;
pub(crate) mod pem;
mod persistent_volume;
mod persistent_volume_claim;
mod pod;
mod pod_certificate_request;
mod pod_disruption_budget;
mod pod_template;
mod priority_class;
mod priority_level_configuration;
mod rbac;
mod resource_quota;
pub(crate) mod resources;
mod runtime_class;
mod service;
mod stateful_set;
mod storage_class;
mod storage_version_migration;
#[cfg(test)]
pub(crate) mod tests;
mod validating_admission_policy;
mod validating_admission_policy_binding;
mod volume_attachment;
mod volume_attributes_class;
mod webhook;
mod workload;

pub use admission::STATIC_SUFFIX;
pub(crate) use admission::admission_warnings;
pub use api_service::{validate_api_service, validate_api_service_status_update};
pub use certificates::{
    validate_certificate_signing_request, validate_certificate_signing_request_approval,
    validate_certificate_signing_request_status_update, validate_certificate_signing_request_update,
};
pub use cluster::{
    validate_core_finalizers, validate_lease, validate_namespace, validate_namespace_finalize,
    validate_namespace_status_update, validate_node, validate_node_update,
};
pub use cluster_trust_bundle::{validate_cluster_trust_bundle, validate_cluster_trust_bundle_update};
pub use config::{validate_config_map, validate_config_map_update, validate_secret, validate_secret_update};
pub use controller_revision::{validate_controller_revision, validate_controller_revision_update};
pub use cron_job::{validate_cron_job, validate_cron_job_update};
pub use csi_driver::{validate_csi_driver, validate_csi_driver_update};
pub use csi_node::{validate_csi_node, validate_csi_node_update};
pub use csi_storage_capacity::{validate_csi_storage_capacity, validate_csi_storage_capacity_update};
pub use custom_resource_definition::{
    approval_condition, conversion_can_be_trusted, custom_resource_definition_warnings,
    non_structural_schema, validate_custom_resource_definition,
    validate_custom_resource_definition_status_update, validate_custom_resource_definition_update,
};
pub use daemon_set::{validate_daemon_set, validate_daemon_set_status_update, validate_daemon_set_update};
pub use device::{
    validate_device_class, validate_device_class_update, validate_device_taint_rule,
    validate_device_taint_rule_status_update, validate_device_taint_rule_update, validate_resource_claim,
    validate_resource_claim_status_update, validate_resource_claim_template,
    validate_resource_claim_template_update, validate_resource_claim_update, validate_resource_slice,
    validate_resource_slice_update,
};
pub use endpoints::{
    validate_endpoint_slice, validate_endpoint_slice_update, validate_endpoints, validate_endpoints_update,
};
pub use event::{validate_event, validate_event_update};
pub use field::same;
pub use flow_schema::{validate_flow_schema, validate_flow_schema_status_update};
pub use horizontal_pod_autoscaler::{
    validate_horizontal_pod_autoscaler, validate_horizontal_pod_autoscaler_status_update,
};
pub use ingress::{
    validate_ingress, validate_ingress_class, validate_ingress_class_update, validate_ingress_status_update,
    validate_ingress_update,
};
pub use job::{validate_job, validate_job_status_update, validate_job_update};
pub use limit_range::validate_limit_range;
pub use manifest::validate_admission_manifest;
pub use metadata::{validate_annotations, validate_labels, validate_metadata, validate_metadata_update};
pub use mutating_admission_policy::{
    validate_mutating_admission_policy, validate_mutating_admission_policy_update,
};
pub use mutating_admission_policy_binding::{
    validate_mutating_admission_policy_binding, validate_mutating_admission_policy_binding_update,
};
pub use network_policy::{validate_network_policy, validate_network_policy_update};
pub use networking::{
    validate_ip_address, validate_ip_address_update, validate_service_cidr, validate_service_cidr_update,
};
pub use persistent_volume::{validate_persistent_volume, validate_persistent_volume_update};
pub use persistent_volume_claim::{
    validate_persistent_volume_claim, validate_persistent_volume_claim_status_update,
    validate_persistent_volume_claim_update,
};
pub use pod::{
    validate_binding, validate_ephemeral_containers_update, validate_pod, validate_pod_resize,
    validate_pod_status_update, validate_pod_update,
};
pub use pod_certificate_request::{
    validate_pod_certificate_request, validate_pod_certificate_request_issue,
    validate_pod_certificate_request_status_update, validate_pod_certificate_request_update,
};
pub use pod_disruption_budget::{
    validate_pod_disruption_budget, validate_pod_disruption_budget_status_update,
};
pub use pod_template::validate_pod_template;
pub use priority_class::{validate_priority_class, validate_priority_class_update};
pub use priority_level_configuration::{
    validate_priority_level_configuration, validate_priority_level_configuration_status_update,
};
pub use rbac::{
    validate_cluster_role, validate_cluster_role_binding, validate_cluster_role_binding_update,
    validate_role, validate_role_binding, validate_role_binding_update,
};
pub use resource_quota::{
    validate_resource_quota, validate_resource_quota_status_update, validate_resource_quota_update,
};
pub use runtime_class::{validate_runtime_class, validate_runtime_class_update};
pub use service::{
    validate_cluster_ips, validate_service, validate_service_status_update, validate_service_update,
};
pub use stateful_set::{
    validate_stateful_set, validate_stateful_set_status_update, validate_stateful_set_update,
};
pub use storage_class::{validate_storage_class, validate_storage_class_update};
pub use storage_version_migration::{
    validate_storage_version_migration, validate_storage_version_migration_status_update,
    validate_storage_version_migration_update,
};
pub use validating_admission_policy::{
    validate_validating_admission_policy, validate_validating_admission_policy_status_update,
    validate_validating_admission_policy_update,
};
pub use validating_admission_policy_binding::{
    validate_validating_admission_policy_binding, validate_validating_admission_policy_binding_update,
};
pub use volume_attachment::{
    validate_volume_attachment, validate_volume_attachment_status_update, validate_volume_attachment_update,
};
pub use volume_attributes_class::{
    validate_volume_attributes_class, validate_volume_attributes_class_update,
};
pub use webhook::{
    validate_mutating_webhook_configuration, validate_mutating_webhook_configuration_update,
    validate_validating_webhook_configuration, validate_validating_webhook_configuration_update,
};
pub use workload::{
    validate_deployment, validate_deployment_status_update, validate_deployment_update, validate_replica_set,
    validate_replica_set_status_update, validate_replica_set_update, validate_replication_controller,
    validate_replication_controller_status_update,
};
