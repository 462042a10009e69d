//! Rules of a definition's schema: what is wrong with them (`apiextensions/validation`).

use std::sync::Arc;

use cel::Shape;
use object::Value;
use object::field::{Error, Errors, Path};

use crate::compile::{self, Node, RULES};
use crate::cost::{Cardinality, DEFAULTS_MAX, EXPRESSION_MAX, Total, too_dear};
use crate::field_path;
use crate::memory::Spent;
use crate::rule::{self, Expression, Rule};
use crate::shape::{flag, shape_of};
use crate::validate::validate_default;

/// The reasons that a rule may give.
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Checks the rules of a version's schema, which is structural. `path` leads to the schema. `is_unchanged`: the stored
/// definition has the same schema, so single expressions may cost more than is allowed today.
pub fn check(schema: &Value, is_unchanged: bool, path: &Path<'_>) -> Errors {
    let (errors, total, spent) = Default::default();
    let mut checker = Checker { errors, total, spent, of_defaults: 0, is_unchanged };
    checker.members(schema, path);
    if checker.errors.is_empty() {
        let place = Place { cardinality: Cardinality::ONE, uncorrelated: None, shape: None, is_root: true };
        checker.expressions(schema, &place, path);
        checker.total.check(path, &mut checker.errors);
    }
    if checker.errors.is_empty() {
        checker.defaults(schema, None, path);
    }
    checker.errors
}

struct Checker {
    errors: Errors,
    total: Total,
    /// What the rules take.
    spent: Spent,
    /// What the rules have cost for defaults.
    of_defaults: u64,
    is_unchanged: bool,
}

/// Where a schema stands.
struct Place<'p> {
    cardinality: Cardinality,
    /// The list around it whose items have no keys, so that there is no earlier state of them.
    uncorrelated: Option<&'p Path<'p>>,
    /// The shape, if the schema around it has made it.
    shape: Option<Arc<Shape>>,
    is_root: bool,
}

impl Checker {
    /// The members of rules, without a look at expressions.
    fn members(&mut self, schema: &Value, path: &Path<'_>) {
        if schema.as_map().is_none() {
            return;
        }
        self.members(schema.get("items"), &path.child("items"));
        self.members(schema.get("additionalProperties"), &path.child("additionalProperties"));
        for (name, property) in schema.get("properties").entries() {
            self.members(property, &path.child("properties").key(name));
        }
        let at = path.child(RULES);
        for (index, rule) in schema.get(RULES).items().enumerate() {
            self.rule_members(rule, schema, &at.index(index));
        }
    }

