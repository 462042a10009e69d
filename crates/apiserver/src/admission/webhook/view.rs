//! The objects of a request in the version that a webhook wants to see.

use object::{Status, Value, quote};

use super::failure::Trouble;
use super::matching::Asked;
use crate::admission::Shape;

/// New and old object in one shape.
pub(super) struct View {
    pub(super) shape: Shape,
    pub(super) object: Value,
    pub(super) old: Value,
    /// Whether the object was changed.
    pub(super) is_changed: bool,
}

impl View {
    /// The objects of a request as it came.
    pub(super) fn new(asked: &Asked<'_>, object: &Value, old: &Value) -> View {
        View { shape: asked.own.clone(), object: object.clone(), old: old.clone(), is_changed: false }
    }

    /// Shows the objects in another shape.
    ///
    /// # Errors
    /// 500 if they cannot be converted.
    pub(super) async fn turn_to(&mut self, asked: &Asked<'_>, shape: &Shape) -> Result<(), Status> {
        if self.shape.kind() != shape.kind() {
            let convert = async |object: Value| match object.is_null() {
                true => Ok(object),
                false => {
                    let converted = asked.what.shapes.convert(object, &self.shape, shape).await;
                    converted.map_err(|status| Status::internal_error(status.message))
                }
            };
            let (object, old) = (convert(self.object.take()).await?, convert(self.old.take()).await?);
            (self.object, self.old) = (object, old);
        }
        self.shape = shape.clone();
        Ok(())
    }

    /// Applies a patch of a webhook; returns whether it changed anything.
    pub(super) fn apply(&mut self, asked: &Asked<'_>, webhook: &str, patch: &Value) -> Result<bool, Trouble> {
        let unfit = |why: String| Trouble::Unfit(Status::internal_error(why));
        if self.object.is_null() {
            return Err(unfit(format!(
                "admission webhook {} attempted to modify the object, which is not supported for this operation",
                quote(webhook)
            )));
        }
        let patched = object::patch::json_patch(self.object.clone(), patch)
            .map_err(|error| unfit(error.to_string()))?;
        let patched = asked.what.shapes.complete(patched, &self.shape, asked.what.subresource);
        let patched = patched.map_err(|status| unfit(status.message))?;
        let is_changed = patched != self.object;
        self.is_changed |= is_changed;
        self.object = patched;
        Ok(is_changed)
    }
}
