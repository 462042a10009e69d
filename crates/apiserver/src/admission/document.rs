//! Configuration documents of plugins: which kinds are accepted, and why one cannot be used.

use object::Value;
use object::field::Errors;
use serde::de::DeserializeOwned;

/// The kinds of document that a plugin accepts, which are alike.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// `apiVersion` and kind of the newest one, which messages name.
    pub shown: (&'static str, &'static str),
    /// Those of others.
    pub others: &'static [(&'static str, &'static str)],
}

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is another kind of document.
    #[error("expected {} of {}, found {kind:?} of {api_version:?}", .wanted.1, .wanted.0)]
    Kind {
        /// What was expected.
        wanted: (&'static str, &'static str),
        /// Its kind.
        kind: String,
        /// Its version.
        api_version: String,
    },
    /// It has an unknown field, or a field of another type.
    #[error("cannot read {kind}")]
    Form {
        /// The expected kind.
        kind: &'static str,
        /// What is wrong.
        source: object::TypedError,
    },
    /// It has a field that the kind does not have.
    #[error("cannot read {kind}: unknown field `{field}`")]
    Unknown {
        /// The expected kind.
        kind: &'static str,
        /// The field.
        field: String,
    },
    /// Its values are not valid.
    #[error("{kind} is invalid: {errors}")]
    Invalid {
        /// The expected kind.
        kind: &'static str,
        /// What is wrong.
        errors: Errors,
    },
}

impl Accepted {
    /// Checks that a document is of one of the kinds.
    ///
    /// # Errors
    /// [`DocumentError::Kind`]
    pub(super) fn check(&self, document: &Value) -> Result<(), DocumentError> {
        let (kind, api_version) = (document.str_at("kind"), document.str_at("apiVersion"));
        let found = (api_version, kind);
        if self.shown == found || self.others.contains(&found) {
            return Ok(());
        }
        let (kind, api_version) = (kind.to_owned(), api_version.to_owned());
        Err(DocumentError::Kind { wanted: self.shown, kind, api_version })
    }

    /// Reads a document of one of the kinds.
    ///
    /// # Errors
    /// [`DocumentError::Kind`], [`DocumentError::Form`]
    pub(super) fn read<T: DeserializeOwned>(&self, document: &Value) -> Result<T, DocumentError> {
        self.check(document)?;
        object::from_value(document).map_err(|source| DocumentError::Form { kind: self.shown.1, source })
    }

    /// Checks that a document has no other members than these.
    ///
    /// # Errors
    /// [`DocumentError::Unknown`]
    pub(super) fn check_members(&self, document: &Value, members: &[&str]) -> Result<(), DocumentError> {
        let is_known = |name: &str| matches!(name, "kind" | "apiVersion") || members.contains(&name);
        match document.entries().find(|(name, _)| !is_known(name)) {
            None => Ok(()),
            Some((field, _)) => Err(DocumentError::Unknown { kind: self.shown.1, field: field.to_owned() }),
        }
    }

    /// Makes an error of what is wrong with the values.
    ///
    /// # Errors
    /// [`DocumentError::Invalid`]
    pub(super) fn check_values(&self, errors: Errors) -> Result<(), DocumentError> {
        errors.into_result().map_err(|errors| DocumentError::Invalid { kind: self.shown.1, errors })
    }
}
