//! Kernel settings under `/proc/sys`, with a record of their previous values.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::state;

/// Reads a setting, named by its path below `/proc/sys` (`net/ipv4/ip_forward`).
pub fn read(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(Path::new("/proc/sys").join(name))?.trim().to_owned())
}

fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new("/proc/sys").join(name), value)
}

/// Changes settings and records their previous values on disk, so that [`Journal::restore`] can restore them.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    previous: BTreeMap<String, String>,
}

impl Journal {
    /// Opens the journal at `path`; a missing file is an empty journal.
    pub fn open(path: &Path) -> io::Result<Journal> {
        Ok(Journal { path: path.to_owned(), previous: state::load(path)?.unwrap_or_default() })
    }

    /// Sets `name` to `value`. The value from before our first change is on disk before the change is made.
    pub fn set(&mut self, name: &str, value: &str) -> io::Result<()> {
        let current = read(name)?;
        if current == value {
            return Ok(());
        }
        if !self.previous.contains_key(name) {
            self.previous.insert(name.to_owned(), current);
            state::save(&self.path, &self.previous)?;
        }
        write(name, value)
    }

    /// Restores every changed setting and removes the journal. Settings that are gone with their device are skipped.
    pub fn restore(self) -> io::Result<()> {
        for (name, value) in &self.previous {
            match write(name, value) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        state::remove(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetNs;

    #[test]
    fn settings_go_back_to_what_they_were_first() {
        const NAME: &str = "net/ipv4/conf/all/rp_filter";
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sysctl.json");
        NetNs::create()
            .unwrap()
            .block_on(|| async {
                let before = read(NAME).unwrap();
                let mut journal = Journal::open(&path).unwrap();
                journal.set(NAME, &before).unwrap();
                assert!(!path.exists(), "nothing was changed, so nothing is recorded");
                let other = if before == "1" { "2" } else { "1" };
                journal.set(NAME, other).unwrap();
                let mut journal = Journal::open(&path).unwrap();
                journal.set(NAME, "0").unwrap();
                journal.restore().unwrap();
                assert_eq!(read(NAME).unwrap(), before);
                assert!(!path.exists());
            })
            .unwrap();
    }
}
