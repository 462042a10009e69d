//! Type inference (`checker/types.go` in cel-go): which types fit each other, and what that says of type variables.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Type;

/// The most steps over types for one expression.
const STEPS_MAX: u32 = 5_000_000;
/// The most parts of one type, and the deepest.
const PARTS_MAX: u32 = 1_000;
const DEPTH_MAX: u32 = 100;

/// What is known of type variables.
#[derive(Debug, Default)]
pub(super) struct Inference {
    known: HashMap<Arc<str>, Type>,
    /// What was known before, to be restored if types turn out not to fit.
    before: Vec<(Arc<str>, Option<Type>)>,
    variables: u32,
    steps: u32,
    depth: u32,
    exhausted: bool,
}

impl Inference {
    /// Whether a limit was hit. Answers are without meaning then.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// A new type variable.
    pub(super) fn variable(&mut self) -> Type {
        let name = format!("_var{}", self.variables);
        self.variables += 1;
        Type::Param(name.into())
    }

    /// Checks that a type is not too large.
    pub(super) fn measure(&mut self, kind: &Type) {
        let mut parts = 0;
        if !within(kind, DEPTH_MAX, &mut parts) {
            self.exhausted = true;
        }
    }

    /// Whether a value of one type can stand where the other is wanted. What that says of variables is remembered.
    pub(super) fn fits(&mut self, from: &Type, to: &Type) -> bool {
        self.fit_all(std::slice::from_ref(from), std::slice::from_ref(to))
    }

    /// Whether each type fits the one at its index.
    pub(super) fn fit_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        self.before.clear();
        let fit = self.all(from, to) && !self.exhausted;
        while let Some((name, was)) = self.before.pop().filter(|_| !fit) {
            match was {
                Some(kind) => self.known.insert(name, kind),
                None => self.known.remove(&name),
            };
        }
        fit
    }

    /// A type with what is known in the place of variables.
    pub(super) fn resolve(&mut self, kind: &Type) -> Type {
        self.substitute(kind, false)
    }

    /// The same, with `dyn` in the place of variables about which nothing is known.
    pub(super) fn close(&mut self, kind: &Type) -> Type {
        self.substitute(kind, true)
    }

    /// Counts a step into a type. Whoever enters must leave.
    fn enter(&mut self) -> bool {
        self.steps += 1;
        self.depth += 1;
        self.exhausted |= self.steps > STEPS_MAX || self.depth > DEPTH_MAX * 2;
        !self.exhausted
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn all(&mut self, from: &[Type], to: &[Type]) -> bool {
        from.len() == to.len() && from.iter().zip(to).all(|(from, to)| self.unify(from, to))
    }

    fn unify(&mut self, from: &Type, to: &Type) -> bool {
        let fits = self.enter() && self.unify_inner(from, to);
        self.leave();
        fits
    }

    fn unify_inner(&mut self, from: &Type, to: &Type) -> bool {
        if let Type::Param(name) = to {
            let known = self.known.contains_key(name);
            if self.bind(from, to, name) {
                return true;
            }
            if known || from == to {
                return false;
            }
        }
        if let Type::Param(name) = from {
            return self.bind(to, from, name);
        }
        match (from, to) {
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) => true,
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(from), Type::List(to)) => self.unify(from, to),
            (Type::Map(from), Type::Map(to)) => self.unify(&from.0, &to.0) && self.unify(&from.1, &to.1),
            (Type::Opaque(from, own), Type::Opaque(to, others)) => from == to && self.all(own, others),
            _ => from == to,
        }
    }

    /// Whether a variable can stand for a type, which is remembered.
    fn bind(&mut self, kind: &Type, variable: &Type, name: &Arc<str>) -> bool {
        if kind == variable {
            return true;
        }
        let Some(known) = self.known.get(name).cloned() else {
            let free = self.is_free_of(kind, name);
            if free {
                self.remember(name, kind.clone());
            }
            return free;
        };
        if *kind == known {
            return true;
        }
        if !self.unify(kind, &known) {
            return false;
        }
        let general = most_general(kind, &known);
        if self.is_free_of(&general, name) {
            self.remember(name, general);
        }
        true
    }

    fn remember(&mut self, name: &Arc<str>, kind: Type) {
        self.measure(&kind);
        let was = self.known.insert(Arc::clone(name), kind);
        self.before.push((Arc::clone(name), was));
    }

    /// Whether a variable does not occur in a type.
    fn is_free_of(&mut self, kind: &Type, name: &Arc<str>) -> bool {
        let free = self.enter()
            && match kind {
                Type::Param(other) if other == name => false,
                Type::Param(other) => match self.known.get(other).cloned() {
                    Some(known) => self.is_free_of(&known, name),
                    None => true,
                },
                Type::List(inner) | Type::Type(inner) => self.is_free_of(inner, name),
                Type::Map(entry) => self.is_free_of(&entry.0, name) && self.is_free_of(&entry.1, name),
                Type::Opaque(_, params) => params.iter().all(|param| self.is_free_of(param, name)),
                _ => true,
            };
        self.leave();
        free
    }

    fn substitute(&mut self, kind: &Type, close: bool) -> Type {
        let result = if self.enter() { self.substitute_inner(kind, close) } else { Type::Dyn };
        self.leave();
        result
    }

    fn substitute_inner(&mut self, kind: &Type, close: bool) -> Type {
        match kind {
            Type::Param(name) => match self.known.get(name).cloned() {
                Some(known) => self.substitute(&known, close),
                None if close => Type::Dyn,
                None => kind.clone(),
            },
            Type::List(element) => Type::list(self.substitute(element, close)),
            Type::Map(entry) => Type::map(self.substitute(&entry.0, close), self.substitute(&entry.1, close)),
            Type::Type(of) => Type::of_type(self.substitute(of, close)),
            Type::Opaque(name, params) => {
                let params = params.iter().map(|param| self.substitute(param, close)).collect();
                Type::Opaque(Arc::clone(name), params)
            }
            _ => kind.clone(),
        }
    }
}

/// Whether a type has at most so many levels, and all its parts are within their limit.
fn within(kind: &Type, levels: u32, parts: &mut u32) -> bool {
    *parts += 1;
    if levels == 0 || *parts > PARTS_MAX {
        return false;
    }
    match kind {
        Type::List(inner) | Type::Type(inner) => within(inner, levels - 1, parts),
        Type::Map(entry) => within(&entry.0, levels - 1, parts) && within(&entry.1, levels - 1, parts),
        Type::Opaque(_, params) => params.iter().all(|param| within(param, levels - 1, parts)),
        _ => true,
    }
}

/// Whether `null` is among the values of a type.
fn is_nullable(kind: &Type) -> bool {
    matches!(kind, Type::Null | Type::Opaque(..) | Type::Object(_) | Type::Duration | Type::Timestamp)
}

/// The more general of two types that fit each other.
pub(super) fn most_general(a: &Type, b: &Type) -> Type {
    if is_as_general(a, b) { a.clone() } else { b.clone() }
}

/// Whether a type is the same as another or has `dyn` where the other is specific.
fn is_as_general(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::Type(_), Type::Type(_)) => true,
        (Type::List(a), Type::List(b)) => is_as_general(a, b),
        (Type::Map(a), Type::Map(b)) => is_as_general(&a.0, &b.0) && is_as_general(&a.1, &b.1),
        (Type::Opaque(a, own), Type::Opaque(b, others)) => {
            let params = || own.iter().zip(others.iter()).all(|(a, b)| is_as_general(a, b));
            a == b && own.len() == others.len() && params()
        }
        _ => a == b,
    }
}
