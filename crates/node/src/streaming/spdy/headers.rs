//! Header blocks: names and values with their lengths, compressed by zlib with a dictionary. Each direction of a
//! connection has one compression history.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Headers;

/// A block never needs to be longer than this.
const BLOCK_BYTES_MAX: usize = 256 << 10;

/// The words of the dictionary, with their lengths.
const WORDS: [&str; 58] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
];
const MORE_WORDS: [&str; 6] = ["version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive"];
const LAST_WORD: &str = "origin";
/// The rest of the dictionary.
const TAIL: &str = concat!(
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505",
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request",
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented",
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 ",
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,",
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=",
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
);

fn dictionary() -> Vec<u8> {
    let mut dictionary = Vec::with_capacity(1423);
    for word in WORDS.iter().chain(&MORE_WORDS).chain([&LAST_WORD]) {
        put_text(&mut dictionary, word);
    }
    dictionary.extend_from_slice(TAIL.as_bytes());
    dictionary
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn invalid(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY headers: {what}"))
}

/// Compresses header blocks.
pub(super) struct Compressor(Compress);

impl Compressor {
    pub(super) fn new() -> io::Result<Compressor> {
        let mut compress = Compress::new(Compression::default(), true);
        compress.set_dictionary(&dictionary()).map_err(invalid)?;
        Ok(Compressor(compress))
    }

    pub(super) fn headers(&mut self, headers: &Headers) -> io::Result<Vec<u8>> {
        let mut block = Vec::new();
        block.extend_from_slice(&u32::try_from(headers.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (name, value) in headers {
            put_text(&mut block, name);
            put_text(&mut block, value);
        }
        let mut out = Vec::with_capacity(block.len() + 64);
        let start = self.0.total_in();
        loop {
            let consumed = usize::try_from(self.0.total_in() - start).map_err(invalid)?;
            self.0.compress_vec(&block[consumed..], &mut out, FlushCompress::Sync).map_err(invalid)?;
            let done = self.0.total_in() - start == block.len() as u64;
            if done && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(block.len() + 64);
        }
    }
}

/// Decompresses header blocks.
pub(super) struct Decompressor {
    inflate: Decompress,
    dictionary: Vec<u8>,
}

impl Decompressor {
    pub(super) fn new() -> io::Result<Decompressor> {
        Ok(Decompressor { inflate: Decompress::new(true), dictionary: dictionary() })
    }

    pub(super) fn headers(&mut self, compressed: &[u8]) -> io::Result<Headers> {
        parse(&self.inflate(compressed)?)
    }

    fn inflate(&mut self, compressed: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(4096);
        let start = self.inflate.total_in();
        loop {
            let consumed = usize::try_from(self.inflate.total_in() - start).map_err(invalid)?;
            let rest = &compressed[consumed..];
            let before = out.len();
            match self.inflate.decompress_vec(rest, &mut out, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Ok(out),
                Ok(Status::Ok | Status::BufError) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&self.dictionary).map_err(invalid)?;
                    continue;
                }
                Err(error) => return Err(invalid(error)),
            }
            let all_read = self.inflate.total_in() - start == compressed.len() as u64;
            if all_read && out.len() < out.capacity() {
                return Ok(out);
            }
            if out.len() > BLOCK_BYTES_MAX {
                return Err(invalid("too long"));
            }
            if out.len() == before && out.len() < out.capacity() {
                return Err(invalid("cut off"));
            }
            out.reserve(4096);
        }
    }
}

fn parse(block: &[u8]) -> io::Result<Headers> {
    let mut rest = block;
    let mut headers = Headers::new();
    for _ in 0..take_number(&mut rest)? {
        let name = take_text(&mut rest)?;
        // Several values are separated by NUL; one is enough for all headers needed here.
        let value = take_text(&mut rest)?;
        let value = value.split('\0').next().unwrap_or_default().to_owned();
        headers.insert(name.to_lowercase(), value);
    }
    Ok(headers)
}

fn take_number(rest: &mut &[u8]) -> io::Result<u32> {
    let (number, after) = rest.split_first_chunk::<4>().ok_or_else(|| invalid("cut off"))?;
    *rest = after;
    Ok(u32::from_be_bytes(*number))
}

fn take_text(rest: &mut &[u8]) -> io::Result<String> {
    let length = take_number(rest)? as usize;
    let (text, after) = rest.split_at_checked(length).ok_or_else(|| invalid("cut off"))?;
    *rest = after;
    String::from_utf8(text.to_vec()).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_protocols() {
        let (mut one, mut other) = (1_u32, 0_u32);
        for byte in dictionary() {
            one = (one + u32::from(byte)) % 65_521;
            other = (other + one) % 65_521;
        }
        // Its Adler-32, by which streams refer to it.
        assert_eq!((dictionary().len(), other << 16 | one), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_share_a_history() {
        let (mut compressor, mut decompressor) = (Compressor::new().unwrap(), Decompressor::new().unwrap());
        for number in 0..40 {
            let mut headers: Headers = [("streamtype", "data"), ("port", "80")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
            headers.insert("requestid".to_owned(), number.to_string());
            headers.insert("long".to_owned(), "x".repeat(number * 300));
            let block = compressor.headers(&headers).unwrap();
            assert_eq!(decompressor.headers(&block).unwrap(), headers);
        }
        assert_eq!(
            decompressor.headers(&compressor.headers(&Headers::new()).unwrap()).unwrap(),
            Headers::new()
        );
        assert!(decompressor.headers(b"garbage").is_err());
    }
}
