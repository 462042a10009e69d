//! What is compiled when it is first needed, apart from the threads that serve requests.

use std::sync::Arc;

use object::Status;
use rules::{Kept, Spent};
use tokio::sync::Mutex;

/// Something that takes long to compile. Who needs it waits for it, and nobody else: no thread that serves requests is busy
/// with it. Where others need the memory it is dropped, and compiled again by who needs it next.
pub(super) struct Lazy<T: Send + Sync + 'static> {
    kept: Kept<T>,
    /// Held by who compiles it.
    compiling: Mutex<()>,
}

impl<T: Send + Sync + 'static> Default for Lazy<T> {
    fn default() -> Lazy<T> {
        Lazy { kept: Kept::default(), compiling: Mutex::default() }
    }
}

impl<T: Send + Sync + 'static> Lazy<T> {
    /// The value; `maker` gives what makes it, with what it takes.
    ///
    /// # Errors
    /// 500 if the server is shutting down.
    pub(super) async fn get_or_make<M>(&self, maker: impl FnOnce() -> M) -> Result<Arc<T>, Status>
    where
        M: FnOnce() -> (T, Spent) + Send + 'static,
    {
        if let Some(known) = self.kept.get() {
            return Ok(known);
        }
        let _turn = self.compiling.lock().await;
        if let Some(known) = self.kept.get() {
            return Ok(known);
        }
        let made = tokio::task::spawn_blocking(maker()).await;
        let (value, spent) = made.map_err(|_| Status::internal_error("cannot compile an expression"))?;
        Ok(self.kept.put(value, spent.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_are_made_once_and_on_another_thread() {
        let lazy = Lazy::default();
        let get = || lazy.get_or_make(|| || (std::thread::current().id(), Spent::default()));
        let (one, other) = tokio::join!(get(), get());
        assert_eq!(one.unwrap(), other.unwrap());
        assert_ne!(*get().await.unwrap(), std::thread::current().id());
    }
}
