//! The kinds of `rbac.authorization.k8s.io`. Their names may be any path segment, such as `system:node-proxier`.

use object::Value;

use crate::simple::Simple;
use crate::strategy::NameRule;
use crate::table::{AGE, Column, NAME, Table, age, cells, name};
use crate::{defaults, validation};

const RBAC: Simple = Simple { creates_on_update: true, name_rule: NameRule::PathSegment, ..Simple::PLAIN };

/// Role
pub(crate) static ROLES: Simple = Simple { validate: validation::validate_role, ..RBAC };

/// ClusterRole
pub(crate) static CLUSTER_ROLES: Simple = Simple { validate: validation::validate_cluster_role, ..RBAC };

const BINDING: Simple = Simple {
    default: defaults::default_role_binding,
    table: Table {
        columns: &[
            NAME,
            Column::text("Role", "The role that is given."),
            AGE,
            Column::text("Users", "The users that get it.").wide(),
            Column::text("Groups", "The groups that get it.").wide(),
            Column::text("ServiceAccounts", "The service accounts that get it.").wide(),
        ],
        row: |object, clock| {
            let role = object.get("roleRef");
            let role = format!("{}/{}", role.str_at("kind"), role.str_at("name"));
            let subjects = |kind| subjects(object, kind);
            let (users, groups) = (subjects("User"), subjects("Group"));
            cells![name(object), role, age(object, clock), users, groups, subjects("ServiceAccount")]
        },
    },
    ..RBAC
};

/// RoleBinding
pub(crate) static ROLE_BINDINGS: Simple = Simple {
    validate: validation::validate_role_binding,
    validate_update: Some(validation::validate_role_binding_update),
    ..BINDING
};

/// ClusterRoleBinding
pub(crate) static CLUSTER_ROLE_BINDINGS: Simple = Simple {
    validate: validation::validate_cluster_role_binding,
    validate_update: Some(validation::validate_cluster_role_binding_update),
    ..BINDING
};

/// The subjects of a kind by name, service accounts with their namespace.
fn subjects(object: &Value, kind: &str) -> String {
    let subjects = object.get("subjects").items().filter(|subject| subject.str_at("kind") == kind);
    let names = subjects.map(|subject| match subject.str_at("namespace") {
        namespace if kind == "ServiceAccount" && !namespace.is_empty() => {
            format!("{namespace}/{}", subject.str_at("name"))
        }
        _ => subject.str_at("name").to_owned(),
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{ago, check_row, named};

    #[test]
    fn tables() {
        let created = ago(3 * 3600);
        check_row(&ROLES, &named("r", value!({})), &format!("r | {created}"));
        let binding = value!({
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [
                {"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}, {"kind": "User", "name": "v"},
                {"kind": "ServiceAccount", "name": "a", "namespace": "n"}
            ]
        });
        for bindings in [&ROLE_BINDINGS, &CLUSTER_ROLE_BINDINGS] {
            let row = "b | ClusterRole/view | 3h | u, v | g | n/a";
            check_row(bindings, &named("b", binding.clone()), row);
        }
    }
}
