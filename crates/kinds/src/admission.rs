//! The kinds of `admissionregistration.k8s.io`: webhooks and policies.

use clock::Clock;
use object::Value;

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, count, name, or};
use crate::{defaults, validation};

/// What all kinds of the group have in common.
const CONFIGURATION: Simple =
    Simple { updates_unconditionally: false, warnings: validation::admission_warnings, ..Simple::COUNTED };

const WEBHOOK: Simple = Simple {
    takes_long: |object| {
        object.get("webhooks").items().any(|webhook| !webhook.get("matchConditions").is_empty())
    },
    table: Table {
        columns: &[NAME, Column::integer("Webhooks", "How many webhooks the configuration registers."), AGE],
        row: |object, clock| cells![name(object), count(object, "webhooks"), age(object, clock)],
    },
    ..CONFIGURATION
};

/// MutatingWebhookConfiguration
pub(crate) static MUTATING_WEBHOOKS: Simple = Simple {
    default: defaults::default_mutating_webhook_configuration,
    validate: validation::validate_mutating_webhook_configuration,
    validate_update: Some(validation::validate_mutating_webhook_configuration_update),
    ..WEBHOOK
};

/// ValidatingWebhookConfiguration
pub(crate) static VALIDATING_WEBHOOKS: Simple = Simple {
    default: defaults::default_validating_webhook_configuration,
    validate: validation::validate_validating_webhook_configuration,
    validate_update: Some(validation::validate_validating_webhook_configuration_update),
    ..WEBHOOK
};

const PARAM_KIND: Column = Column::text("ParamKind", "The kind of the policy's parameters.");

const POLICY: Simple = Simple { default: defaults::default_policy, takes_long: |_| true, ..CONFIGURATION };

/// ValidatingAdmissionPolicy
pub(crate) static VALIDATING_POLICIES: Simple = Simple {
    has_status: true,
    status_keeps_metadata: true,
    validate: validation::validate_validating_admission_policy,
    validate_update: Some(validation::validate_validating_admission_policy_update),
    validate_status_update: |policy, _| {
        validation::validate_validating_admission_policy_status_update(policy)
    },
    table: Table {
        columns: &[NAME, Column::integer("Validations", "How many rules the policy has."), PARAM_KIND, AGE],
        row: |object, clock| policy_row(object, "spec.validations", clock),
    },
    ..POLICY
};

/// MutatingAdmissionPolicy
pub(crate) static MUTATING_POLICIES: Simple = Simple {
    validate: validation::validate_mutating_admission_policy,
    validate_update: Some(validation::validate_mutating_admission_policy_update),
    table: Table {
        columns: &[
            NAME,
            Column::integer("Mutations", "How many mutations the policy makes."),
            PARAM_KIND,
            AGE,
        ],
        row: |object, clock| policy_row(object, "spec.mutations", clock),
    },
    ..POLICY
};

/// ValidatingAdmissionPolicyBinding
pub(crate) static VALIDATING_POLICY_BINDINGS: Simple = Simple {
    validate: validation::validate_validating_admission_policy_binding,
    validate_update: Some(validation::validate_validating_admission_policy_binding_update),
    ..POLICY_BINDING
};

/// MutatingAdmissionPolicyBinding
pub(crate) static MUTATING_POLICY_BINDINGS: Simple = Simple {
    validate: validation::validate_mutating_admission_policy_binding,
    validate_update: Some(validation::validate_mutating_admission_policy_binding_update),
    ..POLICY_BINDING
};

const POLICY_BINDING: Simple = Simple {
    default: defaults::default_policy_binding,
    table: Table {
        columns: &[
            NAME,
            Column::text("PolicyName", "The policy that is bound."),
            Column::text("ParamRef", "The parameters that the policy is bound with."),
            AGE,
        ],
        row: |object, clock| {
            let policy = object.str_at("spec.policyName");
            cells![name(object), policy, param_ref(object.at("spec.paramRef")), age(object, clock)]
        },
    },
    ..CONFIGURATION
};

fn policy_row(object: &Value, rules: &str, clock: &Clock) -> Vec<Value> {
    let kind = object.at("spec.paramKind");
    let kind = match kind {
        Value::Null => "<unset>".to_owned(),
        kind => format!("{}/{}", kind.str_at("apiVersion"), kind.str_at("kind")),
    };
    cells![name(object), count(object, rules), kind, age(object, clock)]
}

