//! From a checked expression to a program.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Attribute, Base, Call, Fold, Item, Key, Node, Program, ProgramError, Qualifier};
use crate::cost::Price;
use crate::functions;
use crate::library;
use crate::operation::Context;
use crate::value::{Bytes, MapBuilder, MapKey, Text, Value};
use crate::{Checked, Comprehension, Expr, Kind, Literal, Meter, Reference};

type Planned = Result<Node, ProgramError>;

/// Functions that are evaluated at once if their argument is constant.
const CONVERSIONS: [&str; 9] =
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "uint"];

/// Functions whose second argument is a regular expression.
const REGEX_FUNCTIONS: [&str; 3] = ["matches", "find", "findAll"];

/// What a part takes, with what it is in: a box, a list.
const NODE_BYTES: usize = 2 * size_of::<Call>();

/// Makes a program. Constant parts are evaluated at once if it folds; upstream's own tests of costs do not.
pub(super) fn plan(checked: &Checked, folds: bool) -> Result<Program, ProgramError> {
    let mut planner = Planner { checked, folds, scope: Vec::new(), slots: 0, bytes: 0 };
    let root = planner.plan(checked.root())?;
    Ok(Program { root, slots: planner.slots, bytes: planner.bytes })
}

struct Planner<'c> {
    checked: &'c Checked,
    folds: bool,
    /// The variables of macros that are visible, with their slots.
    scope: Vec<(&'c str, usize)>,
    slots: usize,
    /// What was made so far.
    bytes: usize,
}

impl<'c> Planner<'c> {
    fn plan(&mut self, expr: &'c Expr) -> Planned {
        self.bytes += NODE_BYTES
            + match &expr.kind {
                Kind::Literal(Literal::String(text)) => text.len(),
                Kind::Literal(Literal::Bytes(bytes)) => bytes.len(),
                Kind::Ident(name) | Kind::Select { field: name, .. } => name.len(),
                _ => 0,
            };
        match &expr.kind {
            Kind::Literal(literal) => Ok(Node::Constant(constant(literal))),
            Kind::Ident(name) => Ok(self.ident(expr, name)),
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List { elements, optional } => self.list(elements, optional),
            Kind::Map { entries } => self.map(entries),
            Kind::Struct { name, fields } => self.message(expr, name, fields),
            Kind::Comprehension(comprehension) => self.fold(comprehension),
        }
    }

    fn ident(&self, expr: &Expr, name: &str) -> Node {
        match self.checked.reference(expr.id) {
            Some(Reference::Type(of)) => Node::Constant(Value::Type(of.clone())),
            Some(Reference::Variable(name)) => self.variable(name),
            _ => self.variable(name),
        }
    }

