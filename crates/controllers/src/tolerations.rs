//! Taints and tolerations.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether a toleration is of a taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if is_set(&toleration.effect) && toleration.effect.as_ref() != Some(&taint.effect) {
        return false;
    }
    if is_set(&toleration.key) && toleration.key.as_ref() != Some(&taint.key) {
        return false;
    }
    let value = toleration.value.as_deref().unwrap_or_default();
    let found = taint.value.as_deref().unwrap_or_default();
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => value == found,
        "Exists" => true,
        // Comparisons of whole numbers; what is none matches nothing.
        operator @ ("Lt" | "Gt") => match (found.parse::<i64>(), value.parse::<i64>()) {
            (Ok(found), Ok(value)) if operator == "Lt" => found < value,
            (Ok(found), Ok(value)) => found > value,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let taint = Taint {
            key: "a".into(),
            value: Some("5".into()),
            effect: "NoExecute".into(),
            ..Taint::default()
        };
        for (key, operator, value, effect, expected) in [
            ("a", "", "5", "NoExecute", true),
            ("a", "Equal", "5", "", true),
            ("a", "Equal", "6", "NoExecute", false),
            ("b", "Equal", "5", "NoExecute", false),
            ("a", "Equal", "5", "NoSchedule", false),
            ("a", "Exists", "", "NoExecute", true),
            ("", "Exists", "", "", true),
            ("a", "Lt", "6", "", true),
            ("a", "Gt", "6", "", false),
            ("a", "Gt", "x", "", false),
            ("a", "Other", "5", "", false),
        ] {
            let toleration = Toleration {
                key: Some(key.into()),
                operator: Some(operator.into()),
                value: Some(value.into()),
                effect: Some(effect.into()),
                ..Toleration::default()
            };
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration:?}");
        }
    }
}
