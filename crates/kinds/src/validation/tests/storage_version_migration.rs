use super::*;
use crate::validation::*;

fn migration() -> Value {
    value!({"spec": {"resource": {"group": "apps", "resource": "deployments"}}})
}

#[test]
fn storage_version_migrations() {
    let resource = |resource: Value| value!({"spec": {"resource": resource}});
    check_all(
        &migration(),
        |_| (),
        validate_storage_version_migration,
        &[
            (value!({}), &[]),
            (resource(value!({"group": ""})), &[]),
            (
                resource(value!({"resource": ""})),
                &["spec.resource.resource: Required value: resource is required to be set"],
            ),
            (
                resource(value!({"resource": "-", "group": "-"})),
                &[
                    r#"spec.resource.resource: Invalid value: "-": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"#,
                    &format!(r#"spec.resource.group: Invalid value: "-": {SUBDOMAIN}"#),
                ],
            ),
        ],
    );
    check_all(
        &migration(),
        |_| (),
        |new| validate_storage_version_migration_update(new, &migration()),
        &[
            (value!({"metadata": {"labels": {"a": "b"}}}), &[]),
            (
                resource(value!({"group": ""})),
                &[
                    r#"spec: Invalid value: {"resource":{"group":"","resource":"deployments"}}: field is immutable"#,
                ],
            ),
        ],
    );
}

/// A status with these conditions; those with a dash do not hold.
fn status(version: &str, conditions: &[&str]) -> Value {
    let condition = |kind: &&str| {
        let status = if kind.starts_with('-') { "False" } else { "True" };
        value!({
            "type": (kind.trim_start_matches('-')), "status": status, "reason": "Tested", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        })
    };
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    value!({"status": {"resourceVersion": version, "conditions": conditions}})
}

#[test]
fn migrations_end_once() {
    let check = |old: Value, new: Value, expected: &[&str]| {
        let wrong = lines(validate_storage_version_migration_status_update(&new, &old));
        let told: Vec<&str> = wrong.iter().map(|line| line.rsplit(": ").next().unwrap()).collect();
        assert_eq!(told, expected, "{wrong:?}");
    };
    let none = || value!({});
    check(none(), status("5", &["Running"]), &[]);
    check(status("5", &["Running"]), status("5", &["Succeeded", "-Running"]), &[]);
    check(none(), status("", &["Running"]), &[]);
    check(none(), status("", &["Failed"]), &[]);
    check(status("5", &["Running"]), status("", &["Running"]), &["field is immutable"]);
    check(status("5", &["Running"]), status("5", &["Succeeded", "Running"]), &[]);
    check(none(), status("05", &[]), &["05"]);
    check(status("5", &[]), status("6", &[]), &["field is immutable"]);
    check(
        none(),
        status("5", &["Succeeded", "Failed", "Running"]),
        &["Both success and failed conditions cannot be true at the same time"],
    );
    check(
        status("5", &["Succeeded", "Failed"]),
        status("5", &["-Succeeded"]),
        &[
            "Success condition cannot be set to false once it is true",
            "Failed condition cannot be set to false once it is true",
        ],
    );
    assert_eq!(
        lines(validate_storage_version_migration_status_update(&status("0", &["a b"]), &none())),
        [
            r#"status.resourceVersion: Invalid value: "0": resource version is not well formed: 0"#,
            &format!(r#"status.conditions[0].type: Invalid value: "a b": {QUALIFIED}"#),
        ]
    );
}
