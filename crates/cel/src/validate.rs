//! Checks of literals that only fail when an expression is evaluated otherwise (`cel/validator.go` and the validator of
//! `ext/formatting.go` in cel-go).

use crate::{Checked, Issue};

pub(crate) fn issues(_checked: &Checked) -> Vec<Issue> {
    Vec::new()
}
