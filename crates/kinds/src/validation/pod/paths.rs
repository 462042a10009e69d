//! Paths of files in volumes and mounts.

use object::field::Errors;

use crate::validation::field::Field;

/// A path without `..`.
pub(in crate::validation) fn path_without_backsteps(errors: &mut Errors, path: &Field<'_, '_>) {
    if path.text().split('/').any(|part| part == "..") {
        path.invalid(errors, "must not contain '..'");
    }
}

/// A path that leads down from where it starts.
pub(super) fn descending_path(errors: &mut Errors, path: &Field<'_, '_>) {
    if path.text().starts_with('/') {
        path.invalid(errors, "must be a relative path");
    }
    path_without_backsteps(errors, path);
}

/// A path that leads down, and whose first part does not start like the volume's own files do.
pub(super) fn local_path(errors: &mut Errors, path: &Field<'_, '_>) {
    descending_path(errors, path);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        path.invalid(errors, "must not start with '..'");
    }
}

/// Permissions of a file.
pub(super) fn file_mode(errors: &mut Errors, mode: &Field<'_, '_>) {
    if mode.is_set() && !(0..=0o777).contains(&mode.number()) {
        mode.invalid(errors, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}
