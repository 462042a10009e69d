//! Folds, which macros have become.

use crate::check::Checker;
use crate::{Comprehension, Expr, Id, Type};

impl Checker<'_> {
    pub(super) fn check_fold(&mut self, id: Id, fold: &mut Comprehension) {
        self.check(&mut fold.range);
        self.check(&mut fold.start);
        let range = self.type_of(fold.range.id);
        let range = self.infer.resolve(&range);
        let accumulated = self.type_of(fold.start.id);
        let outside = self.locals.len();
        self.locals.push((fold.accumulator.clone(), accumulated.clone()));
        let (first, second) = self.variables(fold.range.id, &range, fold.second.is_some());
        let within = self.locals.len();
        self.locals.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.locals.push((name.clone(), second));
        }
        self.check(&mut fold.condition);
        self.must_be(&fold.condition, &Type::Bool);
        self.check(&mut fold.step);
        self.must_be(&fold.step, &accumulated);
        self.locals.truncate(within);
        self.check(&mut fold.result);
        self.locals.truncate(outside);
        let result = self.type_of(fold.result.id);
        let result = self.infer.resolve(&result);
        self.set_type(id, result);
    }

    /// The types of the variables of a fold over a type; the second is of no use if there is only one.
    fn variables(&mut self, id: Id, range: &Type, two: bool) -> (Type, Type) {
        match range {
            Type::List(element) if two => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Error),
            Type::Map(entry) => (**entry).clone(),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.infer.fits(&Type::Dyn, range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                let wanted = "must be list, map, or dynamic";
                let message =
                    format!("expression of type '{range}' cannot be range of a comprehension ({wanted})");
                self.report(id, message);
                (Type::Error, Type::Error)
            }
        }
    }

    fn must_be(&mut self, part: &Expr, wanted: &Type) {
        let kind = self.type_of(part.id);
        if !self.infer.fits(wanted, &kind) {
            self.report_mismatch(part.id, wanted, &kind);
        }
    }
}
