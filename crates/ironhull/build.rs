//! Tells the program what it is built from, for `/version`.
//!
//! Only release builds know the commit: others would be linked again after each commit. The date is the commit's, or
//! `SOURCE_DATE_EPOCH`, so that a commit is built to the same program at any time.

use std::process::Command;

/// The date of programs that do not know it; upstream's.
const NO_DATE: &str = "1970-01-01T00:00:00Z";
const DATE_FORMAT: &str = "%Y-%m-%dT%H:%M:%SZ";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(&rustc, &["--version"]).unwrap_or_default();
    let number = version.split(' ').nth(1).unwrap_or_default();
    set("IRONHULL_TOOLCHAIN", &format!("rust{number}"));
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = output("git", &["rev-parse", "HEAD"]).filter(|_| is_release);
    if let Some(directory) = output("git", &["rev-parse", "--absolute-git-dir"]).filter(|_| is_release) {
        for file in ["HEAD", "index", "logs/HEAD"] {
            println!("cargo::rerun-if-changed={directory}/{file}");
        }
    }
    let tree_state =
        commit.as_ref().and_then(|_| output("git", &["status", "--porcelain", "--untracked-files=no"]));
    let tree_state = tree_state.map_or("", |changes| if changes.is_empty() { "clean" } else { "dirty" });
    set("IRONHULL_TREE_STATE", tree_state);
    set("IRONHULL_BUILD_DATE", &date(commit.is_some()).unwrap_or_else(|| NO_DATE.to_owned()));
    set("IRONHULL_COMMIT", &commit.unwrap_or_default());
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}

fn date(has_commit: bool) -> Option<String> {
    if let Ok(seconds) = std::env::var("SOURCE_DATE_EPOCH") {
        return output("date", &["--utc", &format!("--date=@{seconds}"), &format!("+{DATE_FORMAT}")]);
    }
    let format = format!("--date=format-local:{DATE_FORMAT}");
    output("git", &["show", "--no-patch", "--format=%cd", &format]).filter(|_| has_commit)
}

/// What a program says; `None` if it fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
