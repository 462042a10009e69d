//! Bodies of requests.

use std::borrow::Cow;

use object::decode::{DecodeError, Decoded, StrictError, decode_json, decode_value, decode_yaml};
use object::json::{self, JsonError};
use object::{Status, Value};
use schema::TypeRef;

use crate::negotiate::Encoding;
use crate::options::FieldValidation;

/// The expected content of a body.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The `apiVersion`.
    pub api_version: Cow<'a, str>,
    /// The kind.
    pub kind: &'a str,
    /// Its type.
    pub ty: &'a TypeRef,
}

/// A decoded body.
#[derive(Debug)]
pub struct Body {
    /// The object; `apiVersion` and `kind` are set.
    pub value: Value,
    /// The warnings for the client.
    pub warnings: Vec<String>,
}

/// The maximum number of objects inside one. Defaults make each of them larger, so a small body with many empty ones
/// would become a large object; objects that fit into the store have fewer.
const PARTS_MAX: usize = 100_000;

/// How deeply an object may be nested: a little less than text can be, because lists, tables and events contain objects.
/// The text of a protobuf body may be deeper than every text in it.
const DEPTH_MAX: usize = json::DEPTH_MAX - 12;

impl Expected<'_> {
    /// Decodes a body.
    ///
    /// # Errors
    /// 400 with upstream's message if the text is malformed, of another kind, or has fields that strict validation
    /// refuses.
    pub fn decode(
        &self,
        bytes: &[u8],
        encoding: Encoding,
        validation: FieldValidation,
    ) -> Result<Body, Status> {
        let decoded = match encoding {
            Encoding::Json => decode_json(bytes, self.ty),
            Encoding::Yaml => decode_yaml(bytes, self.ty),
            Encoding::Protobuf => return self.decode_protobuf(bytes),
        };
        self.finish(decoded, validation)
    }

    /// Checks a tree that a patch made.
    ///
    /// # Errors
    /// As [`Expected::decode`], and 422 in place of 400 for values of wrong types.
    pub fn check(&self, value: Value, validation: FieldValidation) -> Result<Body, Status> {
        self.finish(decode_value(value, self.ty), validation)
    }

    fn decode_protobuf(&self, bytes: &[u8]) -> Result<Body, Status> {
        let refuse =
            |error: &dyn std::fmt::Display| Status::bad_request(format!("{}: {error}", self.prefix()));
        let lookup = |_: &str, _: &str| Some(self.ty.clone());
        let decoded = object::protobuf::decode(bytes, &lookup).map_err(|error| refuse(&error))?;
        self.check_extent(&decoded.value)?;
        let mut body = Body { value: decoded.value, warnings: Vec::new() };
        self.check_kind(&mut body.value)?;
        Ok(body)
    }

    fn finish(
        &self,
        decoded: Result<Decoded, DecodeError>,
        validation: FieldValidation,
    ) -> Result<Body, Status> {
        let Decoded { mut value, strict_errors } = decoded.map_err(|error| self.undecodable(&error))?;
        if value.as_map().is_none() {
            return Err(Status::bad_request(format!("{}: the body is not an object", self.prefix())));
        }
        self.check_extent(&value)?;
        self.check_kind(&mut value)?;
        let warnings = match validation {
            FieldValidation::Ignore => Vec::new(),
            FieldValidation::Warn => strict_errors.iter().flat_map(StrictError::warnings).collect(),
            FieldValidation::Strict if strict_errors.is_empty() => Vec::new(),
            FieldValidation::Strict => {
                let findings: Vec<String> = strict_errors.iter().map(StrictError::to_string).collect();
                let message = format!("{}: strict decoding error: {}", self.prefix(), findings.join(", "));
                return Err(Status::bad_request(message));
            }
        };
        Ok(Body { value, warnings })
    }

    /// Refuses objects with too many parts, or with too many levels.
    fn check_extent(&self, object: &Value) -> Result<(), Status> {
        if !json::is_within(object, DEPTH_MAX, &mut 0) {
            return Err(Status::bad_request(format!("{}: {}", self.prefix(), JsonError::TooDeep)));
        }
        let parts = object.parts();
        if parts > PARTS_MAX {
            let what = format!("limit is {PARTS_MAX} objects inside of one, got {parts}");
            return Err(Status::request_entity_too_large(&what));
        }
        Ok(())
    }

    fn check_kind(&self, value: &mut Value) -> Result<(), Status> {
        let (version, kind) = (value.str_at("apiVersion"), value.str_at("kind"));
        if !version.is_empty() && version != self.api_version {
            return Err(Status::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({})",
                self.api_version
            )));
        }
        if !kind.is_empty() && kind != self.kind {
            return Err(Status::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {}: the kind in the data ({kind}) does not match the expected kind ({})",
                self.version(),
                self.kind,
                self.kind
            )));
        }
        value.set("kind", self.kind);
        value.set("apiVersion", &*self.api_version);
        Ok(())
    }

    fn undecodable(&self, error: &DecodeError) -> Status {
        Status::bad_request(format!("{}: {error}", self.prefix()))
    }

    fn prefix(&self) -> String {
        format!("{} in version {:?} cannot be handled as a {}", self.kind, self.version(), self.kind)
    }

    fn version(&self) -> &str {
        self.api_version.rsplit('/').next().unwrap_or_default()
    }
}
