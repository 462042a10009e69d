//! What plugins take for a write.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Reader, Writer};

/// Something that a plugin took while it validated a write, such as a share of a quota. It learns how the write ended:
/// validation is not the end, because another object may have the name, or another write may have come first.
#[async_trait]
pub trait Taking: Send {
    /// The object is stored, or it is not. Errors are logged.
    async fn end(self: Box<Self>, is_stored: bool, reader: &dyn Reader, writer: &dyn Writer);
}

/// Everything taken for one write.
#[derive(Default)]
pub struct Takings(Mutex<Vec<Box<dyn Taking>>>);

impl Takings {
    /// Adds something.
    pub fn add(&self, taking: impl Taking + 'static) {
        self.0.lock().push(Box::new(taking));
    }

    /// Lets everything know how the write ended, the last first.
    pub(crate) async fn end(&self, is_stored: bool, reader: &dyn Reader, writer: &dyn Writer) {
        let taken = std::mem::take(&mut *self.0.lock());
        for taking in taken.into_iter().rev() {
            taking.end(is_stored, reader, writer).await;
        }
    }
}
