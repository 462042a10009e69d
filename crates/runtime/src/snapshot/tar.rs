//! A reader of tar streams for layers and image archives, with limits on everything that it keeps.
//!
//! It understands ustar, GNU long names and PAX records (names, sizes, owners, times, extended
//! attributes). Sparse files are refused: image builders do not write them.

use std::io::{self, Read};

/// The longest path of an entry.
const PATH_BYTES_MAX: usize = 4096;
/// The largest record of extensions (a PAX header or a GNU long name) of one entry.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 512;

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry's header; the content of a file is read with [`TarReader::data`].
#[derive(Clone, Debug)]
pub(crate) struct TarEntry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime_seconds: i64,
    pub(crate) mtime_nanos: u32,
    pub(crate) device_major: u32,
    pub(crate) device_minor: u32,
    /// Extended attributes: names and values.
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

/// Data from extension headers about the following entry.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// Reads a tar stream entry by entry.
pub(crate) struct TarReader<R> {
    input: R,
    /// Bytes of the present entry's content that were not read yet, and the padding behind them.
    data_left: u64,
    padding: u64,
    entries_left: u64,
}

impl<R: Read> TarReader<R> {
    /// Reads from `input`; fails beyond `entries_max` entries.
    pub(crate) fn new(input: R, entries_max: u64) -> TarReader<R> {
        TarReader { input, data_left: 0, padding: 0, entries_left: entries_max }
    }

    /// The next entry, `None` at the end of the archive. Skips the rest of the current one.
    pub(crate) fn next_entry(&mut self) -> io::Result<Option<TarEntry>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_content()?;
            let Some(header) = self.read_header()? else { return Ok(None) };
            self.entries_left =
                self.entries_left.checked_sub(1).ok_or_else(|| invalid("too many entries"))?;
            let kind = header.entry_type();
            if kind.is_pax_local_extensions() {
                let records = self.read_extension(&header)?;
                parse_pax(&records, &mut extensions)?;
            } else if kind.is_gnu_longname() {
                extensions.path = Some(until_nul(self.read_extension(&header)?));
            } else if kind.is_gnu_longlink() {
                extensions.link = Some(until_nul(self.read_extension(&header)?));
            } else if kind.is_pax_global_extensions() {
                self.set_content(numeric("size", header.entry_size())?);
            } else {
                return self.make_entry(&header, extensions).map(Some);
            }
        }
    }

    /// The content of the current entry, from the current position.
    pub(crate) fn data(&mut self) -> impl Read + '_ {
        EntryData { reader: self }
    }

    /// Returns the input, for the data after the archive's end.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    fn set_content(&mut self, size: u64) {
        self.data_left = size;
        self.padding = (BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES;
    }

    fn skip_content(&mut self) -> io::Result<()> {
        let left =
            self.data_left.checked_add(self.padding).ok_or_else(|| invalid("an entry is too large"))?;
        let skipped = io::copy(&mut self.input.by_ref().take(left), &mut io::sink())?;
        if skipped < left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.data_left, self.padding) = (0, 0);
        Ok(())
    }

    fn read_header(&mut self) -> io::Result<Option<tar::Header>> {
        let mut header = tar::Header::new_old();
        let block = header.as_mut_bytes();
        // An archive may end without its blocks of zeros, but only at a block boundary.
        if self.input.read(&mut block[..1])? == 0 {
            return Ok(None);
        }
        self.input.read_exact(&mut block[1..])?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
        if numeric("checksum", header.cksum())? != expected {
            return Err(invalid("wrong checksum of a tar header"));
        }
        Ok(Some(header))
    }

    fn read_extension(&mut self, header: &tar::Header) -> io::Result<Vec<u8>> {
        let size = numeric("size", header.entry_size())?;
        if size > EXTENSION_BYTES_MAX {
            return Err(invalid("an extension header is too large"));
        }
        self.set_content(size);
        let mut bytes = Vec::new();
        self.data().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn make_entry(&mut self, header: &tar::Header, extensions: Extensions) -> io::Result<TarEntry> {
        let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link =
            extensions.link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        if path.len() > PATH_BYTES_MAX || link.len() > PATH_BYTES_MAX {
            return Err(invalid("a path is too long"));
        }
        let kind = entry_kind(header, &path)?;
        let size = match kind {
            EntryKind::File => extensions.size.map_or_else(|| numeric("size", header.entry_size()), Ok)?,
            // Other kinds have no content, whatever the field says.
            _ => 0,
        };
        self.set_content(size);
        let is_device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let device =
            |number: io::Result<Option<u32>>| if is_device { numeric("device", number) } else { Ok(None) };
        let old = header.as_old();
        let (mtime_seconds, mtime_nanos) = match extensions.mtime {
            Some(time) => time,
            None => (i64::try_from(or_zero(&old.mtime, numeric("time", header.mtime()))?).unwrap_or(0), 0),
        };
        Ok(TarEntry {
            path,
            link,
            kind,
            mode: or_zero(&old.mode, numeric("mode", header.mode()))? & 0o7777,
            uid: extensions.uid.map_or_else(|| owner(&old.uid, numeric("owner", header.uid())), Ok)?,
            gid: extensions.gid.map_or_else(|| owner(&old.gid, numeric("group", header.gid())), Ok)?,
            mtime_seconds,
            mtime_nanos,
            device_major: device(header.device_major())?.unwrap_or(0),
            device_minor: device(header.device_minor())?.unwrap_or(0),
            xattrs: extensions.xattrs,
        })
    }
}

