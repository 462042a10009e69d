//! The image store against a real registry and real mounts. Needs root, `docker-registry` and
//! `busybox-static`.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "images/support.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cri::{AuthConfig, CriError, ImageFilter, ImageService, ImageSpec, PullErrorKind};
use runtime::digest::Digest;
use runtime::images::build::{Compression, ImageBuilder};
use runtime::images::user::resolve_user;
use runtime::images::{ImageError, ProgressFn, PullPhase};
use runtime::snapshot::RootfsMode;
use support::{TestRegistry, TestStore, busybox, busybox_without_changes, free_address};

fn kind(error: &ImageError) -> PullErrorKind {
    match error {
        ImageError::Pull { failure, .. } | ImageError::Push { failure, .. } => failure.kind,
        ImageError::Import(failure) => failure.kind,
        error => panic!("not a transfer: {error}"),
    }
}

#[tokio::test]
async fn pulls_by_tag_and_digest_and_mounts() {
    let (registry, test) = (TestRegistry::start().await, TestStore::new());
    let (image, store) = (busybox(), &test.store);
    let name = registry.name("group/busybox:1");
    let digest = image.push(&name, None, &[], Compression::Gzip, false).await.unwrap();

    let id = store.pull(&name, None, None).await.unwrap();
    assert_eq!(id, image.id());
    let by_digest = registry.name(&format!("group/busybox@{digest}"));
    assert_eq!(store.pull(&by_digest, None, None).await.unwrap(), id);
    let tag_and_digest = registry.name(&format!("group/busybox:other@{digest}"));
    assert_eq!(store.pull(&tag_and_digest, None, None).await.unwrap(), id);

    let status = store.status(&name).unwrap().unwrap();
    assert_eq!((status.repo_tags, status.repo_digests), (vec![name.clone()], vec![by_digest.clone()]));
    assert_eq!((status.uid, status.username.as_str()), (None, "app"));
    assert!(status.size > 100_000, "{}", status.size);
    for reference in [by_digest.as_str(), id.as_str(), id.hex()] {
        assert_eq!(store.status(reference).unwrap().unwrap().id, id.as_str(), "{reference}");
    }
    assert_eq!(store.config(id.as_str()).unwrap().entrypoint, ["/bin/sh", "-c"]);
    assert_eq!((test.layers(), test.downloads()), (2, 0));

    let root = store.prepare_rootfs("c1", &name, RootfsMode::Writable).await.unwrap();
    assert_eq!(std::fs::read_to_string(root.join("etc/added")).unwrap(), "second");
    assert!(!root.join("etc/removed").exists());
    assert_eq!(std::fs::metadata(root.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
    let user = resolve_user(&root, &store.config(&name).unwrap().user).unwrap();
    assert_eq!((user.uid, user.gid, user.supplemental_gids), (1000, 1001, vec![50]));
    let output = std::process::Command::new("/usr/sbin/chroot")
        .arg(&root)
        .args(["/bin/sh", "-c", "echo written > /tmp/file; busybox cat /etc/added"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "second", "{output:?}");
    assert!(store.rootfs_usage("c1").await.unwrap().bytes > 0);

    let info = store.image_fs_info().await.unwrap();
    assert!(info.image_filesystems[0].used_bytes > 500_000, "{info:?}");
    assert!(info.container_filesystems[0].inodes_used >= 2, "{info:?}");
    store.remove_rootfs("c1").await.unwrap();
    assert!(!root.exists());
}

#[tokio::test]
async fn every_compression_and_an_index_work() {
    let registry = TestRegistry::start().await;
    for (compression, index) in
        [(Compression::None, false), (Compression::Zstd, false), (Compression::Gzip, true)]
    {
        let test = TestStore::new();
        let name = registry.name(&format!("app:{compression:?}").to_lowercase());
        let digest = busybox().push(&name, None, &[], compression, index).await.unwrap();
        let id = test.store.pull(&name, None, None).await.unwrap();
        assert_eq!(id, busybox().id(), "{compression:?}");
        let status = test.store.status(&name).unwrap().unwrap();
        assert_eq!(status.repo_digests, [registry.name(&format!("app@{digest}"))], "{compression:?}");
    }
}

#[tokio::test]
async fn concurrent_pulls_share_one_download() {
    let (registry, test) = (TestRegistry::start().await, TestStore::new());
    let name = registry.name("shared");
    busybox().push(&name, None, &[], Compression::Gzip, false).await.unwrap();
    let resolved = Arc::new(AtomicUsize::new(0));
    let last_done = Arc::new(AtomicUsize::new(0));
    let progress: ProgressFn = {
        let (resolved, last_done) = (resolved.clone(), last_done.clone());
        Arc::new(move |progress| match progress.phase {
            PullPhase::Resolving => drop(resolved.fetch_add(1, Ordering::SeqCst)),
            PullPhase::Done => {
                assert_eq!((progress.layers_done, progress.bytes_done), (2, progress.bytes));
                last_done.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        })
    };
    let pulls = (0..8).map(|_| test.store.pull(&name, None, Some(progress.clone())));
    for result in futures::future::join_all(pulls).await {
        assert_eq!(result.unwrap(), busybox().id());
    }
    assert_eq!((resolved.load(Ordering::SeqCst), last_done.load(Ordering::SeqCst)), (1, 1));
    // A pull that is over is not joined any more.
    test.store.pull(&name, None, Some(progress)).await.unwrap();
    assert_eq!(resolved.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_tag_moves_and_shared_layers_stay() {
    let (registry, test) = (TestRegistry::start().await, TestStore::new());
    let (name, store) = (registry.name("moving:tag"), &test.store);
    busybox().push(&name, None, &[], Compression::Gzip, false).await.unwrap();
    let old = store.pull(&name, None, None).await.unwrap();
    busybox_without_changes().push(&name, None, &[], Compression::Gzip, false).await.unwrap();
    let new = store.pull(&name, None, None).await.unwrap();
    assert_ne!(old, new);
    assert_eq!(store.status(&name).unwrap().unwrap().id, new.as_str());
    assert!(store.status(old.as_str()).unwrap().unwrap().repo_tags.is_empty());
    assert_eq!((store.list().unwrap().len(), test.layers()), (2, 2));

    store.prepare_rootfs("c1", old.as_str(), RootfsMode::Writable).await.unwrap();
    store.remove(old.as_str()).await.unwrap();
    store.remove(old.as_str()).await.unwrap();
    assert_eq!((store.list().unwrap().len(), test.layers()), (1, 2), "a container still uses them");
    store.remove_rootfs("c1").await.unwrap();
    assert_eq!(test.layers(), 1, "the layer that both had");
    store.prepare_rootfs("c2", &name, RootfsMode::ReadOnly).await.unwrap();
    store.remove_rootfs("c2").await.unwrap();
    store.remove(&name).await.unwrap();
    assert_eq!((store.list().unwrap().len(), test.layers()), (0, 0));
    let error = store.prepare_rootfs("c3", &name, RootfsMode::Writable).await.unwrap_err();
    assert!(matches!(error, ImageError::NotPresent(_)), "{error}");
}

#[tokio::test]
async fn failures_have_kinds_and_readable_texts() {
    let (registry, test) = (TestRegistry::start().await, TestStore::new());
    let store = &test.store;
    let pull = async |name: &str| store.pull(name, None, None).await.unwrap_err();

    let name = registry.name("busybox:absent");
    let error = pull(&name).await;
    assert_eq!(kind(&error), PullErrorKind::NotFound);
    let expected = format!(
        "failed to pull and unpack image {name:?}: failed to resolve reference {name:?}: {name}: not found"
    );
    assert_eq!(error.to_string(), expected);

    let error = pull(&format!("{}/x:1", free_address())).await;
    assert_eq!(kind(&error), PullErrorKind::RegistryUnavailable);
    assert!(error.to_string().contains("refused"), "{error}");

    let mut foreign = ImageBuilder::new();
    foreign.config().architecture = "s390x".to_owned();
    let name = registry.name("foreign");
    foreign.build().push(&name, None, &[], Compression::Gzip, false).await.unwrap();
    let error = pull(&name).await;
    assert_eq!(kind(&error), PullErrorKind::NoMatchingPlatform);

    let error = store.pull_image(&ImageSpec::from("BAD"), None, None).await.unwrap_err();
    assert!(matches!(error, CriError::ImagePull { kind: PullErrorKind::InvalidName, .. }), "{error}");
    let error = store.image_status(&ImageSpec::from("BAD")).await.unwrap_err();
    assert!(matches!(error, CriError::ImagePull { kind: PullErrorKind::InvalidName, .. }), "{error}");
    for absent in ["absent", &"0".repeat(64)] {
        assert_eq!(store.image_status(&ImageSpec::from(absent)).await.unwrap(), None);
    }
    store.remove_image(&ImageSpec::from("absent")).await.unwrap();
    let filter = ImageFilter { image: Some(ImageSpec::from("absent")) };
    assert!(store.list_images(&filter).await.unwrap().is_empty());
    assert_eq!((test.layers(), test.downloads()), (0, 0));
}

#[tokio::test]
async fn registries_with_a_password() {
    let (registry, test) = (TestRegistry::start_with_password().await, TestStore::new());
    let name = registry.name("private");
    let good = AuthConfig {
        username: support::USER.to_owned(),
        password: support::PASSWORD.to_owned(),
        ..AuthConfig::default()
    };
    let bad = AuthConfig { password: "wrong".to_owned(), ..good.clone() };
    busybox().push(&name, Some(&good), &[], Compression::Gzip, false).await.unwrap();
    for auth in [None, Some(&bad)] {
        let error = test.store.pull(&name, auth, None).await.unwrap_err();
        assert_eq!(kind(&error), PullErrorKind::Unauthorized, "{error}");
        assert!(!error.to_string().contains("wrong"), "no secrets in messages: {error}");
    }
    assert_eq!(test.store.pull(&name, Some(&good), None).await.unwrap(), busybox().id());
}

#[tokio::test]
async fn content_that_changed_on_the_way_is_refused() {
    let (registry, test) = (TestRegistry::start().await, TestStore::new());
    let name = registry.name("corrupt");
    let mut builder = ImageBuilder::new();
    builder.add_file("/file", "content", 0o644);
    let image = builder.build();
    image.push(&name, None, &[], Compression::None, false).await.unwrap();
    let layer = test.store.pull(&name, None, None).await.unwrap();
    let diff_id = test.store.config(layer.as_str()).unwrap().diff_ids[0].clone();
    test.store.remove(&name).await.unwrap();

    let blob = registry.blob_path(diff_id.hex());
    let mut content = std::fs::read(&blob).unwrap();
    content[600] ^= 1;
    std::fs::write(&blob, &content).unwrap();
    let error = test.store.pull(&name, None, None).await.unwrap_err();
    assert_eq!(kind(&error), PullErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("wrong digest"), "{error}");
    assert!(test.store.list().unwrap().is_empty());
    assert_eq!((test.layers(), test.downloads()), (0, 0));
}

#[tokio::test]
async fn imports_archives_of_both_formats() {
    let directory = tempfile::tempdir().unwrap();
    let docker = directory.path().join("docker.tar");
    busybox().write_docker_archive(&docker, &["example.org/app:1", "app"]).unwrap();
    let oci = directory.path().join("oci.tar");
    busybox_without_changes().write_oci_archive(&oci, "example.org/base", Compression::Zstd).unwrap();

    let test = TestStore::new();
    assert_eq!(test.store.import(&docker, None).await.unwrap(), [busybox().id()]);
    let status = test.store.status("app").unwrap().unwrap();
    assert_eq!(status.repo_tags, ["docker.io/library/app:latest", "example.org/app:1"]);
    assert_eq!(test.store.import(&oci, None).await.unwrap(), [busybox_without_changes().id()]);
    let status = test.store.status("example.org/base:latest").unwrap().unwrap();
    assert!(status.repo_digests[0].starts_with("example.org/base@sha256:"), "{status:?}");
    assert_eq!((test.layers(), test.downloads()), (2, 0), "they share a layer");

    // Compressed, from a stream, a second time.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::fs::File::open(&docker).unwrap(), &mut packed).unwrap();
    let packed = std::io::Cursor::new(packed.finish().unwrap());
    assert_eq!(test.store.import_reader(packed, None).await.unwrap(), [busybox().id()]);
    assert_eq!(test.store.list().unwrap().len(), 2);

    let mut cut = std::fs::read(&docker).unwrap();
    cut.truncate(cut.len() / 2);
    let mut damaged = std::fs::read(&oci).unwrap();
    // The last header, of several.
    let header = damaged.windows(5).rposition(|window| window == b"ustar").unwrap() - 257;
    damaged[header..header + 7].copy_from_slice(b"changed");
    let without = "it is not an archive of images: it has neither manifest.json (docker save) nor index.json \
                   (OCI layout)";
    let text = b"secret text ".repeat(100);
    for (content, why) in [
        (&b""[..], without),
        (b"secret text", "it is not a tar archive"),
        (&text, "it is not a tar archive"),
        (b"\x1f\x8bsecret text", "it is not a tar archive"),
        (&[0; 2048], without),
        (&cut, "the archive is incomplete"),
        (&damaged, "the archive is damaged: wrong checksum of a tar header"),
    ] {
        let error = test.store.import_reader(std::io::Cursor::new(content.to_vec()), None).await.unwrap_err();
        assert_eq!(kind(&error), PullErrorKind::Corrupt, "{error}");
        assert_eq!(error.to_string(), format!("failed to import the image archive: {why}"));
    }
    assert_eq!(test.downloads(), 0);
}

#[tokio::test]
async fn archives_cannot_reach_files_outside() {
    let mut builder = tar::Builder::new(Vec::new());
    let manifest = br#"[{"Config":"../../../../etc/hostname","RepoTags":null,"Layers":["/etc/passwd"]}]"#;
    let mut add = |kind, name: &str, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    };
    add(tar::EntryType::Symlink, "etc", "/etc", b"");
    add(tar::EntryType::Regular, "../../escaped", "", b"x");
    add(tar::EntryType::Regular, "manifest.json", "", manifest);
    let archive = builder.into_inner().unwrap();
    let test = TestStore::new();
    let error = test.store.import_reader(std::io::Cursor::new(archive), None).await.unwrap_err();
    assert_eq!(kind(&error), PullErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("the archive lacks"), "{error}");
    assert!(!test.data_dir.path().join("escaped").exists());
    assert!(!test.data_dir.path().join("images/escaped").exists());
}

#[tokio::test]
async fn several_processes_may_share_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("image.tar");
    busybox().write_docker_archive(&archive, &["app"]).unwrap();
    let test = TestStore::new();
    let other = test.open_again();
    other.import(&archive, None).await.unwrap();
    assert!(test.store.status("app").unwrap().is_some(), "seen without a restart");
    let root = test.store.prepare_rootfs("c1", "app", RootfsMode::Writable).await.unwrap();
    other.remove("app").await.unwrap();
    assert!(test.store.status("app").unwrap().is_none());
    assert!(root.join("bin/busybox").exists(), "its layers are in use");
    test.store.remove_rootfs("c1").await.unwrap();
    assert_eq!(test.layers(), 0);
}

#[tokio::test]
async fn a_start_cleans_up_what_a_crash_has_left() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("image.tar");
    busybox().write_docker_archive(&archive, &["app"]).unwrap();
    let mut test = TestStore::new();
    test.store.import(&archive, None).await.unwrap();
    let root = test.store.prepare_rootfs("c1", "app", RootfsMode::Writable).await.unwrap();
    std::fs::write(root.join("mark"), "kept").unwrap();
    let data = test.data_dir.path().to_owned();
    let stray = Digest::of(b"stray");
    let leftovers = [
        format!("layers/{}/fs", stray.hex()),
        "layers/.tmp-1/fs".to_owned(),
        "rootfs/.tmp-2/upper".to_owned(),
        "images/ingest/3".to_owned(),
    ];
    for leftover in &leftovers {
        std::fs::create_dir_all(data.join(leftover)).unwrap();
    }
    std::fs::write(data.join("images/blobs/sha256").join(stray.hex()), "x").unwrap();
    std::fs::write(data.join("images/index.new"), "{half").unwrap();

    // While another process works there, nothing is touched.
    drop(test.open_again());
    assert!(data.join(&leftovers[0]).exists());
    // The last one has gone before the next one comes.
    test.restart();
    for leftover in &leftovers {
        assert!(!data.join(leftover).exists(), "{leftover}");
    }
    assert_eq!(std::fs::read_dir(data.join("images/blobs/sha256")).unwrap().count(), 1);
    let root = test.store.prepare_rootfs("c1", "app", RootfsMode::Writable).await.unwrap();
    assert_eq!(std::fs::read_to_string(root.join("mark")).unwrap(), "kept");
}
