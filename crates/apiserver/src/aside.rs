//! Work that keeps a processor busy for long, beside the threads that serve requests.
//!
//! Rules in CEL may cost a second for one object, and a definition with all its expressions as long to compile. On a thread
//! that serves requests, as many such requests as there are threads would be a standstill for everybody. So this work
//! waits for one of a few places, and the thread that does it passes its other tasks on.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// The places. What is done in one must not ask for another.
pub(crate) struct Aside(Semaphore);

impl Default for Aside {
    fn default() -> Aside {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Aside(Semaphore::new((processors / 2).max(2)))
    }
}

impl Aside {
    /// Does some work. A runtime of one thread, as simulations have, does it in its turn.
    pub(crate) async fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        // The semaphore is never closed.
        let _place = self.0.acquire().await;
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
            _ => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_meanwhile() {
        let (aside, (go, waits)) = (Arc::new(Aside::default()), mpsc::channel());
        let busy = tokio::spawn(async move { aside.run(move || waits.recv().unwrap()).await });
        // With its only thread busy, the runtime would never come to this.
        tokio::spawn(async move { go.send(1).unwrap() }).await.unwrap();
        assert_eq!(busy.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_single_thread_does_it_itself() {
        let own = std::thread::current().id();
        assert_eq!(Aside::default().run(|| std::thread::current().id()).await, own);
    }
}
