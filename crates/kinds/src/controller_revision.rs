//! ControllerRevision

use object::Value;

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, name, number};
use crate::validation;

/// ControllerRevision
pub(crate) static CONTROLLER_REVISIONS: Simple = Simple {
    validate: validation::validate_controller_revision,
    validate_update: Some(validation::validate_controller_revision_update),
    table: Table {
        columns: &[
            NAME,
            Column::text("Controller", "The object whose state is recorded."),
            Column::text("Revision", "The number of the state."),
            AGE,
        ],
        row: |object, clock| {
            cells![name(object), controller(object), number(object, "revision"), age(object, clock)]
        },
    },
    ..Simple::PLAIN
};

/// The controlling owner as `kind.group/name`, in lower case except for the name.
fn controller(object: &Value) -> String {
    let is_controller = |owner: &&Value| owner.get("controller").as_bool() == Some(true);
    let Some(owner) = object.at("metadata.ownerReferences").items().find(is_controller) else {
        return "<none>".to_owned();
    };
    let kind = match owner.str_at("apiVersion").split_once('/') {
        Some((group, _)) => format!("{}.{group}", owner.str_at("kind")),
        None => owner.str_at("kind").to_owned(),
    };
    format!("{}/{}", kind.to_lowercase(), owner.str_at("name"))
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn table() {
        let owner =
            value!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "Web", "controller": true});
        let revision = value!({"metadata": {"ownerReferences": [owner]}, "revision": 7});
        check_row(&CONTROLLER_REVISIONS, &named("r", revision), "r | statefulset.apps/Web | 7 | 3h");
        check_row(&CONTROLLER_REVISIONS, &named("r", value!({})), "r | <none> | 0 | 3h");
    }
}
