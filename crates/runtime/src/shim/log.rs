//! Container logs in the CRI format.
//!
//! One line of the file is a time, the stream, a tag and the text, separated by spaces. The tag is `F` for a
//! full line and `P` for a part of one: a line longer than [`PART_BYTES_MAX`] comes in parts, and so does a
//! last line that lacks its newline. The format is defined in `kubelet/cri` (kuberuntime/logs).

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clock::Clock;

/// The longest text in one line of the log.
const PART_BYTES_MAX: usize = 16 * 1024;

/// Which of a container's streams a line came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stream {
    /// Standard output; also everything that comes from a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// The log of one container.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    clock: Clock,
    /// The beginnings of lines whose end has not arrived, of stdout and stderr.
    pending: [Vec<u8>; 2],
}

impl Log {
    /// Opens the log for appending, making it if needed.
    pub(super) fn open(path: &Path, clock: Clock) -> io::Result<Log> {
        Ok(Log { path: path.to_owned(), file: open_file(path)?, clock, pending: Default::default() })
    }

    /// Opens the file anew, after it was renamed.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = open_file(&self.path)?;
        Ok(())
    }

    /// Takes what a stream brought and writes the lines that it completes.
    pub(super) fn append(&mut self, stream: Stream, mut data: &[u8]) -> io::Result<()> {
        let time = self.timestamp();
        let pending = &mut self.pending[stream as usize];
        let mut out = Vec::with_capacity(data.len() + 64);
        while !data.is_empty() {
            // A part of exactly the longest size may still be followed by its newline.
            let room = PART_BYTES_MAX - pending.len();
            let newline = memchr(data);
            match newline {
                Some(end) if end <= room => {
                    pending.extend_from_slice(&data[..end]);
                    push_line(&mut out, &time, stream, 'F', pending);
                    pending.clear();
                    data = &data[end + 1..];
                }
                _ if data.len() > room => {
                    pending.extend_from_slice(&data[..room]);
                    push_line(&mut out, &time, stream, 'P', pending);
                    pending.clear();
                    data = &data[room..];
                }
                _ => {
                    pending.extend_from_slice(data);
                    data = &[];
                }
            }
        }
        if out.is_empty() { Ok(()) } else { self.file.write_all(&out) }
    }

    /// Writes what a stream that ended left without newline.
    pub(super) fn finish(&mut self, stream: Stream) -> io::Result<()> {
        let time = self.timestamp();
        let rest = std::mem::take(&mut self.pending[stream as usize]);
        if rest.is_empty() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(rest.len() + 64);
        push_line(&mut out, &time, stream, 'P', &rest);
        self.file.write_all(&out)
    }

    fn timestamp(&self) -> String {
        format!("{:.9}", self.clock.now())
    }
}

fn memchr(data: &[u8]) -> Option<usize> {
    data.iter().position(|byte| *byte == b'\n')
}

fn push_line(out: &mut Vec<u8>, time: &str, stream: Stream, tag: char, text: &[u8]) {
    for part in [time, " ", stream.name(), " "] {
        out.extend_from_slice(part.as_bytes());
    }
    out.push(tag as u8);
    out.push(b' ');
    out.extend_from_slice(text);
    out.push(b'\n');
}

fn open_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = Log::open(&path, Clock::system()).unwrap();
        for chunk in chunks {
            log.append(Stream::Stdout, chunk).unwrap();
        }
        log.finish(Stream::Stdout).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| {
                let (time, rest) = line.split_once(' ').unwrap();
                assert_eq!(time.len(), "2006-01-02T15:04:05.000000000Z".len(), "{time}");
                rest.to_owned()
            })
            .collect()
    }

    #[test]
    fn lines_come_whole_whatever_the_chunks() {
        assert_eq!(lines(&[b"one\ntw", b"o\n\n"]), ["stdout F one", "stdout F two", "stdout F "]);
    }

    #[test]
    fn a_line_without_newline_is_partial() {
        assert_eq!(lines(&[b"a\nb"]), ["stdout F a", "stdout P b"]);
    }

    #[test]
    fn long_lines_are_split() {
        let long = vec![b'x'; PART_BYTES_MAX + 5];
        let got = lines(&[&long, b"\n"]);
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].len(), "stdout P ".len() + PART_BYTES_MAX);
        assert_eq!(got[1], "stdout F xxxxx");

        // Exactly the longest part, and its newline, is one full line.
        let exact = vec![b'y'; PART_BYTES_MAX];
        let got = lines(&[&exact, b"\n"]);
        assert_eq!(got.len(), 1);
        assert!(got[0].starts_with("stdout F y"));
    }

    #[test]
    fn streams_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = Log::open(&path, Clock::system()).unwrap();
        log.append(Stream::Stdout, b"out").unwrap();
        log.append(Stream::Stderr, b"err\n").unwrap();
        log.append(Stream::Stdout, b"put\n").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let rests: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(rests, ["stderr F err", "stdout F output"]);
    }
}
