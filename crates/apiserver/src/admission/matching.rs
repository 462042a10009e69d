//! Which requests webhooks and policies are for (`plugin/webhook/predicates`, `plugin/webhook/generic`,
//! `plugin/policy/matching`).

use std::sync::OnceLock;

use object::{Selector, Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Shape};

mod criteria;
mod rule;
mod view;

pub(super) use criteria::Criteria;
use criteria::Selection;
pub(super) use rule::Rule;
pub(super) use view::View;

/// A request for which webhooks and policies are looked up.
pub(in crate::admission) struct Asked<'a> {
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

    /// The shape in which the request matches; `None` if it does not. Labels are those of `object` and `old`.
    ///
    /// # Errors
    /// The request must fail: a selector cannot be evaluated, or the namespace does not exist.
    pub(super) async fn shape_of(
        &self,
        criteria: &Criteria,
        object: &Value,
        old: &Value,
    ) -> Result<Option<&Shape>, Status> {
        let matches_equivalents = criteria.matches_equivalents;
        if self.matched(&criteria.excluded, matches_equivalents).is_some() {
            return Ok(None);
        }
        let shape = match &criteria.rules {
            None => Some(&self.own),
            Some(rules) => self.matched(rules, matches_equivalents),
        };
        let Some(shape) = shape else { return Ok(None) };
        let of_object = self.matches_object(&criteria.objects, object, old);
        let of_namespace = self.matches_namespace(&criteria.namespaces, object).await;
        if matches!(of_object, Ok(false)) || matches!(of_namespace, Ok(false)) {
            return Ok(None);
        }
        of_namespace?;
        of_object?;
        Ok(Some(shape))
    }

    /// The shape in which one of these rules matches the request: its own before all others, otherwise that of the first
    /// rule that matches one.
    fn matched(&self, rules: &[Rule], matches_equivalents: bool) -> Option<&Shape> {
        let (operation, part) = (self.what.operation, self.what.subresource);
        let matches = |rule: &Rule, shape: &Shape| {
            rule.matches(operation, shape.resource(), part, self.namespace) && rule.names(self.what.name)
        };
        if rules.iter().any(|rule| matches(rule, &self.own)) {
            return Some(&self.own);
        }
        if !matches_equivalents || rules.is_empty() {
            return None;
        }
        let others = self.others.get_or_init(|| {
            let all = self.what.shapes.equivalents(self.what.resource, self.what.subresource);
            all.into_iter().filter(|shape| shape.resource() != self.own.resource()).collect()
        });
        rules.iter().find_map(|rule| others.iter().find(|shape| matches(rule, shape)))
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
