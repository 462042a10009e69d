//! Frames of SPDY/3.1 (`draft-mbelshe-httpbis-spdy-00` and the 3.1 changes).

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FLAG_FIN: u8 = 1;
/// RST_STREAM's status for a stream that is no longer needed.
const CANCEL: u32 = 5;
/// Control frames are small: no client needs headers beyond this.
const CONTROL_BYTES_MAX: usize = 64 << 10;
/// How much of a data frame is in memory at once.
const DATA_BYTES_MAX: usize = 64 << 10;
/// The high bit of a stream's id is reserved.
const ID_MASK: u32 = 0x7fff_ffff;

/// A control frame, as far as the server needs it. Headers are still compressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Control {
    SynStream { stream: u32, headers: Bytes, last: bool },
    Headers { headers: Bytes },
    Reset { stream: u32 },
    Ping { id: u32 },
    GoAway,
    Other,
}

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Control(Control),
    Data { stream: u32, data: Bytes, last: bool },
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY: {what}"))
}

fn number(bytes: &[u8], at: usize) -> io::Result<u32> {
    let part = bytes.get(at..at + 4).ok_or_else(|| invalid("a short frame"))?;
    Ok(u32::from_be_bytes([part[0], part[1], part[2], part[3]]))
}

/// Reads frames. A data frame is returned in pieces: it may announce 16 MiB, and several of them waiting for a process
/// that does not read would use up the memory.
#[derive(Default)]
pub(super) struct FrameReader {
    rest: Option<Rest>,
}

/// The rest of a data frame.
struct Rest {
    stream: u32,
    left: usize,
    last: bool,
}

impl FrameReader {
    /// The next frame; `None` if the connection ends between frames.
    pub(super) async fn next<R: AsyncRead + Unpin>(&mut self, reader: &mut R) -> io::Result<Option<Frame>> {
        if self.rest.is_none() {
            match read_head(reader).await? {
                Some(Head::Data(rest)) => self.rest = Some(rest),
                Some(Head::Control(control)) => return Ok(Some(Frame::Control(control))),
                None => return Ok(None),
            }
        }
        let Some(Rest { stream, left, last }) = self.rest.take() else { return Ok(None) };
        let mut data = vec![0; left.min(DATA_BYTES_MAX)];
        reader.read_exact(&mut data).await?;
        let left = left - data.len();
        if left > 0 {
            self.rest = Some(Rest { stream, left, last });
        }
        Ok(Some(Frame::Data { stream, data: data.into(), last: last && left == 0 }))
    }
}

/// The beginning of a data frame, or a whole control frame.
enum Head {
    Data(Rest),
    Control(Control),
}

async fn read_head<R: AsyncRead + Unpin>(reader: &mut R) -> io::Result<Option<Head>> {
    let mut head = [0; 8];
    match reader.read(&mut head[..1]).await? {
        0 => return Ok(None),
        _ => reader.read_exact(&mut head[1..]).await?,
    };
    let first = number(&head, 0)?;
    let flags = head[4];
    let length = (number(&head, 4)? & 0x00ff_ffff) as usize;
    let is_control = first & (1 << 31) != 0;
    if is_control && length > CONTROL_BYTES_MAX {
        return Err(invalid("a control frame is too long"));
    }
    let last = flags & FLAG_FIN != 0;
    if !is_control {
        return Ok(Some(Head::Data(Rest { stream: first & ID_MASK, left: length, last })));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let body = Bytes::from(body);
    Ok(Some(Head::Control(match (first & 0xffff) as u16 {
        SYN_STREAM if body.len() >= 10 => {
            Control::SynStream { stream: number(&body, 0)? & ID_MASK, headers: body.slice(10..), last }
        }
        HEADERS if body.len() >= 4 => Control::Headers { headers: body.slice(4..) },
        SYN_STREAM | HEADERS => return Err(invalid("a short frame")),
        RST_STREAM => Control::Reset { stream: number(&body, 0)? & ID_MASK },
        PING => Control::Ping { id: number(&body, 0)? },
        GOAWAY => Control::GoAway,
        _ => Control::Other,
    })))
}

fn control(kind: u16, flags: u8, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(body.len() + 8);
    frame.put_u16(CONTROL | VERSION);
    frame.put_u16(kind);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX) & 0x00ff_ffff;
    frame.put_u32(u32::from(flags) << 24 | length);
    frame.put_slice(body);
    frame.freeze()
}

/// Accepts a stream.
pub(super) fn syn_reply(stream: u32, headers: &[u8]) -> Bytes {
    control(SYN_REPLY, 0, &[&stream.to_be_bytes(), headers].concat())
}

/// Resets a stream that is no longer needed.
pub(super) fn reset(stream: u32) -> Bytes {
    control(RST_STREAM, 0, &[stream.to_be_bytes(), CANCEL.to_be_bytes()].concat())
}

/// Answers a ping.
pub(super) fn ping(id: u32) -> Bytes {
    control(PING, 0, &id.to_be_bytes())
}

/// The result of reading a frame's header.
pub(super) fn data_header(stream: u32, length: usize, last: bool) -> [u8; 8] {
    let flags = if last { u32::from(FLAG_FIN) } else { 0 };
    let length = u32::try_from(length).unwrap_or(u32::MAX) & 0x00ff_ffff;
    let mut header = [0; 8];
    header[..4].copy_from_slice(&(stream & ID_MASK).to_be_bytes());
    header[4..].copy_from_slice(&(flags << 24 | length).to_be_bytes());
    header
}

/// Opens a stream, as clients do.
#[cfg(test)]
pub(super) fn syn_stream(stream: u32, headers: &[u8]) -> Bytes {
    control(SYN_STREAM, 0, &[&stream.to_be_bytes()[..], &[0; 6], headers].concat())
}
