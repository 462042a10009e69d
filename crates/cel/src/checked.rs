//! Expressions with types.

use crate::{Ast, Expr, Id, Type};

/// An expression that has been checked: each part with its type, each name and call with its meaning.
///
/// The checker rewrites the tree where it has found what a qualified name means: `a.b` that is one variable has become an
/// identifier, and `optional.of(x)` a call of the function `optional.of` without a target.
#[derive(Clone, Debug)]
pub struct Checked {
    ast: Ast,
    /// By ID. [`Type::Dyn`] where there is no expression.
    types: Vec<Type>,
    /// By ID.
    references: Vec<Option<Reference>>,
}

/// The meaning of a name or a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// A variable by its full name. It begins with a dot if a variable of a macro hides it: `[1].all(x, .x == x)`.
    Variable(Box<str>),
    /// The name of a type, as in `type(1) == int` or `Object{}`.
    Type(Type),
    /// The overloads that may be called, in the order of their declaration. There are several if the types of arguments
    /// are known only when the expression is evaluated.
    Overloads(Box<[&'static str]>),
}

impl Checked {
    /// The tables go by ID, so they have one more element than there are IDs.
    pub(crate) fn new(ast: Ast, types: Vec<Type>, references: Vec<Option<Reference>>) -> Checked {
        Checked { ast, types, references }
    }

    /// The expression as the checker has rewritten it.
    pub fn ast(&self) -> &Ast {
        &self.ast
    }

    /// The outermost expression.
    pub fn root(&self) -> &Expr {
        &self.ast.root
    }

    /// The type of an expression. Parameters that inference left open are [`Type::Dyn`].
    pub fn expression_type(&self, id: Id) -> &Type {
        self.types.get(id as usize).unwrap_or(&Type::Dyn)
    }

    /// The meaning of a name, a call or a message.
    pub fn reference(&self, id: Id) -> Option<&Reference> {
        self.references.get(id as usize)?.as_ref()
    }

    /// The overloads that a call may mean; none if it is not a call.
    pub fn overloads(&self, id: Id) -> &[&'static str] {
        match self.reference(id) {
            Some(Reference::Overloads(ids)) => ids,
            _ => &[],
        }
    }

    /// The type of the whole expression.
    pub fn output(&self) -> &Type {
        self.expression_type(self.ast.root.id)
    }

    /// The names of all variables of the environment that the expression uses, as often as it does.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.references.iter().filter_map(|reference| match reference {
            Some(Reference::Variable(name)) => Some(name.strip_prefix('.').unwrap_or(name)),
            _ => None,
        })
    }
}
