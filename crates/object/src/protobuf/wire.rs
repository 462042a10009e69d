//! The wire format.

use std::borrow::Cow;

use bytes::Bytes;

use super::DecodeError;

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const BYTES: u8 = 2;

/// Writes a message from its end to its start, so that the length of nested messages is known when it is needed
/// (upstream's generated encoders do the same).
pub(super) struct Writer {
    buffer: Vec<u8>,
    /// Where the bytes written so far begin; they extend to the end of the buffer.
    start: usize,
}

impl Writer {
    pub(super) fn new() -> Writer {
        Writer { buffer: vec![0; 4096], start: 4096 }
    }

    /// How much is written.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn make_room(&mut self, needed: usize) {
        let written = self.len();
        let mut buffer = vec![0; (self.buffer.len() * 2).max(written + needed)];
        let start = buffer.len() - written;
        buffer[start..].copy_from_slice(&self.buffer[self.start..]);
        self.buffer = buffer;
        self.start = start;
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        if bytes.len() > self.start {
            self.make_room(bytes.len());
        }
        let start = self.start - bytes.len();
        self.buffer[start..self.start].copy_from_slice(bytes);
        self.start = start;
    }

    pub(super) fn varint(&mut self, number: u64) {
        let mut bytes = [0; 10];
        let len = put_varint(number, &mut bytes);
        self.put(&bytes[..len]);
    }

    pub(super) fn tag(&mut self, number: u32, wire: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire));
    }

    /// A field of bytes or text.
    pub(super) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.put(bytes);
        self.varint(bytes.len() as u64);
        self.tag(number, BYTES);
    }

    pub(super) fn int(&mut self, number: u32, value: i64) {
        self.varint(value.cast_unsigned());
        self.tag(number, VARINT);
    }

    /// Puts length and tag before the message that was written since [`Writer::len`] was `end`.
    pub(super) fn close(&mut self, number: u32, end: usize) {
        self.varint((self.len() - end) as u64);
        self.tag(number, BYTES);
    }

    pub(super) fn finish(self) -> Bytes {
        Bytes::copy_from_slice(&self.buffer[self.start..])
    }
}

/// Writes a number; how many bytes it took.
fn put_varint(mut number: u64, bytes: &mut [u8; 10]) -> usize {
    let mut len = 0;
    while number >= 0x80 {
        bytes[len] = (number & 0x7f) as u8 | 0x80;
        number >>= 7;
        len += 1;
    }
    bytes[len] = number as u8;
    len + 1
}

/// Appends a number.
pub(super) fn append_varint(number: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let len = put_varint(number, &mut bytes);
    out.extend_from_slice(&bytes[..len]);
}

/// Appends a field of bytes or text.
pub(super) fn append_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    append_varint(u64::from(number) << 3 | u64::from(BYTES), out);
    append_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// How many bytes [`append_bytes`] appends for a value of `len` bytes, for field numbers below 16.
pub(super) fn bytes_len(len: usize) -> usize {
    1 + put_varint(len as u64, &mut [0; 10]) + len
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// Reads the fields of a message.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Number and value of the next field.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Payload<'a>)>, DecodeError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let wire = (tag & 7) as u8;
        // Larger numbers are not valid in protobuf, so none of our fields have them.
        let number = u32::try_from(tag >> 3).map_err(|_| DecodeError::IntegerOverflow)?;
        let payload = match wire {
            _ if number == 0 => return Err(DecodeError::IllegalTag { number, wire }),
            VARINT => Payload::Varint(self.varint()?),
            FIXED64 => {
                let bytes = self.take(8)?;
                Payload::Fixed64(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
            }
            BYTES => {
                let len = usize::try_from(self.varint()?).map_err(|_| DecodeError::UnexpectedEnd)?;
                Payload::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Payload::Fixed32
            }
            // Groups (3 and 4) are in no Kubernetes message.
            _ => return Err(DecodeError::IllegalTag { number, wire }),
        };
        Ok(Some((number, payload)))
    }

    /// The next number of a packed list.
    pub(super) fn packed(list: &mut &[u8]) -> Result<u64, DecodeError> {
        let mut reader = Reader(list);
        let number = reader.varint()?;
        *list = reader.0;
        Ok(number)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError::UnexpectedEnd)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for (index, byte) in self.0.iter().enumerate() {
            if index == 10 {
                return Err(DecodeError::IntegerOverflow);
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(number);
            }
        }
        Err(DecodeError::UnexpectedEnd)
    }
}

/// Bytes as text. Go keeps invalid UTF-8 in memory and writes U+FFFD into JSON; here it becomes U+FFFD at once.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