/// The parameters by name, with `*` for any namespace, or otherwise by selector.
fn param_ref(reference: &Value) -> String {
    match reference.str_at("name") {
        "" if reference.get("selector").is_null() => "<unset>".to_owned(),
        "" => selector_text(reference.get("selector")),
        name => format!("{}/{name}", or(reference.str_at("namespace"), "*")),
    }
}

/// A selector as upstream's Go type prints itself.
fn selector_text(selector: &Value) -> String {
    let mut labels: Vec<(&str, &Value)> = selector.get("matchLabels").entries().collect();
    labels.sort_by_key(|(key, _)| *key);
    let labels: String =
        labels.iter().map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default())).collect();
    let requirement = |of: &Value| {
        let values: Vec<&str> = of.get("values").items().filter_map(Value::as_str).collect();
        let (key, operator, values) = (of.str_at("key"), of.str_at("operator"), values.join(" "));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
    };
    let requirements: String = selector.get("matchExpressions").items().map(requirement).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::Strategy;
    use crate::testing::{check_row, named};

    #[test]
    fn tables() {
        let of = |plural: &str| crate::registry::strategy("admissionregistration.k8s.io", plural);
        let webhooks = named("w", value!({"webhooks": [{"name": "a"}, {"name": "b"}]}));
        check_row(of("mutatingwebhookconfigurations"), &webhooks, "w | 2 | 3h");
        check_row(of("validatingwebhookconfigurations"), &named("v", value!({})), "v | 0 | 3h");
        let policy =
            value!({"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}});
        check_row(of("validatingadmissionpolicies"), &named("p", policy), "p | 1 | v1/ConfigMap | 3h");
        check_row(of("mutatingadmissionpolicies"), &named("m", value!({})), "m | 0 | <unset> | 3h");
        let bindings = [
            (value!({}), "b | p | <unset> | 3h"),
            (value!({"name": "x"}), "b | p | */x | 3h"),
            (value!({"name": "x", "namespace": "n"}), "b | p | n/x | 3h"),
            (
                value!({"selector": {"matchLabels": {"b": "2", "a": "1"}}}),
                "b | p | &LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{},} | 3h",
            ),
            (
                value!({"selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}}),
                "b | p | &LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:a,Operator:In,Values:[x y],},},} | 3h",
            ),
        ];
        for (reference, row) in bindings {
            let binding = value!({"spec": {"policyName": "p", "paramRef": reference}});
            check_row(of("validatingadmissionpolicybindings"), &named("b", binding.clone()), row);
            check_row(of("mutatingadmissionpolicybindings"), &named("b", binding), row);
        }
    }
    #[test]
    fn writes() {
        for kind in [
            &MUTATING_WEBHOOKS,
            &VALIDATING_WEBHOOKS,
            &MUTATING_POLICIES,
            &VALIDATING_POLICIES,
            &MUTATING_POLICY_BINDINGS,
            &VALIDATING_POLICY_BINDINGS,
        ] {
            assert!(kind.tracks_generation() && !kind.updates_unconditionally() && !kind.creates_on_update());
        }
        assert!(VALIDATING_POLICIES.has_status() && !MUTATING_POLICIES.has_status());
        let (old, changed) = (
            value!({"metadata": {"labels": {"a": "1"}}, "spec": {"failurePolicy": "Fail"}, "status": {"observedGeneration": 1i64}}),
            value!({"metadata": {"labels": {"a": "2"}}, "spec": {"failurePolicy": "Ignore"}, "status": {"observedGeneration": 2i64}}),
        );
        let mut created = changed.clone();
        VALIDATING_POLICIES.prepare_create(&mut created);
        assert!(created.get("status").is_null());
        let mut updated = changed.clone();
        VALIDATING_POLICIES.prepare_update(&mut updated, &old);
        assert_eq!((updated.get("spec"), updated.get("status")), (changed.get("spec"), old.get("status")));
        let mut status = changed.clone();
        VALIDATING_POLICIES.prepare_status_update(&mut status, &old);
        assert_eq!((status.get("spec"), status.get("status")), (old.get("spec"), changed.get("status")));
        assert_eq!(status.get("metadata"), old.get("metadata"));
    }
}
