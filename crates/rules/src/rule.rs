//! One rule: its expressions, compiled.

use std::sync::Arc;

use cel::{Checked, Env, Program, Shape, Type};
use object::Value;

use crate::memory::Spent;

/// The value that a rule is about.
pub(crate) const SELF: &str = "self";
/// Its state before the request.
pub(crate) const OLD_SELF: &str = "oldSelf";

/// A rule of a schema.
pub(crate) struct Rule {
    /// Its text.
    pub(crate) text: Box<str>,
    pub(crate) message: Option<Box<str>>,
    /// The text of the expression that makes the message.
    pub(crate) message_text: Box<str>,
    pub(crate) reason: Option<Box<str>>,
    /// The path of the field that it blames, below its value.
    pub(crate) field_path: Option<Box<str>>,
    /// Whether `oldSelf` is an optional, so that the rule also holds for new values.
    pub(crate) optional_old_self: bool,
    /// None if the text is empty.
    pub(crate) expression: Option<Result<Expression, String>>,
    pub(crate) message_expression: Option<Result<Expression, String>>,
}

/// An expression that can be evaluated.
pub(crate) struct Expression {
    pub(crate) program: Program,
    pub(crate) uses_old_self: bool,
    /// The most that it costs for one value.
    pub(crate) cost: u64,
}

/// Compiles the rules of one schema, for values of this shape.
pub(crate) fn compile(rules: &Value, schema: &Value, shape: &Arc<Shape>, spent: &Spent) -> Vec<Rule> {
    let whole = cel::kubernetes().with_shape(SELF, shape);
    let plain = whole.clone().with_shape(OLD_SELF, shape);
    let optional = whole.with_variable(OLD_SELF, Type::optional(shape.expression_type()));
    let one = |rule: &Value| {
        let optional_old_self = rule.get("optionalOldSelf").as_bool() == Some(true);
        compile_one(rule, schema, if optional_old_self { &optional } else { &plain }, spent)
    };
    rules.items().map(one).collect()
}

fn compile_one(rule: &Value, schema: &Value, env: &Env, spent: &Spent) -> Rule {
    let text = |member: &str| rule.get(member).as_str().filter(|text| !text.is_empty());
    let expression = Some(rule.str_at("rule")).filter(|text| !text.trim().is_empty()).map(|text| {
        let failed = ["compilation failed", "cel expression must evaluate to a bool"];
        expression_of(text, env, spent, &Type::Bool, failed)
    });
    // Without a rule that compiles there is nothing to say a message about.
    let message = text("messageExpression").filter(|_| matches!(expression, Some(Ok(_))));
    let message_expression = message.map(|text| {
        let failed = ["messageExpression compilation failed", "messageExpression must evaluate to a string"];
        expression_of(text, env, spent, &Type::String, failed)
    });
    Rule {
        text: rule.str_at("rule").into(),
        message: text("message").map(Box::from),
        message_text: rule.str_at("messageExpression").into(),
        reason: text("reason").map(Box::from),
        field_path: text("fieldPath")
            .and_then(|path| crate::field_path::normalized(path, schema).ok())
            .map(Box::from),
        optional_old_self: rule.get("optionalOldSelf").as_bool() == Some(true),
        expression,
        message_expression,
    }
}

/// Compiles an expression of a type.
fn expression_of(
    text: &str,
    env: &Env,
    spent: &Spent,
    wanted: &Type,
    [failed, wrong_type]: [&str; 2],
) -> Result<Expression, String> {
    let checked: Checked = cel::compile(text, env).map_err(|issues| format!("{failed}: {issues}"))?;
    if checked.output() != wanted {
        return Err(wrong_type.to_owned());
    }
    let program = Program::new(&checked).map_err(|error| format!("program instantiation failed: {error}"))?;
    spent.add(program.bytes() + text.len())?;
    let uses_old_self = checked.variables().any(|name| name == OLD_SELF);
    Ok(Expression { program, uses_old_self, cost: cel::estimate(&checked, env).max })
}

impl Rule {
    /// How messages name the rule: by its own message, or by its text.
    pub(crate) fn shown(&self) -> &str {
        self.message.as_deref().unwrap_or(&self.text).trim()
    }

    /// What a value is told that breaks the rule.
    pub(crate) fn default_message(&self) -> String {
        match &self.message {
            Some(message) => message.trim().to_owned(),
            None => format!("failed rule: {}", self.shown()),
        }
    }

    /// Whether it compares a value with its earlier state.
    pub(crate) fn uses_old_self(&self) -> bool {
        matches!(&self.expression, Some(Ok(expression)) if expression.uses_old_self)
    }
}
