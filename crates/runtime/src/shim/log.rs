//! Container logs in the CRI format.
//!
//! One line of the file consists of a time, the stream, a tag and the text, separated by spaces. The tag is `F` for a
//! full line and `P` for a part of one: a line longer than [`PART_BYTES_MAX`] is split into parts, and so is a last
//! line without a newline. The format is defined in `kubelet/cri` (kuberuntime/logs).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clock::Clock;
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use super::protocol::LogLimits;

/// The rights of a log file.
const MODE: u32 = 0o640;

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

/// The log of one container. When the file has reached its size, another one is begun, so that a container's log never
/// exceeds its disk limit, however fast it writes and whether an agent is running or not.
pub(super) struct Log {
    /// The directory of the log, held open, so that processes that may write to the host's logs cannot redirect it.
    directory: OwnedFd,
    name: Vec<u8>,
    limits: LogLimits,
    file: File,
    /// The file's size.
    length: u64,
    clock: Clock,
    /// The beginnings of lines whose end has not arrived, of stdout and stderr.
    pending: [Vec<u8>; 2],
}

impl Log {
    /// Opens the log for appending, making it if needed. It is an error if the path exists but is not a regular file.
    /// The directories of pods' logs are trusted, those of a pod and of a container in it are not.
    pub(super) fn open(path: &Path, limits: LogLimits, clock: Clock) -> io::Result<Log> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let root = path.ancestors().nth(3).ok_or_else(invalid)?;
        let below = path.parent().and_then(|parent| parent.strip_prefix(root).ok()).ok_or_else(invalid)?;
        let directory = hostfs::open_subdirectory(root, below)?;
        let name = path.file_name().ok_or_else(invalid)?.as_bytes().to_vec();
        let file = hostfs::append_regular(&directory, &name, MODE)?;
        let length = file.metadata()?.len();
        Ok(Log { directory, name, limits, file, length, clock, pending: Default::default() })
    }

    /// Reopens the file, after it was renamed.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = hostfs::append_regular(&self.directory, &self.name, MODE)?;
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    fn write(&mut self, out: &[u8]) -> io::Result<()> {
        let more = out.len() as u64;
        if self.length > 0 && self.length + more > self.limits.bytes_max {
            self.rotate()?;
        }
        self.length += more;
        self.file.write_all(out)
    }

    /// Begins another file, and removes the oldest if there are too many. The agent compresses old ones.
    fn rotate(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        let stamp = format!(".{}.{:09}", now.strftime("%Y%m%d-%H%M%S"), now.subsec_nanosecond());
        let old = [self.name.as_slice(), stamp.as_bytes()].concat();
        match rustix::fs::renameat(&self.directory, self.name.as_slice(), &self.directory, old) {
            // It was removed by another process.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.reopen()?;
        self.remove_surplus()
    }

    fn remove_surplus(&self) -> io::Result<()> {
        let prefix = [self.name.as_slice(), b"."].concat();
        let mut old = Vec::new();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(&self.directory, ".", flags, rustix::fs::Mode::empty())?;
        for entry in rustix::fs::Dir::read_from(&listed)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name.starts_with(&prefix) {
                old.push(name);
            }
        }
        old.sort();
        let kept = self.limits.files_max.saturating_sub(1);
        for name in &old[..old.len().saturating_sub(kept)] {
            match rustix::fs::unlinkat(&self.directory, name.as_slice(), AtFlags::empty()) {
                // The agent removes old files too; a directory is nothing that was made here.
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes output from a stream and writes the completed lines.
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
        if out.is_empty() { Ok(()) } else { self.write(&out) }
    }

    /// Writes the rest of a closed stream that has no newline.
    pub(super) fn finish(&mut self, stream: Stream) -> io::Result<()> {
        let time = self.timestamp();
        let rest = std::mem::take(&mut self.pending[stream as usize]);
        if rest.is_empty() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(rest.len() + 64);
        push_line(&mut out, &time, stream, 'P', &rest);
        self.write(&out)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = Log::open(&path, LogLimits::default(), Clock::system()).unwrap();
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
        let mut log = Log::open(&path, LogLimits::default(), Clock::system()).unwrap();
        log.append(Stream::Stdout, b"out").unwrap();
        log.append(Stream::Stderr, b"err\n").unwrap();
        log.append(Stream::Stdout, b"put\n").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let rests: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(rests, ["stderr F err", "stdout F output"]);
    }

    /// A container that floods its log filled the disk between two looks of the agent.
    #[test]
    fn a_flood_takes_no_more_than_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let limits = LogLimits { bytes_max: 100_000, files_max: 3 };
        let mut log = Log::open(&path, limits, Clock::system()).unwrap();
        let chunk = [vec![b'x'; 1023], b"\n".to_vec()].concat().repeat(64);
        for number in 0..200 {
            log.append(Stream::Stdout, &chunk).unwrap();
            if number == 100 {
                log.append(Stream::Stdout, b"in the middle\n").unwrap();
            }
            let sizes: Vec<u64> = std::fs::read_dir(dir.path())
                .unwrap()
                .map(|e| e.unwrap().metadata().unwrap().len())
                .collect();
            assert!(sizes.len() <= 3 && sizes.iter().all(|size| *size <= 100_000), "{sizes:?}");
        }
        log.append(Stream::Stdout, b"the end\n").unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("stdout F the end\n"));
    }

    #[test]
    fn only_a_file_becomes_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("pod/container");
        std::fs::create_dir_all(&logs).unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let path = logs.join("0.log");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let open = || Log::open(&path, LogLimits::default(), Clock::system());
        assert!(open().is_err());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert!(open().is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&logs, dir.path().join("pod/moved")).unwrap();
        std::os::unix::fs::symlink(dir.path(), &logs).unwrap();
        assert!(open().is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
