//! The server side of SPDY/3.1, as far as clients of exec and port-forward use it.
//!
//! [`serve`] runs a connection and returns the streams that the client opens. Like the library on the other side
//! (`moby/spdystream`), it neither maintains nor expects flow-control windows: memory is limited by the bounded queue
//! of each stream, which blocks the whole connection when its reader is slow.

use std::collections::{BTreeMap, HashMap};
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

mod frame;
mod headers;

use frame::{Control, Frame, FrameReader};
use headers::{Compressor, Decompressor};

/// How many frames may wait for a stream's reader, and how many for the connection.
const QUEUE_MAX: usize = 32;
/// How many streams a client may have open at once: port-forward uses two for each connection.
const STREAMS_MAX: usize = 512;

/// Header names in lower case.
pub(crate) type Headers = BTreeMap<String, String>;

/// A frame to send.
enum Outgoing {
    Reply { stream: u32 },
    Data { stream: u32, data: Bytes, last: bool },
    Reset { stream: u32 },
    Pong { id: u32 },
}

/// A stream that the client opened.
pub(crate) struct SpdyStream {
    pub(crate) headers: Headers,
    pub(crate) reader: SpdyReader,
    pub(crate) writer: SpdyWriter,
}

/// The client's data on a stream.
pub(crate) struct SpdyReader {
    data: mpsc::Receiver<Bytes>,
}

impl SpdyReader {
    /// The next piece; `None` when the client has closed its side.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.data.recv().await
    }
}

/// Sends on a stream. Dropping it resets the stream unless it was closed.
pub(crate) struct SpdyWriter {
    stream: u32,
    to: mpsc::Sender<Outgoing>,
    closed: bool,
}

impl SpdyWriter {
    /// Sends data; `false` if the connection is gone.
    pub(crate) async fn send(&self, data: impl Into<Bytes>) -> bool {
        self.to.send(Outgoing::Data { stream: self.stream, data: data.into(), last: false }).await.is_ok()
    }

    /// Closes this side of the stream.
    pub(crate) async fn close(mut self) {
        self.closed = true;
        // Without a connection it is closed already.
        let _ = self.to.send(Outgoing::Data { stream: self.stream, data: Bytes::new(), last: true }).await;
    }
}

impl Drop for SpdyWriter {
    fn drop(&mut self) {
        if !self.closed {
            let _ = self.to.try_send(Outgoing::Reset { stream: self.stream });
        }
    }
}

/// Runs a connection until either side ends it; streams go to `opened`. Also ends when the receiver of streams is
/// dropped and all streams are done.
pub(crate) async fn serve<S>(connection: S, opened: mpsc::Sender<SpdyStream>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(connection);
    let (to, outgoing) = mpsc::channel(QUEUE_MAX);
    tokio::select! {
        result = read(reader, to, opened) => result,
        result = write(writer, outgoing) => result,
    }
}

async fn read<R: AsyncRead + Unpin>(
    reader: R,
    to: mpsc::Sender<Outgoing>,
    opened: mpsc::Sender<SpdyStream>,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut decompressor = Decompressor::new()?;
    let mut streams: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    let mut frames = FrameReader::default();
    while let Some(frame) = frames.next(&mut reader).await? {
        match frame {
            Frame::Data { stream, data, last } => {
                if let Some(sender) = streams.get(&stream)
                    && !data.is_empty()
                {
                    // The reader is gone: further data are dropped.
                    let _ = sender.send(data).await;
                }
                if last {
                    streams.remove(&stream);
                }
            }
            Frame::Control(Control::SynStream { stream, headers, last }) => {
                let headers = decompressor.headers(&headers)?;
                let (sender, data) = mpsc::channel(QUEUE_MAX);
                if streams.len() >= STREAMS_MAX {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "SPDY: too many streams"));
                }
                if !last {
                    streams.insert(stream, sender);
                }
                let _ = to.send(Outgoing::Reply { stream }).await;
                let writer = SpdyWriter { stream, to: to.clone(), closed: false };
                let stream = SpdyStream { headers, reader: SpdyReader { data }, writer };
                if opened.send(stream).await.is_err() {
                    return Ok(());
                }
            }
            Frame::Control(Control::Headers { headers }) => {
                // Not needed, but they are part of the compression's history.
                decompressor.headers(&headers)?;
            }
            Frame::Control(Control::Reset { stream }) => drop(streams.remove(&stream)),
            // Odd IDs are the client's own pings; others would answer ours, which we do not send.
            Frame::Control(Control::Ping { id }) if id % 2 == 1 => drop(to.send(Outgoing::Pong { id }).await),
            Frame::Control(Control::GoAway) => return Ok(()),
            Frame::Control(Control::Ping { .. } | Control::Other) => {}
        }
    }
    Ok(())
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut outgoing: mpsc::Receiver<Outgoing>,
) -> io::Result<()> {
    let mut compressor = Compressor::new()?;
    while let Some(frame) = outgoing.recv().await {
        let bytes = match frame {
            Outgoing::Reply { stream } => frame::syn_reply(stream, &compressor.headers(&Headers::new())?),
            Outgoing::Data { stream, data, last } => {
                writer.write_all(&frame::data_header(stream, data.len(), last)).await?;
                data
            }
            Outgoing::Reset { stream } => frame::reset(stream),
            Outgoing::Pong { id } => frame::ping(id),
        };
        writer.write_all(&bytes).await?;
        if outgoing.is_empty() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}

#[cfg(test)]
mod tests;
