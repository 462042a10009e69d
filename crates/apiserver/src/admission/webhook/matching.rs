//! Which requests a webhook is asked about (`plugin/webhook/predicates` and `plugin/webhook/generic`).
//!
//! `matchConditions` are expressions in CEL, which this server cannot evaluate yet. New ones are refused when they are
//! written; a webhook that was stored with some is treated as upstream treats one whose conditions fail: its failure
//! policy decides. It is never asked as if it had none.

use std::sync::OnceLock;

use object::{Selector, Status, Value, quote};
use schema::GroupResource;

use super::configuration::{Hook, Selection};
use super::rule::Rule;
use crate::admission::{Attributes, Operation, Shape};

/// A request for which webhooks are looked up.
pub(super) struct Asked<'a> {
    pub(super) what: &'a Attributes<'a>,
    /// The namespace; of a request for a Namespace its name.
    pub(super) namespace: &'a str,
    /// The resource and the kind of the request itself.
    pub(super) own: Shape,
    /// Other versions of the same objects, if they were needed.
    others: OnceLock<Vec<Shape>>,
}

impl<'a> Asked<'a> {
    /// A request.
    pub(super) fn new(what: &'a Attributes<'a>) -> Asked<'a> {
        let is_namespace = what.group_resource() == GroupResource::NAMESPACES;
        Asked {
            what,
            namespace: if is_namespace { what.name } else { what.namespace },
            own: Shape::of(what.resource, what.kind),
            others: OnceLock::new(),
        }
    }

    /// The shape in which a webhook wants to see the request; `None` if it is not asked about it. Labels are those of
    /// `object` and `old`.
    ///
    /// # Errors
    /// The request must fail: a selector or conditions cannot be evaluated, or the namespace does not exist.
    pub(super) async fn shape_for(
        &self,
        hook: &Hook,
        object: &Value,
        old: &Value,
    ) -> Result<Option<&Shape>, Status> {
        let Some(shape) = self.matched(hook) else { return Ok(None) };
        let of_object = self.matches_object(&hook.objects, object, old);
        let of_namespace = self.matches_namespace(&hook.namespaces, object).await;
        if matches!(of_object, Ok(false)) || matches!(of_namespace, Ok(false)) {
            return Ok(None);
        }
        of_namespace?;
        of_object?;
        if hook.has_conditions && !self.meets_conditions(hook)? {
            return Ok(None);
        }
        Ok(Some(shape))
    }

    /// Whether the request meets the conditions of a webhook that has some. They are the last to be evaluated, with the
    /// request in the shape that the webhook wants; here they will be.
    fn meets_conditions(&self, hook: &Hook) -> Result<bool, Status> {
        if hook.ignores_failures {
            tracing::warn!(webhook = hook.name, "not asked: its matchConditions cannot be evaluated");
            return Ok(false);
        }
        let why = format!(
            "the matchConditions of admission webhook {} cannot be evaluated by this server",
            quote(&hook.name)
        );
        Err(self.what.forbidden(&why))
    }

    /// The shape in which the webhook's rules match the request: its own before all others, otherwise that of the first
    /// rule that matches one.
    fn matched(&self, hook: &Hook) -> Option<&Shape> {
        let (operation, part) = (self.what.operation, self.what.subresource);
        let matches =
            |rule: &Rule, shape: &Shape| rule.matches(operation, shape.resource(), part, self.namespace);
        if hook.rules.iter().any(|rule| matches(rule, &self.own)) {
            return Some(&self.own);
        }
        if !hook.matches_equivalents {
            return None;
        }
        let others = self.others.get_or_init(|| {
            let all = self.what.shapes.equivalents(self.what.resource, self.what.subresource);
            all.into_iter().filter(|shape| shape.resource() != self.own.resource()).collect()
        });
        hook.rules.iter().find_map(|rule| others.iter().find(|shape| matches(rule, shape)))
    }

    /// Whether the labels of the new or the old object are selected. The options of connections have none.
    fn matches_object(&self, selection: &Selection, object: &Value, old: &Value) -> Result<bool, Status> {
        let selector = selection.as_ref().map_err(Status::internal_error)?;
        if selector.is_everything() {
            return Ok(true);
        }
        if self.what.operation == Operation::Connect {
            return Ok(false);
        }
        Ok([object, old].iter().any(|object| !object.is_null() && is_selected(selector, object)))
    }

    /// Whether the labels of the namespace are selected. Objects without a namespace always are; a Namespace has one:
    /// itself.
    async fn matches_namespace(&self, selection: &Selection, object: &Value) -> Result<bool, Status> {
        if self.namespace.is_empty() && self.what.group_resource() != GroupResource::NAMESPACES {
            return Ok(true);
        }
        let selector = selection.as_ref().map_err(Status::internal_error)?;
        if selector.is_everything() {
            return Ok(true);
        }
        let writes = matches!(self.what.operation, Operation::Create | Operation::Update);
        if self.what.is(GroupResource::NAMESPACES) && writes {
            return Ok(is_selected(selector, object));
        }
        let namespace = self.what.reader.find(GroupResource::NAMESPACES, "", self.namespace).await?;
        let namespace = namespace.ok_or_else(|| Status::not_found("", "namespaces", self.namespace))?;
        Ok(selector.matches(namespace.labels()))
    }
}

fn is_selected(selector: &Selector, object: &Value) -> bool {
    selector.matches(object.at("metadata.labels"))
}
