//! The channel protocols of WebSocket: each message begins with the number of its channel.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cri::{InputStream, OutputStream, StreamingSession, TerminalSize};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Map, Value};
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
/// How long a client may continue sending after the server's last message.
const FAREWELL_WITHIN: Duration = Duration::from_secs(30);
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

    /// The channel and the data of a message; `None` if it has none. Whether it is text or binary is up to the client:
    /// the protocol decides only how the server writes.
    pub(crate) fn parse(self, message: Message) -> Option<(u8, Bytes)> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            _ => return None,
        };
        let channel = *bytes.first()?;
        let data = bytes.slice(1..);
        if !self.base64 {
            return Some((channel, data));
        }
        let channel = channel.checked_sub(b'0').filter(|channel| *channel <= 9)?;
        Some((channel, STANDARD.decode(data).ok()?.into()))
    }
}

/// Reads a terminal's size, the last one if there are several. As in Go, the case of the names does not matter; sizes of
/// nothing are ignored.
pub(crate) fn parse_size(data: &[u8]) -> Option<TerminalSize> {
    let sizes = serde_json::Deserializer::from_slice(data).into_iter::<Map<String, Value>>();
    let size = sizes.map_while(Result::ok).last()?;
    let length = |name: &str| {
        let (_, value) = size.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        u16::try_from(value.as_u64()?).ok().filter(|length| *length > 0)
    };
    Some(TerminalSize { width: length("Width")?, height: length("Height")? })
}

/// Joins a session with a WebSocket until either ends. `status` returns the process's result.
pub(crate) async fn run<S>(socket: WebSocketStream<S>, protocol: Protocol, mut session: StreamingSession)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, mut stream) = socket.split();
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let first = if session.stdout.is_some() {
        STDOUT
    } else if session.stderr.is_some() {
        STDERR
    } else {
        ERROR
    };
    // An empty message shows that the connection is established. Its receiver lives as long as `write`.
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
        // Clients treat a close without this code as a broken connection.
        let normal = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
        let _ = sender.send(Message::Close(Some(normal))).await;
    };
    let input = read(&mut stream, protocol, session.stdin.take(), session.resize.take());
    let write = write(sink, receiver);
    let is_over = tokio::select! {
        // The output must be sent to its end.
        ((), ()) = async { tokio::join!(output, write) } => true,
        () = input => false,
    };
    if is_over {
        see_off(&mut stream).await;
    }
}

/// Reads and drops what the client still sends after the server's last message, until it closes the connection. A
/// connection that is closed while bytes wait to be read is reset, and the client may lose what it has not read yet.
pub(crate) async fn see_off<S>(stream: &mut SplitStream<WebSocketStream<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let farewell = async { while let Some(Ok(_)) = stream.next().await {} };
    // A client that continues for longer is disconnected.
    let _ = tokio::time::timeout(FAREWELL_WITHIN, farewell).await;
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
    stream: &mut SplitStream<WebSocketStream<S>>,
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
                    // The process no longer reads; further input is discarded.
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
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// A client may send much more than the command reads, and still gets all of its output.
    #[tokio::test]
    async fn a_client_that_still_sends_loses_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let protocol = Protocol::ALL[1];
        tokio::spawn(async move {
            let (stdin, _) = tokio::io::duplex(1);
            let session = StreamingSession {
                stdin: Some(Box::pin(stdin)),
                stdout: Some(Box::pin(&b"hi\n"[..])),
                stderr: None,
                resize: None,
                exit: Box::pin(std::future::ready(Ok(3))),
            };
            run(WebSocketStream::from_raw_socket(far, Role::Server, None).await, protocol, session).await;
        });
        let (mut sink, mut stream) = WebSocketStream::from_raw_socket(near, Role::Client, None).await.split();
        for _ in 0..200 {
            sink.send(protocol.message(STDIN, &[b'x'; 64 << 10])).await.unwrap();
        }
        let mut got = [Vec::new(), Vec::new()];
        while let Some(message) = stream.next().await {
            match protocol.parse(message.unwrap()) {
                Some((STDOUT, data)) => got[0].extend(data),
                Some((ERROR, data)) => got[1].extend(data),
                _ => {}
            }
        }
        assert_eq!(got[0], b"hi\n");
        assert!(String::from_utf8_lossy(&got[1]).contains("exit status 3"));
    }

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
            let expected = Some((STDERR, Bytes::from_static(b"abc")));
            // Clients send text or binary, as they like.
            let other = match message.clone() {
                Message::Text(text) => Message::Binary(text.into()),
                message => Message::text(String::from_utf8(message.into_data().to_vec()).unwrap()),
            };
            for message in [message, other] {
                assert_eq!(protocol.parse(message), expected, "{}", protocol.name);
            }
            assert_eq!(protocol.parse(Message::text("")), None);
            assert_eq!(protocol.parse(Message::binary(Vec::new())), None);
        }
    }

    #[test]
    fn sizes_are_read_as_go_reads_them() {
        let read = Some(TerminalSize { width: 80, height: 24 });
        for text in [
            r#"{"Width":80,"Height":24}"#,
            r#"{"height":24,"width":80}"#,
            "{\"Width\":1,\"Height\":1}\n{\"WIDTH\":80,\"Height\":24,\"more\":true}\n",
        ] {
            assert_eq!(parse_size(text.as_bytes()), read, "{text}");
        }
        for text in
            ["", "x", "{}", r#"{"Width":80}"#, r#"{"Width":80,"Height":0}"#, r#"{"Width":-1,"Height":70000}"#]
        {
            assert_eq!(parse_size(text.as_bytes()), None, "{text}");
        }
    }
}
