//! Envelopes, lists and watch frames around already encoded messages.

use std::borrow::Cow;

use bytes::Bytes;

use super::wire::{Payload, Reader, append_bytes, bytes_len, text};
use super::{DecodeError, EncodeError, encode_message};
use crate::Value;

/// The beginning of every envelope.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Puts a message into the envelope of its kind.
pub fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Bytes {
    let mut out = open_envelope(api_version, kind, bytes_len(message.len()));
    append_bytes(2, message, &mut out);
    close_envelope(&mut out);
    Bytes::from(out)
}

/// The envelope up to the message, which will take `len` bytes with its tag and length.
fn open_envelope(api_version: &str, kind: &str, len: usize) -> Vec<u8> {
    let type_meta_len = bytes_len(api_version.len()) + bytes_len(kind.len());
    let mut out = Vec::with_capacity(MAGIC.len() + bytes_len(type_meta_len) + len + 4);
    out.extend_from_slice(&MAGIC);
    let mut type_meta = Vec::with_capacity(type_meta_len);
    append_bytes(1, api_version.as_bytes(), &mut type_meta);
    append_bytes(2, kind.as_bytes(), &mut type_meta);
    append_bytes(1, &type_meta, &mut out);
    out
}

/// The encoding and the type of the content, which are empty for protobuf.
fn close_envelope(out: &mut Vec<u8>) {
    append_bytes(3, b"", out);
    append_bytes(4, b"", out);
}

/// A list in its envelope around items that are encoded one after the other, so that it is never in memory as a whole.
#[derive(Debug)]
pub struct ListEnvelope {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// The number of the list's field for its items.
    items: u32,
}

impl ListEnvelope {
    /// `metadata` is a `ListMeta`; `item_lens` are the lengths of the messages of the items, in their order.
    ///
    /// # Errors
    /// If `metadata` is something else.
    pub fn new(
        api_version: &str,
        list_kind: &str,
        metadata: &Value,
        item_lens: impl Iterator<Item = usize>,
    ) -> Result<ListEnvelope, EncodeError> {
        let list_meta = schema::type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
        let list_meta = list_meta.expect("the table has every type of meta/v1");
        let metadata = encode_message(metadata, &list_meta)?;
        let message_len = bytes_len(metadata.len()) + item_lens.map(bytes_len).sum::<usize>();
        let mut head = open_envelope(api_version, list_kind, 16 + metadata.len());
        super::wire::append_varint(2 << 3 | u64::from(super::wire::BYTES), &mut head);
        super::wire::append_varint(message_len as u64, &mut head);
        let mut tail = Vec::new();
        // All lists begin with their metadata, except this one.
        let items = match (api_version, list_kind) {
            ("meta.k8s.io/v1beta1", "PartialObjectMetadataList") => {
                append_bytes(2, &metadata, &mut tail);
                1
            }
            _ => {
                append_bytes(1, &metadata, &mut head);
                2
            }
        };
        close_envelope(&mut tail);
        Ok(ListEnvelope { head, tail, items })
    }

    /// What stands before the items.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Appends an item: a message without envelope, as [`encode_message`] makes it.
    pub fn item(&self, message: &[u8], out: &mut Vec<u8>) {
        append_bytes(self.items, message, out);
    }

    /// What stands behind the items.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }
}

/// One event of a watch in the stream: four bytes of length (big-endian) and a `WatchEvent` without an envelope, around
/// an object that has one.
///
/// `event` is the type (`ADDED`, ...), `object` an enveloped object.
pub fn watch_frame(event: &str, object: &[u8]) -> Bytes {
    // WatchEvent {1: type, 2: RawExtension {1: raw}}
    let raw_len = bytes_len(object.len());
    let len = bytes_len(event.len()) + bytes_len(raw_len);
    let mut out = Vec::with_capacity(4 + len);
    let frame_len = u32::try_from(len).expect("an object is far below 4 GiB");
    out.extend_from_slice(&frame_len.to_be_bytes());
    append_bytes(1, event.as_bytes(), &mut out);
    super::wire::append_varint(2 << 3 | u64::from(super::wire::BYTES), &mut out);
    super::wire::append_varint(raw_len as u64, &mut out);
    append_bytes(1, object, &mut out);
    Bytes::from(out)
}

/// A `runtime.Unknown`.
pub(super) struct Unknown<'a> {
    pub(super) api_version: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    pub(super) raw: &'a [u8],
}

/// Takes an envelope apart.
pub(super) fn open(bytes: &[u8]) -> Result<Unknown<'_>, DecodeError> {
    let mut reader = Reader(bytes.strip_prefix(&MAGIC).ok_or(DecodeError::NoEnvelope)?);
    let mut unknown = Unknown { api_version: Cow::Borrowed(""), kind: Cow::Borrowed(""), raw: &[] };
    while let Some((number, payload)) = reader.field()? {
        match (number, payload) {
            (1, Payload::Bytes(type_meta)) => {
                let mut reader = Reader(type_meta);
                while let Some((number, payload)) = reader.field()? {
                    match (number, payload) {
                        (1, Payload::Bytes(api_version)) => unknown.api_version = text(api_version),
                        (2, Payload::Bytes(kind)) => unknown.kind = text(kind),
                        _ => {}
                    }
                }
            }
            (2, Payload::Bytes(raw)) => unknown.raw = raw,
            (3, Payload::Bytes(encoding)) if !encoding.is_empty() => {
                return Err(DecodeError::Content(text(encoding).into_owned()));
            }
            (4, Payload::Bytes(content))
                if !matches!(content, b"" | b"application/vnd.kubernetes.protobuf") =>
            {
                return Err(DecodeError::Content(text(content).into_owned()));
            }
            _ => {}
        }
    }
    Ok(unknown)
}
