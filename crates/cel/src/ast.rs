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
    /// Its number.
    pub id: Id,
    /// Its form.
    pub kind: Kind,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A constant.
    Literal(Literal),
    /// A name. A qualified name such as `a.b` is parsed as selections; the checker finds what it means.
    Ident(Box<str>),
    /// `operand.field`, or `has(operand.field)` if `test`.
    Select {
        /// What the field is selected of.
        operand: Box<Expr>,
        /// The name of the field, or the key of a map.
        field: Box<str>,
        /// Whether only its presence is asked for.
        test: bool,
    },
    /// A function, an operator by its name in the language definition (`_+_`, `_[_]`, `_?_:_`, `!_`, `-_`, `_&&_`,
    /// `@in`, `_?._`, `_[?_]`), or a method of `target`.
    Call {
        /// The name of the function.
        function: Box<str>,
        /// What stands before the dot of a method.
        target: Option<Box<Expr>>,
        /// The arguments, without the target.
        args: Vec<Expr>,
    },
    /// `[a, ?b]`: the elements, and which of them are optional, by index.
    List {
        /// The elements in their order.
        elements: Vec<Expr>,
        /// The indices of elements that are left out if they have no value, in ascending order.
        optional: Vec<usize>,
    },
    /// `{k: v}`
    Map {
        /// The entries in the order of the text.
        entries: Vec<Entry>,
    },
    /// `Name{field: v}`
    Struct {
        /// The name of the type.
        name: Box<str>,
        /// The fields in the order of the text.
        fields: Vec<FieldInit>,
    },
    /// What the macros over lists and maps become.
    Comprehension(Box<Comprehension>),
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// `1`, `0x1`, `-1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.0`, `1e3`
    Double(f64),
    /// `'a'`, without escape sequences
    String(Box<str>),
    /// `b'a'`
    Bytes(Box<[u8]>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number, distinct from those of its parts.
    pub id: Id,
    /// The key.
    pub key: Expr,
    /// The value; an optional one if `optional`.
    pub value: Expr,
    /// Whether it was written `?k: v`.
    pub optional: bool,
}

/// A field of a message that is being made.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldInit {
    /// Its number, distinct from that of its value.
    pub id: Id,
    /// The name in expressions.
    pub name: Box<str>,
    /// The value; an optional one if `optional`.
    pub value: Expr,
    /// Whether it was written `?name: v`.
    pub optional: bool,
}

/// A fold: for each element of `range`, as long as `condition` holds, `accumulator` becomes `step`; its value is `result`.
#[derive(Clone, Debug, PartialEq)]
pub struct Comprehension {
    /// The list or map.
    pub range: Expr,
    /// The element of a list or the key of a map; with `second`, the index or the key.
    pub variable: Box<str>,
    /// The element of a list or the value of a map, in macros of two variables.
    pub second: Option<Box<str>>,
    /// The name of the accumulator, which condition, step and result can use.
    pub accumulator: Box<str>,
    /// The first value of the accumulator.
    pub start: Expr,
    /// Whether there is another step; asked before each.
    pub condition: Expr,
    /// The next value of the accumulator.
    pub step: Expr,
    /// The value of the whole.
    pub result: Expr,
}

impl Ast {
    /// Where an expression begins, in characters.
    pub fn place(&self, id: Id) -> u32 {
        self.places.get(id as usize).copied().unwrap_or_default()
    }
}

impl Kind {
    /// Calls `f` with each direct part, in the order of the text.
    pub fn each_part(&self, f: &mut dyn FnMut(&Expr)) {
        match self {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => f(operand),
            Kind::Call { target, args, .. } => {
                target.iter().for_each(|target| f(target));
                args.iter().for_each(f);
            }
            Kind::List { elements, .. } => elements.iter().for_each(f),
            Kind::Map { entries } => {
                for entry in entries {
                    f(&entry.key);
                    f(&entry.value);
                }
            }
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| f(&field.value)),
            Kind::Comprehension(fold) => {
                for part in [&fold.range, &fold.start, &fold.condition, &fold.step, &fold.result] {
                    f(part);
                }
            }
        }
    }
}
