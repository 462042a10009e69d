//! Detection of damage in the middle of a write-ahead log.
//!
//! SQLite reads a WAL up to the first invalid frame and ignores the rest, because a crash may leave an unfinished
//! transaction there. Only the last transaction can be unfinished, though: the next one starts when the previous one is
//! on disk. So if an invalid frame is followed by a whole transaction with a successor, acknowledged data was damaged
//! later. A frame follows another if its checksum continues the other's.

use std::fs;
use std::io;
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The first word of a WAL whose checksums are of little-endian words; the lowest bit says big-endian.
const MAGIC: u32 = 0x377f_0682;

/// One frame.
struct Frame<'a> {
    header: &'a [u8],
    page: &'a [u8],
}

impl Frame<'_> {
    /// Whether a transaction ends here.
    fn commits(&self) -> bool {
        word(self.header, 4) != 0
    }

    fn salts(&self) -> &[u8] {
        &self.header[8..16]
    }

    fn checksum(&self) -> (u32, u32) {
        (word(self.header, 16), word(self.header, 20))
    }

    /// Whether this frame continues one with that checksum.
    fn follows(&self, before: (u32, u32), big_endian: bool) -> bool {
        let sum = checksum(checksum(before, &self.header[..8], big_endian), self.page, big_endian);
        sum == self.checksum()
    }
}

/// The damage of the WAL at `path`, if any. One that does not exist is intact.
pub(crate) fn damage(path: &Path) -> io::Result<Option<String>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(damage_of(&bytes))
}

fn damage_of(bytes: &[u8]) -> Option<String> {
    let (header, frames) = bytes.split_at_checked(HEADER_BYTES)?;
    // An unfinished header belongs to an empty log. If the log was not empty, the mark reveals it.
    if word(header, 0) & !1 != MAGIC {
        return None;
    }
    let big_endian = word(header, 0) & 1 == 1;
    let page_bytes = usize::try_from(word(header, 8)).ok().filter(|size| *size >= 512)?;
    let salts = &header[16..24];
    let frames: Vec<Frame<'_>> = frames
        .chunks_exact(FRAME_HEADER_BYTES + page_bytes)
        .map(|frame| frame.split_at(FRAME_HEADER_BYTES))
        .map(|(header, page)| Frame { header, page })
        .collect();
    let mut sum = (word(header, 24), word(header, 28));
    if checksum((0, 0), &header[..24], big_endian) != sum {
        return None;
    }
    let whole = frames
        .iter()
        .take_while(|frame| {
            let fits = frame.salts() == salts && frame.follows(sum, big_endian);
            sum = frame.checksum();
            fits
        })
        .count();
    let is_damaged = frames[whole..].windows(2).any(|pair| {
        let [end, next] = pair else { return false };
        end.commits()
            && end.salts() == salts
            && next.salts() == salts
            && next.follows(end.checksum(), big_endian)
    });
    is_damaged
        .then(|| format!("the write-ahead log is damaged at its frame {} of {}", whole + 1, frames.len()))
}

/// The running checksum over pairs of words.
fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let read = |at: usize| if big_endian { word(pair, at) } else { little_endian_word(pair, at) };
        one = one.wrapping_add(read(0)).wrapping_add(two);
        two = two.wrapping_add(read(4)).wrapping_add(one);
    }
    (one, two)
}

/// A number of a header.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn little_endian_word(bytes: &[u8], at: usize) -> u32 {
    word(bytes, at).swap_bytes()
}
