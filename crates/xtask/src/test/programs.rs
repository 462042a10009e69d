//! Building the test programs with cargo, and running each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::arguments::Arguments;
use super::outcome::Outcome;
use super::{TIMES, limit, now, times};
use crate::command::{cargo, target};

/// A test program.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Program {
    /// The folder of its package, whose name is the package's.
    package: PathBuf,
    /// `lib`, `bin` or `test`.
    kind: String,
    target: String,
    executable: PathBuf,
}

/// Builds the test programs; they come back in an order that is always the same.
pub(super) fn build(arguments: &Arguments) -> Result<Vec<Program>> {
    let mut build = cargo(&["test", "--workspace", "--no-run", "--quiet"]);
    build.arg("--message-format=json-render-diagnostics").args(&arguments.build).stderr(Stdio::inherit());
    let built = build.output().with_context(|| format!("cannot run {build:?}"))?;
    if !built.status.success() {
        bail!("the tests cannot be built: {}", built.status);
    }
    let mut programs: Vec<Program> =
        String::from_utf8_lossy(&built.stdout).lines().filter_map(program).collect();
    programs.sort();
    Ok(programs)
}

/// The test program that a message of cargo is about.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    Some(Program {
        package: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        executable: message["executable"].as_str()?.into(),
    })
}

impl Program {
    /// Runs it as cargo would.
    pub(super) fn run(&self, arguments: &Arguments, clients: &Path, limit: Duration) -> Result<Outcome> {
        let own_harness = self.has_own_harness()?;
        let package = self.package.file_name().unwrap_or_default();
        let name = format!("{}: {}", package.display(), self.target);
        println!("\n== {name} ({})", self.kind);
        let times = target().join(format!("test-times-{}.txt", std::process::id()));
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.package)
            .env("CARGO", std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .env("CARGO_MANIFEST_DIR", &self.package)
            .env("CARGO_MANIFEST_PATH", self.package.join("Cargo.toml"))
            .env("CARGO_PKG_NAME", package)
            .env("IRONHULL_CLIENTS", clients)
            .env(TIMES, &times)
            .args(&arguments.programs);
        // Only libtest knows the option, and accepts it only with unstable options enabled.
        let reports = !own_harness && arguments.times();
        match reports {
            true => command.args(["-Zunstable-options", "--report-time"]).env("RUSTC_BOOTSTRAP", "1"),
            false if arguments.times() => command.arg("--quiet"),
            false => &mut command,
        };
        let start = now();
        let mut outcome = Outcome::of(name);
        let ended = limit::run(&mut command, limit, |line| !reports || outcome.reads(line))?;
        outcome.took = start.elapsed();
        outcome.ends(ended, limit);
        if let Ok(text) = fs::read_to_string(&times) {
            outcome.tests.extend(times::written(&text));
            fs::remove_file(&times).with_context(|| format!("cannot remove {}", times.display()))?;
        }
        Ok(outcome)
    }

    /// Whether the manifest says `harness = false`, which cargo's messages do not say.
    fn has_own_harness(&self) -> Result<bool> {
        let manifest = self.package.join("Cargo.toml");
        let text =
            fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        Ok(self.kind == "test" && has_own_harness(&text, &self.target))
    }
}

fn has_own_harness(manifest: &str, target: &str) -> bool {
    let named = format!("name = \"{target}\"");
    manifest.split("\n[").any(|section| {
        let has = |wanted: &str| section.lines().any(|line| line.trim() == wanted);
        section.starts_with("[test]]") && has(&named) && has("harness = false")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_test_programs_are_told_from_others() {
        let message = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/kinds/Cargo.toml",
                "target":{{"kind":["lib"],"name":"kinds"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let found = program(&message(true, "\"/t/kinds-1\"")).unwrap();
        assert_eq!((found.package, found.executable), ("/w/crates/kinds".into(), "/t/kinds-1".into()));
        assert_eq!(program(&message(false, "\"/t/kinds-1\"")), None);
        assert_eq!(program(&message(true, "null")), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(program("running"), None);
    }

    #[test]
    fn manifests_say_who_has_a_harness_of_its_own() {
        let manifest = "[package]\nname = \"node\"\n\n[[test]]\nname = \"agent\"\nharness = false\n\n[[test]]\nname = \"other\"\n";
        assert!(has_own_harness(manifest, "agent"));
        assert!(!has_own_harness(manifest, "other"));
        assert!(!has_own_harness(manifest, "node"));
    }
}
