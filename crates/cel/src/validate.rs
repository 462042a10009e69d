//! Checks of literals that only fail when an expression is evaluated otherwise: those that Kubernetes turns on
//! (`cel/validator.go` in cel-go), and the one of its strings library (`ext/formatting.go`).

mod format;
mod patterns;

use object::timestamp::{Precision, Timestamp};

use crate::{Checked, Entry, Expr, Issue, Kind, Literal, Type};
use patterns::Patterns;

/// How many mistakes are kept.
const ISSUES_MAX: usize = 1_000;
/// The seconds of the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// What is wrong with the literals of an expression.
pub(crate) fn issues(checked: &Checked) -> Vec<Issue> {
    let mut validator = Validator { checked, issues: Vec::new(), patterns: Patterns::default() };
    validator.walk(checked.root(), false);
    validator.issues
}

struct Validator<'c> {
    checked: &'c Checked,
    issues: Vec<Issue>,
    patterns: Patterns,
}

impl Validator<'_> {
    /// Looks at an expression and its parts. Arguments of `format` may be of several types.
    fn walk(&mut self, expr: &Expr, formatted: bool) {
        let mut formatted_parts = formatted;
        match &expr.kind {
            Kind::Call { function, args, .. } => {
                self.check_call(expr, function, args);
                formatted_parts |= &**function == "format";
            }
            Kind::List { elements, optional } if !formatted => self.check_list(elements, optional),
            Kind::Map { entries } if !formatted => self.check_map(entries),
            _ => {}
        }
        expr.kind.each_part(&mut |part| self.walk(part, formatted_parts));
    }

    fn check_call(&mut self, expr: &Expr, function: &str, args: &[Expr]) {
        if function == "format" {
            self.issues.extend(format::issue(self.checked, expr));
        }
        let Some(Expr { id, kind: Kind::Literal(literal) }) = args.first() else { return };
        let valid = match (function, literal) {
            ("duration", Literal::String(text)) => object::duration::parse(text).is_ok(),
            ("timestamp", Literal::String(text)) => is_timestamp(text),
            ("timestamp", Literal::Int(seconds)) => SECONDS.contains(seconds),
            // The first argument, whatever it is: in `matches(a, b)` upstream looks at the text.
            ("matches", Literal::String(text)) => self.patterns.is_valid(text),
            _ => true,
        };
        if !valid {
            self.report(*id, format!("invalid {function} argument"));
        }
    }

    /// All elements must be of the same type, `dyn` included.
    fn check_list(&mut self, elements: &[Expr], optional: &[usize]) {
        let mut first = None;
        for (index, element) in elements.iter().enumerate() {
            let optional = optional.binary_search(&index).is_ok();
            if !self.agrees(&mut first, element, optional) {
                return;
            }
        }
    }

    fn check_map(&mut self, entries: &[Entry]) {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.agrees(&mut keys, &entry.key, false);
            self.agrees(&mut values, &entry.value, entry.optional);
        }
    }

    /// Whether a part is of the type of the first one.
    fn agrees(&mut self, first: &mut Option<Type>, part: &Expr, optional: bool) -> bool {
        let kind = self.checked.expression_type(part.id);
        let kind = match kind {
            Type::Opaque(_, params) if optional => params.first().unwrap_or(kind),
            kind => kind,
        };
        let first = first.get_or_insert_with(|| kind.clone());
        let agrees = first == kind;
        if !agrees {
            let message = format!("expected type '{first}' but found '{kind}'");
            self.report(part.id, message);
        }
        agrees
    }

    fn report(&mut self, id: crate::Id, message: String) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(Issue { place: self.checked.ast().place(id), message });
        }
    }
}

fn is_timestamp(text: &str) -> bool {
    Timestamp::parse(text, Precision::Seconds).is_ok_and(|time| SECONDS.contains(&time.seconds))
}

#[cfg(test)]
mod tests;