    /// A name with a dot before it is not a variable of a macro.
    fn variable(&self, name: &str) -> Node {
        if let Some(outer) = name.strip_prefix('.') {
            return Node::attribute(Base::Variable(outer.into()));
        }
        match self.scope.iter().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => Node::attribute(Base::Slot(*slot)),
            None => Node::attribute(Base::Variable(name.into())),
        }
    }

    fn select(&mut self, expr: &'c Expr, operand: &'c Expr, field: &str, test: bool) -> Planned {
        if let Some(Reference::Type(_) | Reference::Variable(_)) = self.checked.reference(expr.id) {
            return Ok(self.ident(expr, field));
        }
        let mut attribute = qualified(self.plan(operand)?);
        attribute.test = test;
        attribute.qualifiers.push(Qualifier { key: field_key(field), optional: false });
        Ok(Node::Attribute(attribute))
    }

    fn call(
        &mut self,
        expr: &'c Expr,
        function: &str,
        target: Option<&'c Expr>,
        args: &'c [Expr],
    ) -> Planned {
        let mut nodes = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            nodes.push(self.plan(arg)?);
        }
        let fail = || failure(format!("no such overload: {function}"));
        match function {
            "_&&_" => Ok(Node::And(exactly(nodes).ok_or_else(fail)?)),
            "_||_" => Ok(Node::Or(exactly(nodes).ok_or_else(fail)?)),
            "_?_:_" => Ok(Node::attribute(Base::Conditional(exactly(nodes).ok_or_else(fail)?))),
            "_==_" | "_!=_" => {
                Ok(Node::Equality { negated: function == "_!=_", sides: exactly(nodes).ok_or_else(fail)? })
            }
            "@not_strictly_false" | "__not_strictly_false__" => {
                let [node] = *exactly(nodes).ok_or_else(fail)?;
                Ok(Node::NotStrictlyFalse(Box::new(node)))
            }
            "or" | "orValue" if nodes.len() == 2 => Ok(Node::OptionalOr {
                unwraps: function == "orValue",
                sides: exactly(nodes).ok_or_else(fail)?,
            }),
            "_[_]" => index(*exactly(nodes).ok_or_else(fail)?, false),
            "_?._" | "_[?_]" => index(*exactly(nodes).ok_or_else(fail)?, true),
            _ => self.function(expr, function, nodes),
        }
    }

    fn function(&mut self, expr: &'c Expr, function: &str, args: Vec<Node>) -> Planned {
        let overload = match self.checked.overloads(expr.id) {
            [only] => Some(*only),
            _ => None,
        };
        let args = match (overload, <[Node; 2]>::try_from(args)) {
            (Some("in_list"), Ok(sides)) if self.folds => match membership(sides) {
                Membership::Node(node) => return Ok(node),
                Membership::Args(args) => args,
            },
            (_, Ok(sides)) => Vec::from(sides),
            (_, Err(args)) => args,
        };
        let operation = functions::operation(function, args.len())
            .or_else(|| library::operation(function, overload))
            .ok_or_else(|| failure(format!("no such overload: {function}")))?;
        if let [Node::Constant(value)] = args.as_slice()
            && CONVERSIONS.contains(&function)
            && self.folds
        {
            let mut context = Context { meter: &mut Meter::new(u64::MAX), regex: None };
            let value = operation(&mut context, &mut [value.clone()]);
            return value.map(Node::Constant).map_err(|error| failure(error.to_string()));
        }
        let regex = match args.get(1) {
            Some(Node::Constant(Value::String(pattern)))
                if self.folds && REGEX_FUNCTIONS.contains(&function) =>
            {
                let (regex, bytes) = functions::compile_regex(pattern).map_err(failure)?;
                self.bytes += bytes;
                Some(regex)
            }
            _ => None,
        };
        let accumulator = match args.first() {
            Some(Node::Attribute(attribute)) if ["_+_", "cel.@mapInsert"].contains(&function) => {
                self.accumulator(attribute)
            }
            _ => None,
        };
        let fails_early = args.len() > 2 || function == "format" || regex.is_some();
        let price = Price::new(function, overload);
        Ok(Node::Call(Box::new(Call { operation, args, price, regex, fails_early, accumulator })))
    }

    /// The slot of an accumulator of the innermost macro that stands there alone. Only macros can name it.
    fn accumulator(&self, attribute: &Attribute) -> Option<usize> {
        match attribute.base {
            Base::Slot(slot) if attribute.qualifiers.is_empty() => {
                let named = self.scope.iter().find(|(_, known)| *known == slot)?;
                named.0.starts_with('@').then_some(slot)
            }
            _ => None,
        }
    }

    fn list(&mut self, elements: &'c [Expr], optional: &[usize]) -> Planned {
        let mut items = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            items.push(Item { node: self.plan(element)?, optional: optional.contains(&index) });
        }
        let constants: Option<Vec<Value<'static>>> = items.iter().map(Item::constant).collect();
        Ok(match constants.filter(|_| self.folds) {
            Some(constants) => Node::Constant(Value::list(constants)),
            None => Node::List { items },
        })
    }

    fn map(&mut self, entries: &'c [crate::Entry]) -> Planned {
        let mut nodes = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = self.plan(&entry.key)?;
            nodes.push((key, Item { node: self.plan(&entry.value)?, optional: entry.optional }));
        }
        let constants: Option<Vec<_>> = nodes
            .iter()
            .map(|(key, value)| match key {
                Node::Constant(key) => value.constant().map(|value| (key.clone(), value)),
                _ => None,
            })
            .collect();
        let Some(constants) = constants.filter(|_| self.folds) else {
            return Ok(Node::Map { entries: nodes });
        };
        let mut made = MapBuilder::default();
        for (key, value) in constants {
            made.insert(key, value).map_err(|error| failure(error.to_string()))?;
        }
        Ok(Node::Constant(made.build()))
    }

    fn message(&mut self, expr: &Expr, name: &str, fields: &'c [crate::FieldInit]) -> Planned {
        let name = match self.checked.reference(expr.id) {
            Some(Reference::Type(of)) => Arc::from(crate::value::type_name(of).as_ref()),
            _ => Arc::from(name),
        };
        let mut nodes = Vec::with_capacity(fields.len());
        for field in fields {
            let item = Item { node: self.plan(&field.value)?, optional: field.optional };
            nodes.push((field.name.clone(), item));
        }
        Ok(Node::Message { name, fields: nodes })
    }

    fn fold(&mut self, comprehension: &'c Comprehension) -> Planned {
        let Comprehension { range, variable, second, accumulator, start, condition, step, result } =
            comprehension;
        let start = self.plan(start)?;
        let range = self.plan(range)?;
        let depth = self.scope.len();
        let accumulator = self.push(accumulator);
        let within = self.scope.len();
        let variable = self.push(variable);
        let second = second.as_deref().map(|name| self.push(name));
        let condition = self.plan(condition)?;
        let step = self.plan(step)?;
        self.scope.truncate(within);
        let result = self.plan(result)?;
        self.scope.truncate(depth);
        Ok(Node::Fold(Box::new(Fold {
            range,
            start,
            condition,
            step,
            result,
            accumulator,
            variable,
            second,
        })))
    }

    /// Every variable has a slot of its own: accumulators are computed when they are first looked at, in the midst of
    /// other comprehensions.
    fn push(&mut self, name: &'c str) -> usize {
        self.scope.push((name, self.slots));
        self.slots += 1;
        self.slots - 1
    }
}

