//! Reads a container's log as people asked for it (`kubelet/kuberuntime/logs`).

use std::io::{self, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::inotify;
use tokio::fs::File;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};
use tokio::sync::mpsc;

use super::line::{Line, Stream};

/// How much of a file is read at once to find its last lines.
const BLOCK_BYTES: u64 = 64 << 10;

/// What of a log is wanted, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    pub(crate) follow: bool,
    /// Only so many of the last lines.
    pub(crate) tail_lines: Option<u64>,
    /// Only lines from then on.
    pub(crate) since: Option<Timestamp>,
    /// Each line with its time.
    pub(crate) timestamps: bool,
    pub(crate) bytes_max: Option<u64>,
    /// Only one of the streams.
    pub(crate) stream: Option<Stream>,
}

/// Gives parsed lines the form that was asked for, within the limit.
struct Output {
    options: LogOptions,
    bytes_left: u64,
    to: mpsc::Sender<Bytes>,
    /// The last line had no end yet.
    partial: bool,
}

impl Output {
    /// Sends one line; `false` if nothing more is wanted.
    async fn line(&mut self, raw: &[u8]) -> bool {
        let Some(line) = Line::parse(raw) else { return true };
        let is_wanted = self.options.stream.is_none_or(|stream| stream == line.stream);
        let is_new =
            self.options.since.is_none_or(|since| line.timestamp().is_some_and(|time| time >= since));
        if !is_wanted || !is_new {
            return true;
        }
        let mut text = Vec::with_capacity(line.text.len() + line.time.len() + 2);
        if self.options.timestamps && !self.partial {
            text.extend_from_slice(line.time.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(line.text);
        if line.is_full {
            text.push(b'\n');
        }
        self.partial = !line.is_full;
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX).min(self.bytes_left);
        text.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.bytes_left -= length;
        self.to.send(text.into()).await.is_ok() && self.bytes_left > 0
    }
}

/// Sends a log piece by piece. With `follow` it goes on until `ended` resolves and all is read, or nobody takes
/// pieces any more.
pub(crate) async fn read(
    path: &Path,
    options: LogOptions,
    to: mpsc::Sender<Bytes>,
    ended: impl Future<Output = ()>,
) -> io::Result<()> {
    let follow = options.follow;
    // Before the file is read, so that nothing written meanwhile is missed.
    let watch = if follow { Some(Watch::new(path)?) } else { None };
    let mut file = File::open(path).await?;
    if let Some(lines) = options.tail_lines {
        let start = tail_start(&mut file, lines).await?;
        file.seek(SeekFrom::Start(start)).await?;
    }
    let bytes_left = options.bytes_max.unwrap_or(u64::MAX);
    let mut output = Output { options, bytes_left, to, partial: false };
    if output.bytes_left == 0 {
        return Ok(());
    }
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut over = false;
    tokio::pin!(ended);
    loop {
        // A line that is being written comes in pieces: they gather in `line`.
        if reader.read_until(b'\n', &mut line).await? > 0 && line.ends_with(b"\n") {
            if !output.line(&line).await {
                return Ok(());
            }
            line.clear();
            continue;
        }
        if is_replaced(&reader, path).await {
            reader = BufReader::new(File::open(path).await?);
            line.clear();
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

/// Whether the path has become another file: the log was rotated.
async fn is_replaced(reader: &BufReader<File>, path: &Path) -> bool {
    let (Ok(own), Ok(there)) = (reader.get_ref().metadata().await, tokio::fs::metadata(path).await) else {
        return false;
    };
    own.ino() != there.ino()
}

/// Where the last `lines` lines begin.
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
            // The end of the last line begins no other line.
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

/// Tells of changes in a log's directory.
struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    fn new(path: &Path) -> io::Result<Watch> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watch = inotify::init(flags)?;
        let events =
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, path.parent().unwrap_or(path), events)?;
        // SAFETY: the `OwnedFd` owns its descriptor, which stays open and the same while the `AsyncFd` holds it.
        Ok(Watch(unsafe { AsyncFd::register(watch)? }))
    }

    /// Waits until something has changed.
    async fn changed(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut guard = self.0.readable().await?;
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
    use std::time::Duration;

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
