//! Exec and attach.

use bytes::Bytes;
use cri::{AttachOptions, ContainerState, CriError, ExecOptions, OutputStream, StreamingSession};
use http::{Request, Response};
use k8s_openapi::api::core::v1::Pod;
use object::{Reason, Status};
use serve::Inbound;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::query::Query;
use super::upgrade::{self, Io, Kind};
use super::{Body, Server};
use crate::observed::Observed;
use crate::pod::PodInfo;
use crate::streaming::channels::{self, Protocol, parse_size};
use crate::streaming::spdy::{self, SpdyReader, SpdyStream, SpdyWriter};
use crate::streaming::{exit_status, status_json};

/// SPDY's protocols of exec and attach, the newest first. `v4` sends a Status, older ones a sentence.
const SPDY_PROTOCOLS: [&str; 4] =
    ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// How long a client may take to open its streams.
const STREAMS_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);
/// How much is read from a process at once.
const CHUNK_BYTES: usize = 32 << 10;

/// The streams that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Streams {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Streams {
    fn of(query: &Query) -> Result<Streams, Status> {
        let tty = query.flag("tty");
        let streams = Streams {
            stdin: query.flag("input"),
            stdout: query.flag("output"),
            // With a terminal there is only one output.
            stderr: query.flag("error") && !tty,
            tty,
        };
        match streams.stdin || streams.stdout || streams.stderr {
            true => Ok(streams),
            false => Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr")),
        }
    }

    /// The number of streams that a SPDY client opens: those, one for errors, and one for the terminal's size.
    fn count(self, with_resize: bool) -> usize {
        let flags = [self.stdin, self.stdout, self.stderr, self.tty && with_resize];
        1 + flags.into_iter().filter(|flag| *flag).count()
    }
}

impl Server {
    /// A pod of this node.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Result<std::sync::Arc<Pod>, Status> {
        let found = self.pods.find(namespace, name);
        found.ok_or_else(|| {
            Status::failure(Reason::NotFound, format!("pod \"{name}_{namespace}\" does not exist"))
        })
    }

    /// The id of a running container.
    async fn running(&self, namespace: &str, pod: &str, container: &str) -> Result<String, Status> {
        let pod = PodInfo::new(self.pod(namespace, pod)?);
        let observed = self.observe(&pod.uid).await?;
        let running = observed.newest(container).filter(|status| status.state == ContainerState::Running);
        running
            .map(|status| status.id.clone())
            .ok_or_else(|| Status::failure(Reason::NotFound, format!("container not found ({container:?})")))
    }

    pub(super) async fn observe(&self, uid: &str) -> Result<Observed, Status> {
        let observed = Observed::ask(&self.shared.engine, uid).await;
        observed.map_err(|error| Status::internal_error(error.full_message()))
    }

    pub(super) async fn exec(
        &self,
        request: Request<Inbound>,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
    ) -> Result<Response<Body>, Status> {
        let streams = Streams::of(query)?;
        let command: Vec<String> = query.all("command").map(str::to_owned).collect();
        if command.is_empty() {
            return Err(Status::bad_request("you must specify a command"));
        }
        let id = self.running(namespace, pod, container).await?;
        let runtime = self.shared.runtime.clone();
        let Streams { stdin, stdout, stderr, tty } = streams;
        let start =
            async move { runtime.exec(&id, ExecOptions { command, tty, stdin, stdout, stderr }).await };
        join(request, streams, start)
    }

    pub(super) async fn attach(
        &self,
        request: Request<Inbound>,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
    ) -> Result<Response<Body>, Status> {
        let mut streams = Streams::of(query)?;
        let id = self.running(namespace, pod, container).await?;
        let info = PodInfo::new(self.pod(namespace, pod)?);
        // The container's own terminal counts, whatever the client thinks.
        streams.tty = info.container(container).is_some_and(|container| container.spec.tty == Some(true));
        streams.stderr &= !streams.tty;
        let runtime = self.shared.runtime.clone();
        let Streams { stdin, stdout, stderr, tty } = streams;
        let start = async move {
            let mut session = runtime.attach(&id, AttachOptions { tty, stdin, stdout, stderr }).await?;
            // Attaching succeeds, however the container ends. kubectl treats a failure as a broken connection, and
            // reads the log from its beginning.
            let end = session.exit;
            session.exit = Box::pin(async { end.await.map(|_code| 0) });
            Ok(session)
        };
        join(request, streams, start)
    }
}

