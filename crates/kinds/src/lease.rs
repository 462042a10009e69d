//! Lease

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, name};
use crate::validation;

/// The first update creates a Lease, so that taking one is a single request.
pub(crate) static LEASES: Simple = Simple {
    creates_on_update: true,
    updates_unconditionally: false,
    validate: validation::validate_lease,
    table: Table {
        columns: &[NAME, Column::text("Holder", "Who holds the lease."), AGE],
        row: |object, clock| cells![name(object), object.str_at("spec.holderIdentity"), age(object, clock)],
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
        check_row(&LEASES, &named("l", value!({"spec": {"holderIdentity": "me"}})), "l | me | 3h");
        check_row(&LEASES, &named("l", value!({})), "l |  | 3h");
    }
}
