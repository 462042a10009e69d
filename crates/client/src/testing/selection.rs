//! The objects that a list or watch selects.

use object::{FieldSelector, Selector, Status, Value};

use super::query;
use crate::Request;

pub(super) struct Filter {
    namespace: String,
    labels: Selector,
    fields: FieldSelector,
}

impl Filter {
    pub(super) fn new(request: &Request) -> Result<Filter, Status> {
        let labels = Selector::parse(query(request, "labelSelector"));
        let fields = FieldSelector::parse(query(request, "fieldSelector"));
        Ok(Filter {
            namespace: request.target.namespace.clone(),
            labels: labels.map_err(|error| Status::bad_request(error.to_string()))?,
            fields: fields.map_err(|error| Status::bad_request(error.to_string()))?,
        })
    }

    /// Whether the object exists and is selected. Every field is selectable.
    pub(super) fn matches(&self, object: &Value) -> bool {
        !object.is_null()
            && (self.namespace.is_empty() || self.namespace == object.str_at("metadata.namespace"))
            && self.labels.matches(object.at("metadata.labels"))
            && self.fields.matches(|path| object.str_at(path))
    }
}
