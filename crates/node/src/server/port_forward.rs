//! Port-forward: SPDY streams, usually inside a WebSocket, or the older WebSocket channels.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cri::{DuplexStream, RuntimeService};
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use object::{Reason, Status};
use serve::Inbound;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::query::Query;
use super::upgrade::{self, Io, Kind};
use super::{Body, Server};
use crate::streaming::channels::{Protocol, see_off};
use crate::streaming::spdy::{self, SpdyStream};
use crate::streaming::tunnel::Tunnel;

/// The protocol of streams in pairs.
const PROTOCOL: &str = "portforward.k8s.io";
/// Its name when it is tunnelled inside a WebSocket.
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
/// The older protocols: two channels for each port.
const CHANNELS: [&str; 2] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
/// How much is read from a port at once.
const CHUNK_BYTES: usize = 32 << 10;

/// Ports of one pod.
#[derive(Clone)]
struct Ports {
    runtime: Arc<dyn RuntimeService>,
    sandbox_id: String,
    pod_uid: String,
}

impl Ports {
    async fn connect(&self, port: u16) -> Result<DuplexStream, String> {
        let connected = self.runtime.port_forward(&self.sandbox_id, port).await;
        connected.map_err(|error| {
            let message = error.full_message();
            format!("error forwarding port {port} to pod {}, uid : {message}", self.pod_uid)
        })
    }
}

impl Server {
    pub(super) async fn port_forward(
        &self,
        mut request: Request<Inbound>,
        namespace: &str,
        pod: &str,
        query: &Query,
    ) -> Result<Response<Body>, Status> {
        let pod = self.pod(namespace, pod)?;
        let pod_uid = pod.metadata.uid.clone().unwrap_or_default();
        let observed = self.observe(&pod_uid).await?;
        let sandbox = observed.ready_sandbox().ok_or_else(|| {
            Status::failure(Reason::NotFound, format!("failed to find sandbox for pod {pod_uid}"))
        })?;
        let ports = Ports { runtime: self.shared.runtime.clone(), sandbox_id: sandbox.id.clone(), pod_uid };
        let kind = upgrade::kind(request.headers())?;
        let offered = upgrade::offered(request.headers(), kind);
        let names: Vec<&str> = offered.iter().map(String::as_str).collect();
        let known: &[&str] = match kind {
            Kind::Spdy => &[PROTOCOL],
            Kind::WebSocket => &[TUNNELLED, CHANNELS[0], CHANNELS[1]],
        };
        let protocol = names.iter().copied().find(|name| known.contains(name));
        let protocol = protocol.ok_or_else(|| upgrade::no_common_protocol(&offered))?.to_owned();
        let wanted = if CHANNELS.contains(&protocol.as_str()) { wanted_ports(query)? } else { Vec::new() };
        let (response, connection) = upgrade::switch(&mut request, kind, &protocol)?;
        tokio::spawn(async move {
            let Some(io) = connection.await else { return };
            match (kind, protocol.as_str()) {
                (Kind::Spdy, _) => over_spdy(io, ports).await,
                (Kind::WebSocket, TUNNELLED) => {
                    over_spdy(Tunnel::new(upgrade::web_socket(io).await), ports).await
                }
                (Kind::WebSocket, name) => over_channels(io, name, wanted, ports).await,
            }
        });
        Ok(response)
    }
}

/// The ports in the query: repeated, or separated by commas.
fn wanted_ports(query: &Query) -> Result<Vec<u16>, Status> {
    let texts = query.all("port").chain(query.all("ports")).flat_map(|value| value.split(','));
    let ports: Result<Vec<u16>, _> = texts.map(|text| text.trim().parse::<u16>().map_err(|_| text)).collect();
    match ports {
        Ok(ports) if ports.is_empty() => Err(Status::bad_request("query parameter \"port\" is required")),
        Ok(ports) if ports.contains(&0) || ports.len() > 100 => Err(Status::bad_request("invalid ports")),
        Ok(ports) => Ok(ports),
        Err(text) => Err(Status::bad_request(format!("unable to parse {text:?} as a port"))),
    }
}

