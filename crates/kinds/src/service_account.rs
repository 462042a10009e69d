//! ServiceAccount

use clock::Clock;
use object::{Value, value};

use crate::strategy::Strategy;
use crate::table::{Column, Table};

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
}
