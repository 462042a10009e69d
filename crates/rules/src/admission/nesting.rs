//! How deep evaluations are: a variable is evaluated where it is first used, and may use others.
//!
//! Difference from upstream, whose stacks grow: a chain of variables ends at [`DEPTH_MAX`].

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Expr, Kind, Literal};

use super::VARIABLES;

/// How deep an expression may be with all variables that it uses: as deep as one without variables, which fits on a stack.
const DEPTH_MAX: usize = 400;
/// How many levels a variable counts for besides its own: its evaluation is one of its own.
const VARIABLE: usize = 4;

/// The depths of variables.
#[derive(Clone, Default)]
pub(super) struct Nesting(Arc<HashMap<Box<str>, usize>>);

impl Nesting {
    /// Adds a variable. Where two have a name, the last one counts.
    pub(super) fn add(&mut self, name: &str, depth: usize) {
        Arc::make_mut(&mut self.0).insert(name.into(), depth);
    }

    /// The depth of an expression with its variables.
    ///
    /// # Errors
    /// It is too deep to be evaluated.
    pub(super) fn check(&self, root: &Expr) -> Result<usize, String> {
        let mut depths = Depths::default();
        self.measure(root, 1, &mut depths);
        match depths.with_variables <= DEPTH_MAX {
            true => Ok(depths.own.max(depths.with_variables)),
            false => Err(format!(
                "compilation failed: variables are nested too deeply: depth {}, limit {DEPTH_MAX}",
                depths.with_variables
            )),
        }
    }

    fn measure(&self, expr: &Expr, here: usize, depths: &mut Depths) {
        depths.own = depths.own.max(here);
        let mut uses = |name: &str| {
            let depth = here + VARIABLE + self.0.get(name).copied().unwrap_or(0);
            depths.with_variables = depths.with_variables.max(depth);
        };
        match &expr.kind {
            Kind::Select { operand, field, .. } if is_variables(operand) => uses(field),
            // `variables.?name` and the like.
            Kind::Call { args, .. } if args.first().is_some_and(is_variables) => {
                for arg in args {
                    if let Kind::Literal(Literal::String(name)) = &arg.kind {
                        uses(name);
                    }
                }
            }
            _ => {}
        }
        expr.kind.each_part(&mut |part| self.measure(part, here + 1, depths));
    }
}

#[derive(Default)]
struct Depths {
    own: usize,
    with_variables: usize,
}

fn is_variables(expr: &Expr) -> bool {
    matches!(&expr.kind, Kind::Ident(name) if name.trim_start_matches('.') == VARIABLES)
}
