use super::*;
use crate::validation::*;

fn service() -> Value {
    value!({"metadata": {"name": "v1.example.com"}, "spec": {
        "group": "example.com", "version": "v1", "groupPriorityMinimum": 20000, "versionPriority": 1000,
        "service": {"namespace": "n", "name": "s", "port": 443}
    }})
}

#[test]
fn api_services() {
    let spec = |spec: Value| value!({"spec": spec});
    check_all(
        &service(),
        |_| (),
        validate_api_service,
        &[
            (value!({}), &[]),
            (
                value!({"metadata": {"name": "a"}}),
                &[
                    r#"metadata.name: Invalid value: "a": must be `spec.version+"."+spec.group`: "v1.example.com""#,
                ],
            ),
            // Whether it can be a name at all is checked with the rest of the metadata.
            (value!({"metadata": {"name": "a/b"}}), &[]),
            (value!({"metadata": {"name": "v1."}, "spec": {"group": ""}}), &[]),
            (
                value!({"metadata": {"name": "v2."}, "spec": {"group": "", "version": "v2"}}),
                &["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"],
            ),
            (
                value!({"metadata": {"name": "v1.-"}, "spec": {"group": "-"}}),
                &[&format!(r#"spec.group: Invalid value: "-": {SUBDOMAIN}"#)],
            ),
            (
                value!({"metadata": {"name": "1.example.com"}, "spec": {"version": "1"}}),
                &[
                    r#"spec.version: Invalid value: "1": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"#,
                ],
            ),
            (
                spec(value!({"groupPriorityMinimum": 0, "versionPriority": 1001})),
                &[
                    "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                    "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
                ],
            ),
            (spec(value!({"service": null})), &[]),
            (
                spec(value!({"service": null, "caBundle": "YWJj", "insecureSkipTLSVerify": true})),
                &[
                    r#"spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle"#,
                    "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
                ],
            ),
            (
                spec(value!({"service": {"namespace": "", "name": "", "port": 0}})),
                &[
                    "spec.service.namespace: Required value",
                    "spec.service.name: Required value",
                    "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                ],
            ),
            (spec(value!({"caBundle": "YWJj"})), &[]),
            (
                spec(value!({"caBundle": "YWJj", "insecureSkipTLSVerify": true})),
                &["spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"],
            ),
        ],
    );
}

#[test]
fn states_of_api_services() {
    let status = |status: &str| value!({"status": {"conditions": [{"type": "Available", "status": status}]}});
    check_all(
        &service(),
        |_| (),
        |new| validate_api_service_status_update(new, &service()),
        &[
            (status("Unknown"), &[]),
            (
                status("Odd"),
                &[
                    r#"status.conditions[0].status: Unsupported value: "Odd": supported values: "True", "False", "Unknown""#,
                ],
            ),
        ],
    );
}