impl Item {
    fn constant(&self) -> Option<Value<'static>> {
        match &self.node {
            Node::Constant(value) if !self.optional => Some(value.clone()),
            _ => None,
        }
    }
}

fn failure(message: String) -> ProgramError {
    ProgramError { message }
}

enum Membership {
    Node(Node),
    Args(Vec<Node>),
}

/// Whether a value is in a constant list of scalars: a lookup, which costs nothing.
fn membership([value, list]: [Node; 2]) -> Membership {
    let set = match &list {
        Node::Constant(Value::List(items)) => scalars(items),
        _ => None,
    };
    match set {
        Some(set) if set.is_empty() => Membership::Node(Node::Constant(Value::Bool(false))),
        Some(set) => Membership::Node(Node::Member { value: Box::new(value), set }),
        None => Membership::Args(vec![value, list]),
    }
}

fn scalars(items: &crate::List<'static>) -> Option<HashSet<MapKey<'static>>> {
    let key = |item: crate::Evaluated<'static>| match item.ok()? {
        Value::Double(number) if number.is_nan() => None,
        item => MapKey::new(&item),
    };
    items.iter().map(key).collect()
}

fn exactly<const N: usize>(nodes: Vec<Node>) -> Option<Box<[Node; N]>> {
    nodes.into_boxed_slice().try_into().ok()
}

fn field_key(name: &str) -> Key {
    Key::Field(Text::from(Arc::<str>::from(name)))
}

/// A value to which qualifiers can be added.
fn qualified(node: Node) -> Box<Attribute> {
    match node {
        Node::Attribute(attribute) if !attribute.test => attribute,
        other => Box::new(Attribute { base: Base::Value(other), qualifiers: Vec::new(), test: false }),
    }
}

fn index([operand, index]: [Node; 2], optional: bool) -> Planned {
    let mut attribute = qualified(operand);
    let key = match index {
        Node::Constant(Value::String(name)) => Key::Field(name),
        Node::Constant(value) => Key::Constant(value),
        computed => Key::Computed(computed),
    };
    attribute.qualifiers.push(Qualifier { key, optional });
    Ok(Node::Attribute(attribute))
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::string(text.as_ref()),
        Literal::Bytes(bytes) => Value::Bytes(Bytes::from(bytes.to_vec())),
    }
}
