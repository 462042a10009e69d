//! Properties that hold for all documents that a registry may send, and for all image names.

use ::fuzz::Target;

use super::super::reference;
use super::*;

const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn target(name: &'static str) -> Target {
    Target::new(env!("CARGO_MANIFEST_DIR"), name)
}

#[test]
fn documents_are_read_as_they_are_written() {
    let words = &[
        "\"manifests\":[]",
        "\"config\":",
        "\"layers\":",
        "\"schemaVersion\":2",
        "null",
        DIGEST,
        "{}",
        "\"platform\":",
    ];
    target("manifests").words(words).run(|input| {
        let Ok(document) = Document::parse(input) else { return false };
        let written = match &document {
            Document::Manifest(manifest) => serde_json::to_vec(manifest),
            Document::Index(index) => {
                // Any manifest that it picks is one of its own.
                if let Ok(picked) = index.pick("image") {
                    assert!(index.manifests.iter().any(|one| std::ptr::eq(one, picked)));
                }
                serde_json::to_vec(index)
            }
        };
        let again = Document::parse(&written.unwrap()).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{document:?}"));
        true
    });
}

#[test]
fn configurations_are_read_as_they_are_written() {
    let words = &[
        "\"Env\":[",
        "\"Volumes\":{\"/a\":{}}",
        "null",
        "\"rootfs\":",
        "\"diff_ids\":[",
        DIGEST,
        "\"User\":\"0\"",
    ];
    target("image-configs").words(words).run(|input| {
        let Ok(config) = ImageConfig::parse(input) else { return false };
        let document = config.to_document();
        let again = ImageConfig::parse(&document).expect("what was written can be read");
        assert_eq!(again, config);
        assert_eq!(again.to_document(), document);
        assert_eq!(config.chain_ids().len(), config.diff_ids.len());
        true
    });
}

#[test]
fn names_of_images_are_complete_and_stay_so() {
    let words = &["docker.io/", "library/", ":latest", "@", DIGEST, "localhost:5000/", "__", "..", "A"];
    target("image-names").words(words).run(|input| {
        let text = String::from_utf8_lossy(input);
        let Ok(name) = reference::parse(&text) else { return false };
        let whole = name.whole();
        assert_eq!(reference::parse(&whole).expect("a complete name is a name").whole(), whole);
        true
    });
}
