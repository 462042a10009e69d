//! Texts that are compressed in pieces and joined without being unpacked.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use sha2::{Digest, Sha256};

/// The header of a gzip stream (RFC 1952): deflate, no name, no time, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block of a deflate stream (RFC 1951), which is empty.
const LAST_BLOCK: [u8; 2] = [3, 0];
/// How much room a compressor gets at a time, in bytes.
const ROOM_BYTES: usize = 16 << 10;

/// A piece of a text: compressed blocks that end at a byte and refer to nothing before them.
pub(super) struct Packed {
    blocks: Bytes,
    crc: Crc,
    digest: [u8; 32],
}

impl Packed {
    pub(super) fn new(text: &[u8]) -> Packed {
        let mut compress = Compress::new(Compression::default(), false);
        let mut blocks = Vec::with_capacity(text.len() / 8 + ROOM_BYTES);
        loop {
            let taken = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
            blocks.reserve(ROOM_BYTES);
            compress
                .compress_vec(&text[taken..], &mut blocks, FlushCompress::Full)
                .expect("memory can always be written");
            // The flush is complete once there is room left behind it.
            if compress.total_in() == text.len() as u64 && blocks.len() < blocks.capacity() {
                break;
            }
        }
        blocks.shrink_to_fit();
        let mut crc = Crc::new();
        crc.update(text);
        Packed { blocks: blocks.into(), crc, digest: Sha256::digest(text).into() }
    }
}

/// The pieces as one gzip stream, and a digest of their texts.
pub(super) fn join<'a>(pieces: impl Iterator<Item = &'a Packed> + Clone) -> (Bytes, String) {
    let length: usize = pieces.clone().map(|piece| piece.blocks.len()).sum();
    let mut joined = Vec::with_capacity(length + 32);
    joined.extend_from_slice(&HEADER);
    let (mut crc, mut digest) = (Crc::new(), Sha256::new());
    for piece in pieces {
        joined.extend_from_slice(&piece.blocks);
        crc.combine(&piece.crc);
        digest.update(piece.digest);
    }
    joined.extend_from_slice(&LAST_BLOCK);
    joined.extend_from_slice(&crc.sum().to_le_bytes());
    joined.extend_from_slice(&crc.amount().to_le_bytes());
    let digest = digest.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
    (joined.into(), digest)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn pieces_of_all_sizes_make_one_stream() {
        let noise = |bytes: usize| -> Vec<u8> {
            (0..bytes as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
        };
        let texts = [
            noise(3),
            Vec::new(),
            b"one\n".repeat(100_000),
            noise(ROOM_BYTES),
            noise(5 * ROOM_BYTES + 1),
            b"end".to_vec(),
        ];
        let pieces: Vec<Packed> = texts.iter().map(|text| Packed::new(text)).collect();
        for count in 0..=pieces.len() {
            let (stream, _) = join(pieces[..count].iter());
            let mut text = Vec::new();
            let mut decoder = GzDecoder::new(&*stream);
            decoder.read_to_end(&mut text).unwrap();
            assert!(text == texts[..count].concat(), "the first {count}");
            assert!(decoder.into_inner().is_empty(), "one member is the whole stream");
        }
    }

    #[test]
    fn digests_tell_texts_apart() {
        let digest = |texts: &[&str]| {
            let pieces: Vec<Packed> = texts.iter().map(|text| Packed::new(text.as_bytes())).collect();
            join(pieces.iter()).1
        };
        assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
        assert_ne!(digest(&["a", "b"]), digest(&["a", "c"]));
        assert_ne!(digest(&["a", "b"]), digest(&["b", "a"]));
        assert_eq!(digest(&["a"]).len(), 64);
    }
}