    fn rule_members(&mut self, rule: &Value, schema: &Value, path: &Path<'_>) {
        let errors = &mut self.errors;
        let (text, message) = (rule.str_at("rule"), rule.str_at("message"));
        let (expression, at_message) = (rule.str_at("messageExpression"), path.child("message"));
        if text.trim().is_empty() {
            errors.required(&path.child("rule"), "rule is not specified");
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.invalid(&at_message, message, "must be non-empty if specified");
        } else if has_line_breaks(message.trim()) {
            errors.invalid(&at_message, message, "must not contain line breaks");
        } else if has_line_breaks(text.trim()) && message.trim().is_empty() {
            errors.required(&at_message, "message must be specified if rule contains line breaks");
        }
        if !expression.is_empty() && expression.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            errors.required(&path.child("messageExpression"), why);
        }
        if let Some(reason) = rule.get("reason").as_str().filter(|reason| !REASONS.contains(reason)) {
            errors.not_supported(&path.child("reason"), reason, &REASONS);
        }
        let (field, at) = (rule.str_at("fieldPath"), path.child("fieldPath"));
        if field.is_empty() {
            return;
        }
        if field.trim().is_empty() {
            errors.invalid(&at, field, "must be non-empty if specified");
        }
        if has_line_breaks(field) {
            errors.invalid(&at, field, "must not contain line breaks");
        }
        if field_path::normalized(field, schema).is_err() {
            errors.invalid(&at, field, "must be a valid path");
        }
    }

    /// The expressions of a schema and of those inside of it.
    fn expressions(&mut self, schema: &Value, place: &Place<'_>, path: &Path<'_>) {
        if schema.as_map().is_none() {
            return;
        }
        let rules = schema.get(RULES);
        let own = match &place.shape {
            Some(shape) => Some(Arc::clone(shape)),
            None if rules.is_empty() => None,
            None => {
                let is_resource = place.is_root || flag(schema, "x-kubernetes-embedded-resource");
                shape_of(schema, "selfType", is_resource)
            }
        };
        self.inner(schema, place, own.as_deref(), path);
        if rules.is_empty() {
            return;
        }
        let at = path.child(RULES);
        let Some(shape) = own else {
            let why = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
            return self.errors.push(Error::internal(&at, why));
        };
        let compiled = rule::compile(rules, schema, &shape, &self.spent);
        for (index, (rule, compiled)) in rules.items().zip(&compiled).enumerate() {
            self.rule(rule, compiled, place, &shape, &at.index(index));
        }
    }

    /// The defaults in a schema, which the rules of their own schemas hold for. `known`: the rules of this schema, if it
    /// stands in one with a default: they are compiled once, however many defaults stand within each other.
    fn defaults(&mut self, schema: &Value, known: Option<Option<&Node>>, path: &Path<'_>) {
        if schema.as_map().is_none() {
            return;
        }
        let default = schema.get("default");
        let own;
        let known = match known {
            None if !default.is_null() => {
                own = compile::of_value(schema);
                Some(own.as_ref())
            }
            known => known,
        };
        if let Some(Some(node)) = known.filter(|_| !default.is_null()) {
            self.default(node, default, &path.child("default"));
        }
        let inside = |part: fn(&Node) -> Option<&Node>| known.map(|node| node.and_then(part));
        self.defaults(schema.get("items"), inside(|node| node.items.as_deref()), &path.child("items"));
        let members = inside(|node| node.members.as_deref());
        self.defaults(schema.get("additionalProperties"), members, &path.child("additionalProperties"));
        for (name, property) in schema.get("properties").entries() {
            let of_property = known.map(|node| node.and_then(|node| node.property(name)));
            self.defaults(property, of_property, &path.child("properties").key(name));
        }
    }

    fn default(&mut self, node: &Node, default: &Value, path: &Path<'_>) {
        if self.of_defaults > DEFAULTS_MAX {
            return;
        }
        let (errors, cost) = validate_default(node, default, path);
        self.errors.append(errors);
        self.of_defaults = self.of_defaults.saturating_add(cost);
        if self.of_defaults > DEFAULTS_MAX {
            self.errors
                .forbidden(path, too_dear("cost of rules for all defaults", self.of_defaults, DEFAULTS_MAX));
        }
    }

    /// The schemas inside of a schema.
    fn inner(&mut self, schema: &Value, place: &Place<'_>, shape: Option<&Shape>, path: &Path<'_>) {
        let cardinality = place.cardinality.inside(schema);
        let (items, members) = match shape.map(|shape| &shape.kind) {
            Some(cel::ShapeKind::List { items, .. }) => (Some(items), None),
            Some(cel::ShapeKind::Map { values }) => (None, Some(values)),
            _ => (None, None),
        };
        let inside = |shape: Option<&Arc<Shape>>| Place {
            cardinality,
            uncorrelated: place.uncorrelated,
            shape: shape.cloned(),
            is_root: false,
        };
        let mut of_items = inside(items);
        if schema.str_at("x-kubernetes-list-type") != "map" {
            of_items.uncorrelated = of_items.uncorrelated.or(Some(path));
        }
        self.expressions(schema.get("items"), &of_items, &path.child("items"));
        let of_members = inside(members);
        self.expressions(
            schema.get("additionalProperties"),
            &of_members,
            &path.child("additionalProperties"),
        );
        for (name, property) in schema.get("properties").entries() {
            let known = match shape.map(|shape| &shape.kind) {
                Some(cel::ShapeKind::Object(object)) => {
                    cel::escape(name).and_then(|escaped| object.fields.get(&*escaped))
                }
                _ => None,
            };
            let of_property = inside(known.map(|field| &field.shape));
            self.expressions(property, &of_property, &path.child("properties").key(name));
        }
    }

    fn rule(&mut self, rule: &Value, compiled: &Rule, place: &Place<'_>, shape: &Shape, path: &Path<'_>) {
        let (of_rule, of_message) = (path.child("rule"), path.child("messageExpression"));
        match &compiled.expression {
            None => {}
            Some(Err(why)) => self.errors.invalid(&of_rule, rule.clone(), why.as_str()),
            Some(Ok(Expression { cost, .. })) => {
                let cost = place.cardinality.times(*cost, shape.min_serialized_size);
                self.cost("estimated rule cost", cost, &of_rule);
            }
        }
        match &compiled.message_expression {
            None => {}
            Some(Err(why)) => self.errors.invalid(&of_message, rule.clone(), why.as_str()),
            // It is evaluated for one value that breaks the rule.
            Some(Ok(Expression { cost, .. })) => {
                self.cost("estimated messageExpression cost", *cost, &of_message);
            }
        }
        if compiled.uses_old_self() {
            if let Some(list) = place.uncorrelated {
                let why = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
                );
                self.errors.invalid(&of_rule, &*compiled.text, why);
            }
        } else if let Some(optional) = rule.get("optionalOldSelf").as_bool() {
            let why = "may not be set if oldSelf is not used in rule";
            self.errors.invalid(&path.child("optionalOldSelf"), optional, why);
        }
    }

    fn cost(&mut self, what: &str, cost: u64, path: &Path<'_>) {
        if cost > EXPRESSION_MAX && !self.is_unchanged {
            self.errors.forbidden(path, too_dear(what, cost, EXPRESSION_MAX));
        }
        self.total.add(path, cost);
    }
}

fn has_line_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}
