//! Tables of patches to a valid object, with the expected errors.

use object::field::Errors;
use object::patch::merge_patch;
use object::{Value, json, value};

mod api_service;
mod batch;
mod certificates;
mod cluster_trust_bundle;
mod controller_revision;
mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod device;
mod flow_schema;
mod kinds;
mod limits;
mod persistent_volume;
mod pod_certificate_request;
mod pod_template;
mod pods;
mod policies;
mod policy_bindings;
mod priority_level_configuration;
mod runtime_class;
mod storage_class;
mod storage_version_migration;
mod volume_attachment;
mod volume_attributes_class;
mod webhooks;
mod workloads;

/// The end of messages about names.
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// The errors, one per line.
pub(crate) fn lines(errors: Errors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// The object, changed by a merge patch and filled in.
pub(super) fn patched(object: &Value, patch: &Value, default: fn(&mut Value)) -> Value {
    let mut object = merge_patch(object.clone(), patch.clone()).expect("the patch is an object");
    default(&mut object);
    object
}

/// Checks a table of merge patches to a valid object with the errors that follow.
#[track_caller]
fn check_all(
    object: &Value,
    default: fn(&mut Value),
    validate: impl Fn(&Value) -> Errors,
    cases: &[(Value, &[&str])],
) {
    for (patch, expected) in cases {
        assert_eq!(lines(validate(&patched(object, patch, default))), *expected, "{patch:?}");
    }
}

/// Reads one of upstream's own objects, in which every field is filled; `None` if they are not at hand.
fn fixture(name: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("IRONHULL_FIXTURES") else {
        eprintln!("IRONHULL_FIXTURES is not set: {name} is not checked");
        return None;
    };
    let path = std::path::Path::new(&folder).join("api").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(json::parse(&text).expect("fixtures are JSON"))
}

/// Fields under validation know the schema and panic for members that it lacks: with every field filled, each
/// rule is reached.
#[test]
fn rules_name_fields_of_the_schema() {
    type Rule = fn(&Value) -> Errors;
    let rules: &[(&str, &[Rule])] = &[
        (
            "core.v1.Pod",
            &[
                super::validate_pod,
                |pod| super::validate_pod_update(pod, pod),
                |pod| super::validate_pod_status_update(pod, pod),
                |pod| super::validate_pod_resize(pod, &value!({})),
                |pod| super::validate_ephemeral_containers_update(pod, &value!({})),
            ],
        ),
        (
            "core.v1.Service",
            &[
                |service| super::validate_service_update(service, service),
                |service| super::validate_service_status_update(service, service),
            ],
        ),
        ("core.v1.Node", &[super::validate_node, |node| super::validate_node_update(node, node)]),
        ("core.v1.Namespace", &[super::validate_namespace, super::validate_namespace_finalize]),
        ("core.v1.ConfigMap", &[|map| super::validate_config_map_update(map, map)]),
        ("core.v1.Secret", &[|secret| super::validate_secret_update(secret, secret)]),
        ("core.v1.Endpoints", &[super::validate_endpoints]),
        (
            "core.v1.Event",
            &[
                |event| super::validate_event(event, true),
                |event| super::validate_event_update(event, &value!({}), true),
            ],
        ),
        (
            "apps.v1.Deployment",
            &[
                |workload| super::validate_deployment_update(workload, workload),
                |workload| super::validate_deployment_status_update(workload, workload),
            ],
        ),
        (
            "apps.v1.ReplicaSet",
            &[
                |workload| super::validate_replica_set_update(workload, workload),
                |workload| super::validate_replica_set_status_update(workload, workload),
            ],
        ),
        (
            "core.v1.ReplicationController",
            &[super::validate_replication_controller, |controller| {
                super::validate_replication_controller_status_update(controller, controller)
            }],
        ),
        (
            "apps.v1.DaemonSet",
            &[
                |set| super::validate_daemon_set_update(set, set),
                |set| super::validate_daemon_set_status_update(set, set),
            ],
        ),
        (
            "apps.v1.StatefulSet",
            &[
                super::validate_stateful_set,
                |set| super::validate_stateful_set_update(set, set),
                |set| super::validate_stateful_set_status_update(set, set),
            ],
        ),
        (
            "batch.v1.Job",
            &[
                |job| super::validate_job_update(job, job),
                |job| super::validate_job_status_update(job, &value!({})),
            ],
        ),
        ("batch.v1.CronJob", &[super::validate_cron_job]),
        (
            "core.v1.PersistentVolumeClaim",
            &[
                |claim| super::validate_persistent_volume_claim_update(claim, claim),
                |claim| super::validate_persistent_volume_claim_status_update(claim, claim),
            ],
        ),
        (
            "policy.v1.PodDisruptionBudget",
            &[super::validate_pod_disruption_budget, |budget| {
                super::validate_pod_disruption_budget_status_update(budget, budget)
            }],
        ),
        (
            "autoscaling.v2.HorizontalPodAutoscaler",
            &[super::validate_horizontal_pod_autoscaler, |autoscaler| {
                super::validate_horizontal_pod_autoscaler_status_update(autoscaler, autoscaler)
            }],
        ),
        ("core.v1.LimitRange", &[super::validate_limit_range]),
        (
            "core.v1.ResourceQuota",
            &[super::validate_resource_quota, |quota| super::validate_resource_quota_update(quota, quota)],
        ),
        (
            "scheduling.k8s.io.v1.PriorityClass",
            &[|class| super::validate_priority_class_update(class, class)],
        ),
        (
            "admissionregistration.k8s.io.v1.MutatingWebhookConfiguration",
            &[super::validate_mutating_webhook_configuration],
        ),
        (
            "admissionregistration.k8s.io.v1.ValidatingWebhookConfiguration",
            &[super::validate_validating_webhook_configuration],
        ),
        (
            "admissionregistration.k8s.io.v1.ValidatingAdmissionPolicy",
            &[
                super::validate_validating_admission_policy,
                super::validate_validating_admission_policy_status_update,
            ],
        ),
        (
            "admissionregistration.k8s.io.v1.MutatingAdmissionPolicy",
            &[super::validate_mutating_admission_policy],
        ),
        (
            "admissionregistration.k8s.io.v1.ValidatingAdmissionPolicyBinding",
            &[super::validate_validating_admission_policy_binding],
        ),
        (
            "admissionregistration.k8s.io.v1.MutatingAdmissionPolicyBinding",
            &[super::validate_mutating_admission_policy_binding],
        ),
        ("rbac.authorization.k8s.io.v1.Role", &[super::validate_role]),
        ("rbac.authorization.k8s.io.v1.ClusterRole", &[super::validate_cluster_role]),
        ("rbac.authorization.k8s.io.v1.RoleBinding", &[|b| super::validate_role_binding_update(b, b)]),
        (
            "rbac.authorization.k8s.io.v1.ClusterRoleBinding",
            &[|b| super::validate_cluster_role_binding_update(b, b)],
        ),
        ("discovery.k8s.io.v1.EndpointSlice", &[|slice| super::validate_endpoint_slice_update(slice, slice)]),
        (
            "certificates.k8s.io.v1.CertificateSigningRequest",
            &[|request| super::validate_certificate_signing_request_update(request, request)],
        ),
        ("coordination.k8s.io.v1.Lease", &[super::validate_lease]),
        (
            "certificates.k8s.io.v1.ClusterTrustBundle",
            &[super::validate_cluster_trust_bundle, |bundle| {
                super::validate_cluster_trust_bundle_update(bundle, &value!({}))
            }],
        ),
        (
            "core.v1.PersistentVolume",
            &[super::validate_persistent_volume, |volume| {
                super::validate_persistent_volume_update(volume, &value!({}))
            }],
        ),
        ("core.v1.PodTemplate", &[super::validate_pod_template]),
        (
            "certificates.k8s.io.v1.PodCertificateRequest",
            &[super::validate_pod_certificate_request, |request| {
                super::validate_pod_certificate_request_status_update(request, &value!({}))
            }],
        ),
        ("apps.v1.ControllerRevision", &[|r| super::validate_controller_revision_update(r, r)]),
        ("node.k8s.io.v1.RuntimeClass", &[|class| super::validate_runtime_class_update(class, class)]),
        ("storage.k8s.io.v1.StorageClass", &[|class| super::validate_storage_class_update(class, class)]),
        (
            "storage.k8s.io.v1.VolumeAttributesClass",
            &[|class| super::validate_volume_attributes_class_update(class, class)],
        ),
        (
            "storage.k8s.io.v1.VolumeAttachment",
            &[super::validate_volume_attachment, |attachment| {
                super::validate_volume_attachment_update(attachment, &value!({}))
            }],
        ),
        ("storage.k8s.io.v1.CSIDriver", &[|driver| super::validate_csi_driver_update(driver, driver)]),
        ("storage.k8s.io.v1.CSINode", &[|node| super::validate_csi_node_update(node, node)]),
        (
            "storage.k8s.io.v1.CSIStorageCapacity",
            &[|capacity| super::validate_csi_storage_capacity_update(capacity, capacity)],
        ),
        ("flowcontrol.apiserver.k8s.io.v1.FlowSchema", &[super::validate_flow_schema]),
        (
            "flowcontrol.apiserver.k8s.io.v1.PriorityLevelConfiguration",
            &[super::validate_priority_level_configuration],
        ),
        ("resource.k8s.io.v1.DeviceClass", &[|class| super::validate_device_class_update(class, class)]),
        ("resource.k8s.io.v1.DeviceTaintRule", &[super::validate_device_taint_rule]),
        (
            "resource.k8s.io.v1.ResourceClaim",
            &[super::validate_resource_claim, |claim| {
                super::validate_resource_claim_status_update(claim, &value!({}))
            }],
        ),
        ("resource.k8s.io.v1.ResourceClaimTemplate", &[super::validate_resource_claim_template]),
        ("resource.k8s.io.v1.ResourceSlice", &[super::validate_resource_slice]),
        (
            "storagemigration.k8s.io.v1.StorageVersionMigration",
            &[super::validate_storage_version_migration, |migration| {
                super::validate_storage_version_migration_status_update(migration, migration)
            }],
        ),
    ];
    for (kind, rules) in rules {
        let Some(object) = fixture(&format!("{kind}.json")) else { return };
        for rule in *rules {
            // Names and numbers in there are arbitrary, so that most of it is wrong.
            let _ = rule(&object);
        }
    }
}