struct EntryData<'a, R> {
    reader: &'a mut TarReader<R>,
}

impl<R: Read> Read for EntryData<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.reader.data_left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.reader.input.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reader.data_left -= count as u64;
        Ok(count)
    }
}

fn entry_kind(header: &tar::Header, path: &[u8]) -> io::Result<EntryKind> {
    use tar::EntryType;
    Ok(match header.entry_type() {
        // Archives older than POSIX mark directories by the slash alone.
        EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous => EntryKind::File,
        EntryType::Link => EntryKind::HardLink,
        EntryType::Symlink => EntryKind::Symlink,
        EntryType::Char => EntryKind::CharDevice,
        EntryType::Block => EntryKind::BlockDevice,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::GNUSparse => return Err(invalid("sparse files are not supported in layers")),
        other => return Err(invalid(&format!("entry type {:#x} is not supported", other.as_byte()))),
    })
}

/// Fields may be left empty, which means zero.
fn or_zero<T: Default>(field: &[u8], number: io::Result<T>) -> io::Result<T> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(T::default()) } else { number }
}

fn owner(field: &[u8], number: io::Result<u64>) -> io::Result<u32> {
    u32::try_from(or_zero(field, number)?).map_err(|_| invalid("an owner's ID is too large"))
}

/// A number of a header. The library's own errors repeat the header, whatever is in it.
fn numeric<T>(field: &str, number: io::Result<T>) -> io::Result<T> {
    number.map_err(|_| invalid(&format!("the {field} in a tar header is not a number")))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// Reads PAX records: `<length> <key>=<value>\n`, the length counting the whole record.
fn parse_pax(mut records: &[u8], extensions: &mut Extensions) -> io::Result<()> {
    while !records.is_empty() && records[0] != 0 {
        let space = records.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let length: usize = number(&records[..space])?;
        if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
            return Err(malformed());
        }
        let record = &records[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let key = std::str::from_utf8(&record[..equals]).map_err(|_| malformed())?;
        apply_record(key, &record[equals + 1..], extensions)?;
        records = &records[length..];
    }
    Ok(())
}

fn apply_record(key: &str, value: &[u8], extensions: &mut Extensions) -> io::Result<()> {
    match key {
        "path" => extensions.path = Some(value.to_vec()),
        "linkpath" => extensions.link = Some(value.to_vec()),
        "size" => extensions.size = Some(number(value)?),
        "uid" => extensions.uid = Some(number(value)?),
        "gid" => extensions.gid = Some(number(value)?),
        "mtime" => extensions.mtime = Some(timestamp(value)?),
        _ if key.starts_with("GNU.sparse.") => {
            return Err(invalid("sparse files are not supported in layers"));
        }
        _ => {
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                extensions.xattrs.push((name.to_owned(), value.to_vec()));
            }
        }
    }
    Ok(())
}

fn malformed() -> io::Error {
    invalid("malformed PAX record")
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> io::Result<T> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)
}

