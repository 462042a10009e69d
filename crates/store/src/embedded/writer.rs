//! The path of requests to the engine: through a bounded channel to a separate thread, or, for stores without a disk,
//! in place.
//!
//! In place means that nothing happens outside the caller's task. A simulation under a paused clock needs this: while a
//! task waits for another thread, tokio considers the runtime idle and advances its clock.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::{mpsc, oneshot};

use super::FatalAction;
use super::engine::{Command, Engine, Reply, Request};
use crate::StoreError;
use crate::disk::LogError;

/// Requests that may be queued before senders must wait.
const QUEUE_REQUESTS: usize = 1024;
/// Requests in one transaction.
const BATCH_REQUESTS: usize = 512;

/// The way to the engine.
pub(super) enum Writer {
    Thread { requests: mpsc::Sender<Request>, thread: JoinHandle<()> },
    InPlace(Arc<Mutex<Engine>>),
}

impl Writer {
    /// Runs the engine in a separate thread.
    pub(super) fn spawn(engine: Engine, on_fatal: FatalAction) -> std::io::Result<Writer> {
        let (requests, queue) = mpsc::channel(QUEUE_REQUESTS);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(engine, queue, &on_fatal))?;
        Ok(Writer::Thread { requests, thread })
    }

    /// Lets callers run the engine.
    pub(super) fn in_place(engine: Engine) -> Writer {
        Writer::InPlace(Arc::new(Mutex::new(engine)))
    }

    /// Carries out a command.
    pub(super) async fn submit(&self, command: Command) -> Reply {
        let (reply, answer) = oneshot::channel();
        let request = Request { command, reply };
        match self {
            Writer::Thread { requests, .. } => {
                requests.send(request).await.map_err(|_| StoreError::Closed)?;
            }
            Writer::InPlace(engine) => commit_in_place(engine, request)?,
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// A handle that does not keep the engine alive.
    pub(super) fn downgrade(&self) -> WeakWriter {
        match self {
            Writer::Thread { requests, .. } => WeakWriter::Thread(requests.downgrade()),
            Writer::InPlace(engine) => WeakWriter::InPlace(Arc::downgrade(engine)),
        }
    }

    /// Finishes what is queued and waits until the engine is gone.
    pub(super) fn finish(self) {
        if let Writer::Thread { requests, thread } = self {
            drop(requests);
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// A [`Writer`] that does not keep the engine alive.
pub(super) enum WeakWriter {
    Thread(mpsc::WeakSender<Request>),
    InPlace(Weak<Mutex<Engine>>),
}

impl WeakWriter {
    /// Submits a request without waiting; false if the queue is full. It must not wait: the sender that it holds in the
    /// meantime would keep [`Writer::finish`] from finishing.
    pub(super) fn try_submit(&self, request: Request) -> Result<bool, StoreError> {
        match self {
            WeakWriter::Thread(requests) => {
                let requests = requests.upgrade().ok_or(StoreError::Closed)?;
                match requests.try_send(request) {
                    Ok(()) => Ok(true),
                    Err(TrySendError::Full(_)) => Ok(false),
                    Err(TrySendError::Closed(_)) => Err(StoreError::Closed),
                }
            }
            WeakWriter::InPlace(engine) => {
                let engine = engine.upgrade().ok_or(StoreError::Closed)?;
                commit_in_place(&engine, request)?;
                Ok(true)
            }
        }
    }
}

fn commit_in_place(engine: &Mutex<Engine>, request: Request) -> Result<(), StoreError> {
    let mut engine = engine.lock();
    engine.shared().check_open()?;
    let done = engine.commit(vec![request]).and_then(|()| engine.keep_house());
    done.map_err(|error| {
        engine.shared().close();
        StoreError::Backend(Box::new(error))
    })
}

/// The writer thread.
fn run(mut engine: Engine, mut queue: mpsc::Receiver<Request>, on_fatal: &FatalAction) {
    let shared = engine.shared().clone();
    if let Err(error) = serve(&mut engine, &mut queue) {
        // Closed before the callers in the queue find that out.
        shared.close();
        on_fatal(&error);
    }
    shared.close();
}

/// Serves batches until all senders are gone.
fn serve(engine: &mut Engine, queue: &mut mpsc::Receiver<Request>) -> Result<(), LogError> {
    let mut batch = Vec::new();
    loop {
        if engine.is_compacting() {
            // Whatever has queued up; a batch and a piece of the compaction take turns.
            while batch.len() < BATCH_REQUESTS {
                match queue.try_recv() {
                    Ok(request) => batch.push(request),
                    Err(TryRecvError::Empty) => break,
                    // The next start continues the compaction.
                    Err(TryRecvError::Disconnected) if batch.is_empty() => return Ok(()),
                    Err(TryRecvError::Disconnected) => break,
                }
            }
        } else if queue.blocking_recv_many(&mut batch, BATCH_REQUESTS) == 0 {
            return Ok(());
        }
        if !batch.is_empty() {
            engine.commit(std::mem::take(&mut batch))?;
        }
        engine.keep_house()?;
    }
}
