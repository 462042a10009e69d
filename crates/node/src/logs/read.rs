//! Reads a container's log with the requested options (`kubelet/kuberuntime/logs`).

use std::io::{self, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::inotify;
use tokio::fs::File;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::line::{Line, Stream};

/// How much of a file is read at once to find its last lines.
const BLOCK_BYTES: u64 = 64 << 10;

/// How much of a line is kept in memory. Engines write at most 16 KiB of text in a line.
const LINE_BYTES_MAX: usize = 64 << 10;
/// How many readers that follow a log may watch it through the kernel.
const WATCHES_MAX: usize = 32;
static WATCHES: Semaphore = Semaphore::const_new(WATCHES_MAX);
/// How often the others poll.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The options for reading a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    pub(crate) follow: bool,
    /// Only this number of last lines.
    pub(crate) tail_lines: Option<u64>,
    /// Only lines from then on.
    pub(crate) since: Option<Timestamp>,
    /// Each line with its time.
    pub(crate) timestamps: bool,
    pub(crate) bytes_max: Option<u64>,
    /// Only one of the streams.
    pub(crate) stream: Option<Stream>,
}

/// What to do with the rest of a line that is longer than a read.
#[derive(Clone, Copy)]
enum Rest {
    Unwanted,
    Wanted { is_full: bool },
}

/// Formats parsed lines as requested, within the limit.
struct Output {
    options: LogOptions,
    bytes_left: u64,
    to: mpsc::Sender<Bytes>,
    /// The last line is not complete yet.
    partial: bool,
    /// A line was too long for one read, and continues.
    rest: Option<Rest>,
}

impl Output {
    /// Sends a line, or a piece of one that is very long; `false` if no more is needed.
    async fn piece(&mut self, raw: &[u8]) -> bool {
        let ends = raw.ends_with(b"\n");
        if let Some(rest) = self.rest {
            if ends {
                self.rest = None;
            }
            let Rest::Wanted { is_full } = rest else { return true };
            let text = raw.strip_suffix(b"\n").unwrap_or(raw);
            let end: &[u8] = if ends && is_full { b"\n" } else { b"" };
            return self.send([text, end].concat()).await;
        }
        let line = Line::parse(raw).filter(|line| self.wants(line));
        if !ends {
            self.rest = Some(line.map_or(Rest::Unwanted, |line| Rest::Wanted { is_full: line.is_full }));
        }
        let Some(line) = line else { return true };
        let mut text = Vec::with_capacity(line.text.len() + line.time.len() + 2);
        if self.options.timestamps && !self.partial {
            text.extend_from_slice(line.time.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(line.text);
        if line.is_full && ends {
            text.push(b'\n');
        }
        self.partial = !line.is_full;
        self.send(text).await
    }

    fn wants(&self, line: &Line<'_>) -> bool {
        self.options.stream.is_none_or(|stream| stream == line.stream)
            && self.options.since.is_none_or(|since| line.timestamp().is_some_and(|time| time >= since))
    }

    async fn send(&mut self, mut text: Vec<u8>) -> bool {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX).min(self.bytes_left);
        text.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.bytes_left -= length;
        self.to.send(text.into()).await.is_ok() && self.bytes_left > 0
    }
}

/// Sends a log in pieces. With `follow` it continues until `ended` resolves and everything has been read, or until the
/// receiver is dropped.
pub(crate) async fn read(
    path: &Path,
    options: LogOptions,
    to: mpsc::Sender<Bytes>,
    ended: impl Future<Output = ()>,
) -> io::Result<()> {
    let follow = options.follow;
    // Before the file is read, so that nothing written in the meantime is missed.
    let watch = follow.then(|| Watch::new(path));
    let mut file = open(path).await?;
    if let Some(lines) = options.tail_lines {
        let start = tail_start(&mut file, lines).await?;
        file.seek(SeekFrom::Start(start)).await?;
    }
    let bytes_left = options.bytes_max.unwrap_or(u64::MAX);
    let mut output = Output { options, bytes_left, to, partial: false, rest: None };
    if output.bytes_left == 0 {
        return Ok(());
    }
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut over = false;
    tokio::pin!(ended);
    loop {
        // A line that is being written arrives in pieces, which are collected in `line`.
        let room = (LINE_BYTES_MAX - line.len()) as u64;
        let count = (&mut reader).take(room).read_until(b'\n', &mut line).await?;
        if count > 0 && (line.ends_with(b"\n") || line.len() == LINE_BYTES_MAX) {
            if !output.piece(&line).await {
                return Ok(());
            }
            line.clear();
            continue;
        }
        if is_replaced(&reader, path).await {
            reader = BufReader::new(open(path).await?);
            (output.rest, line) = (None, Vec::new());
            continue;
        }
        let Some(watch) = watch.as_ref().filter(|_| !over) else { return Ok(()) };
        tokio::select! {
            changed = watch.changed() => changed?,
            () = &mut ended => over = true,
            () = output.to.closed() => return Ok(()),
        }
    }
}

/// Opens a log, if it is one.
async fn open(path: &Path) -> io::Result<File> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || super::open(&path)).await;
    opened.map_err(io::Error::other).flatten().map(File::from_std)
}

/// Whether the path has become another file: the log was rotated.
async fn is_replaced(reader: &BufReader<File>, path: &Path) -> bool {
    let there = tokio::fs::symlink_metadata(path).await;
    let (Ok(own), Ok(there)) = (reader.get_ref().metadata().await, there) else {
        return false;
    };
    own.ino() != there.ino()
}

