//! ServiceAccount

use clock::Clock;
use object::{Value, value};

use crate::strategy::Strategy;
use crate::table::{Column, Table};

/// The annotation that limited pods to the listed Secrets; replaced by separate namespaces.
const ENFORCES_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

/// The strategy of service accounts: only the names of listed Secrets are kept.
pub(crate) struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    fn prepare_create(&self, object: &mut Value) {
        keep_names_of_secrets(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        keep_names_of_secrets(object);
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    /// Warns about an annotation that is newly set and no longer recommended.
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let is_set =
            |account: &Value| !account.at_path(&["metadata", "annotations", ENFORCES_SECRETS]).is_null();
        if old.is_some_and(is_set) || !is_set(object) {
            return Vec::new();
        }
        let why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
        vec![format!("metadata.annotations[{ENFORCES_SECRETS}]: {why}")]
    }

    fn columns(&self) -> &'static [Column] {
        Table::NAME_AND_AGE.columns
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        (Table::NAME_AND_AGE.row)(object, clock)
    }
}

fn keep_names_of_secrets(account: &mut Value) {
    for secret in account.get_mut("secrets").into_iter().flat_map(Value::items_mut) {
        *secret = value!({"name": (secret.get("name").clone())});
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn only_names_of_secrets_stay() {
        let mut account =
            named("a", value!({"secrets": [{"name": "s", "namespace": "n", "kind": "Secret"}]}));
        ServiceAccounts.prepare_create(&mut account);
        assert_eq!(account.get("secrets"), &value!([{"name": "s"}]));
        check_row(&ServiceAccounts, &account, "a | 3h");
    }

    #[test]
    fn the_annotation_of_secrets_is_no_longer_recommended() {
        let plain = named("a", value!({}));
        let mut noted = plain.clone();
        noted.entry("metadata").entry("annotations").set(ENFORCES_SECRETS, "true");
        let warning = "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
        assert_eq!(ServiceAccounts.warnings(&noted, None), [warning]);
        assert_eq!(ServiceAccounts.warnings(&noted, Some(&plain)), [warning]);
        assert!(ServiceAccounts.warnings(&noted, Some(&noted)).is_empty());
        assert!(ServiceAccounts.warnings(&plain, None).is_empty());
    }
}
