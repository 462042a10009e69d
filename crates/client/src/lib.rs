//! How components talk to the API server: connections, the typed client, shared informers, work queue,
//! leader election and event recorder.
//!
//! | module | contents |
//! | --- | --- |
//! | [`connection`](Connection) | the trait behind both kinds of connection |
//! | [`discovery`](Discovered) | the resources of the server |
//! | [`http`](HttpConnection) | the connection across a network |
//! | [`api`](Client) | reads and writes of typed and untyped objects |
//! | [`measure`](RequestMetrics) | the metrics of requests |
//! | [`events`](Recorder) | the event recorder |
//! | [`form`](Form) | the forms of objects that components read |
//! | [`leader`](Candidate) | leader election by Lease |
//! | [`lean`](LeanPod) | the fields that are kept of numerous objects |
//!
//! This crate knows no kind's behaviour and no storage. The in-process connection is defined where the server and its
//! clients are wired together.

mod api;
mod connection;
mod discovery;
mod error;
mod events;
mod form;
mod http;
mod informer;
mod leader;
mod lean;
mod measure;
mod options;
mod queue;
mod request;

pub use self::http::{HttpConnection, SERVER_NAME, Servers};
pub use api::{Client, List};
pub use connection::{ByteStream, Connection, ServedStream, WatchStream};
pub use discovery::{Discovered, ServedResource};
pub use error::ClientError;
pub use events::{EventType, Recorder, reference_to};
pub use form::{Form, Identified, Object, key_of, meta_key, version_of};
pub use informer::{Change, Informer, Informers, Selection, Subscription};
pub use leader::{Candidate, Outcome, Timing};
pub use lean::{
    Extract, Kin, LeanAffinity, LeanClaim, LeanCondition, LeanContainer, LeanContainerState,
    LeanContainerStatus, LeanEphemeral, LeanMeta, LeanPod, LeanPodSpec, LeanPodStatus, LeanPort,
    LeanResources, LeanRestartRule, LeanRunning, LeanTemplate, LeanTerminated, LeanToleration, LeanVolume,
    Owners, Ownership, PartialObject, Said, SelectsPods,
};
pub use measure::RequestMetrics;
pub use options::{DeleteOptions, ListOptions, Patch, Propagation, WatchOptions};
pub use queue::{Job, QueueMetrics, RETRY_MAX, Work, WorkQueue};
pub use request::{
    Content, ContentType, ListPage, Request, ResourceType, Response, Target, Verb, WatchEvent,
};
