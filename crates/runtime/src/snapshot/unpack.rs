//! Applies a layer's tar stream to a directory.
//!
//! The directory is either empty (a first layer) or an overlay mount of the layers below with the new layer's directory
//! as its upper one: the kernel then records the layer's changes, with whiteouts and opaque directories in its own
//! format, and parents that the layer does not contain keep the attributes from the layers below.
//!
//! A layer is untrusted: names may contain `..`, parents may be symbolic links out of the root, sizes may be wrong.
//! Every parent is looked up by [`inside`], and the last component is never followed.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::inside;
use super::tar::{EntryKind, TarEntry, TarReader};

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// Names that begin so are the business of the aufs file system, and mean nothing here.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
/// How many links without a target may lead to each other, as many as the kernel follows.
const LINKS_MAX: usize = 40;
const COPY_BUFFER_BYTES: usize = 256 << 10;

/// Why a layer could not be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    /// The stream is broken or asks for something that is not allowed.
    #[error("{0}")]
    Invalid(String),
    /// The stream could not be read.
    #[error("read the layer")]
    Read(#[source] io::Error),
    /// This machine could not write it.
    #[error("write {path:?}")]
    Write { path: String, source: io::Error },
}

/// Applies the archive to `root` and returns its input, for the data after the archive's end.
pub(super) fn apply<R: Read>(root: BorrowedFd<'_>, archive: R, entries_max: u64) -> Result<R, ApplyError> {
    let mut reader = TarReader::new(archive, entries_max);
    Applier::new(root).apply_all(&mut reader)?;
    Ok(reader.into_inner())
}

struct Applier<'a> {
    root: BorrowedFd<'a>,
    /// The parent of the entry before: most entries share it with the next one.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Hashes of the paths that this layer has written, with their parents: a whiteout hides entries of lower layers,
    /// never those of its own layer.
    written: HashSet<u64>,
    /// Hashes of the paths at which nothing from lower layers is left: hiding them again, or their content, costs
    /// nothing. Otherwise a layer with whiteouts of one large directory would take quadratic time.
    emptied: HashSet<u64>,
    hasher: RandomState,
    /// Set at the end, since writing into a directory changes its time.
    directory_times: Vec<(Vec<u8>, Timestamps)>,
    buffer: Vec<u8>,
    /// How many names whiteouts have looked at.
    #[cfg(test)]
    names_seen: usize,
}