/// Switches the connection and joins it with the session from `start`.
fn join(
    mut request: Request<Inbound>,
    streams: Streams,
    start: impl Future<Output = Result<StreamingSession, CriError>> + Send + 'static,
) -> Result<Response<Body>, Status> {
    let kind = upgrade::kind(request.headers())?;
    let offered = upgrade::offered(request.headers(), kind);
    let names: Vec<&str> = offered.iter().map(String::as_str).collect();
    match kind {
        Kind::WebSocket => {
            let protocol =
                Protocol::negotiate(&names).ok_or_else(|| upgrade::no_common_protocol(&offered))?;
            let (response, connection) = upgrade::switch(&mut request, kind, protocol.name)?;
            tokio::spawn(async move {
                let Some(io) = connection.await else { return };
                let socket = upgrade::web_socket(io).await;
                channels::run(socket, protocol, or_failed(start.await)).await;
            });
            Ok(response)
        }
        Kind::Spdy => {
            let known = if names.is_empty() {
                Some("")
            } else {
                names.iter().copied().find(|name| SPDY_PROTOCOLS.contains(name))
            };
            let protocol = known.ok_or_else(|| upgrade::no_common_protocol(&offered))?.to_owned();
            let (response, connection) = upgrade::switch(&mut request, kind, &protocol)?;
            tokio::spawn(async move {
                let Some(io) = connection.await else { return };
                over_spdy(io, &protocol, streams, start).await;
            });
            Ok(response)
        }
    }
}

/// A session that could not be started ends at once with its error.
fn or_failed(session: Result<StreamingSession, CriError>) -> StreamingSession {
    session.unwrap_or_else(|error| StreamingSession {
        stdin: None,
        stdout: None,
        stderr: None,
        resize: None,
        exit: Box::pin(std::future::ready(Err(error))),
    })
}

async fn over_spdy(
    io: Io,
    protocol: &str,
    streams: Streams,
    start: impl Future<Output = Result<StreamingSession, CriError>>,
) {
    let (opened, mut incoming) = mpsc::channel(8);
    let connection = spdy::serve(io, opened);
    let is_v4 = protocol == SPDY_PROTOCOLS[0];
    let expected = streams.count(is_v4 || protocol == SPDY_PROTOCOLS[1]);
    let session = async move {
        let Ok(found) = tokio::time::timeout(STREAMS_WITHIN, gather(&mut incoming, expected)).await else {
            return;
        };
        run_session(found, or_failed(start.await), is_v4).await;
        // Further data from the client are ignored; it closes the connection.
        while incoming.recv().await.is_some() {}
    };
    tokio::select! {
        result = connection => if let Err(error) = result {
            tracing::debug!(%error, "a SPDY connection failed");
        },
        () = session => {}
    }
}

/// The streams that a client has opened, by their types.
#[derive(Default)]
struct Found {
    error: Option<SpdyStream>,
    stdin: Option<SpdyStream>,
    stdout: Option<SpdyStream>,
    stderr: Option<SpdyStream>,
    resize: Option<SpdyStream>,
}

async fn gather(incoming: &mut mpsc::Receiver<SpdyStream>, expected: usize) -> Found {
    let mut found = Found::default();
    for _ in 0..expected {
        let Some(stream) = incoming.recv().await else { break };
        let slot = match stream.headers.get("streamtype").map(String::as_str) {
            Some("error") => &mut found.error,
            Some("stdin") => &mut found.stdin,
            Some("stdout") => &mut found.stdout,
            Some("stderr") => &mut found.stderr,
            Some("resize") => &mut found.resize,
            _ => continue,
        };
        *slot = Some(stream);
    }
    found
}

async fn run_session(found: Found, mut session: StreamingSession, with_status: bool) {
    let Found { error, stdin, stdout, stderr, resize } = found;
    let (in_writer, in_reader) = split(stdin);
    let (resize_writer, resize_reader) = split(resize);
    let input = feed(in_reader, session.stdin.take());
    let sizes = async {
        let (Some(mut reader), Some(to)) = (resize_reader, session.resize.take()) else { return };
        while let Some(data) = reader.next().await {
            if let Some(size) = parse_size(&data) {
                let _ = to.send(size).await;
            }
        }
    };
    let (out_writer, _out) = split(stdout);
    let (err_writer, _err) = split(stderr);
    let output = async {
        tokio::join!(drain(session.stdout.take(), out_writer), drain(session.stderr.take(), err_writer));
        let status = exit_status(&session.exit.await);
        let (error, _reader) = split(error);
        if let Some(error) = error {
            if with_status {
                error.send(status_json(&status)).await;
            } else if !status.success {
                error.send(status.message.into_bytes()).await;
            }
            error.close().await;
        }
    };
    tokio::select! {
        () = output => {}
        // The session does not end with the inputs.
        ((), ()) = async { tokio::join!(input, sizes); std::future::pending::<((), ())>().await } => {}
    }
    for writer in [in_writer, resize_writer].into_iter().flatten() {
        writer.close().await;
    }
}

fn split(stream: Option<SpdyStream>) -> (Option<SpdyWriter>, Option<SpdyReader>) {
    stream.map(|stream| (stream.writer, stream.reader)).unzip()
}

async fn feed(from: Option<SpdyReader>, to: Option<cri::InputStream>) {
    let (Some(mut from), Some(mut to)) = (from, to) else { return };
    while let Some(data) = from.next().await {
        if to.write_all(&data).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

async fn drain(from: Option<OutputStream>, to: Option<SpdyWriter>) {
    let (Some(mut from), Some(to)) = (from, to) else { return };
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !to.send(Bytes::copy_from_slice(&buffer[..count])).await {
            return;
        }
    }
    to.close().await;
}
