//! The expressions of a policy.

use object::field::{Error, Errors};
use rules::admission::{Compiler, Expression, Returns, Scope};

use crate::validation::field::Field;

/// How many variables a policy can have. Upstream has no limit but that of a request's size; each variable is looked for
/// among those before it.
const VARIABLES_MAX: usize = 4096;
/// Compiles the expressions of one policy, which can use its parameters and variables.
pub(in crate::validation) struct Expressions {
    scope: Scope,
    compiler: Compiler,
}

impl Expressions {
    /// Those of a policy with parameters or not, with variables or not.
    pub(in crate::validation) fn new(params: bool, variables: bool) -> Expressions {
        let scope = Scope { params, variables, authorizer: true, patches: false };
        Expressions { scope, compiler: Compiler::new(scope) }
    }

    /// For expressions that see the same variables, but cannot ask what the user may do.
    pub(in crate::validation) fn without_authorizer(&self) -> Expressions {
        self.with(Scope { authorizer: false, ..self.scope })
    }

    /// For expressions that see the same variables, and make patches.
    pub(in crate::validation) fn with_patches(&self) -> Expressions {
        self.with(Scope { patches: true, ..self.scope })
    }

    fn with(&self, scope: Scope) -> Expressions {
        Expressions { scope, compiler: self.compiler.with_scope(scope) }
    }

    /// Checks an expression; `text` is what is compiled of it, and what the error shows.
    pub(in crate::validation) fn check(
        &self,
        errors: &mut Errors,
        expression: &Field<'_, '_>,
        text: &str,
        returns: Returns,
    ) {
        check_compiled(errors, expression, text, self.compiler.compile(text, returns));
    }

    /// Checks an expression of which the outer spaces are not compiled, although the error shows them.
    pub(in crate::validation) fn check_trimmed(
        &self,
        errors: &mut Errors,
        expression: &Field<'_, '_>,
        returns: Returns,
    ) {
        let compiled = self.compiler.compile(expression.text().trim(), returns);
        check_compiled(errors, expression, expression.text(), compiled);
    }
}

/// Adds the error of an expression that does not compile.
pub(super) fn check_compiled(
    errors: &mut Errors,
    expression: &Field<'_, '_>,
    shown: &str,
    compiled: Result<Expression, String>,
) {
    if let Err(why) = compiled {
        errors.invalid(&expression.path, shown, why);
    }
}

/// Checks `variables`, and makes each known to the expressions after it. As upstream, two may have the same name: what
/// stands behind both means the later one.
pub(in crate::validation) fn validate_variables(
    errors: &mut Errors,
    variables: &Field<'_, '_>,
    expressions: &mut Expressions,
) {
    if variables.len() > VARIABLES_MAX {
        errors.push(Error::too_many(&variables.path, variables.len(), VARIABLES_MAX));
        return;
    }
    for variable in variables.items() {
        let (name, expression) = (variable.child("name"), variable.child("expression"));
        if name.text().trim().is_empty() {
            name.required(errors, "name is not specified");
        } else if !is_identifier(name.text()) {
            name.invalid(errors, "must be a valid CEL identifier");
        }
        if expression.text().trim().is_empty() {
            expression.required(errors, "expression is not specified");
            continue;
        }
        let compiled = expressions.compiler.compile_variable(name.text(), expression.text());
        check_compiled(errors, &expression, expression.text(), compiled);
    }
}

/// Whether a name can follow `variables.`.
fn is_identifier(name: &str) -> bool {
    let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric();
    name.chars().all(is_part)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && !rules::is_word(name)
}
