//! Containers' logs, in the CRI format.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

mod line;
mod read;

pub(crate) use line::Stream;
pub(crate) use read::{LogOptions, read};

use line::Line;

/// How many bytes of a file are read in addition to the requested text: one line of the length that engines write, and
/// the times and tags of all lines.
const SLACK_BYTES: usize = (16 << 10) + 256;
const LINE_HEAD_BYTES: usize = 64;

/// The last lines of a log, with limits on their number and bytes, as one text. The end of a message matters most, so a
/// longer one is cut at its beginning. Blocks, but not for long.
pub(crate) fn tail_text(path: &Path, lines_max: usize, bytes_max: usize) -> String {
    let wanted = bytes_max + lines_max * LINE_HEAD_BYTES + SLACK_BYTES;
    let read = || -> io::Result<Vec<u8>> { hostfs::tail_of(&mut open(path)?, wanted as u64) };
    let Ok(content) = read() else { return String::new() };
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let first = lines.len().saturating_sub(lines_max);
    let mut text = Vec::new();
    // In a longer file the first line is incomplete and does not parse.
    for line in lines[first..].iter().filter_map(|line| Line::parse(line)) {
        text.extend_from_slice(line.text);
        if line.is_full {
            text.push(b'\n');
        }
    }
    let start = text.len().saturating_sub(bytes_max);
    String::from_utf8_lossy(&text[start..]).into_owned()
}

/// Opens a log, which is three levels below a trusted directory: a pod's, a container's, a file. A pod that may write
/// to its host's log directory may have replaced any of these.
pub(crate) fn open(path: &Path) -> io::Result<fs::File> {
    let (root, name) = place(path).ok_or(io::ErrorKind::InvalidInput)?;
    hostfs::open_regular(root, name, OFlags::RDONLY)
}

/// The directory of a log, held open, and the log's path through it: even if directories on the path are replaced,
/// operations on the log stay in there.
pub(crate) fn directory(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let (root, below) = place(path).ok_or(io::ErrorKind::InvalidInput)?;
    let (Some(parent), Some(name)) = (below.parent(), below.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = hostfs::open_subdirectory(root, parent)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, path))
}

fn place(path: &Path) -> Option<(&Path, &Path)> {
    let root = path.ancestors().nth(3)?;
    Some((root, path.strip_prefix(root).ok()?))
}

/// The rotated files of a log, the oldest first.
pub(crate) fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// Removes a log and its rotated files. Blocks.
pub(crate) fn remove_all(path: &Path) {
    let Ok((_directory, path)) = directory(path) else { return };
    for file in rotated(&path).into_iter().chain([path]) {
        // It may be gone already.
        let _ = fs::remove_file(file);
    }
}
