//! A server in real time on a thread of its own.

use std::future::Future;
use std::ops::Deref;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::Server;

/// A server in real time with a thread and a runtime of its own, which end when this is dropped: for tests whose components run
/// in several network namespaces, each with its runtime, and for those that do not run in one.
pub struct Apart {
    server: Server,
    runtime: Handle,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Apart {
    /// Starts one with an empty store.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Apart {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let work = async move {
            // An error means that the test has given up.
            let _ = ready.send(Server::start_in_real_time().await);
            let _ = stopped.await;
        };
        let thread = std::thread::spawn(move || runtime.block_on(work));
        let server = is_ready.recv().expect("the server starts");
        Apart { server, runtime: handle, running: Some((stop, thread)) }
    }

    /// Waits for some work, such as a request to the server.
    ///
    /// # Panics
    /// Inside a runtime, where requests can be awaited.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

impl Deref for Apart {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // A panic of the server was reported by its own thread.
            let _ = thread.join();
        }
    }
}
