use super::*;
use crate::validation::*;

#[test]
fn controller_revisions() {
    check_all(
        &value!({"revision": 1, "data": {"a": "b"}}),
        |_| (),
        validate_controller_revision,
        &[
            (value!({"revision": 0}), &[]),
            (
                value!({"revision": (-1)}),
                &["revision: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (value!({"data": null}), &["data: Required value: data is mandatory"]),
        ],
    );
}

#[test]
fn recorded_states_do_not_change() {
    let old = value!({"revision": 1, "data": {"a": "b"}});
    check_all(
        &old,
        |_| (),
        |new| validate_controller_revision_update(new, &old),
        &[
            (value!({"revision": 2, "metadata": {"labels": {"a": "b"}}}), &[]),
            (value!({"data": {"a": "c"}}), &[r#"data: Invalid value: {"a":"c"}: field is immutable"#]),
        ],
    );
}
