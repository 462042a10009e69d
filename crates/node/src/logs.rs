//! Containers' logs, in the CRI format.

use std::fs;
use std::path::{Path, PathBuf};

mod line;
mod read;
pub(crate) mod rotate;

pub(crate) use line::Stream;
pub(crate) use read::{LogOptions, read};

use line::Line;

/// The last lines of a log, at most so many and so many bytes, as one text.
pub(crate) fn tail_text(path: &Path, lines_max: usize, bytes_max: usize) -> String {
    // A message is worth little without its end: what is longer is cut at its beginning.
    let Ok(content) = fs::read(path) else { return String::new() };
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let first = lines.len().saturating_sub(lines_max);
    let mut text = Vec::new();
    for line in lines[first..].iter().filter_map(|line| Line::parse(line)) {
        text.extend_from_slice(line.text);
        if line.is_full {
            text.push(b'\n');
        }
    }
    let start = text.len().saturating_sub(bytes_max);
    String::from_utf8_lossy(&text[start..]).into_owned()
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

/// Removes a log and its rotated files.
pub(crate) fn remove_all(path: &Path) {
    for file in rotated(path).into_iter().chain([path.to_owned()]) {
        // It may be gone already.
        let _ = fs::remove_file(file);
    }
}
