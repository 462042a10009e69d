//! OpenAPI documents.

use http::{HeaderMap, Response};
use object::Status;
use schema::ResourceDef;

use crate::body::Body;

/// The OpenAPI documents of the server.
pub struct Documents {
    _resources: &'static [ResourceDef],
}

impl Documents {
    /// The documents of these resources.
    pub fn new(resources: &'static [ResourceDef]) -> Documents {
        Documents { _resources: resources }
    }

    /// The document at a path.
    ///
    /// # Errors
    /// 406 where the client accepts none of its forms.
    pub fn answer(
        &self,
        _path: &str,
        _query: Option<&str>,
        _headers: &HeaderMap,
    ) -> Result<Option<Response<Body>>, Status> {
        Ok(None)
    }
}