/// Streams are opened in pairs with the same request ID: one for an error's text, one for the data.
async fn over_spdy<S>(connection: S, ports: Ports)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (opened, mut incoming) = mpsc::channel::<SpdyStream>(8);
    let forward = async move {
        let mut halves: HashMap<String, SpdyStream> = HashMap::new();
        let mut running = JoinSet::new();
        while let Some(stream) = incoming.recv().await {
            while running.try_join_next().is_some() {}
            let id = stream
                .headers
                .get("requestid")
                .or_else(|| stream.headers.get("port"))
                .cloned()
                .unwrap_or_default();
            let Some(other) = halves.remove(&id) else {
                halves.insert(id, stream);
                continue;
            };
            let is_error =
                |stream: &SpdyStream| stream.headers.get("streamtype").is_some_and(|kind| kind == "error");
            let (error, data) = if is_error(&stream) { (stream, other) } else { (other, stream) };
            running.spawn(forward_pair(error, data, ports.clone()));
        }
    };
    tokio::select! {
        result = spdy::serve(connection, opened) => if let Err(error) = result {
            tracing::debug!(%error, "a SPDY connection failed");
        },
        () = forward => {}
    }
}

async fn forward_pair(error: SpdyStream, data: SpdyStream, ports: Ports) {
    let port = data.headers.get("port").and_then(|port| port.parse::<u16>().ok());
    let connected = match port {
        Some(port) => ports.connect(port).await,
        None => Err("unable to parse the port of the stream".to_owned()),
    };
    let SpdyStream { mut reader, writer, .. } = data;
    let result = match connected {
        Ok(stream) => {
            let (mut from, mut to) = tokio::io::split(stream);
            let up = async {
                while let Some(data) = reader.next().await {
                    if to.write_all(&data).await.is_err() {
                        return;
                    }
                }
                let _ = to.shutdown().await;
                // The answer may still arrive.
                std::future::pending::<()>().await;
            };
            let down = async {
                let mut buffer = vec![0; CHUNK_BYTES];
                while let Ok(count @ 1..) = from.read(&mut buffer).await {
                    if !writer.send(Bytes::copy_from_slice(&buffer[..count])).await {
                        return;
                    }
                }
            };
            tokio::select! { () = up => {}, () = down => {} }
            Ok(())
        }
        Err(message) => Err(message),
    };
    if let Err(message) = result {
        error.writer.send(message.into_bytes()).await;
    }
    writer.close().await;
    error.writer.close().await;
}

/// For each port a data channel and an error channel, each of which begins with the port's number.
async fn over_channels(io: Io, protocol: &str, wanted: Vec<u16>, ports: Ports) {
    let Some(protocol) = Protocol::negotiate(&[protocol]) else { return };
    let (mut sink, mut stream) = upgrade::web_socket(io).await.split();
    let (to, mut outgoing) = mpsc::channel::<Message>(16);
    let mut inputs = Vec::new();
    let mut running = JoinSet::new();
    for (index, port) in wanted.into_iter().enumerate() {
        let channel = u8::try_from(index * 2).unwrap_or(u8::MAX - 1);
        let (input, data) = mpsc::channel::<Bytes>(16);
        inputs.push(input);
        running.spawn(forward_channel(protocol, channel, port, data, to.clone(), ports.clone()));
    }
    drop(to);
    let send = async {
        while let Some(message) = outgoing.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    let receive = async {
        while let Some(Ok(message)) = stream.next().await {
            let Some((channel, data)) = protocol.parse(message) else { continue };
            if let Some(input) = inputs.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0) {
                let _ = input.send(data).await;
            }
        }
    };
    let is_over = tokio::select! { () = send => true, () = receive => false };
    if is_over {
        see_off(&mut stream).await;
    }
}

async fn forward_channel(
    protocol: Protocol,
    channel: u8,
    port: u16,
    mut data: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Message>,
    ports: Ports,
) {
    for channel in [channel, channel + 1] {
        if to.send(protocol.message(channel, &port.to_le_bytes())).await.is_err() {
            return;
        }
    }
    let stream = match ports.connect(port).await {
        Ok(stream) => stream,
        Err(message) => {
            let _ = to.send(protocol.message(channel + 1, message.as_bytes())).await;
            return;
        }
    };
    let (mut from, mut into) = tokio::io::split(stream);
    let up = async {
        while let Some(data) = data.recv().await {
            if into.write_all(&data).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if to.send(protocol.message(channel, &buffer[..count])).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {}, () = down => {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_in_both_forms() {
        let ports = |query: &str| wanted_ports(&Query::parse(query)).ok();
        assert_eq!(ports("port=80&port=443"), Some(vec![80, 443]));
        assert_eq!(ports("ports=80,443"), Some(vec![80, 443]));
        assert_eq!(
            (ports(""), ports("port=0"), ports("port=x"), ports("port=70000")),
            (None, None, None, None)
        );
    }
}
