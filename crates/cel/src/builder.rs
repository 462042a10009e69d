//! Expressions in the making: their IDs and places, and limits that hold for all of them.

use crate::{Comprehension, Entry, Expr, FieldInit, Id, Issue, Kind};

/// The most expressions that a text can become. A macro can copy what it is called on (`a.optMap(x, f)`), so that a chain
/// of calls would double it each time.
pub(crate) const NODES_MAX: usize = 200_000;
/// The most expressions within each other, macros expanded. Everything that walks an expression relies on it for its stack.
pub(crate) const DEPTH_MAX: u16 = 400;
/// The most operators and selections within each other, and the most brackets (`MaxRecursionDepth` in cel-go).
pub(crate) const RECURSION_MAX: u16 = 250;
/// How many errors are told. As in cel-go.
const ISSUES_MAX: usize = 100;

/// The text cannot be parsed further. Why is among the issues.
#[derive(Debug)]
pub(crate) struct Stop;

/// Makes expressions.
#[derive(Debug)]
pub(crate) struct Builder {
    /// By ID.
    pub places: Vec<u32>,
    /// By ID.
    heights: Vec<Height>,
    pub issues: Vec<Issue>,
    /// Whether `cel.bind(x, a, b)` is a macro.
    pub bindings: bool,
}

/// How far an expression reaches down.
#[derive(Clone, Copy, Debug, Default)]
struct Height {
    /// In expressions.
    depth: u16,
    /// In operators and selections, as they are written.
    operators: u16,
}

impl Builder {
    pub(crate) fn new(issues: Vec<Issue>) -> Builder {
        Builder { places: vec![0], heights: vec![Height::default()], issues, bindings: false }
    }

    /// An ID for what is no expression: an entry of a map, a field of a message.
    pub(crate) fn id(&mut self, place: u32) -> Result<Id, Stop> {
        if self.places.len() > NODES_MAX {
            return Err(self.limit(format!("expression is too large: more than {NODES_MAX} parts")));
        }
        let id = self.places.len() as Id;
        self.places.push(place);
        self.heights.push(Height::default());
        Ok(id)
    }

    pub(crate) fn make(&mut self, place: u32, kind: Kind) -> Result<Expr, Stop> {
        let id = self.id(place)?;
        let below = self.below(&kind);
        let height = Height { depth: below.depth + 1, operators: below.operators };
        self.heights[id as usize] = height;
        if height.depth > DEPTH_MAX {
            return Err(self.limit(format!("expression is too deep: more than {DEPTH_MAX} levels")));
        }
        Ok(Expr { id, kind })
    }

    /// Counts an expression as an operator or a selection.
    pub(crate) fn operator(&mut self, expr: Expr) -> Result<Expr, Stop> {
        let height = &mut self.heights[expr.id as usize];
        height.operators += 1;
        if height.operators > RECURSION_MAX {
            return Err(self.limit("max recursion depth exceeded".to_owned()));
        }
        Ok(expr)
    }

    /// A call of an operator.
    pub(crate) fn operation(&mut self, place: u32, function: &str, args: Vec<Expr>) -> Result<Expr, Stop> {
        let call = self.make(place, call(function, args))?;
        self.operator(call)
    }

    /// A mistake that does not keep the rest from being parsed.
    pub(crate) fn report(&mut self, place: u32, message: impl Into<String>) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(Issue { place, message: message.into() });
        }
    }

    /// A limit that is exceeded. It is not at any place.
    pub(crate) fn limit(&mut self, message: String) -> Stop {
        self.issues.push(Issue { place: Issue::NOWHERE, message });
        Stop
    }

    fn below(&self, kind: &Kind) -> Height {
        let mut most = Height::default();
        kind.each_part(&mut |part| {
            let height = self.heights[part.id as usize];
            most.depth = most.depth.max(height.depth);
            most.operators = most.operators.max(height.operators);
        });
        most
    }

    /// A copy with IDs of its own.
    pub(crate) fn copy(&mut self, expr: &Expr) -> Result<Expr, Stop> {
        let id = self.id(self.places[expr.id as usize])?;
        self.heights[id as usize] = self.heights[expr.id as usize];
        Ok(Expr { id, kind: self.copy_kind(&expr.kind)? })
    }

    fn copy_kind(&mut self, kind: &Kind) -> Result<Kind, Stop> {
        Ok(match kind {
            Kind::Literal(literal) => Kind::Literal(literal.clone()),
            Kind::Ident(name) => Kind::Ident(name.clone()),
            Kind::Select { operand, field, test } => {
                Kind::Select { operand: Box::new(self.copy(operand)?), field: field.clone(), test: *test }
            }
            Kind::Call { function, target, args } => Kind::Call {
                function: function.clone(),
                target: match target {
                    Some(target) => Some(Box::new(self.copy(target)?)),
                    None => None,
                },
                args: self.copy_all(args)?,
            },
            Kind::List { elements, optional } => {
                Kind::List { elements: self.copy_all(elements)?, optional: optional.clone() }
            }
            Kind::Map { entries } => self.copy_map(entries)?,
            Kind::Struct { name, fields } => self.copy_struct(name, fields)?,
            Kind::Comprehension(fold) => self.copy_comprehension(fold)?,
        })
    }

    fn copy_all(&mut self, all: &[Expr]) -> Result<Vec<Expr>, Stop> {
        all.iter().map(|expr| self.copy(expr)).collect()
    }

    fn copy_map(&mut self, entries: &[Entry]) -> Result<Kind, Stop> {
        let mut copies = Vec::with_capacity(entries.len());
        for entry in entries {
            let id = self.id(self.places[entry.id as usize])?;
            let (key, value) = (self.copy(&entry.key)?, self.copy(&entry.value)?);
            copies.push(Entry { id, key, value, optional: entry.optional });
        }
        Ok(Kind::Map { entries: copies })
    }

    fn copy_struct(&mut self, name: &str, fields: &[FieldInit]) -> Result<Kind, Stop> {
        let mut copies = Vec::with_capacity(fields.len());
        for field in fields {
            let id = self.id(self.places[field.id as usize])?;
            let value = self.copy(&field.value)?;
            copies.push(FieldInit { id, name: field.name.clone(), value, optional: field.optional });
        }
        Ok(Kind::Struct { name: name.into(), fields: copies })
    }

    fn copy_comprehension(&mut self, fold: &Comprehension) -> Result<Kind, Stop> {
        Ok(Kind::Comprehension(Box::new(Comprehension {
            range: self.copy(&fold.range)?,
            variable: fold.variable.clone(),
            second: fold.second.clone(),
            accumulator: fold.accumulator.clone(),
            start: self.copy(&fold.start)?,
            condition: self.copy(&fold.condition)?,
            step: self.copy(&fold.step)?,
            result: self.copy(&fold.result)?,
        })))
    }
}

/// A call without a target.
pub(crate) fn call(function: &str, args: Vec<Expr>) -> Kind {
    Kind::Call { function: function.into(), target: None, args }
}