/// Seconds since the epoch with an optional fraction, possibly negative.
fn timestamp(value: &[u8]) -> io::Result<(i64, u32)> {
    let text = std::str::from_utf8(value).map_err(|_| malformed())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| malformed())?;
    let mut digits: String = fraction.chars().take(9).collect();
    while digits.len() < 9 {
        digits.push('0');
    }
    let nanos: u32 = digits.parse().map_err(|_| malformed())?;
    if whole.starts_with('-') && nanos > 0 {
        return Ok((seconds - 1, 1_000_000_000 - nanos));
    }
    Ok((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(archive: &[u8]) -> io::Result<Vec<(TarEntry, Vec<u8>)>> {
        let mut reader = TarReader::new(archive, 100);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let mut data = Vec::new();
            reader.data().read_to_end(&mut data)?;
            entries.push((entry, data));
        }
        Ok(entries)
    }

    fn header(kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o4755);
        header
    }

    fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(records.iter().copied()).unwrap();
        builder.append_data(&mut header(tar::EntryType::Regular, 3), "short", &b"abc"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn errors_do_not_repeat_the_archive() {
        let archive = pax(&[]);
        // Each numeric field of a header; the checksum comes last, because it covers the others.
        for (at, field) in [(100, "mode"), (108, "owner"), (116, "group"), (124, "size"), (136, "time")] {
            let mut damaged = archive.clone();
            damaged[at..at + 8].copy_from_slice(b"secret\x01\0");
            let sum: u32 = damaged[..512].iter().map(|byte| u32::from(*byte)).sum();
            let old: u32 = damaged[148..156].iter().map(|byte| u32::from(*byte)).sum();
            let sum = format!("{:06o}\0 ", sum - old + 8 * 32);
            damaged[148..156].copy_from_slice(sum.as_bytes());
            let error = read_all(&damaged).unwrap_err().to_string();
            assert_eq!(error, format!("the {field} in a tar header is not a number"));
        }
        let mut garbage = b"secret ".repeat(200);
        garbage.truncate(1024);
        let error = read_all(&garbage).unwrap_err().to_string();
        assert_eq!(error, "the checksum in a tar header is not a number");
    }

    #[test]
    fn reads_names_attributes_and_content() {
        let long = "d/".repeat(120) + "file";
        let archive = pax(&[
            ("path", long.as_bytes()),
            ("uid", b"70000"),
            ("gid", b"3000000"),
            ("mtime", b"-1.25"),
            ("SCHILY.xattr.security.capability", b"\x01\0\n=x"),
        ]);
        let entries = read_all(&archive).unwrap();
        let (entry, data) = &entries[0];
        assert_eq!((entry.path.as_slice(), data.as_slice()), (long.as_bytes(), &b"abc"[..]));
        assert_eq!((entry.uid, entry.gid, entry.mode), (70000, 3_000_000, 0o4755));
        assert_eq!((entry.mtime_seconds, entry.mtime_nanos), (-2, 750_000_000));
        assert_eq!(entry.xattrs, [("security.capability".to_owned(), b"\x01\0\n=x".to_vec())]);
    }

    #[test]
    fn reads_gnu_long_names() {
        let mut builder = tar::Builder::new(Vec::new());
        let long = "n".repeat(300);
        let mut gnu = tar::Header::new_gnu();
        gnu.set_size(0);
        gnu.set_entry_type(tar::EntryType::Symlink);
        builder.append_link(&mut gnu, &long, format!("/{long}")).unwrap();
        let entries = read_all(&builder.into_inner().unwrap()).unwrap();
        assert_eq!(entries[0].0.path, long.as_bytes());
        assert_eq!(entries[0].0.link, format!("/{long}").as_bytes());
    }

    #[test]
    fn refuses_what_is_broken_or_beyond_its_bounds() {
        let good = pax(&[("path", b"a")]);
        assert_eq!(read_all(&good).unwrap().len(), 1);
        let mut flipped = good.clone();
        flipped[1030] ^= 1;
        assert!(read_all(&flipped).is_err(), "checksum");
        assert!(read_all(&good[..1540]).is_err(), "cut within content");
        assert!(read_all(&pax(&[("GNU.sparse.major", b"1")])).is_err(), "sparse");
        assert!(read_all(&pax(&[("path", "p".repeat(5000).as_bytes())])).is_err(), "long path");
        assert!(read_all(&pax(&[("comment", &vec![b'c'; 2 << 20])])).is_err(), "large extension");
        assert!(parse_pax(b"99 path=x\n", &mut Extensions::default()).is_err(), "length");
        assert!(TarReader::new(&good[..], 1).next_entry().is_err(), "too many entries");
    }
}
