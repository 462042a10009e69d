//! Conditions under which a webhook or policy is asked.

use std::collections::HashSet;
use std::sync::LazyLock;

use object::field::{Error, Errors};
use object::names;
use rules::admission::{Compiler, Returns, Scope};

use super::expressions::check_compiled;
use crate::validation::field::Field;

const CONDITIONS_MAX: usize = 64;

static WITHOUT_PARAMS: LazyLock<Compiler> = LazyLock::new(|| compiler(false));
static WITH_PARAMS: LazyLock<Compiler> = LazyLock::new(|| compiler(true));

fn compiler(params: bool) -> Compiler {
    Compiler::new(Scope { params, authorizer: true, ..Scope::default() })
}

/// Checks `matchConditions`, whose expressions may use `params` or not.
pub(in crate::validation) fn validate_conditions(
    errors: &mut Errors,
    conditions: &Field<'_, '_>,
    params: bool,
) {
    if conditions.len() > CONDITIONS_MAX {
        errors.push(Error::too_many(&conditions.path, conditions.len(), CONDITIONS_MAX));
    }
    let compiler = if params { &WITH_PARAMS } else { &WITHOUT_PARAMS };
    let mut seen = HashSet::new();
    // As upstream, all are reported, but those over the limit need not be compiled to be refused.
    for (i, condition) in conditions.items().enumerate() {
        let (name, expression) = (condition.child("name"), condition.child("expression"));
        match expression.text().trim() {
            "" => expression.required(errors, ""),
            _ if i >= CONDITIONS_MAX => {}
            text => check_compiled(errors, &expression, text, compiler.compile(text, Returns::Bool)),
        }
        name.check_required(errors, names::is_qualified_name);
        if !name.is_empty() && !seen.insert(name.text()) {
            name.duplicate(errors);
        }
    }
}
