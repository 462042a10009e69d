//! A stream of bytes, cut into lines.

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};

use crate::{ByteStream, ClientError};

/// The longest line: well above the largest object that a server stores.
const LINE_BYTES_MAX: usize = 64 << 20;

struct Lines {
    bytes: ByteStream,
    buffer: BytesMut,
    /// The number of bytes at the start of the buffer known to contain no line end.
    scanned: usize,
}

/// The lines of a stream, without their ends. An unfinished last line is dropped: it is a truncated event, which the
/// next watch delivers again.
pub(super) fn lines(bytes: ByteStream) -> impl Stream<Item = Result<Bytes, ClientError>> + Send {
    let lines = Lines { bytes, buffer: BytesMut::new(), scanned: 0 };
    futures::stream::unfold(lines, |mut lines| async move { Some((lines.next().await?, lines)) })
}

impl Lines {
    async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        loop {
            if let Some(found) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.scanned + found).freeze();
                self.buffer.advance(1);
                self.scanned = 0;
                if line.is_empty() {
                    continue;
                }
                return Some(Ok(line));
            }
            self.scanned = self.buffer.len();
            if self.scanned > LINE_BYTES_MAX {
                return Some(Err(ClientError::transport("read the stream", "a line is too long")));
            }
            match self.bytes.next().await? {
                Ok(bytes) => self.buffer.extend_from_slice(&bytes),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        let chunks = ["{\"a\":", "1}\n{\"b\"", ":2}\n\n{\"c\":3}\n", "{\"cut"];
        let bytes =
            futures::stream::iter(chunks).map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).boxed();
        let lines: Vec<Bytes> = lines(bytes).map(|line| line.unwrap()).collect().await;
        assert_eq!(lines, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    }
}
