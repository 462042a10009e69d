//! The body of a request: text from the network, or a tree from a component of this process.
//!
//! Both have the same limits and are decoded with the same types: a tree only saves the conversion to text and back.

use bytes::Bytes;
use object::decode::{Decoded, decode_json, decode_value, decode_yaml};
use object::{Status, Value};

use crate::body::REQUEST_BYTES_MAX;
use crate::negotiate::Encoding;
use crate::options::{DeleteOptions, FieldValidation, Query};
use crate::registry::Body;
use crate::registry::{Expected, Patch, PatchKind};

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Content {
    /// From the network.
    Text(Bytes),
    /// From a component of this process; `null` means no body.
    Tree(Value),
}

impl From<Bytes> for Content {
    fn from(text: Bytes) -> Content {
        Content::Text(text)
    }
}

impl From<Value> for Content {
    fn from(tree: Value) -> Content {
        Content::Tree(tree)
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        match self {
            Content::Text(text) => text.is_empty(),
            Content::Tree(tree) => tree.is_null(),
        }
    }

    /// Refuses bodies that would be refused from the network.
    ///
    /// # Errors
    /// 413 for a tree whose text would be too large, 400 for one that has no text.
    pub(super) fn check(&self) -> Result<(), Status> {
        let Content::Tree(tree) = self else { return Ok(()) };
        match object::json::check(tree, REQUEST_BYTES_MAX) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Status::request_entity_too_large(&format!("limit is {REQUEST_BYTES_MAX}"))),
            Err(error) => Err(Status::bad_request(error.to_string())),
        }
    }

    /// The object, as the path expects it.
    ///
    /// # Errors
    /// As [`Expected::decode`].
    pub(super) fn object(
        self,
        expected: &Expected<'_>,
        content_type: Option<&str>,
        validation: FieldValidation,
    ) -> Result<Body, Status> {
        let encoding = Encoding::of_body(content_type)?;
        match self {
            Content::Text(text) => expected.decode(&text, encoding, validation),
            Content::Tree(tree) => expected.check(tree, validation),
        }
    }

    /// The patch.
    ///
    /// # Errors
    /// 400 if it is not JSON, 415 if the media type is not one of a patch.
    pub(super) fn patch(
        self,
        content_type: Option<&str>,
        validation: FieldValidation,
    ) -> Result<Patch, Status> {
        let kind = PatchKind::of(content_type)?;
        match self {
            Content::Text(text) => Patch::read(kind, &text, validation),
            Content::Tree(tree) => Ok(Patch::new(kind, tree, validation)),
        }
    }

    /// The options of a deletion, from its query and its body.
    ///
    /// # Errors
    /// 400 for options that are malformed.
    pub(super) fn delete_options(
        self,
        content_type: Option<&str>,
        query: &Query,
    ) -> Result<DeleteOptions, Status> {
        if self.is_empty() {
            return DeleteOptions::read(query, None);
        }
        let ty = schema::type_by_gvk("", "v1", "DeleteOptions")
            .ok_or_else(|| Status::internal_error("the table lacks DeleteOptions"))?;
        let refused = |why: &dyn std::fmt::Display| {
            Status::bad_request(format!("unable to decode DeleteOptions: {why}"))
        };
        let decoded = match (self, Encoding::of_body(content_type)?) {
            (Content::Tree(tree), _) => decode_value(tree, &ty),
            (Content::Text(text), Encoding::Json) => decode_json(&text, &ty),
            (Content::Text(text), Encoding::Yaml) => decode_yaml(&text, &ty),
            (Content::Text(text), Encoding::Protobuf) => {
                let lookup = |_: &str, _: &str| Some(ty.clone());
                let decoded = object::protobuf::decode(&text, &lookup).map_err(|error| refused(&error))?;
                Ok(Decoded { value: decoded.value, strict_errors: Vec::new() })
            }
        };
        let Decoded { value, .. } = decoded.map_err(|error| refused(&error))?;
        // Who sends the object that is to be deleted, for example, means something else than options.
        let (version, kind) = (value.str_at("apiVersion"), value.str_at("kind"));
        if !matches!(kind, "" | "DeleteOptions") {
            return Err(refused(&format!("no kind {kind:?} is registered for version {version:?}")));
        }
        DeleteOptions::read(query, Some(&value))
    }
}
