//! StorageVersionMigration

use crate::simple::Simple;
use crate::table::{Column, NAME, Table, cells, name};
use crate::validation;

/// StorageVersionMigration
pub(crate) static STORAGE_VERSION_MIGRATIONS: Simple = Simple {
    has_status: true,
    status_keeps_metadata: true,
    updates_unconditionally: false,
    validate: validation::validate_storage_version_migration,
    validate_update: Some(validation::validate_storage_version_migration_update),
    validate_status_update: validation::validate_storage_version_migration_status_update,
    table: Table {
        columns: &[
            Column { format: "", ..NAME },
            Column::text("Resource", "The resource whose objects are written anew."),
        ],
        row: |object, _| {
            let resource = object.at("spec.resource");
            cells![name(object), format!("{}.{}", resource.str_at("resource"), resource.str_at("group"))]
        },
    },
    ..Simple::PLAIN
};

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn table() {
        let migration = value!({"spec": {"resource": {"group": "apps", "resource": "deployments"}}});
        check_row(&STORAGE_VERSION_MIGRATIONS, &named("m", migration), "m | deployments.apps");
    }
}
