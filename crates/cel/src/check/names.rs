//! What names and selections of fields mean.

use crate::check::{Checker, optional_of};
use crate::{Expr, Id, Kind, Reference, Type};

impl Checker<'_> {
    pub(super) fn check_ident(&mut self, id: Id, name: &mut Box<str>) {
        let local = self.local(name).cloned();
        if let Some(kind) = local.as_ref().filter(|_| !name.starts_with('.')) {
            let kind = kind.clone();
            return self.set_type(id, kind);
        }
        match self.resolve_global(id, name, local.is_some()) {
            Some(full) => *name = full,
            None => {
                self.set_type(id, Type::Error);
                self.report_undeclared(id, name);
            }
        }
    }

    /// The variable of a macro.
    fn local(&self, name: &str) -> Option<&Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        self.locals.iter().rev().find(|(local, _)| **local == *name).map(|(_, kind)| kind)
    }

    /// Records the variable or type that a name stands for, and returns the name under which it is found when the
    /// expression is evaluated: with a dot before it if the variable of a macro would hide it.
    fn resolve_global(&mut self, id: Id, name: &str, hidden: bool) -> Option<Box<str>> {
        let name = name.strip_prefix('.').unwrap_or(name);
        let full: Box<str> = if hidden { format!(".{name}").into() } else { name.into() };
        if let Some(kind) = self.env.variable(name) {
            self.set_type(id, kind.clone());
            self.refer(id, Reference::Variable(full.clone()));
            return Some(full);
        }
        let kind = self.env.type_named(name)?;
        self.set_type(id, Type::of_type(kind.clone()));
        self.refer(id, Reference::Type(kind));
        Some(full)
    }

    pub(super) fn report_undeclared(&mut self, id: Id, name: &str) {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    /// A qualified name, or a field of a value.
    pub(super) fn check_select(&mut self, expr: &mut Expr) {
        let id = expr.id;
        if let Some((first, name)) = qualified_name(expr) {
            let local = self.local(first).is_some();
            let absolute = first.starts_with('.');
            let full = if local && !absolute { None } else { self.resolve_global(id, &name, local) };
            if let Some(full) = full {
                expr.kind = Kind::Ident(full);
                return;
            }
        }
        let Kind::Select { operand, field, test } = &mut expr.kind else { return };
        let kind = self.check_field(id, operand, field, false);
        let kind = if *test { Type::Bool } else { self.infer.resolve(&kind) };
        self.set_type(id, kind);
    }

    /// The type of a field, optional if its operand is or if `optional`.
    pub(super) fn check_field(&mut self, id: Id, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand_type = self.type_of(operand.id);
        let operand_type = self.infer.resolve(&operand_type);
        let inner = optional_of(&operand_type);
        let result = self.field_of(id, inner.unwrap_or(&operand_type), field);
        if inner.is_some() || optional { Type::optional(result) } else { result }
    }

    fn field_of(&mut self, id: Id, target: &Type, field: &str) -> Type {
        match target {
            Type::Map(entry) => entry.1.clone(),
            Type::Object(name) => self.field_type(id, name, field).unwrap_or(Type::Error),
            Type::Dyn | Type::Error => Type::Dyn,
            Type::Param(_) => {
                self.infer.fits(&Type::Dyn, target);
                Type::Dyn
            }
            // Upstream takes these for objects, whose fields it then does not find.
            Type::Opaque(name, _) if name.starts_with("kubernetes.") => {
                self.report(id, format!("unexpected failed resolution of '{name}'"));
                Type::Error
            }
            _ => {
                self.report(id, format!("type '{target}' does not support field selection"));
                Type::Dyn
            }
        }
    }

    /// The type of an object's field.
    pub(super) fn field_type(&mut self, id: Id, object: &str, field: &str) -> Option<Type> {
        let found = self.env.field(object, field);
        if found.is_none() {
            let known = self.env.object(object).is_some() || self.env.type_named(object).is_some();
            let message = match known {
                true => format!("undefined field '{field}'"),
                false => format!("unexpected failed resolution of '{object}'"),
            };
            self.report(id, message);
        }
        found
    }
}

/// The first name of `a.b.c` and the whole, if it is nothing but names.
fn qualified_name(expr: &Expr) -> Option<(&str, String)> {
    let (first, mut fields) = parts(expr)?;
    fields.push(first);
    fields.reverse();
    Some((first, fields.join(".")))
}

/// The first name of `a.b.c`, and the others from the last.
fn parts(mut expr: &Expr) -> Option<(&str, Vec<&str>)> {
    let mut fields = Vec::new();
    loop {
        match &expr.kind {
            Kind::Ident(name) => return Some((name, fields)),
            Kind::Select { operand, field, test: false } => {
                fields.push(&**field);
                expr = operand;
            }
            _ => return None,
        }
    }
}

/// The qualified name of a function that is written as a method: `optional` and `of` of `optional.of(x)`.
pub(super) fn qualified_function(target: &Expr, function: &str) -> Option<String> {
    let (_, name) = qualified_name(target)?;
    Some(format!("{name}.{function}"))
}
