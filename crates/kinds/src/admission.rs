//! The kinds of `admissionregistration.k8s.io`: webhooks and policies.

use clock::Clock;
use object::Value;

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, count, name, or};
use crate::{defaults, validation};

const WEBHOOK: Simple = Simple {
    updates_unconditionally: false,
    table: Table {
        columns: &[NAME, Column::integer("Webhooks", "How many webhooks the configuration registers."), AGE],
        row: |object, clock| cells![name(object), count(object, "webhooks"), age(object, clock)],
    },
    ..Simple::COUNTED
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

const POLICY: Simple =
    Simple { updates_unconditionally: false, default: defaults::default_policy, ..Simple::COUNTED };

/// ValidatingAdmissionPolicy
pub(crate) static VALIDATING_POLICIES: Simple = Simple {
    has_status: true,
    status_keeps_metadata: true,
    table: Table {
        columns: &[NAME, Column::integer("Validations", "How many rules the policy has."), PARAM_KIND, AGE],
        row: |object, clock| policy_row(object, "spec.validations", clock),
    },
    ..POLICY
};

/// MutatingAdmissionPolicy
pub(crate) static MUTATING_POLICIES: Simple = Simple {
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

/// ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding
pub(crate) static POLICY_BINDINGS: Simple = Simple {
    updates_unconditionally: false,
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
    ..Simple::COUNTED
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
        "" => semantics::selector(reference.get("selector")).to_string(),
        name => format!("{}/{name}", or(reference.str_at("namespace"), "*")),
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn tables() {
        let webhooks = named("w", value!({"webhooks": [{"name": "a"}, {"name": "b"}]}));
        check_row(&MUTATING_WEBHOOKS, &webhooks, "w | 2 | 3h");
        check_row(&VALIDATING_WEBHOOKS, &named("v", value!({})), "v | 0 | 3h");
        let policy =
            value!({"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}});
        check_row(&VALIDATING_POLICIES, &named("p", policy), "p | 1 | v1/ConfigMap | 3h");
        check_row(&MUTATING_POLICIES, &named("m", value!({})), "m | 0 | <unset> | 3h");
        let bindings = [
            (value!({}), "b | p | <unset> | 3h"),
            (value!({"name": "x"}), "b | p | */x | 3h"),
            (value!({"name": "x", "namespace": "n"}), "b | p | n/x | 3h"),
            (value!({"selector": {"matchLabels": {"a": "b"}}}), "b | p | a=b | 3h"),
        ];
        for (reference, row) in bindings {
            let binding = value!({"spec": {"policyName": "p", "paramRef": reference}});
            check_row(&POLICY_BINDINGS, &named("b", binding), row);
        }
    }
}
