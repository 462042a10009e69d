//! What a build is made from: for the build script, and for its test.
//!
//! Only release builds know the commit: others would be linked again after each commit. The date is the commit's, or
//! `SOURCE_DATE_EPOCH`, so that a commit is built to the same program at any time.

use std::path::Path;
use std::process::Command;

/// The date of programs that do not know it; upstream's.
pub const NO_DATE: &str = "1970-01-01T00:00:00Z";
const DATE_FORMAT: &str = "%Y-%m-%dT%H:%M:%SZ";

/// What a build is made from.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    /// Empty if it is not known.
    pub commit: String,
    /// `clean` or `dirty`; empty if the commit is not known.
    pub tree_state: &'static str,
    pub date: String,
    /// Files whose changes may change these facts.
    pub sources: Vec<String>,
}

impl Facts {
    /// The facts of a directory's commit. `epoch` is the value of `SOURCE_DATE_EPOCH`.
    pub fn of(directory: &Path, is_release: bool, epoch: Option<&str>) -> Facts {
        let git = |arguments: &[&str]| output(directory, "git", arguments).filter(|_| is_release);
        let commit = git(&["rev-parse", "HEAD"]);
        let changes = git(&["status", "--porcelain", "--untracked-files=no"]).filter(|_| commit.is_some());
        let place = git(&["rev-parse", "--absolute-git-dir"]);
        let date = match epoch {
            Some(seconds) => output(
                directory,
                "date",
                &["--utc", &format!("--date=@{seconds}"), &format!("+{DATE_FORMAT}")],
            ),
            None => {
                git(&["show", "--no-patch", "--format=%cd", &format!("--date=format-local:{DATE_FORMAT}")])
            }
        };
        Facts {
            commit: commit.unwrap_or_default(),
            tree_state: changes.map_or("", |changes| if changes.is_empty() { "clean" } else { "dirty" }),
            date: date.unwrap_or_else(|| NO_DATE.to_owned()),
            sources: place.map_or_else(Vec::new, |place| {
                ["HEAD", "index", "logs/HEAD"].map(|file| format!("{place}/{file}")).into()
            }),
        }
    }
}

/// The compiler by its `--version`, as Go's toolchain is called `go1.26`.
pub fn toolchain(version: &str) -> String {
    format!("rust{}", version.split(' ').nth(1).unwrap_or_default())
}

/// What a program says; `None` if it fails.
pub fn output(directory: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(directory).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
