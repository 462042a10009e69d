//! Writes a set of files so that readers see all of the old ones or all of the new ones.
//!
//! The layout is that of upstream's `AtomicWriter` (`pkg/volume/util/atomic_writer.go`), which programs rely on:
//!
//! ```text
//!   ..2026_07_01_12_00_00.123456789/   the files
//!   ..data -> ..2026_07_01_12_00_00.123456789
//!   name -> ..data/name                a link for each first part of a path
//! ```

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::OFlags;

use crate::VolumeError;
use crate::payload::Payload;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes the directory show the payload; does nothing if it already does. `finish` gets the new files' directory before
/// anyone can see it. `now` names it.
pub(crate) fn write(
    directory: &Path,
    payload: &Payload,
    now: Timestamp,
    finish: impl FnOnce(&Path) -> Result<(), VolumeError>,
) -> Result<(), VolumeError> {
    let failed = || VolumeError::io("write files to", directory);
    let old = old_state(directory).map_err(failed())?;
    if let Some(old) = &old
        && shows(&directory.join(old), payload).map_err(failed())?
    {
        return link_names(directory, payload).map_err(failed());
    }
    let name = new_directory(directory, now).map_err(failed())?;
    let fresh = directory.join(&name);
    write_files(&fresh, payload).map_err(failed())?;
    finish(&fresh)?;
    let replace = || -> io::Result<()> {
        let link = directory.join(DATA_NEW);
        hostfs::remove_tree(&link)?;
        symlink(&name, &link)?;
        fs::rename(&link, directory.join(DATA))?;
        link_names(directory, payload)?;
        unlink_others(directory, payload)?;
        old.map_or(Ok(()), |old| hostfs::remove_tree(&directory.join(old)))
    };
    replace().map_err(failed())
}

/// The current directory. A container with enough rights may have replaced it with anything: names that the writer
/// cannot have written do not count.
fn old_state(directory: &Path) -> io::Result<Option<OsString>> {
    let link = match fs::read_link(directory.join(DATA)) {
        Ok(link) => link.into_os_string(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Not a link.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            hostfs::remove_tree(&directory.join(DATA))?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let own = link.len() > 2 && link.as_bytes().starts_with(b"..") && !link.as_bytes().contains(&b'/');
    Ok(own.then_some(link))
}

/// Makes the directory of a new state; the time may have been used by a state just before.
fn new_directory(directory: &Path, now: Timestamp) -> io::Result<String> {
    let time = now.strftime("%Y_%m_%d_%H_%M_%S").to_string();
    let mut nanos = now.subsec_nanosecond();
    loop {
        let name = format!("..{time}.{nanos:09}");
        match fs::DirBuilder::new().mode(0o755).create(directory.join(&name)) {
            Ok(()) => {
                // Whatever the umask took away.
                fs::set_permissions(directory.join(&name), fs::Permissions::from_mode(0o755))?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => nanos += 1,
            Err(error) => return Err(error),
        }
    }
}

fn write_files(directory: &Path, payload: &Payload) -> io::Result<()> {
    for (path, file) in payload {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        out.write_all(&file.data)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
        if file.uid.is_some() {
            chown(&path, file.uid, None)?;
        }
    }
    Ok(())
}

/// Whether a state has exactly the payload's files.
fn shows(directory: &Path, payload: &Payload) -> io::Result<bool> {
    let mut paths = BTreeSet::new();
    if collect(directory, "", &mut paths).is_err() || !paths.iter().eq(payload.keys()) {
        return Ok(false);
    }
    for (path, file) in payload {
        // If a file was replaced or is longer, it is not the written one.
        let Ok(found) = hostfs::open_regular(directory, Path::new(path), OFlags::RDONLY) else {
            return Ok(false);
        };
        // The group's rights come from fsGroup, after the mode.
        let mode = found.metadata()?.permissions().mode() & 0o707;
        let mut data = Vec::with_capacity(file.data.len() + 1);
        found.take(file.data.len() as u64 + 1).read_to_end(&mut data)?;
        if mode != file.mode & 0o707 || data != file.data {
            return Ok(false);
        }
    }
    Ok(true)
}

fn collect(directory: &Path, prefix: &str, paths: &mut BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.insert(path);
        }
    }
    Ok(())
}

fn first_parts(payload: &Payload) -> BTreeSet<&str> {
    payload.keys().filter_map(|path| path.split('/').next()).collect()
}

fn link_names(directory: &Path, payload: &Payload) -> io::Result<()> {
    for name in first_parts(payload) {
        let link = directory.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(DATA).join(name), link)?;
        }
    }
    Ok(())
}

