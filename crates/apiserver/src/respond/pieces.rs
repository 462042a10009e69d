//! Long answers in pieces, so that they are never in memory as a whole: 27,000 pods are 78 MB of JSON, and a slow
//! client would keep all of them there.

use std::io::Write;
use std::iter::Peekable;
use std::vec::IntoIter;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use object::Versioned;

/// How large a piece gets, roughly: it should fit into a processor's nearer cache.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// How many bytes of objects are read for one piece: a row of a table is short, but its object need not be.
const READ_BYTES_MAX: usize = 512 << 10;

/// Appends an object in the form of an answer.
pub(super) type WriteItem = Box<dyn FnMut(&Versioned, &mut Vec<u8>) + Send>;

/// What a list consists of besides its objects.
#[derive(Default)]
pub(super) struct Frame {
    /// What stands before the objects.
    pub(super) head: Vec<u8>,
    /// What stands between two of them.
    pub(super) between: &'static [u8],
    /// What stands behind them.
    pub(super) tail: Vec<u8>,
}

/// A list in pieces.
pub(super) struct ListPieces {
    frame: Frame,
    items: Peekable<IntoIter<Versioned>>,
    write: WriteItem,
    /// Objects are copied as they are kept.
    is_kept: bool,
    is_over: bool,
}

impl ListPieces {
    /// A list of objects as they are kept.
    pub(super) fn kept(frame: Frame, items: Vec<Versioned>) -> ListPieces {
        let write: WriteItem = Box::new(|item, out| item.write_json(out));
        ListPieces { is_kept: true, ..ListPieces::new(frame, items, write) }
    }

    /// A list of objects in another form.
    pub(super) fn new(frame: Frame, items: Vec<Versioned>, write: WriteItem) -> ListPieces {
        let items = items.into_iter().peekable();
        ListPieces { frame, items, write, is_kept: false, is_over: false }
    }

    /// Whether objects are only copied.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }
}

impl Iterator for ListPieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let read_max = if self.is_kept { PIECE_BYTES } else { READ_BYTES_MAX };
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        piece.append(&mut self.frame.head);
        let mut read = piece.len();
        while piece.len() < PIECE_BYTES
            && let Some(item) = self.items.next_if(|item| read == 0 || read + item.json_len() < read_max)
        {
            read += item.json_len();
            (self.write)(&item, &mut piece);
            if self.items.peek().is_some() {
                piece.extend_from_slice(self.frame.between);
            }
        }
        if self.items.peek().is_none() {
            piece.append(&mut self.frame.tail);
            self.is_over = true;
        }
        if piece.len() < PIECE_BYTES / 2 {
            // Short pieces wait for others where it is not decided yet whether to compress them.
            piece.shrink_to_fit();
        }
        Some(piece.into())
    }
}

/// Pieces, compressed. An empty one stands for work without a result: whatever is easy to compress fills no piece for a
/// long time.
pub(super) struct Gzip<I> {
    pieces: I,
    /// None once the end was written.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I> Gzip<I> {
    pub(super) fn new(pieces: I) -> Gzip<I> {
        // The level that upstream uses, too.
        Gzip { pieces, encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())) }
    }
}

impl<I: Iterator<Item = Bytes>> Iterator for Gzip<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let encoder = self.encoder.as_mut()?;
        if let Some(piece) = self.pieces.next() {
            encoder.write_all(&piece).expect("writing to memory cannot fail");
            return Some(std::mem::take(encoder.get_mut()).into());
        }
        let last = self.encoder.take()?.finish().expect("writing to memory cannot fail");
        Some(last.into())
    }
}
