//! Declarations of functions, as the checker reads them. What a function does and costs is found by the IDs of overloads.

use crate::Type;

/// A function or method with all its forms.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: &'static str,
    pub overloads: Vec<Overload>,
}

/// One form of a function.
#[derive(Clone, Debug)]
pub struct Overload {
    /// As cel-go or Kubernetes names it: `add_int64`, `string_contains_string`.
    pub id: &'static str,
    /// Whether it is called as a method: its first parameter is what stands before the dot.
    pub method: bool,
    pub params: Vec<Type>,
    pub result: Type,
}

impl Function {
    pub fn new(name: &'static str, overloads: Vec<Overload>) -> Function {
        Function { name, overloads }
    }
}

impl Overload {
    /// A form that is called as `f(a, b)`.
    pub fn global(id: &'static str, params: impl Into<Vec<Type>>, result: Type) -> Overload {
        Overload { id, method: false, params: params.into(), result }
    }

    /// A form that is called as `a.f(b)`.
    pub fn method(id: &'static str, params: impl Into<Vec<Type>>, result: Type) -> Overload {
        Overload { id, method: true, params: params.into(), result }
    }
}