fn unlink_others(directory: &Path, payload: &Payload) -> io::Result<()> {
    let wanted = first_parts(payload);
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(&*name) {
            hostfs::remove_tree(&directory.join(&*name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::File;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |data: &str| File { data: data.into(), mode: 0o644, uid: None };
        files.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
    }

    fn put(directory: &Path, files: &[(&str, &str)]) -> std::path::PathBuf {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        write(directory, &payload(files), now, |_| Ok(())).unwrap();
        fs::read_link(directory.join(DATA)).unwrap()
    }

    #[test]
    fn states_replace_each_other_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let first = put(path, &[("a", "1"), ("b/c", "2")]);
        assert_eq!(fs::read_to_string(path.join("b/c")).unwrap(), "2");
        assert_eq!(fs::read_link(path.join("b")).unwrap(), Path::new("..data/b"));
        assert_eq!(
            put(path, &[("a", "1"), ("b/c", "2")]),
            first,
            "an unchanged payload is not written again"
        );
        let second = put(path, &[("a", "3"), ("d", "4")]);
        assert_ne!(second, first);
        assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "3");
        assert!(path.join("b").symlink_metadata().is_err() && !path.join(first).exists());
        put(path, &[]);
        let left: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    /// A privileged container can write to its volumes, read-only or not.
    #[test]
    fn what_a_container_put_in_the_writers_place_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, victim) = (dir.path().join("volume"), dir.path().join("victim"));
        fs::create_dir_all(&volume).unwrap();
        fs::create_dir_all(&victim).unwrap();
        fs::write(victim.join("a"), "1").unwrap();
        // A link that leads elsewhere is neither followed nor removed.
        for target in ["../victim", "..", ".", "/etc"] {
            let _ = fs::remove_file(volume.join(DATA));
            symlink(target, volume.join(DATA)).unwrap();
            put(&volume, &[("a", "1")]);
            assert!(victim.join("a").exists(), "{target}");
        }
        // A FIFO, a link or a directory in a file's place is replaced.
        for number in 0..3 {
            let state = put(&volume, &[("a", "1")]);
            let file = volume.join(&state).join("a");
            fs::remove_file(&file).unwrap();
            match number {
                0 => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &file,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RUSR,
                    0,
                )
                .unwrap(),
                1 => symlink(victim.join("a"), &file).unwrap(),
                _ => fs::create_dir_all(file.join("b")).unwrap(),
            }
            assert_ne!(put(&volume, &[("a", "1")]), state);
            assert!(fs::symlink_metadata(volume.join(DATA).join("a")).unwrap().is_file());
        }
        fs::remove_file(volume.join(DATA)).unwrap();
        fs::create_dir_all(volume.join(DATA).join("x")).unwrap();
        fs::create_dir_all(volume.join(DATA_NEW).join("x")).unwrap();
        put(&volume, &[("a", "2")]);
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "2");
    }

    #[test]
    fn a_mode_that_changes_is_written() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &[("a", "1")]);
        let mut changed = payload(&[("a", "1")]);
        changed.get_mut("a").unwrap().mode = 0o400;
        write(dir.path(), &changed, Timestamp::UNIX_EPOCH, |_| Ok(())).unwrap();
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o400);
    }
}