impl<'a> Applier<'a> {
    fn new(root: BorrowedFd<'a>) -> Applier<'a> {
        Applier {
            root,
            parent: None,
            written: HashSet::new(),
            emptied: HashSet::new(),
            hasher: RandomState::new(),
            directory_times: Vec::new(),
            buffer: vec![0; COPY_BUFFER_BYTES],
            #[cfg(test)]
            names_seen: 0,
        }
    }

    fn apply_all<R: Read>(&mut self, reader: &mut TarReader<R>) -> Result<(), ApplyError> {
        while let Some(entry) = reader.next_entry().map_err(ApplyError::Read)? {
            self.apply_entry(&entry, reader)?;
        }
        self.set_directory_times();
        Ok(())
    }

    fn apply_entry<R: Read>(
        &mut self,
        entry: &TarEntry,
        reader: &mut TarReader<R>,
    ) -> Result<(), ApplyError> {
        let escapes = || ApplyError::Invalid(format!("the path {} leaves the root", lossy(&entry.path)));
        let parts = inside::clean(&entry.path).ok_or_else(escapes)?;
        let Some((name, parents)) = parts.split_last() else {
            return self.apply_root(entry);
        };
        let (parent_path, path) = (parents.join(&b'/'), parts.join(&b'/'));
        if *name == OPAQUE_MARKER {
            return self.clear(&parent_path).map_err(|errno| write_error(&path, errno));
        }
        if name.starts_with(AUFS_PREFIX) {
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX) {
            return self.hide(&parent_path, hidden, entry);
        }
        let parent = self.open_parent(&parent_path).map_err(|errno| write_error(&parent_path, errno))?;
        let result = self.create(&parent, name, &path, entry, reader);
        self.parent = Some((parent_path, parent));
        self.note_written(&path);
        result
    }

    /// The entry of the root itself brings its attributes only.
    fn apply_root(&mut self, entry: &TarEntry) -> Result<(), ApplyError> {
        if entry.kind != EntryKind::Directory {
            return Err(ApplyError::Invalid("the root is not a directory".to_owned()));
        }
        let root = inside::open(self.root, b".", OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| write_error(b"/", errno))?;
        set_attributes(&root, entry).map_err(|errno| write_error(b"/", errno))?;
        self.directory_times.push((Vec::new(), timestamps(entry)));
        Ok(())
    }

    fn create<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        entry: &TarEntry,
        reader: &mut TarReader<R>,
    ) -> Result<(), ApplyError> {
        let failed = |errno| write_error(path, errno);
        let c_name = inside::c_string(name).map_err(failed)?;
        let existing = match rustix::fs::statat(parent, &c_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed(errno)),
        };
        let keeps_directory = existing == Some(FileType::Directory) && entry.kind == EntryKind::Directory;
        // A hard link is looked up before its place is cleared, in case that it names itself.
        let link = match entry.kind {
            EntryKind::HardLink => Some(self.open_link_parent(entry)?),
            _ => None,
        };
        if let Some((link_parent, link_name)) = &link
            && existing.is_some()
            && same_file(link_parent, link_name, parent, &c_name).map_err(failed)?
        {
            return Ok(());
        }
        if existing.is_some() && !keeps_directory {
            remove(parent, name).map_err(|error| ApplyError::Write { path: lossy(path), source: error })?;
        }
        match entry.kind {
            EntryKind::File => return self.write_file(parent, &c_name, path, entry, reader),
            EntryKind::Directory => {
                if !keeps_directory {
                    rustix::fs::mkdirat(parent, &c_name, Mode::RWXU).map_err(failed)?;
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = rustix::fs::openat(parent, &c_name, flags, Mode::empty()).map_err(failed)?;
                set_attributes(&directory, entry).map_err(failed)?;
                self.directory_times.push((path.to_vec(), timestamps(entry)));
                return Ok(());
            }
            EntryKind::HardLink => {
                let (link_parent, link_name) = link.expect("it was opened above for hard links");
                return rustix::fs::linkat(link_parent, link_name, parent, &c_name, AtFlags::empty())
                    .map_err(failed);
            }
            EntryKind::Symlink => {
                let target = inside::c_string(&entry.link).map_err(failed)?;
                rustix::fs::symlinkat(target, parent, &c_name).map_err(failed)?;
            }
            EntryKind::CharDevice if (entry.device_major, entry.device_minor) == (0, 0) => {
                // It would be an overlay whiteout; no such device exists.
                return Ok(());
            }
            EntryKind::CharDevice => {
                make_node(parent, &c_name, FileType::CharacterDevice, entry).map_err(failed)?
            }
            EntryKind::BlockDevice => {
                make_node(parent, &c_name, FileType::BlockDevice, entry).map_err(failed)?;
            }
            EntryKind::Fifo => make_node(parent, &c_name, FileType::Fifo, entry).map_err(failed)?,
        }
        set_special_attributes(parent, name, &c_name, entry).map_err(failed)
    }

