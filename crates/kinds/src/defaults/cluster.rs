//! Defaults of kinds that configure the cluster: access, admission, networking, priorities.

use object::{Value, value};

use super::{each, fill, within};

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
const HTTPS_PORT: i32 = 443;

/// Fills in a RoleBinding or ClusterRoleBinding: role, users and groups are RBAC's.
pub fn default_role_binding(binding: &mut Value) {
    fill(binding.entry("roleRef"), "apiGroup", RBAC_GROUP);
    each(binding, "subjects", |subject| {
        if matches!(subject.str_at("kind"), "User" | "Group") {
            fill(subject, "apiGroup", RBAC_GROUP);
        }
    });
}

/// Fills in a NetworkPolicy: it applies to ingress, and to egress if it has rules for that.
pub fn default_network_policy(policy: &mut Value) {
    let spec = policy.entry("spec");
    for name in ["ingress", "egress"] {
        each(spec, name, |rule| each(rule, "ports", |port| port.set_default("protocol", "TCP")));
    }
    let both = !spec.get("egress").is_empty();
    fill(spec, "policyTypes", if both { value!(["Ingress", "Egress"]) } else { value!(["Ingress"]) });
}

/// Fills in an IngressClass.
pub fn default_ingress_class(class: &mut Value) {
    within(class, "spec", |spec| {
        within(spec, "parameters", |parameters| parameters.set_default("scope", "Cluster"));
    });
}

/// Fills in a PriorityClass.
pub fn default_priority_class(class: &mut Value) {
    class.set_default("preemptionPolicy", "PreemptLowerPriority");
}

/// Fills in a ValidatingWebhookConfiguration.
pub fn default_validating_webhook_configuration(configuration: &mut Value) {
    each(configuration, "webhooks", default_webhook);
}

/// Fills in a MutatingWebhookConfiguration.
pub fn default_mutating_webhook_configuration(configuration: &mut Value) {
    each(configuration, "webhooks", |webhook| {
        default_webhook(webhook);
        webhook.set_default("reinvocationPolicy", "Never");
    });
}

fn default_webhook(webhook: &mut Value) {
    webhook.set_default("failurePolicy", "Fail");
    default_match(webhook);
    webhook.set_default("timeoutSeconds", 10);
    each(webhook, "rules", default_rule);
    within(webhook, "clientConfig", default_client_config);
}

fn default_match(object: &mut Value) {
    object.set_default("matchPolicy", "Equivalent");
    object.set_default("namespaceSelector", Value::map());
    object.set_default("objectSelector", Value::map());
}

fn default_rule(rule: &mut Value) {
    rule.set_default("scope", "*");
}

fn default_client_config(config: &mut Value) {
    within(config, "service", |service| service.set_default("port", HTTPS_PORT));
}

/// Fills in a ValidatingAdmissionPolicy or MutatingAdmissionPolicy.
pub fn default_policy(policy: &mut Value) {
    let spec = policy.entry("spec");
    spec.set_default("failurePolicy", "Fail");
    within(spec, "matchConstraints", default_match_resources);
}

/// Fills in a ValidatingAdmissionPolicyBinding or MutatingAdmissionPolicyBinding.
pub fn default_policy_binding(binding: &mut Value) {
    within(binding, "spec", |spec| within(spec, "matchResources", default_match_resources));
}

fn default_match_resources(resources: &mut Value) {
    default_match(resources);
    each(resources, "resourceRules", default_rule);
    each(resources, "excludeResourceRules", default_rule);
}

/// Fills in a FlowSchema.
pub fn default_flow_schema(schema: &mut Value) {
    fill(schema.entry("spec"), "matchingPrecedence", 1000);
}

/// Fills in a PriorityLevelConfiguration.
pub fn default_priority_level_configuration(level: &mut Value) {
    let spec = level.entry("spec");
    within(spec, "exempt", |exempt| {
        exempt.set_default("nominalConcurrencyShares", 0);
        exempt.set_default("lendablePercent", 0);
    });
    within(spec, "limited", |limited| {
        limited.set_default("nominalConcurrencyShares", 30);
        limited.set_default("lendablePercent", 0);
        within(limited, "limitResponse", |response| {
            within(response, "queuing", |queuing| {
                fill(queuing, "queues", 64);
                fill(queuing, "handSize", 8);
                fill(queuing, "queueLengthLimit", 50);
            });
        });
    });
}

/// Fills in a PodCertificateRequest: a certificate is for a day.
pub fn default_pod_certificate_request(request: &mut Value) {
    within(request, "spec", |spec| spec.set_default("maxExpirationSeconds", 86_400));
}

/// Fills in an APIService.
pub fn default_api_service(service: &mut Value) {
    within(service, "spec", default_client_config);
}

/// Fills in a CustomResourceDefinition.
pub fn default_custom_resource_definition(definition: &mut Value) {
    let spec = definition.entry("spec");
    let kind = spec.str_at("names.kind").to_owned();
    let names = spec.entry("names");
    fill(names, "singular", kind.to_lowercase());
    if !kind.is_empty() {
        fill(names, "listKind", format!("{kind}List"));
    }
    let conversion = spec.entry("conversion");
    fill(conversion, "strategy", "None");
    within(conversion, "webhook", |webhook| within(webhook, "clientConfig", default_client_config));
}
