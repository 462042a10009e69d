//! Long answers in pieces, so that they are never in memory as a whole: 27,000 pods are 78 MB of JSON, and a slow
//! client would keep all of them there.

use std::io::Write;
use std::iter::Peekable;
use std::vec::IntoIter;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use object::{Versioned, value};

use crate::registry::{Endpoint, Listing};
use crate::table;

/// How large a piece gets, roughly: it should fit into a processor's nearer cache.
const PIECE_BYTES: usize = 64 << 10;
/// The JSON of a list: a head, and the objects' own bytes.
pub(super) struct ListText {
    /// The text before the objects, until it is written; the whole text if there are no objects.
    head: Vec<u8>,
    items: Peekable<IntoIter<Versioned>>,
}

impl ListText {
    /// The text of a list.
    pub(super) fn new(endpoint: &Endpoint, listing: Listing) -> ListText {
        let head = value!({
            "kind": &*endpoint.def.list_kind, "apiVersion": endpoint.api_version(),
            "metadata": table::list_metadata(&listing)
        });
        let mut head = object::json::to_vec(&head);
        // The items are the last member.
        head.pop();
        head.extend_from_slice(if listing.items.is_empty() { b",\"items\":[]}" } else { b",\"items\":[" });
        ListText { head, items: listing.items.into_iter().peekable() }
    }
}

/// The text after an object.
fn behind(is_last: bool) -> &'static [u8] {
    if is_last { b"]}" } else { b"," }
}

impl Iterator for ListText {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.head.is_empty() && self.items.peek().is_none() {
            return None;
        }
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        piece.put_slice(&std::mem::take(&mut self.head));
        while let Some(item) =
            self.items.next_if(|item| piece.is_empty() || piece.len() + item.json_len() < PIECE_BYTES)
        {
            item.write_json(&mut piece);
            piece.put_slice(behind(self.items.peek().is_none()));
        }
        Some(piece.freeze())
    }
}

/// Pieces, compressed.
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
        for piece in self.pieces.by_ref() {
            encoder.write_all(&piece).expect("writing to memory cannot fail");
            if !encoder.get_ref().is_empty() {
                return Some(std::mem::take(encoder.get_mut()).into());
            }
        }
        let last = self.encoder.take()?.finish().expect("writing to memory cannot fail");
        Some(last.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use object::TypeMeta;

    use super::*;

    /// The text, in pieces, of a list with a number of objects, each with a number of bytes of annotations.
    fn list(count: usize, bytes: usize) -> ListText {
        let type_meta = TypeMeta::new("v1", "Pod");
        let item = |number: usize| {
            let pod = value!({"metadata": {"name": format!("p-{number}"), "annotations": {"a": "x".repeat(bytes)}}});
            Versioned::from_value(Arc::clone(&type_meta), &pod, object::FieldValues::default()).unwrap()
        };
        let listing = Listing {
            items: (0..count).map(item).collect(),
            revision: 7,
            continue_token: None,
            remaining: None,
        };
        let def = schema::resource("", "v1", "pods").unwrap();
        let endpoint = Endpoint {
            def: def.into(),
            strategy: kinds::strategy("", "pods").into(),
            type_meta,
            collection: None,
            conversion: None,
            terminating: false,
        };
        ListText::new(&endpoint, listing)
    }

    #[test]
    fn lists_of_all_lengths_are_whole() {
        for (count, bytes) in [(0, 0), (1, 0), (2, 10), (100, 5000), (3, PIECE_BYTES), (1, 3 * PIECE_BYTES)] {
            let pieces: Vec<Bytes> = list(count, bytes).collect();
            let value = object::json::parse(&pieces.concat()).unwrap();
            assert_eq!((value.str_at("kind"), value.str_at("metadata.resourceVersion")), ("PodList", "7"));
            let names: Vec<&str> =
                value.get("items").items().map(|item| item.str_at("metadata.name")).collect();
            let expected: Vec<String> = (0..count).map(|number| format!("p-{number}")).collect();
            assert_eq!(names, expected);
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            let long = bytes.max(PIECE_BYTES) + 200;
            assert!(pieces.iter().all(|piece| piece.len() <= long), "{count} objects of {bytes} bytes");
        }
    }

    #[test]
    fn compressed_pieces_are_one_stream() {
        let plain = list(50, 4000).collect::<Vec<_>>().concat();
        let compressed = Gzip::new(list(50, 4000)).collect::<Vec<_>>().concat();
        assert!(compressed.len() < plain.len() / 2);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut back).unwrap();
        assert_eq!(back, plain);
    }
}