    fn write_file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &std::ffi::CStr,
        path: &[u8],
        entry: &TarEntry,
        reader: &mut TarReader<R>,
    ) -> Result<(), ApplyError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| write_error(path, errno))?;
        let mut file = std::fs::File::from(file);
        let mut data = reader.data();
        loop {
            let count = data.read(&mut self.buffer).map_err(ApplyError::Read)?;
            if count == 0 {
                break;
            }
            io::Write::write_all(&mut file, &self.buffer[..count])
                .map_err(|source| ApplyError::Write { path: lossy(path), source })?;
        }
        set_attributes(&file, entry)
            .and_then(|()| rustix::fs::futimens(&file, &timestamps(entry)))
            .map_err(|errno| write_error(path, errno))
    }

    /// The directory of a hard link's target and the target's name.
    fn open_link_parent(&self, entry: &TarEntry) -> Result<(OwnedFd, std::ffi::CString), ApplyError> {
        let broken = |why: &str| {
            let (path, link) = (lossy(&entry.path), lossy(&entry.link));
            ApplyError::Invalid(format!("the hard link {path} to {link} {why}"))
        };
        let parts = inside::clean(&entry.link).ok_or_else(|| broken("leaves the root"))?;
        let (name, parents) = parts.split_last().ok_or_else(|| broken("names the root"))?;
        let parent =
            inside::open_directory(self.root, &parents.join(&b'/')).map_err(|_| broken("leads nowhere"))?;
        let name = inside::c_string(name).map_err(|_| broken("leads nowhere"))?;
        match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok((parent, name)),
            Err(_) => Err(broken("leads nowhere")),
        }
    }

    fn open_parent(&mut self, path: &[u8]) -> Result<OwnedFd, Errno> {
        if let Some((cached, parent)) = self.parent.take()
            && cached == path
        {
            return Ok(parent);
        }
        self.open_or_make(path, LINKS_MAX)
    }

    /// Opens a directory. The layer may leave parents out that do not exist below either: they are made, also where a link
    /// leads to that has no target yet, and `links_left` bounds how many of those follow each other.
    fn open_or_make(&self, path: &[u8], links_left: usize) -> Result<OwnedFd, Errno> {
        match inside::open_directory(self.root, path) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let mut directory = inside::open_directory(self.root, b"")?;
        let mut end = 0;
        for part in path.split(|byte| *byte == b'/') {
            end += part.len();
            let next = match inside::open_directory(self.root, &path[..end]) {
                Err(Errno::NOENT) => {
                    let name = inside::c_string(part)?;
                    match rustix::fs::readlinkat(&directory, &name, Vec::new()) {
                        Ok(target) => {
                            let links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
                            let target = inside::led_to(&path[..end - part.len()], target.as_bytes());
                            self.open_or_make(&target, links_left)?;
                        }
                        Err(_) => {
                            rustix::fs::mkdirat(&directory, &name, Mode::RWXU)?;
                            let mode = Mode::from_raw_mode(0o755);
                            rustix::fs::chmodat(&directory, &name, mode, AtFlags::empty())?;
                        }
                    }
                    inside::open_directory(self.root, &path[..end])?
                }
                result => result?,
            };
            directory = next;
            end += 1;
        }
        Ok(directory)
    }

    /// A whiteout: hides the entry with this name in lower layers.
    fn hide(&mut self, parent_path: &[u8], name: &[u8], entry: &TarEntry) -> Result<(), ApplyError> {
        if matches!(name, b"" | b"." | b"..") {
            return Err(ApplyError::Invalid(format!("bad whiteout {}", lossy(&entry.path))));
        }
        let path = join(parent_path, name);
        if self.is_emptied(&path) {
            return Ok(());
        }
        let parent = match inside::open_directory(self.root, parent_path) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(write_error(parent_path, errno)),
        };
        self.parent = None;
        self.remove_below(&parent, name, &path)
            .map_err(|source| ApplyError::Write { path: lossy(&path), source })?;
        self.note_emptied(&path);
        Ok(())
    }

    /// An opaque directory: hides its content in lower layers.
    fn clear(&mut self, path: &[u8]) -> Result<(), Errno> {
        if self.is_emptied(path) {
            return Ok(());
        }
        self.parent = None;
        let directory = match inside::open(self.root, path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        self.clear_directory(&directory, path)
    }

    /// Whether nothing from below is left at a path, as it was hidden or a directory above it was emptied.
    fn is_emptied(&self, path: &[u8]) -> bool {
        !self.emptied.is_empty() && self.prefix_hashes(path).any(|hash| self.emptied.contains(&hash))
    }

    fn note_emptied(&mut self, path: &[u8]) {
        let own = self.prefix_hashes(path).last();
        self.emptied.extend(own);
    }

    /// The hashes of the root, of each directory on the way to a path, and of the path, in one pass.
    fn prefix_hashes(&self, path: &[u8]) -> impl Iterator<Item = u64> {
        let root = self.hasher.build_hasher();
        let start = root.finish();
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let below = names.scan(root, |hasher, name| {
            hasher.write(name);
            let hash = hasher.finish();
            hasher.write(b"/");
            Some(hash)
        });
        std::iter::once(start).chain(below)
    }

    fn clear_directory(&mut self, directory: &OwnedFd, path: &[u8]) -> Result<(), Errno> {
        let mut names = Vec::new();
        for child in rustix::fs::Dir::read_from(directory)? {
            let name = child?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(name);
            }
        }
        #[cfg(test)]
        {
            self.names_seen += names.len();
        }
        for name in names {
            self.remove_below(directory, &name, &join(path, &name))
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
        self.note_emptied(path);
        Ok(())
    }

    /// Removes `name`, except for what this layer has written.
    fn remove_below(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<()> {
        if !self.written.contains(&self.hasher.hash_one(path)) {
            return remove(parent, name);
        }
        if self.is_emptied(path) {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(parent, inside::c_string(name)?, flags, Mode::empty()) {
            Ok(directory) => Ok(self.clear_directory(&directory, path)?),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn note_written(&mut self, path: &[u8]) {
        let mut end = path.len();
        // Parents of a known path are known too.
        while self.written.insert(self.hasher.hash_one(&path[..end])) {
            match path[..end].iter().rposition(|byte| *byte == b'/') {
                Some(slash) => end = slash,
                None => break,
            }
        }
    }

    fn set_directory_times(&mut self) {
        for (path, times) in self.directory_times.drain(..).rev() {
            // A later entry may have replaced the directory: then there is nothing to set.
            if let Ok(directory) =
                inside::open(self.root, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
            {
                let _ = rustix::fs::futimens(&directory, &times);
            }
        }
    }
}

/// Owner, mode and extended attributes of a file or directory. In this order: a change of owner clears
/// setuid bits and capabilities.
fn set_attributes(file: impl std::os::fd::AsFd, entry: &TarEntry) -> Result<(), Errno> {
    let file = file.as_fd();
    rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in kept_xattrs(entry) {
        ignore_unsupported(rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()))?;
    }
    Ok(())
}

/// The same for links and nodes, which cannot be opened.
fn set_special_attributes(
    parent: &OwnedFd,
    name: &[u8],
    c_name: &std::ffi::CStr,
    entry: &TarEntry,
) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(parent, c_name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if entry.kind != EntryKind::Symlink {
        rustix::fs::chmodat(parent, c_name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    let path = inside::descriptor_path(parent, name);
    for (key, value) in kept_xattrs(entry) {
        ignore_unsupported(rustix::fs::lsetxattr(&path, key, value, XattrFlags::empty()))?;
    }
    rustix::fs::utimensat(parent, c_name, &timestamps(entry), AtFlags::SYMLINK_NOFOLLOW)
}

/// Extended attributes except those that overlayfs itself reads: an image must not speak to it.
fn kept_xattrs(entry: &TarEntry) -> impl Iterator<Item = (&str, &[u8])> {
    entry
        .xattrs
        .iter()
        .filter(|(name, _)| !name.starts_with("trusted.overlay.") && !name.starts_with("user.overlay."))
        .map(|(name, value)| (name.as_str(), value.as_slice()))
}

fn ignore_unsupported(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOTSUP) => Ok(()),
        result => result,
    }
}

fn make_node(parent: &OwnedFd, name: &std::ffi::CStr, kind: FileType, entry: &TarEntry) -> Result<(), Errno> {
    let device = rustix::fs::makedev(entry.device_major, entry.device_minor);
    rustix::fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device)
}

fn same_file(
    one: &OwnedFd,
    one_name: &std::ffi::CStr,
    two: &OwnedFd,
    two_name: &std::ffi::CStr,
) -> Result<bool, Errno> {
    let one = rustix::fs::statat(one, one_name, AtFlags::SYMLINK_NOFOLLOW)?;
    let two = rustix::fs::statat(two, two_name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((one.st_dev, one.st_ino) == (two.st_dev, two.st_ino))
}

/// Removes a file or a whole directory; nothing to remove is fine.
fn remove(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, inside::c_string(name)?, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // By links a layer may nest directories deeper than a recursion could go.
        Err(Errno::ISDIR) => hostfs::remove_tree(&inside::descriptor_path(parent, name)),
        Err(errno) => Err(errno.into()),
    }
}

fn timestamps(entry: &TarEntry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime_seconds, tv_nsec: entry.mtime_nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn write_error(path: &[u8], errno: Errno) -> ApplyError {
    ApplyError::Write { path: lossy(path), source: errno.into() }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, name].join(&b'/') }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// A layer of empty files in one deep directory, hidden over and over at every level: each name is looked at a few
    /// times, not once for each whiteout (as in CVE-2026-95838).
    #[test]
    fn whiteouts_of_one_directory_look_at_it_once() {
        const FILES: usize = 200;
        let mut archive = ::tar::Builder::new(Vec::new());
        let mut add = |path: String| {
            let mut header = ::tar::Header::new_ustar();
            header.set_size(0);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, &b""[..]).unwrap();
        };
        (0..FILES).for_each(|number| add(format!("a/b/c/d/{number}")));
        for _ in 0..FILES {
            for directory in ["a/b/c/d/", "a/b/c/", "a/b/", "a/", ""] {
                add(format!("{directory}.wh..wh..opq"));
            }
            add("a/b/c/.wh.d".to_owned());
            add("a/.wh.b".to_owned());
        }
        let archive = archive.into_inner().unwrap();
        let root = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(root.path()).unwrap();
        let mut applier = Applier::new(directory.as_fd());
        applier.apply_all(&mut TarReader::new(archive.as_slice(), 10_000)).unwrap();
        assert!(applier.names_seen < 2 * FILES, "{} names", applier.names_seen);
        assert_eq!(std::fs::read_dir(root.path().join("a/b/c/d")).unwrap().count(), FILES);
    }
}
