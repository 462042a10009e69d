//! Layers that try to break out, and what overlayfs makes of the others.

mod fuzz;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::*;

/// A layer in the making.
struct Layer(::tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Layer {
        Layer(::tar::Builder::new(Vec::new()))
    }

    /// Appends an entry with a path that may be as bad as it likes.
    fn entry(mut self, kind: ::tar::EntryType, path: &str, link: &str, mode: u32, data: &[u8]) -> Layer {
        let mut header = ::tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        header.set_device_major(if kind == ::tar::EntryType::Char { 1 } else { 0 }).unwrap();
        header.set_device_minor(if kind == ::tar::EntryType::Char { 3 } else { 0 }).unwrap();
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, path: &str, data: &str) -> Layer {
        self.entry(::tar::EntryType::Regular, path, "", 0o644, data.as_bytes())
    }

    fn directory(self, path: &str, mode: u32) -> Layer {
        self.entry(::tar::EntryType::Directory, path, "", mode, b"")
    }

    fn symlink(self, path: &str, target: &str) -> Layer {
        self.entry(::tar::EntryType::Symlink, path, target, 0o777, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Layer {
        self.entry(::tar::EntryType::Link, path, target, 0o644, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A data directory; mounts in it are removed with it.
struct Fixture {
    snapshots: Snapshots,
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let limits = UnpackLimits { bytes_max: 1 << 20, entries_max: 50 };
        Fixture { snapshots: Snapshots::open(&directory.path().join("data"), limits).unwrap(), directory }
    }

    /// Unpacks layers on top of each other and returns their chain IDs.
    fn unpack(&self, layers: impl IntoIterator<Item = Layer>) -> Result<Vec<Digest>, SnapshotError> {
        let mut chain: Vec<Digest> = Vec::new();
        for layer in layers {
            let archive = layer.bytes();
            let diff_id = Digest::of(&archive);
            self.snapshots.unpack(&archive[..], &diff_id, &chain, "test")?;
            chain.push(Digest::chain(chain.last(), &diff_id));
        }
        Ok(chain)
    }

    /// The merged view of layers.
    fn mount(&self, layers: impl IntoIterator<Item = Layer>) -> PathBuf {
        let chain = self.unpack(layers).unwrap();
        self.snapshots.prepare_rootfs("view", &chain, RootfsMode::Writable).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for id in self.snapshots.rootfs_ids().unwrap_or_default() {
            let _ = self.snapshots.remove_rootfs(&id, "drop");
        }
    }
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn attributes_survive() {
    let fixture = Fixture::new();
    let root = fixture.mount([Layer::new()
        .directory("./", 0o750)
        .directory("bin/", 0o1777)
        .entry(::tar::EntryType::Regular, "bin/su", "", 0o4755, b"program")
        .hard_link("bin/sudo", "/bin/su")
        .symlink("link", "/bin/su")
        .entry(::tar::EntryType::Char, "null", "", 0o666, b"")
        .entry(::tar::EntryType::Fifo, "fifo", "", 0o600, b"")]);
    let metadata = fs::metadata(root.join("bin/su")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (7, 8, 0o4755));
    assert_eq!((metadata.mtime(), metadata.nlink()), (1_000_000_000, 2));
    let directory = fs::metadata(root.join("bin")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.mtime()), (0o1777, 1_000_000_000));
    assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("/bin/su"));
    assert_eq!(fs::symlink_metadata(root.join("link")).unwrap().uid(), 7);
    let null = fs::metadata(root.join("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    assert!(fs::metadata(root.join("fifo")).unwrap().file_type().is_fifo());
    // The root shows through the container's own upper directory.
    assert_eq!(fs::metadata(&root).unwrap().mode() & 0o7777, 0o750);
}

#[test]
fn xattrs_survive_except_those_of_overlayfs() {
    let fixture = Fixture::new();
    // A version 2 capability: cap_net_bind_service, effective.
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut layer = Layer::new();
    layer
        .0
        .append_pax_extensions([
            ("SCHILY.xattr.security.capability", &capability[..]),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.mine", b"1"),
        ])
        .unwrap();
    let chain = fixture.unpack([layer.file("program", "x")]).unwrap();
    let file = fixture.snapshots.layer_path(&chain[0]).join("fs/program");
    let get = |name: &str| {
        let mut buffer = [0; 100];
        let (value, _) = rustix::fs::getxattr(&file, name, &mut buffer).map(|n| (n, ())).ok()?;
        Some(buffer[..value].to_vec())
    };
    assert_eq!(get("security.capability").unwrap(), capability);
    assert_eq!(get("trusted.mine").unwrap(), b"1");
    assert_eq!(get("trusted.overlay.opaque"), None);
}

#[test]
fn parents_may_be_left_out_and_keep_their_attributes() {
    let fixture = Fixture::new();
    let root = fixture.mount([
        Layer::new().directory("var/tmp/", 0o1777).symlink("lib", "usr/lib").directory("usr/lib", 0o755),
        Layer::new().file("var/tmp/deep/er/file", "1").file("lib/module", "2"),
    ]);
    assert_eq!(read(&root, "var/tmp/deep/er/file"), "1");
    assert_eq!(fs::metadata(root.join("var/tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert_eq!(fs::metadata(root.join("var/tmp/deep")).unwrap().permissions().mode() & 0o7777, 0o755);
    // The link of the layer below is followed inside the root, not replaced.
    assert_eq!(read(&root, "usr/lib/module"), "2");
}

/// Debian's packages do this with `/var/run`: what a link without a target leads to is made, inside the root.
#[test]
fn parents_may_be_links_without_a_target() {
    let fixture = Fixture::new();
    let root = fixture.mount([
        Layer::new()
            .directory("var", 0o755)
            .symlink("var/run", "/run")
            .symlink("var/lock", "../run/lock")
            .symlink("first", "second/deep")
            .symlink("second", "../../../third")
            .symlink("loop", "loop"),
        Layer::new().file("var/run/pid", "1").file("var/lock/held", "2").file("first/file", "3"),
    ]);
    assert_eq!((read(&root, "run/pid"), read(&root, "run/lock/held")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(read(&root, "third/deep/file"), "3");
    assert_eq!(fs::read_link(root.join("var/run")).unwrap(), Path::new("/run"));
    let looping = [Layer::new().symlink("a", "b").symlink("b", "a"), Layer::new().file("a/file", "")];
    assert!(fixture.unpack(looping).is_err());
}

#[test]
fn whiteouts_hide_what_lies_below_only() {
    let fixture = Fixture::new();
    let below = || {
        Layer::new()
            .file("a", "below")
            .file("d/one", "below")
            .file("d/sub/two", "below")
            .file("opaque/old", "below")
            .file("opaque/kept/old", "below")
    };
    let chain = fixture
        .unpack([
            below(),
            Layer::new()
                .file(".wh.a", "")
                .file(".wh.absent", "")
                .file("missing/.wh.x", "")
                .file(".wh..wh.plnk", "")
                .file("opaque/kept/new", "above")
                .file("opaque/.wh..wh..opq", "")
                .file("opaque/new", "above")
                .file(".wh.d", "")
                .file("d/fresh", "above"),
        ])
        .unwrap();
    let upper = fixture.snapshots.layer_path(&chain[1]).join("fs");
    let whiteout = fs::symlink_metadata(upper.join("a")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0, "overlayfs's own whiteout");
    let mut value = [0; 1];
    rustix::fs::getxattr(upper.join("d"), "trusted.overlay.opaque", &mut value[..]).unwrap();
    assert_eq!(&value, b"y");

    let root = fixture.snapshots.prepare_rootfs("view", &chain, RootfsMode::ReadOnly).unwrap();
    let names = |path: &str| {
        let mut names: Vec<String> = fs::read_dir(root.join(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(""), ["d", "opaque"]);
    assert_eq!(names("d"), ["fresh"]);
    assert_eq!(names("opaque"), ["kept", "new"]);
    assert_eq!(names("opaque/kept"), ["new"]);
    assert!(fs::write(root.join("x"), "").is_err(), "an image volume is read-only");
}

#[test]
fn entries_replace_each_other_across_kinds() {
    let fixture = Fixture::new();
    let root = fixture.mount([
        Layer::new().file("was-file", "1").file("was-directory/x", "1").symlink("was-link", "/was-directory"),
        Layer::new()
            .directory("was-file/", 0o755)
            .file("was-file/inside", "2")
            .file("was-directory", "2")
            .directory("was-link/", 0o700),
    ]);
    assert_eq!(read(&root, "was-file/inside"), "2");
    assert_eq!(read(&root, "was-directory"), "2");
    assert!(fs::symlink_metadata(root.join("was-link")).unwrap().is_dir());
}

#[test]
fn nothing_leaves_the_root() {
    let fixture = Fixture::new();
    let outside = fixture.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "untouched").unwrap();
    let outside_text = outside.to_str().unwrap();
    let up = "../".repeat(12);
    let refused = [
        ("climbs", Layer::new().file("../outside/file", "x")),
        ("climbs inside", Layer::new().file("a/../../outside/file", "x")),
        ("hard link climbs", Layer::new().hard_link("leak", "../outside/secret")),
        (
            "hard link through a link",
            Layer::new().symlink("out", outside_text).hard_link("leak", "out/secret"),
        ),
        ("hard link to an absolute path", Layer::new().hard_link("leak", &format!("{outside_text}/secret"))),
        ("whiteout of the parent", Layer::new().file("a/.wh...", "")),
        ("root as a file", Layer::new().file(".", "x")),
        ("parent is a file", Layer::new().file("f", "x").file("f/g", "x")),
    ];
    for (name, layer) in refused {
        let result = fixture.unpack([layer]);
        assert!(result.is_err(), "{name}: {result:?}");
        assert_eq!(fs::read_dir(fixture.snapshots.layers_path()).unwrap().count(), 1, "{name}: left over");
    }
    // Links that point out are fine as such; writing through them stays inside.
    fixture
        .unpack([Layer::new()
            .symlink("absolute", outside_text)
            .symlink("relative", &format!("{up}{}", &outside_text[1..]))
            .file("absolute/one", "x")
            .file("relative/two", "x")
            .file("absolute/.wh.secret", "")
            .file("relative/.wh..wh..opq", "")])
        // The targets do not exist inside, and are made there.
        .unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(read(&outside, "secret"), "untouched");
    let inside = outside_text.trim_start_matches('/');
    let root = fixture.mount([Layer::new()
        .directory(&format!("{inside}/"), 0o755)
        .symlink("absolute", outside_text)
        .file("absolute/one", "x")
        .file("absolute/.wh.secret", "")]);
    assert_eq!(read(&root, &format!("{inside}/one")), "x");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn content_is_verified_and_bounded() {
    let fixture = Fixture::new();
    let archive = Layer::new().file("a", "x").bytes();
    let wrong = Digest::of(b"something else");
    let error = fixture.snapshots.unpack(&archive[..], &wrong, &[], "test").unwrap_err();
    assert!(matches!(error, SnapshotError::DiffIdMismatch { .. }), "{error}");
    let large = Layer::new().file("large", &"x".repeat(2 << 20));
    let error = fixture.unpack([large]).unwrap_err();
    assert!(error.to_string().contains("larger than allowed"), "{error}");
    let many = (0..60).fold(Layer::new(), |layer, number| layer.file(&number.to_string(), ""));
    let error = fixture.unpack([many]).unwrap_err();
    assert!(error.to_string().contains("too many entries"), "{error}");
    let cut = &archive[..512];
    let error = fixture.snapshots.unpack(cut, &Digest::of(cut), &[], "test").unwrap_err();
    assert!(matches!(error, SnapshotError::InvalidLayer { .. }), "{error}");
}

#[test]
fn root_file_systems_outlive_the_store_that_made_them() {
    let fixture = Fixture::new();
    let root = fixture.mount([Layer::new().file("a", "image")]);
    fs::write(root.join("b"), "container").unwrap();
    let usage = hostfs::measure(&fixture.snapshots.upper_path("view").unwrap(), hostfs::Limits::default())
        .unwrap()
        .usage;
    assert!(usage.inodes == 2 && usage.bytes > 0, "{usage:?}");
    let again = Snapshots::open(&fixture.directory.path().join("data"), UnpackLimits::default()).unwrap();
    let chain = again.used_layers().unwrap();
    let root = again.prepare_rootfs("view", &chain, RootfsMode::Writable).unwrap();
    assert_eq!(read(&root, "b"), "container");
    assert_eq!(again.remove_rootfs("view", "x").unwrap(), chain);
    assert!(again.remove_rootfs("view", "x").unwrap().is_empty(), "removing twice is fine");
    assert!(again.rootfs_ids().unwrap().is_empty());
    // The state after a reboot: the directories without the mount.
    let root = again.prepare_rootfs("view", &chain, RootfsMode::Writable).unwrap();
    fs::write(root.join("b"), "container").unwrap();
    overlay::detach(&root).unwrap();
    fs::write(root.with_file_name(LAYERS_FILE), "[\"sha2").unwrap();
    assert!(again.used_layers().unwrap().is_empty());
    let root = again.prepare_rootfs("view", &chain, RootfsMode::Writable).unwrap();
    assert!(!root.join("b").exists());
    for id in ["", ".", "..", "a/b", ".tmp-x"] {
        let error = again.prepare_rootfs(id, &chain, RootfsMode::Writable).unwrap_err();
        assert!(matches!(error, SnapshotError::InvalidId(_)), "{id:?}: {error}");
    }
}

/// Programs of images are not for users of the host to run (CVE-2021-41103).
#[test]
fn content_of_images_is_for_root_alone() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(directory.path(), UnpackLimits::default()).unwrap();
    for path in [snapshots.layers_path(), snapshots.rootfs_path()] {
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o700, "{}", path.display());
    }
}

#[test]
fn images_without_layers_can_be_mounted() {
    let fixture = Fixture::new();
    for (id, mode) in [("writable", RootfsMode::Writable), ("volume", RootfsMode::ReadOnly)] {
        let root = fixture.snapshots.prepare_rootfs(id, &[], mode).unwrap();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }
}

#[test]
fn a_probe_tells_what_to_do_about_an_unfit_file_system() {
    let fixture = Fixture::new();
    fixture.snapshots.probe("1").unwrap();
    assert!(fixture.snapshots.rootfs_ids().unwrap().is_empty());
    // Overlayfs does not write to itself: a data directory inside a container is such a case.
    let overlay = fixture.mount([Layer::new().file("a", "x")]);
    let inner = Snapshots::open(&overlay.join("data"), UnpackLimits::default()).unwrap();
    let text = inner.probe("2").unwrap_err().to_string();
    assert!(text.contains("cannot mount an overlay file system on"), "{text}");
    assert!(text.contains("keep the data directory on a file system"), "{text}");
}
