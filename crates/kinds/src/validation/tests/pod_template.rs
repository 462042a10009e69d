use super::*;
use crate::defaults::default_pod_template;
use crate::validation::*;

#[test]
fn pod_templates() {
    let template = value!({"template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}
    }});
    let spec = |spec: Value| value!({"template": {"spec": spec}});
    check_all(
        &template,
        |object| default_pod_template(object.entry("template")),
        validate_pod_template,
        &[
            (value!({}), &[]),
            (spec(value!({"restartPolicy": "Never"})), &[]),
            (spec(value!({"containers": []})), &["template.spec.containers: Required value"]),
            (
                spec(value!({"containers": [{"name": "c"}]})),
                &["template.spec.containers[0].image: Required value"],
            ),
            (
                value!({"template": {"metadata": {"labels": {"-": "b"}}}}),
                &[&format!(r#"template.labels: Invalid value: "-": {QUALIFIED}"#)],
            ),
        ],
    );
}
