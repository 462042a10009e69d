//! The channel protocols of WebSocket: each message begins with the number of its channel.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cri::{InputStream, OutputStream, StreamingSession, TerminalSize};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// How much is read from a process at once.
const CHUNK_BYTES: usize = 32 << 10;
/// How many messages may wait to be sent.
const QUEUE_MAX: usize = 16;

/// A protocol of exec and attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: &'static str,
    /// The error channel carries a Status object; before, a sentence and only on failure.
    status: bool,
    /// A client can close its channels one by one.
    close: bool,
    base64: bool,
}

impl Protocol {
    const ALL: [Protocol; 5] = [
        Protocol { name: "v5.channel.k8s.io", status: true, close: true, base64: false },
        Protocol { name: "v4.channel.k8s.io", status: true, close: false, base64: false },
        Protocol { name: "v4.base64.channel.k8s.io", status: true, close: false, base64: true },
        Protocol { name: "channel.k8s.io", status: false, close: false, base64: false },
        Protocol { name: "base64.channel.k8s.io", status: false, close: false, base64: true },
    ];

    /// The first protocol that the client offers and that is known. A client that offers none gets the
    /// oldest one.
    pub(crate) fn negotiate(offered: &[&str]) -> Option<Protocol> {
        if offered.is_empty() {
            return Some(Protocol { name: "", ..Protocol::ALL[3] });
        }
        offered.iter().find_map(|name| Protocol::ALL.into_iter().find(|protocol| protocol.name == *name))
    }

    /// A message on a channel.
    pub(crate) fn message(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            return Message::text(format!("{channel}{}", STANDARD.encode(data)));
        }
        let mut bytes = Vec::with_capacity(data.len() + 1);
        bytes.push(channel);
        bytes.extend_from_slice(data);
        Message::binary(bytes)
    }

    /// The channel and the data of a message; `None` if it has none.
    pub(crate) fn parse(self, message: Message) -> Option<(u8, Bytes)> {
        match message {
            Message::Binary(bytes) if !self.base64 && !bytes.is_empty() => Some((bytes[0], bytes.slice(1..))),
            Message::Text(text) if self.base64 => {
                let (channel, data) = text.as_bytes().split_first()?;
                let channel = channel.checked_sub(b'0').filter(|channel| *channel <= 9)?;
                Some((channel, STANDARD.decode(data).ok()?.into()))
            }
            _ => None,
        }
    }
}

/// A terminal's size as clients send it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Reads a terminal's size.
pub(crate) fn parse_size(data: &[u8]) -> Option<TerminalSize> {
    let size: Size = serde_json::from_slice(data).ok()?;
    Some(TerminalSize { width: size.width, height: size.height })
}

/// Joins a session with a WebSocket until either ends. `status` tells how the process ended.
pub(crate) async fn run<S>(socket: WebSocketStream<S>, protocol: Protocol, mut session: StreamingSession)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = socket.split();
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let first = if session.stdout.is_some() {
        STDOUT
    } else if session.stderr.is_some() {
        STDERR
    } else {
        ERROR
    };
    // An empty message says that the connection stands. Its receiver lives as long as `write`.
    let _ = sender.send(protocol.message(first, &[])).await;
    let stdout = pump(session.stdout.take(), STDOUT, protocol, sender.clone());
    let stderr = pump(session.stderr.take(), STDERR, protocol, sender.clone());
    let exit = session.exit;
    let output = async move {
        tokio::join!(stdout, stderr);
        let exit = exit.await;
        let status = super::exit_status(&exit);
        if protocol.status || !status.success {
            let data = if protocol.status { super::status_json(&status) } else { status.message.into() };
            let _ = sender.send(protocol.message(ERROR, &data)).await;
        }
        // Clients take an end without this code for a broken connection.
        let normal = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
        let _ = sender.send(Message::Close(Some(normal))).await;
    };
    let input = read(stream, protocol, session.stdin.take(), session.resize.take());
    let write = write(sink, receiver);
    tokio::select! {
        // The output must be sent to its end.
        ((), ()) = async { tokio::join!(output, write) } => {}
        () = input => {}
    }
}

async fn pump(from: Option<OutputStream>, channel: u8, protocol: Protocol, to: mpsc::Sender<Message>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.send(protocol.message(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

async fn write<S>(mut sink: SplitSink<WebSocketStream<S>, Message>, mut from: mpsc::Receiver<Message>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = from.recv().await {
        let last = message.is_close();
        if sink.send(message).await.is_err() || last {
            break;
        }
    }
    let _ = sink.close().await;
}

/// Ends when the client has gone.
async fn read<S>(
    mut stream: SplitStream<WebSocketStream<S>>,
    protocol: Protocol,
    mut stdin: Option<InputStream>,
    resize: Option<mpsc::Sender<TerminalSize>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = stream.next().await {
        match protocol.parse(message) {
            Some((STDIN, data)) => {
                if let Some(to) = &mut stdin
                    && (to.write_all(&data).await.is_err() || to.flush().await.is_err())
                {
                    // The process reads no more; what is sent from now on goes nowhere.
                    stdin = None;
                }
            }
            Some((RESIZE, data)) => {
                if let (Some(size), Some(resize)) = (parse_size(&data), &resize) {
                    let _ = resize.send(size).await;
                }
            }
            Some((CLOSE, data)) if protocol.close && data.first() == Some(&STDIN) => {
                if let Some(mut stdin) = stdin.take() {
                    let _ = stdin.shutdown().await;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_chosen_in_the_clients_order() {
        let name = |offered: &[&str]| Protocol::negotiate(offered).map(|protocol| protocol.name);
        assert_eq!(name(&["v5.channel.k8s.io", "v4.channel.k8s.io"]), Some("v5.channel.k8s.io"));
        assert_eq!(name(&["x", "base64.channel.k8s.io"]), Some("base64.channel.k8s.io"));
        assert_eq!((name(&["x"]), name(&[])), (None, Some("")));
    }

    #[test]
    fn messages_go_through_both_forms() {
        for protocol in Protocol::ALL {
            let message = protocol.message(STDERR, b"abc");
            assert_eq!(message.is_text(), protocol.base64);
            assert_eq!(
                protocol.parse(message),
                Some((STDERR, Bytes::from_static(b"abc"))),
                "{}",
                protocol.name
            );
            assert_eq!(protocol.parse(Message::binary(Vec::new())), None);
        }
        assert_eq!(parse_size(br#"{"Width":80,"Height":24}"#), Some(TerminalSize { width: 80, height: 24 }));
    }
}
