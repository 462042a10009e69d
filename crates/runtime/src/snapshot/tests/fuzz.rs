//! Properties that hold for all layers, including malicious ones.

use std::io::Read;
use std::os::fd::AsFd;

use ::fuzz::Target;

use super::super::tar::TarReader;
use super::super::{inside, unpack};
use super::*;

const ENTRIES_MAX: u64 = 100;
const BLOCK: usize = 512;

fn layers() -> Vec<Vec<u8>> {
    let tree = Layer::new()
        .directory("etc/", 0o755)
        .file("etc/hosts", "127.0.0.1 localhost\n")
        .symlink("link", "/etc");
    let hostile = Layer::new().symlink("out", "../..").file("out/above", "x").hard_link("hard", "../canary");
    let whiteouts =
        Layer::new().file("a/.wh.b", "").file("a/.wh..wh..opq", "").file("../above", "x").file("/abs", "y");
    let fifo = Layer::new().entry(::tar::EntryType::Fifo, "fifo", "", 0o600, b"");
    let mut extended = ::tar::Builder::new(Vec::new());
    extended
        .append_pax_extensions([
            ("path", b"long/name".as_slice()),
            ("mtime", b"1.5"),
            ("SCHILY.xattr.user.a", b"v"),
        ])
        .unwrap();
    let mut header = ::tar::Header::new_ustar();
    header.set_size(1);
    header.set_cksum();
    extended.append_data(&mut header, "short", b"z".as_slice()).unwrap();
    vec![tree.bytes(), hostile.bytes(), whiteouts.bytes(), fifo.bytes(), extended.into_inner().unwrap()]
}

/// Makes the checksums of headers right again, which a change has broken: else nothing behind them is reached.
fn mended(input: &[u8]) -> Vec<u8> {
    let mut archive = input.to_vec();
    for block in archive.chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    archive
}

fn target(name: &'static str) -> Target {
    Target::new(env!("CARGO_MANIFEST_DIR"), name).seeds(layers()).words(&[
        "../",
        "/",
        ".wh.",
        ".wh..wh..opq",
        "0000777\0",
        "7777777",
        "\0",
        "ustar",
        "5",
        "2",
        "1",
        "3",
        "x",
        "g",
        "L",
    ])
}

#[test]
fn archives_hold_no_more_than_was_sent() {
    target("layers").run(|input| {
        let archive = mended(input);
        let mut reader = TarReader::new(archive.as_slice(), ENTRIES_MAX);
        let (mut entries, mut bytes) = (0, 0);
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) => {
                    entries += 1;
                    assert!(entry.mode <= 0o7777 && entry.path.len() <= 1 << 16, "{:?}", entry.path);
                    let mut content = Vec::new();
                    if reader.data().read_to_end(&mut content).is_err() {
                        return false;
                    }
                    bytes += content.len();
                }
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        assert!(
            entries <= ENTRIES_MAX as usize && entries * BLOCK + bytes <= archive.len(),
            "{entries}, {bytes}"
        );
        true
    });
}

#[test]
fn layers_stay_within_their_root() {
    // A file of each kind that a layer may try to reach, outside the root.
    let place = tempfile::tempdir().unwrap();
    let canary = place.path().join("canary");
    fs::write(&canary, "untouched").unwrap();
    let before = fs::metadata(&canary).unwrap();
    target("layers").inputs(400).run(|input| {
        let root = place.path().join("root");
        fs::create_dir(&root).unwrap();
        let directory = inside::open_root(&root).unwrap();
        let archive = mended(input);
        let accepted = unpack::apply(directory.as_fd(), archive.as_slice(), ENTRIES_MAX).is_ok();
        drop(directory);
        hostfs::remove_tree(&root).unwrap();
        let mut beside: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["canary"]);
        let now = fs::metadata(&canary).unwrap();
        assert_eq!(
            (now.mtime(), now.mode(), now.uid(), now.nlink()),
            (before.mtime(), before.mode(), before.uid(), 1)
        );
        assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
        accepted
    });
}
