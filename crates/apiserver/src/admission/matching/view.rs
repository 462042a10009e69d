//! The objects of a request in the version that a webhook wants to see.

use object::{Status, Value};

use super::Asked;
use crate::admission::Shape;

/// New and old object in one shape.
pub(in crate::admission) struct View {
    pub(in crate::admission) shape: Shape,
    pub(in crate::admission) object: Value,
    pub(in crate::admission) old: Value,
    /// Whether the object was changed.
    pub(in crate::admission) is_changed: bool,
}

impl View {
    /// The objects of a request as it came.
    pub(in crate::admission) fn new(asked: &Asked<'_>, object: &Value, old: &Value) -> View {
        View { shape: asked.own.clone(), object: object.clone(), old: old.clone(), is_changed: false }
    }

    /// Shows the objects in another shape.
    ///
    /// # Errors
    /// 500 if they cannot be converted.
    pub(in crate::admission) async fn turn_to(
        &mut self,
        asked: &Asked<'_>,
        shape: &Shape,
    ) -> Result<(), Status> {
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
}
