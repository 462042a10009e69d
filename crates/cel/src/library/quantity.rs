//! Quantities of resources: `library.Quantity` of Kubernetes.

use std::any::Any;
use std::cmp::Ordering;

use object::{Quantity, QuantityFormat};

use super::semver;
use crate::operation::{Operation, fail, no_overload};
use crate::value::{Evaluated, Opaque, Value};
use crate::{Function, Overload, Type};

const NAME: &str = "kubernetes.Quantity";

/// A quantity.
#[derive(Debug)]
struct Amount(Quantity);

impl Opaque for Amount {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Amount>().is_some_and(|other| self.0 == other.0)
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn functions() -> Vec<Function> {
    let quantity = || Type::opaque(NAME);
    let pair = || [quantity(), quantity()];
    let method =
        |name, id, result: Type| Function::new(name, vec![Overload::method(id, [quantity()], result)]);
    let with = |name, id, with_int| {
        Function::new(
            name,
            vec![
                Overload::method(id, pair(), quantity()),
                Overload::method(with_int, [quantity(), Type::Int], quantity()),
            ],
        )
    };
    let compare = |name, id, result: Type| Function::new(name, vec![Overload::method(id, pair(), result)]);
    vec![
        Function::new("quantity", vec![Overload::global("string_to_quantity", [Type::String], quantity())]),
        Function::new("isQuantity", vec![Overload::global("is_quantity_string", [Type::String], Type::Bool)]),
        // Upstream declares this one, alone among them, as a function.
        Function::new("sign", vec![Overload::global("quantity_sign", [quantity()], Type::Int)]),
        compare("isGreaterThan", "quantity_is_greater_than", Type::Bool),
        compare("isLessThan", "quantity_is_less_than", Type::Bool),
        compare("compareTo", "quantity_compare_to", Type::Int),
        method("asApproximateFloat", "quantity_get_float", Type::Double),
        method("asInteger", "quantity_get_int", Type::Int),
        method("isInteger", "quantity_is_integer", Type::Bool),
        with("add", "quantity_add", "quantity_add_int"),
        with("sub", "quantity_sub", "quantity_sub_int"),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "quantity" => |_, args| match args {
            [Value::String(text)] => match Quantity::parse(text) {
                Ok(quantity) => Ok(Value::opaque(Amount(quantity))),
                Err(error) => fail(error.to_string()),
            },
            _ => no_overload("quantity", args),
        },
        "isQuantity" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text).is_ok())),
            _ => no_overload("isQuantity", args),
        },
        "sign" => |_, args| of_one("sign", args, |quantity| Ok(Value::Int(quantity.sign().into()))),
        "asApproximateFloat" => {
            |_, args| of_one("asApproximateFloat", args, |quantity| Ok(Value::Double(quantity.as_f64())))
        }
        "asInteger" => |_, args| {
            of_one("asInteger", args, |quantity| match quantity.as_i64() {
                Some(number) => Ok(Value::Int(number)),
                None => fail("cannot convert value to integer"),
            })
        },
        "isInteger" => {
            |_, args| of_one("isInteger", args, |quantity| Ok(Value::Bool(quantity.as_i64().is_some())))
        }
        // Versions have these functions too.
        "isGreaterThan" => |_, args| Ok(Value::Bool(compare("isGreaterThan", args)? == Ordering::Greater)),
        "isLessThan" => |_, args| Ok(Value::Bool(compare("isLessThan", args)? == Ordering::Less)),
        "compareTo" => |_, args| Ok(Value::Int(compare("compareTo", args)? as i64)),
        "add" => |_, args| combine("add", args, |sum, other| *sum += other),
        "sub" => |_, args| combine("sub", args, |sum, other| *sum -= other),
        _ => return None,
    })
}

fn of_one<'v>(function: &str, args: &[Value<'v>], of: fn(&Quantity) -> Evaluated<'v>) -> Evaluated<'v> {
    match args {
        [value] => match value.downcast::<Amount>() {
            Some(amount) => of(&amount.0),
            None => no_overload(function, args),
        },
        _ => no_overload(function, args),
    }
}

fn compare(function: &str, args: &[Value<'_>]) -> Result<Ordering, crate::EvaluationError> {
    if let [left, right] = args {
        if let (Some(left), Some(right)) = (left.downcast::<Amount>(), right.downcast::<Amount>()) {
            return Ok(left.0.cmp(&right.0));
        }
        if let Some(order) = semver::compare(left, right) {
            return Ok(order);
        }
    }
    no_overload(function, args).map(|_| Ordering::Equal)
}

fn combine<'v>(function: &str, args: &[Value<'v>], combine: fn(&mut Quantity, &Quantity)) -> Evaluated<'v> {
    let [left, right] = args else { return no_overload(function, args) };
    let Some(left) = left.downcast::<Amount>() else { return no_overload(function, args) };
    let mut result = left.0.clone();
    match (right, right.downcast::<Amount>()) {
        (_, Some(right)) => combine(&mut result, &right.0),
        (Value::Int(number), None) => {
            combine(&mut result, &Quantity::new(*number, QuantityFormat::DecimalExponent));
        }
        _ => return no_overload(function, args),
    }
    Ok(Value::opaque(Amount(result)))
}
