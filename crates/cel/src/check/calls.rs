//! Calls: which forms of a function fit the types of its arguments.

use std::sync::Arc;

use crate::check::Checker;
use crate::check::names::qualified_function;
use crate::{Env, Expr, Function, Id, Kind, Literal, Overload, Reference, Type};

impl Checker<'_> {
    pub(super) fn check_call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call { function, target, args } = &mut expr.kind else { return };
        if &**function == "_?._" {
            return self.check_optional_select(id, args);
        }
        args.iter_mut().for_each(|arg| self.check(arg));
        let ids: Vec<Id> = args.iter().map(|arg| arg.id).collect();
        let env = self.env;
        if let Some(receiver) = target {
            let qualified = qualified_function(receiver, function).and_then(|name| lookup(env, &name));
            if let Some(qualified) = qualified {
                *function = qualified.name.into();
                *target = None;
                return self.resolve(id, qualified, None, &ids);
            }
            self.check(receiver);
        }
        let Some(found) = lookup(env, function) else {
            self.set_type(id, Type::Error);
            return self.report_undeclared(id, function);
        };
        if target.is_none() {
            *function = found.name.into();
        }
        let receiver = target.as_ref().map(|target| target.id);
        self.resolve(id, found, receiver, &ids);
    }

    /// `a.?b`
    fn check_optional_select(&mut self, id: Id, args: &mut [Expr]) {
        if let [operand, Expr { kind: Kind::Literal(Literal::String(field)), .. }] = args {
            let kind = self.check_field(id, operand, field, true);
            let kind = self.infer.resolve(&kind);
            self.set_type(id, kind);
            self.refer(id, Reference::Overloads(["select_optional_field"].into()));
        }
    }

    /// Finds the overloads that fit, and the type of their result.
    fn resolve(&mut self, id: Id, function: &Function, target: Option<Id>, args: &[Id]) {
        if matches!(function.name, "_&&_" | "_||_") {
            return self.resolve_logical(id, function, args);
        }
        let types: Vec<Type> = target.iter().chain(args).map(|arg| self.type_of(*arg)).collect();
        let mut result: Option<Type> = None;
        let mut ids = Vec::new();
        for overload in function.overloads.iter().filter(|overload| overload.method == target.is_some()) {
            let Some(kind) = self.result_of(overload, &types) else { continue };
            ids.push(overload.id);
            result = Some(match result {
                Some(first) if first != Type::Dyn && first != kind => Type::Dyn,
                Some(first) => first,
                None => kind,
            });
        }
        match result {
            Some(result) => {
                self.set_type(id, result);
                self.refer(id, Reference::Overloads(ids.into()));
            }
            None => self.report_no_overload(id, function.name, &types, target.is_some()),
        }
    }

    /// The type of an overload's result if the arguments fit.
    fn result_of(&mut self, overload: &Overload, args: &[Type]) -> Option<Type> {
        if overload.params.len() != args.len() {
            return None;
        }
        let mut variables = Variables::default();
        let params: Vec<Type> =
            overload.params.iter().map(|param| variables.instantiate(param, self)).collect();
        let result = variables.instantiate(&overload.result, self);
        self.infer.fit_all(args, &params).then(|| self.infer.resolve(&result))
    }

    /// `&&` and `||` take anything that may be a boolean, and name each argument that is not.
    fn resolve_logical(&mut self, id: Id, function: &Function, args: &[Id]) {
        let mut wrong = false;
        for arg in args {
            let kind = self.type_of(*arg);
            if !self.infer.fits(&kind, &Type::Bool) {
                self.report_mismatch(*arg, &Type::Bool, &kind);
                wrong = true;
            }
        }
        self.set_type(id, if wrong { Type::Error } else { Type::Bool });
        let ids = function.overloads.iter().map(|overload| overload.id).collect();
        self.refer(id, Reference::Overloads(ids));
    }

    fn report_no_overload(&mut self, id: Id, name: &str, types: &[Type], method: bool) {
        self.set_type(id, Type::Error);
        let mut shown = types.iter().map(|kind| self.infer.close(kind).to_string());
        let target = if method { shown.next().map(|target| target + ".") } else { None };
        let target = target.unwrap_or_default();
        let args = shown.collect::<Vec<_>>().join(", ");
        let message = format!("found no matching overload for '{name}' applied to '{target}({args})'");
        self.report(id, message);
    }
}

fn lookup<'e>(env: &'e Env, name: &str) -> Option<&'e Function> {
    env.function(name.strip_prefix('.').unwrap_or(name))
}

/// The type variables that stand for the parameters of an overload.
#[derive(Default)]
struct Variables {
    named: Vec<(Arc<str>, Type)>,
}

impl Variables {
    fn instantiate(&mut self, kind: &Type, checker: &mut Checker<'_>) -> Type {
        match kind {
            Type::Param(name) => {
                if let Some((_, variable)) = self.named.iter().find(|(known, _)| known == name) {
                    return variable.clone();
                }
                let variable = checker.infer.variable();
                self.named.push((Arc::clone(name), variable.clone()));
                variable
            }
            Type::List(element) => Type::list(self.instantiate(element, checker)),
            Type::Map(entry) => {
                Type::map(self.instantiate(&entry.0, checker), self.instantiate(&entry.1, checker))
            }
            Type::Type(of) => Type::of_type(self.instantiate(of, checker)),
            Type::Opaque(name, params) => {
                let params = params.iter().map(|param| self.instantiate(param, checker)).collect();
                Type::Opaque(Arc::clone(name), params)
            }
            _ => kind.clone(),
        }
    }
}
