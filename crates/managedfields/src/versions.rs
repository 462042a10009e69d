//! The versions of a kind, between which its objects are converted.

use async_trait::async_trait;
use object::Value;
use schema::TypeRef;

/// The versions of a kind.
#[async_trait]
pub trait Versions: Send + Sync {
    /// The type of the kind in a version; `None` if the API has no such version.
    fn type_of(&self, api_version: &str) -> Option<TypeRef>;

    /// An object in another version.
    ///
    /// # Errors
    /// Why it cannot be converted.
    async fn convert(&self, object: &Value, api_version: &str) -> Result<Value, String>;
}
