//! From an expression to one with types (`checker` in cel-go).
//!
//! Kubernetes' options hold: numbers of different types can be compared, and names are in no container. What is reported has upstream's words: it reaches users in conditions of custom resource
//! definitions and in the status of policies.
//!
//! Types are inferred by unification. The size of types and the work spent on them are bounded, because nested literals
//! can double a type with each level.

mod aggregates;
mod calls;
mod folds;
mod infer;
mod names;

use crate::{Ast, Checked, Env, Expr, Id, Issue, Issues, Kind, Literal, Reference, Type, validate};
use infer::Inference;

/// How many mistakes are kept.
const ISSUES_MAX: usize = 1_000;

/// Finds the type of each part of an expression and what its names mean, and checks its literals: lists and maps must have
/// elements of one type, and what `duration`, `timestamp`, `matches` and `format` are given must be valid.
///
/// # Errors
/// The mistakes found. Those in literals are told only if there are no others.
pub fn check(ast: Ast, env: &Env) -> Result<Checked, Issues> {
    let checked = check_types(ast, env)?;
    let issues = validate::issues(&checked);
    match issues.is_empty() {
        true => Ok(checked),
        false => Err(Issues { text: checked.ast().text.clone(), issues }),
    }
}

/// Checks types only. An expression can have lists of several types, whose elements are `dyn`.
pub(crate) fn check_types(ast: Ast, env: &Env) -> Result<Checked, Issues> {
    let Ast { mut root, places, text } = ast;
    let ids = places.len();
    let mut checker = Checker {
        env,
        places: &places,
        types: vec![None; ids],
        references: vec![None; ids],
        locals: Vec::new(),
        infer: Inference::default(),
        issues: Vec::new(),
    };
    checker.check(&mut root);
    let types = checker.final_types();
    let (references, mut issues) = (checker.references, checker.issues);
    if checker.infer.is_exhausted() {
        let message = "expression is too complex to be checked".to_owned();
        issues = vec![Issue { place: Issue::NOWHERE, message }];
    }
    match issues.is_empty() {
        true => Ok(Checked::new(Ast { root, places, text }, types, references)),
        false => Err(Issues { text, issues }),
    }
}

struct Checker<'e> {
    env: &'e Env,
    /// By ID, as all that follow.
    places: &'e [u32],
    types: Vec<Option<Type>>,
    references: Vec<Option<Reference>>,
    /// The variables of macros, the innermost last.
    locals: Vec<(Box<str>, Type)>,
    infer: Inference,
    issues: Vec<Issue>,
}

impl Checker<'_> {
    fn check(&mut self, expr: &mut Expr) {
        if self.infer.is_exhausted() {
            return;
        }
        let id = expr.id;
        match &mut expr.kind {
            Kind::Literal(literal) => self.set_type(id, literal_type(literal)),
            Kind::Ident(name) => self.check_ident(id, name),
            Kind::Select { .. } => self.check_select(expr),
            Kind::Call { .. } => self.check_call(expr),
            Kind::List { elements, optional } => self.check_list(id, elements, optional),
            Kind::Map { entries } => self.check_map(id, entries),
            Kind::Struct { name, fields } => self.check_struct(id, name, fields),
            Kind::Comprehension(fold) => self.check_fold(id, fold),
        }
    }

    fn set_type(&mut self, id: Id, kind: Type) {
        self.infer.measure(&kind);
        if let Some(slot) = self.types.get_mut(id as usize) {
            *slot = Some(kind);
        }
    }

    /// The type of a part that has been checked.
    fn type_of(&self, id: Id) -> Type {
        self.types.get(id as usize).cloned().flatten().unwrap_or(Type::Error)
    }

    fn refer(&mut self, id: Id, reference: Reference) {
        if let Some(slot) = self.references.get_mut(id as usize) {
            *slot = Some(reference);
        }
    }

    fn report(&mut self, id: Id, message: String) {
        if self.issues.len() < ISSUES_MAX {
            let place = self.places.get(id as usize).copied().unwrap_or(Issue::NOWHERE);
            self.issues.push(Issue { place, message });
        }
    }

    fn report_mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    /// By ID, with what inference found out in the place of its variables.
    fn final_types(&mut self) -> Vec<Type> {
        let types = std::mem::take(&mut self.types);
        let closed = |kind: Option<Type>| kind.map_or(Type::Dyn, |kind| self.infer.close(&kind));
        types.into_iter().map(closed).collect()
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// The type of an optional's value, or `None` for other types.
fn optional_of(kind: &Type) -> Option<&Type> {
    match kind {
        Type::Opaque(name, params) if &**name == "optional_type" => params.first(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
