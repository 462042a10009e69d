//! Rules of the values that a custom resource's `scale` shows.

use object::Value;
use object::field::{Errors, Path};

use crate::strategy::ScalePaths;

/// Checks the numbers of replicas, that of the spec if `spec`, and the selector.
pub(super) fn check(paths: &ScalePaths, object: &Value, spec: bool, errors: &mut Errors) {
    if spec {
        replicas(&paths.spec_replicas, object, errors);
    }
    replicas(&paths.status_replicas, object, errors);
    if let Some(path) = &paths.selector {
        let value = ScalePaths::find(object, path);
        if !value.is_null() && value.as_str().is_none() {
            let (at, why) =
                (shown(path), "accessor error: the label selector is of another type, expected string");
            errors.invalid(&Path::root(&at), "", why);
        }
    }
}

fn shown(path: &[String]) -> String {
    format!(".{}", path.join("."))
}

fn replicas(path: &[String], object: &Value, errors: &mut Errors) {
    let value = ScalePaths::find(object, path);
    let at = shown(path);
    let at = Path::root(&at);
    match value.as_i64() {
        None if value.is_null() => {}
        None => errors.invalid(&at, 0i64, "accessor error: the number is of another type, expected int64"),
        Some(number) if number < 0 => errors.invalid(&at, number, "should be a non-negative integer"),
        Some(number) if number > i64::from(i32::MAX) => {
            errors.invalid(&at, number, format!("should be less than or equal to {}", i32::MAX));
        }
        Some(_) => {}
    }
}
