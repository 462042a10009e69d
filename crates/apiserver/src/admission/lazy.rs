//! What is made when it is first needed, apart from the threads that serve requests.

use object::Status;
use tokio::sync::OnceCell;

/// A value that takes long to make. Who needs it waits for it, and nobody else: no lock is held, and no thread that serves
/// requests is busy with it.
pub(super) struct Lazy<T>(OnceCell<T>);

impl<T> Default for Lazy<T> {
    fn default() -> Lazy<T> {
        Lazy(OnceCell::new())
    }
}

impl<T: Send + 'static> Lazy<T> {
    /// The value; `maker` gives what makes it.
    ///
    /// # Errors
    /// 500 if the server is shutting down.
    pub(super) async fn get_or_make<M>(&self, maker: impl FnOnce() -> M) -> Result<&T, Status>
    where
        M: FnOnce() -> T + Send + 'static,
    {
        let make = || {
            let made = tokio::task::spawn_blocking(maker());
            async { made.await.map_err(|_| Status::internal_error("cannot compile an expression")) }
        };
        self.0.get_or_try_init(make).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_are_made_once_and_on_another_thread() {
        let lazy = Lazy::default();
        let get = || lazy.get_or_make(|| || std::thread::current().id());
        let (one, other) = tokio::join!(get(), get());
        assert_eq!(one.unwrap(), other.unwrap());
        assert_ne!(*get().await.unwrap(), std::thread::current().id());
    }
}
