//! Expressions as trees.

/// The number of an expression within its [`Ast`], from 1. Each has its own; checked types and references are found by it.
pub type Id = u32;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Ast {
    /// The expression, with macros expanded.
    pub root: Expr,
    /// Where each expression begins in the text, in characters (not bytes) from 0, by ID. What a macro made has the
    /// place of the macro's call.
    pub places: Vec<u32>,
    /// The text.
    pub text: Box<str>,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub id: Id,
    pub kind: Kind,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Literal(Literal),
    /// A name. A qualified name such as `a.b` is parsed as selections; the checker finds what it means.
    Ident(Box<str>),
    /// `operand.field`, or `has(operand.field)` if `test`.
    Select {
        operand: Box<Expr>,
        field: Box<str>,
        test: bool,
    },
    /// A function, an operator by its name in the language definition (`_+_`, `_[_]`, `_?_:_`, `!_`, `-_`, `_&&_`,
    /// `@in`, `_?._`, `_[?_]`), or a method of `target`.
    Call {
        function: Box<str>,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// `[a, ?b]`: the elements, and which of them are optional, by index.
    List {
        elements: Vec<Expr>,
        optional: Vec<usize>,
    },
    /// `{k: v}`
    Map {
        entries: Vec<Entry>,
    },
    /// `Name{field: v}`
    Struct {
        name: Box<str>,
        fields: Vec<FieldInit>,
    },
    /// What the macros over lists and maps become.
    Comprehension(Box<Comprehension>),
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Box<str>),
    Bytes(Box<[u8]>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub id: Id,
    pub key: Expr,
    pub value: Expr,
    /// Whether it was written `?k: v`.
    pub optional: bool,
}

/// A field of a message that is being made.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldInit {
    pub id: Id,
    pub name: Box<str>,
    pub value: Expr,
    /// Whether it was written `?name: v`.
    pub optional: bool,
}

/// A fold: for each element of `range`, as long as `condition` holds, `accumulator` becomes `step`; its value is `result`.
#[derive(Clone, Debug, PartialEq)]
pub struct Comprehension {
    pub range: Expr,
    /// The element of a list or the key of a map; with `second`, the index or the key.
    pub variable: Box<str>,
    /// The element of a list or the value of a map, in macros of two variables.
    pub second: Option<Box<str>>,
    pub accumulator: Box<str>,
    pub start: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}
