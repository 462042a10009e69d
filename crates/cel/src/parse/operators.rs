//! Binary operators, by how tightly they bind. A stack of their own keeps the parser's stack flat.

use crate::Expr;
use crate::builder::{Builder, Stop, call};
use crate::lexer::Token;

/// A binary operator at a place.
#[derive(Clone, Copy)]
pub(super) struct Operator {
    place: u32,
    binding: Binding,
    function: &'static str,
}

/// From the loosest to the tightest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Relation,
    Sum,
    Product,
}

impl Operator {
    pub(super) fn of(token: &Token<'_>) -> Option<Operator> {
        let (binding, function) = match token.text {
            "||" => (Binding::Or, "_||_"),
            "&&" => (Binding::And, "_&&_"),
            "<" => (Binding::Relation, "_<_"),
            "<=" => (Binding::Relation, "_<=_"),
            ">" => (Binding::Relation, "_>_"),
            ">=" => (Binding::Relation, "_>=_"),
            "==" => (Binding::Relation, "_==_"),
            "!=" => (Binding::Relation, "_!=_"),
            "in" => (Binding::Relation, "@in"),
            "+" => (Binding::Sum, "_+_"),
            "-" => (Binding::Sum, "_-_"),
            "*" => (Binding::Product, "_*_"),
            "/" => (Binding::Product, "_/_"),
            "%" => (Binding::Product, "_%_"),
            _ => return None,
        };
        Some(Operator { place: token.place, binding, function })
    }
}

/// Operands and the operators between them for which it is not known yet what their right side is.
#[derive(Default)]
pub(super) struct Pending {
    pub operands: Vec<Expr>,
    operators: Vec<Operator>,
}

impl Pending {
    pub(super) fn push(&mut self, operator: Operator, build: &mut Builder) -> Result<(), Stop> {
        self.reduce(operator.binding, build)?;
        self.operators.push(operator);
        Ok(())
    }

    pub(super) fn finish(mut self, build: &mut Builder) -> Result<Expr, Stop> {
        self.reduce(Binding::Or, build)?;
        self.join(Binding::Or, build)?;
        self.operands.pop().ok_or(Stop)
    }

    /// Makes expressions of the operators that bind at least as tightly as the next one. Those of one kind associate to
    /// the left, except for `&&` and `||`, which wait for all of their terms.
    fn reduce(&mut self, next: Binding, build: &mut Builder) -> Result<(), Stop> {
        let least = next.max(Binding::Relation);
        while let Some(operator) = self.operators.pop_if(|top| top.binding >= least) {
            let right = self.operands.pop().ok_or(Stop)?;
            let left = self.operands.pop().ok_or(Stop)?;
            self.operands.push(build.operation(operator.place, operator.function, vec![left, right])?);
        }
        if next == Binding::Or { self.join(Binding::And, build) } else { Ok(()) }
    }

    /// Makes one expression of all terms of the last `&&` or `||`.
    fn join(&mut self, binding: Binding, build: &mut Builder) -> Result<(), Stop> {
        let run = self.operators.iter().rev().take_while(|operator| operator.binding == binding).count();
        if run == 0 {
            return Ok(());
        }
        let operators = self.operators.split_off(self.operators.len() - run);
        let terms = self.operands.split_off(self.operands.len().saturating_sub(run + 1));
        let joined = balanced(&operators, &mut terms.into_iter(), build)?;
        self.operands.push(joined);
        Ok(())
    }
}

/// A balanced tree of the operators and one term more, instead of one as deep as the list is long. Its shape is upstream's,
/// because costs depend on it: `(a && b) && (c && d)`.
fn balanced(
    operators: &[Operator],
    terms: &mut std::vec::IntoIter<Expr>,
    build: &mut Builder,
) -> Result<Expr, Stop> {
    let middle = operators.len() / 2;
    let Some(operator) = operators.get(middle) else { return terms.next().ok_or(Stop) };
    let left = balanced(&operators[..middle], terms, build)?;
    let right = balanced(&operators[middle + 1..], terms, build)?;
    build.make(operator.place, call(operator.function, vec![left, right]))
}