/// The start of the last `lines` lines.
async fn tail_start(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.metadata().await?.len();
    if lines == 0 {
        return Ok(end);
    }
    let mut found = 0;
    let mut block = Vec::new();
    let mut is_last_byte = true;
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        block.resize(usize::try_from(end - start).unwrap_or(0), 0);
        file.seek(SeekFrom::Start(start)).await?;
        file.read_exact(&mut block).await?;
        for (index, byte) in block.iter().enumerate().rev() {
            // The end of the last line does not begin another one.
            found += u64::from(*byte == b'\n' && !is_last_byte);
            is_last_byte = false;
            if found == lines {
                return Ok(start + index as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

/// Reports changes in a log's directory. The kernel's notifications are limited and shared by all programs on the host,
/// so only some readers use them; the others poll.
enum Watch {
    Told {
        watch: AsyncFd<OwnedFd>,
        /// Released with the watch.
        _permit: SemaphorePermit<'static>,
    },
    Looking,
}

impl Watch {
    fn new(path: &Path) -> Watch {
        let Ok(permit) = WATCHES.try_acquire() else { return Watch::Looking };
        match Watch::inotify(path) {
            Ok(watch) => Watch::Told { watch, _permit: permit },
            Err(_) => Watch::Looking,
        }
    }

    fn inotify(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watch = inotify::init(flags)?;
        let events =
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, path.parent().unwrap_or(path), events)?;
        // SAFETY: the `OwnedFd` owns its descriptor, which stays open and the same while the `AsyncFd` holds it.
        Ok(unsafe { AsyncFd::register(watch)? })
    }

    /// Waits until something may have changed.
    async fn changed(&self) -> io::Result<()> {
        let Watch::Told { watch, .. } = self else {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            return Ok(());
        };
        let mut buffer = [0; 4096];
        loop {
            let mut guard = watch.readable().await?;
            match guard.try_io(|watch| Ok(rustix::io::read(watch.get_ref(), &mut buffer)?)) {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LOG: &str = "2026-07-01T12:00:00Z stdout F one\n2026-07-01T12:00:01Z stderr F two\n\
                       2026-07-01T12:00:02Z stdout P thr\n2026-07-01T12:00:02Z stdout F ee\n";

    async fn all(path: &Path, options: LogOptions) -> String {
        let (to, mut from) = mpsc::channel(64);
        read(path, options, to, std::future::pending()).await.unwrap();
        let mut text = Vec::new();
        while let Some(piece) = from.recv().await {
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn options_choose_and_shape_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let cases = [
            (LogOptions::default(), "one\ntwo\nthree\n"),
            (LogOptions { tail_lines: Some(3), ..Default::default() }, "two\nthree\n"),
            (LogOptions { tail_lines: Some(0), ..Default::default() }, ""),
            (LogOptions { tail_lines: Some(99), ..Default::default() }, "one\ntwo\nthree\n"),
            (LogOptions { bytes_max: Some(5), ..Default::default() }, "one\nt"),
            (LogOptions { stream: Some(Stream::Stderr), ..Default::default() }, "two\n"),
            (
                LogOptions { since: Some("2026-07-01T12:00:01Z".parse().unwrap()), ..Default::default() },
                "two\nthree\n",
            ),
            (
                LogOptions { timestamps: true, tail_lines: Some(2), ..Default::default() },
                "2026-07-01T12:00:02Z three\n",
            ),
        ];
        for (options, text) in cases {
            assert_eq!(all(&path, options.clone()).await, text, "{options:?}");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_comes_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let long = "x".repeat(LINE_BYTES_MAX * 5 / 2);
        let text = format!(
            "2026-07-01T12:00:00Z stderr F {long}\n2026-07-01T12:00:00Z stdout F {long}\n\
             2026-07-01T12:00:00Z stdout F end\n"
        );
        std::fs::write(&path, text).unwrap();
        let options = LogOptions { stream: Some(Stream::Stdout), ..Default::default() };
        let (to, mut from) = mpsc::channel(64);
        read(&path, options, to, std::future::pending()).await.unwrap();
        let mut all = Vec::new();
        while let Some(piece) = from.recv().await {
            assert!(piece.len() <= LINE_BYTES_MAX);
            all.extend_from_slice(&piece);
        }
        assert!(all == format!("{long}\nend\n").into_bytes());
    }

    #[tokio::test]
    async fn only_a_file_is_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, path) = (dir.path().join("secret"), dir.path().join("0.log"));
        std::fs::write(&secret, LOG).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        for _ in 0..2 {
            let (to, mut from) = mpsc::channel(64);
            let read = read(&path, LogOptions::default(), to, std::future::pending());
            tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap_err();
            assert!(from.recv().await.is_none());
            std::fs::remove_file(&path).unwrap();
            let fifo = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        }
    }

    #[tokio::test]
    async fn following_sees_new_lines_rotation_and_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut file = std::fs::File::create(&path).unwrap();
        let (to, mut from) = mpsc::channel(64);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let options = LogOptions { follow: true, ..Default::default() };
        let followed = path.clone();
        let task =
            tokio::spawn(async move { read(&followed, options, to, async { drop(ended.await) }).await });
        let next = async |from: &mut mpsc::Receiver<Bytes>| {
            tokio::time::timeout(Duration::from_secs(20), from.recv()).await.unwrap()
        };
        file.write_all(b"2026-07-01T12:00:00Z stdout F o").unwrap();
        file.write_all(b"ne\n").unwrap();
        assert_eq!(next(&mut from).await.unwrap(), "one\n");
        std::fs::rename(&path, dir.path().join("0.log.20260701-120000")).unwrap();
        std::fs::write(&path, "2026-07-01T12:00:01Z stdout F two\n").unwrap();
        assert_eq!(next(&mut from).await.unwrap(), "two\n");
        end.send(()).unwrap();
        assert_eq!(next(&mut from).await, None);
        task.await.unwrap().unwrap();
    }
}
