//! Macros: calls that are replaced while a text is parsed. Their results have upstream's shapes, because costs depend on
//! them (`parser/macro.go`, `cel/library.go`, `ext/comprehensions.go` and `ext/lists.go` in cel-go).

use crate::builder::{Builder, Stop};
use crate::{Comprehension, Expr, Kind, Literal};

/// The accumulator of macros, which no text can name.
pub(crate) const ACCUMULATOR: &str = "@result";
/// Its name in older versions, which no variable of a macro may have either.
const OLD_ACCUMULATOR: &str = "__result__";
/// The variable of a fold that has no elements and only names a value.
const UNUSED: &str = "#unused";
/// The list that `sortBy` sorts.
const SORTED: &str = "@__sortBy_input__";

/// A call at `place`, or what it becomes if it is a macro.
pub(crate) fn call(
    build: &mut Builder,
    place: u32,
    function: &str,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Result<Expr, Stop> {
    let is_bind = |kind: &Macro| *kind == Macro::Bind;
    let in_cel = matches!(&target, Some(Expr { kind: Kind::Ident(name), .. }) if &**name == "cel");
    let found = Macro::find(function, target.is_some(), args.len());
    let Some(kind) = found.filter(|kind| !is_bind(kind) || (build.bindings && in_cel)) else {
        let target = target.map(Box::new);
        return build.make(place, Kind::Call { function: function.into(), target, args });
    };
    let mut expansion = Expansion { build, place };
    match expansion.expand(kind, target, args) {
        Ok(expr) => Ok(expr),
        Err(Refusal::Stop) => Err(Stop),
        Err(Refusal::Wrong { place, message }) => {
            build.report(place, message);
            build.make(place, Kind::Literal(Literal::Null))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Macro {
    Has,
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    OptMap,
    OptFlatMap,
    SortBy,
    Bind,
    TransformList,
    TransformMap,
    TransformMapEntry,
}

impl Macro {
    fn find(function: &str, method: bool, args: usize) -> Option<Macro> {
        Some(match (function, method, args) {
            ("has", false, 1) => Macro::Has,
            ("all", true, 2 | 3) => Macro::All,
            ("exists", true, 2 | 3) => Macro::Exists,
            ("exists_one" | "existsOne", true, 2 | 3) => Macro::ExistsOne,
            ("map", true, 2 | 3) => Macro::Map,
            ("filter", true, 2) => Macro::Filter,
            ("optMap", true, 2) => Macro::OptMap,
            ("optFlatMap", true, 2) => Macro::OptFlatMap,
            ("sortBy", true, 2) => Macro::SortBy,
            ("bind", true, 3) => Macro::Bind,
            ("transformList", true, 3 | 4) => Macro::TransformList,
            ("transformMap", true, 3 | 4) => Macro::TransformMap,
            ("transformMapEntry", true, 3 | 4) => Macro::TransformMapEntry,
            _ => return None,
        })
    }
}

/// Why a macro is not expanded.
enum Refusal {
    Stop,
    Wrong { place: u32, message: String },
}

impl From<Stop> for Refusal {
    fn from(_: Stop) -> Refusal {
        Refusal::Stop
    }
}

/// The variables of a fold.
struct Variables {
    first: Box<str>,
    second: Option<Box<str>>,
}

/// What a fold does, apart from its variables.
struct Fold {
    start: Expr,
    condition: Expr,
    step: Expr,
    result: Expr,
}

/// Makes parts at the place of a macro's call.
struct Expansion<'b> {
    build: &'b mut Builder,
    place: u32,
}

impl Expansion<'_> {
    fn expand(&mut self, kind: Macro, target: Option<Expr>, args: Vec<Expr>) -> Result<Expr, Refusal> {
        let Some(target) = target else { return self.has(args) };
        match kind {
            Macro::OptMap | Macro::OptFlatMap => self.optional(kind, target, args),
            Macro::SortBy => self.sort_by(target, args),
            Macro::Bind => self.named(args),
            _ => self.over(kind, target, args),
        }
    }

    /// A fold over a list or a map.
    fn over(&mut self, kind: Macro, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Refusal> {
        let two = match kind {
            Macro::TransformList | Macro::TransformMap | Macro::TransformMapEntry => true,
            Macro::All | Macro::Exists | Macro::ExistsOne => args.len() == 3,
            _ => false,
        };
        let variables = if two { self.two_variables(&args)? } else { self.one_variable(kind, &args[0])? };
        let bodies = args.split_off(if two { 2 } else { 1 });
        let fold = match kind {
            Macro::All | Macro::Exists | Macro::ExistsOne => self.quantifier(kind, bodies)?,
            Macro::Filter => self.filter(args, bodies)?,
            _ => self.collect(kind, &variables, bodies)?,
        };
        self.comprehension(target, variables, fold)
    }

    fn one_variable(&self, kind: Macro, variable: &Expr) -> Result<Variables, Refusal> {
        let Kind::Ident(name) = &variable.kind else {
            let message = match kind {
                Macro::Map | Macro::Filter | Macro::SortBy => "argument is not an identifier",
                _ => "argument must be a simple name",
            };
            return Err(self.wrong(variable, message));
        };
        self.not_accumulator(variable, name)?;
        Ok(Variables { first: name.clone(), second: None })
    }

    fn two_variables(&self, args: &[Expr]) -> Result<Variables, Refusal> {
        let mut names = Vec::with_capacity(2);
        for variable in &args[..2] {
            let Kind::Ident(name) = &variable.kind else {
                return Err(self.wrong(variable, "argument must be a simple name"));
            };
            names.push(name);
        }
        if names[0] == names[1] {
            return Err(self.wrong(&args[1], format!("duplicate variable name: {}", names[0])));
        }
        self.not_accumulator(&args[0], names[0])?;
        self.not_accumulator(&args[1], names[1])?;
        Ok(Variables { first: names[0].clone(), second: Some(names[1].clone()) })
    }

    fn not_accumulator(&self, variable: &Expr, name: &str) -> Result<(), Refusal> {
        match name {
            ACCUMULATOR | OLD_ACCUMULATOR => {
                Err(self.wrong(variable, "iteration variable overwrites accumulator variable"))
            }
            _ => Ok(()),
        }
    }

    /// `all`, `exists` and `existsOne`
    fn quantifier(&mut self, kind: Macro, mut bodies: Vec<Expr>) -> Result<Fold, Stop> {
        let body = bodies.pop().ok_or(Stop)?;
        let (start, condition, step) = match kind {
            Macro::All => {
                let start = self.literal(Literal::Bool(true))?;
                let so_far = self.accumulator()?;
                let condition = self.call("@not_strictly_false", vec![so_far])?;
                let so_far = self.accumulator()?;
                (start, condition, self.call("_&&_", vec![so_far, body])?)
            }
            Macro::Exists => {
                let start = self.literal(Literal::Bool(false))?;
                let so_far = self.accumulator()?;
                let none = self.call("!_", vec![so_far])?;
                let condition = self.call("@not_strictly_false", vec![none])?;
                let so_far = self.accumulator()?;
                (start, condition, self.call("_||_", vec![so_far, body])?)
            }
            _ => {
                let start = self.literal(Literal::Int(0))?;
                let condition = self.literal(Literal::Bool(true))?;
                let (so_far, one) = (self.accumulator()?, self.literal(Literal::Int(1))?);
                let more = self.call("_+_", vec![so_far, one])?;
                let same = self.accumulator()?;
                (start, condition, self.call("_?_:_", vec![body, more, same])?)
            }
        };
        let mut result = self.accumulator()?;
        if kind == Macro::ExistsOne {
            let one = self.literal(Literal::Int(1))?;
            result = self.call("_==_", vec![result, one])?;
        }
        Ok(Fold { start, condition, step, result })
    }

    /// `filter`: the list of the elements that fit.
    fn filter(&mut self, mut element: Vec<Expr>, bodies: Vec<Expr>) -> Result<Fold, Stop> {
        let mut args = bodies;
        args.append(&mut element);
        self.gather(args, &mut |this, element| {
            let (so_far, new) = (this.accumulator()?, this.make(list(vec![element]))?);
            this.call("_+_", vec![so_far, new])
        })
    }

    /// `map`, `transformList`, `transformMap` and `transformMapEntry`, each perhaps with a filter
    fn collect(&mut self, kind: Macro, variables: &Variables, bodies: Vec<Expr>) -> Result<Fold, Stop> {
        let mut fold = self.gather(bodies, &mut |this, element| {
            let so_far = this.accumulator()?;
            match kind {
                Macro::TransformMap => {
                    let key = this.make(Kind::Ident(variables.first.clone()))?;
                    this.call("cel.@mapInsert", vec![so_far, key, element])
                }
                Macro::TransformMapEntry => this.call("cel.@mapInsert", vec![so_far, element]),
                _ => {
                    let new = this.make(list(vec![element]))?;
                    this.call("_+_", vec![so_far, new])
                }
            }
        })?;
        if matches!(kind, Macro::TransformMap | Macro::TransformMapEntry) {
            fold.start = self.make(Kind::Map { entries: Vec::new() })?;
        }
        Ok(fold)
    }

    /// A fold that adds to a list, unless the filter before the last body keeps it from doing so.
    fn gather(
        &mut self,
        mut bodies: Vec<Expr>,
        add: &mut dyn FnMut(&mut Self, Expr) -> Result<Expr, Stop>,
    ) -> Result<Fold, Stop> {
        let element = bodies.pop().ok_or(Stop)?;
        let start = self.make(list(Vec::new()))?;
        let condition = self.literal(Literal::Bool(true))?;
        let mut step = add(self, element)?;
        if let Some(filter) = bodies.pop() {
            let same = self.accumulator()?;
            step = self.call("_?_:_", vec![filter, step, same])?;
        }
        let result = self.accumulator()?;
        Ok(Fold { start, condition, step, result })
    }

    /// `a.optMap(x, f)`, which is `a.hasValue() ? optional.of(f) : optional.none()` with `x` for `a.value()`
    fn optional(&mut self, kind: Macro, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Refusal> {
        let body = args.pop().ok_or(Stop)?;
        let variable = args.pop().ok_or(Stop)?;
        let Kind::Ident(name) = variable.kind else {
            let function = if kind == Macro::OptMap { "optMap" } else { "optFlatMap" };
            let message = format!("{function}() variable name must be a simple identifier");
            return Err(self.wrong(&variable, message));
        };
        let copy = self.build.copy(&target)?;
        let present = self.method("hasValue", target, Vec::new())?;
        let value = self.method("value", copy, Vec::new())?;
        let mut bound = self.bind(name, value, body)?;
        if kind == Macro::OptMap {
            bound = self.call("optional.of", vec![bound])?;
        }
        let none = self.call("optional.none", Vec::new())?;
        Ok(self.call("_?_:_", vec![present, bound, none])?)
    }

    /// `a.sortBy(x, key)`, which names `a` and sorts it by the list of its keys
    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Result<Expr, Refusal> {
        if matches!(target.kind, Kind::Literal(_) | Kind::Map { .. } | Kind::Struct { .. }) {
            let message =
                "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return Err(self.wrong(&target, message));
        }
        let list = self.make(Kind::Ident(SORTED.into()))?;
        let keys = self.over(Macro::Map, list, args)?;
        let list = self.make(Kind::Ident(SORTED.into()))?;
        let sorted = self.method("@sortByAssociatedKeys", list, vec![keys])?;
        Ok(self.bind(SORTED.into(), target, sorted)?)
    }

    /// `cel.bind(x, a, b)`, which is `b` with `x` for `a`
    fn named(&mut self, mut args: Vec<Expr>) -> Result<Expr, Refusal> {
        let (body, value) = (args.pop().ok_or(Stop)?, args.pop().ok_or(Stop)?);
        let variable = args.pop().ok_or(Stop)?;
        let Kind::Ident(name) = variable.kind else {
            return Err(self.wrong(&variable, "cel.bind() variable names must be simple identifiers"));
        };
        Ok(self.bind(name, value, body)?)
    }

    /// `body` with a name for a value: a fold over nothing.
    fn bind(&mut self, name: Box<str>, value: Expr, body: Expr) -> Result<Expr, Stop> {
        let range = self.make(list(Vec::new()))?;
        let condition = self.literal(Literal::Bool(false))?;
        let step = self.make(Kind::Ident(name.clone()))?;
        self.make(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable: UNUSED.into(),
            second: None,
            accumulator: name,
            start: value,
            condition,
            step,
            result: body,
        })))
    }

    fn comprehension(&mut self, range: Expr, variables: Variables, fold: Fold) -> Result<Expr, Refusal> {
        Ok(self.make(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable: variables.first,
            second: variables.second,
            accumulator: ACCUMULATOR.into(),
            start: fold.start,
            condition: fold.condition,
            step: fold.step,
            result: fold.result,
        })))?)
    }

    /// `has(a.b)`
    fn has(&mut self, mut args: Vec<Expr>) -> Result<Expr, Refusal> {
        match args.pop() {
            Some(Expr { kind: Kind::Select { operand, field, .. }, .. }) => {
                Ok(self.make(Kind::Select { operand, field, test: true })?)
            }
            Some(other) => Err(self.wrong(&other, "invalid argument to has() macro")),
            None => Err(Refusal::Stop),
        }
    }

    fn wrong(&self, expr: &Expr, message: impl Into<String>) -> Refusal {
        Refusal::Wrong { place: self.build.places[expr.id as usize], message: message.into() }
    }

    fn make(&mut self, kind: Kind) -> Result<Expr, Stop> {
        self.build.make(self.place, kind)
    }

    fn literal(&mut self, literal: Literal) -> Result<Expr, Stop> {
        self.make(Kind::Literal(literal))
    }

    fn accumulator(&mut self) -> Result<Expr, Stop> {
        self.make(Kind::Ident(ACCUMULATOR.into()))
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Result<Expr, Stop> {
        self.make(Kind::Call { function: function.into(), target: None, args })
    }

    fn method(&mut self, function: &str, target: Expr, args: Vec<Expr>) -> Result<Expr, Stop> {
        self.make(Kind::Call { function: function.into(), target: Some(Box::new(target)), args })
    }
}

fn list(elements: Vec<Expr>) -> Kind {
    Kind::List { elements, optional: Vec::new() }
}
