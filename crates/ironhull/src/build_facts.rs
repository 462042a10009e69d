//! Tests of what the build script finds; a release shows it at `/version`.

#[path = "../build/facts.rs"]
mod facts;

use facts::{Facts, NO_DATE, output, toolchain};

/// A repository with one commit.
fn repository() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "one").unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        let mut command = std::process::Command::new("git");
        command.args(identity).args(arguments).current_dir(directory.path());
        let date = "2027-01-15T09:00:00+01:00";
        command.env("GIT_COMMITTER_DATE", date).env("GIT_AUTHOR_DATE", date);
        testbed::output(&mut command).unwrap()
    };
    git(&["init", "--quiet"]);
    git(&["add", "file"]);
    git(&["commit", "--quiet", "--message", "one"]);
    directory
}

#[test]
fn a_release_knows_its_commit_and_date() {
    let repository = repository();
    let path = repository.path();
    let head = output(path, "git", &["rev-parse", "HEAD"]).unwrap();
    let facts = Facts::of(path, true, None);
    assert_eq!((facts.commit.as_str(), facts.tree_state), (head.as_str(), "clean"));
    assert_eq!(facts.date, "2027-01-15T08:00:00Z");
    assert!(facts.sources.iter().any(|file| file.ends_with("/.git/HEAD")), "{facts:?}");
    assert_eq!(Facts::of(path, true, Some("1800000000")).date, "2027-01-15T08:00:00Z");
    assert_eq!(Facts::of(path, true, Some("0")).date, NO_DATE);
    std::fs::write(path.join("file"), "two").unwrap();
    assert_eq!(Facts::of(path, true, None).tree_state, "dirty");
}

#[test]
fn others_know_neither() {
    let repository = repository();
    let unknown =
        Facts { commit: String::new(), tree_state: "", date: NO_DATE.to_owned(), sources: Vec::new() };
    assert_eq!(Facts::of(repository.path(), false, None), unknown);
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(Facts::of(nothing.path(), true, None), unknown);
    assert_eq!(toolchain("rustc 1.95.0 (abc 2026-01-01)"), "rust1.95.0");
}
