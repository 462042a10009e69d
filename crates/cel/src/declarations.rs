//! Declarations of functions, as the checker reads them. What a function does and costs is found by the IDs of overloads.

use crate::Type;

/// A function or method with all its forms.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name, with its namespace: `size`, `optional.of`, `_+_`.
    pub name: &'static str,
    /// Its forms, in the order in which the checker tries them.
    pub overloads: Vec<Overload>,
}

/// One form of a function.
#[derive(Clone, Debug)]
pub struct Overload {
    /// As cel-go or Kubernetes names it: `add_int64`, `string_contains_string`.
    pub id: &'static str,
    /// Whether it is called as a method: its first parameter is what stands before the dot.
    pub method: bool,
    /// The types of its parameters, the target of a method first.
    pub params: Vec<Type>,
    /// The type of its result.
    pub result: Type,
}

impl Function {
    /// A function with its forms.
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
