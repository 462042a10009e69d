//! Compressed streams whose frames arrive one by one.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::Stream;
use futures::stream::Fuse;

/// From how many compressed bytes on a piece is sent although more frames are at hand.
const PIECE_BYTES: usize = 32 << 10;
/// How many bytes are compressed at a stretch.
const STRETCH_BYTES_MAX: usize = 256 << 10;

/// Frames as members of a gzip stream (KEP-3157): those at hand together become one member, which is complete before
/// the stream waits. So a client sees every frame at once, and a quiet watch keeps no state of a compressor.
pub(super) struct Members<S> {
    frames: Fuse<S>,
    /// The member that is being written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// What was compressed since others had their turn.
    stretch_bytes: usize,
}

impl<S: Stream<Item = Bytes> + Unpin> Members<S> {
    pub(super) fn new(frames: S) -> Members<S> {
        Members { frames: futures::StreamExt::fuse(frames), encoder: None, stretch_bytes: 0 }
    }

    /// The end of the member, if there is one. As upstream does it, the data is flushed before the member ends: Go's
    /// reader passes on what a flush completes, but keeps what the end of a member completes until the next member begins.
    fn end(&mut self) -> Option<Bytes> {
        self.stretch_bytes = 0;
        let mut encoder = self.encoder.take()?;
        encoder.flush().expect("writing to memory cannot fail");
        Some(encoder.finish().expect("writing to memory cannot fail").into())
    }
}

impl<S: Stream<Item = Bytes> + Unpin> Stream for Members<S> {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let frame = match Pin::new(&mut self.frames).poll_next(context) {
                Poll::Ready(Some(frame)) => frame,
                Poll::Ready(None) => return Poll::Ready(self.end()),
                Poll::Pending => return self.end().map_or(Poll::Pending, |end| Poll::Ready(Some(end))),
            };
            let this = &mut *self;
            let start = || GzEncoder::new(Vec::new(), Compression::fast());
            let encoder = this.encoder.get_or_insert_with(start);
            encoder.write_all(&frame).expect("writing to memory cannot fail");
            if encoder.get_ref().len() >= PIECE_BYTES {
                this.stretch_bytes = 0;
                return Poll::Ready(Some(std::mem::take(encoder.get_mut()).into()));
            }
            this.stretch_bytes += frame.len();
            if this.stretch_bytes >= STRETCH_BYTES_MAX {
                this.stretch_bytes = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;
    use futures::channel::mpsc;
    use futures::{FutureExt, StreamExt};

    use super::*;

    fn unpacked(bytes: &[u8]) -> String {
        let mut text = String::new();
        MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_has_come_can_be_read_before_more_comes() {
        let (sender, frames) = mpsc::unbounded();
        let mut members = Members::new(frames);
        let mut next = || members.next().now_or_never();
        assert!(next().is_none(), "a quiet stream sends nothing");
        let send = |text: &'static str| sender.unbounded_send(Bytes::from_static(text.as_bytes())).unwrap();
        send("one\n");
        send("two\n");
        let member = next().unwrap().unwrap();
        assert_eq!(unpacked(&member), "one\ntwo\n");
        // Behind the flush comes an empty last block of two bytes, then the checksum and the length.
        assert!(member[..member.len() - 10].ends_with(&[0, 0, 0xff, 0xff]), "{member:x?}");
        assert!(next().is_none());
        send("three\n");
        drop(sender);
        assert_eq!(unpacked(&next().unwrap().unwrap()), "three\n");
        assert_eq!(next(), Some(None));
    }

    #[test]
    fn many_frames_go_out_in_pieces_and_leave_others_their_turn() {
        let frames: Vec<Bytes> = (0..8000_u64)
            .map(|at| format!("{at}{}", at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(20).into())
            .collect();
        let whole = frames.concat();
        let mut members = Members::new(futures::stream::iter(frames));
        let (mut packed, mut turns, mut pieces) = (Vec::new(), 0, 0);
        loop {
            match members.next().now_or_never() {
                None => turns += 1,
                Some(Some(piece)) => {
                    assert!(piece.len() < 3 * PIECE_BYTES);
                    packed.extend_from_slice(&piece);
                    pieces += 1;
                }
                Some(None) => break,
            }
        }
        assert_eq!(unpacked(&packed).as_bytes(), whole);
        assert!(pieces > 2 && turns > 0, "{pieces} pieces, {turns} turns");
    }
}
