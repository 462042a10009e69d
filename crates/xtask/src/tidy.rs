//! `cargo xtask tidy`: checks that the compiler does not make.
//!
//! - Crates use each other only along the allowed edges.
//! - Files stay under 500 lines and functions under 70; tests and generated files may be longer. Those that were longer
//!   when this check was introduced are listed in `tidy-allow.txt` with their length, and may only shrink.
//! - The modules of a folder use each other in one direction (`circles`), and errors do not repeat their sources' text.
//! - Links in documents are not dead, and the tests and functions that they name exist. Every conformance test has its line,
//!   and every kind (`docs/kinds.md`, which `cargo xtask tidy write` writes).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, output, workspace};

mod circles;
mod conformance;
mod errors;
mod kinds;
mod named_tests;
mod source;
mod walks;

/// How many lines a file may have.
const FILE_LINES_MAX: usize = 500;
/// How many lines a function may have.
const FUNCTION_LINES_MAX: usize = 70;

/// Which of our crates a crate may use; `client` brings `object`, and so on, with it. Everything may use `causes`, `clock` and `metrics`.
const EDGES: &[(&str, &[&str])] = &[
    ("schema", &[]),
    ("causes", &[]),
    ("clock", &[]),
    ("metrics", &[]),
    ("tls", &[]),
    ("serve", &[]),
    ("texts", &[]),
    ("measures", &[]),
    ("object", &["schema", "texts"]),
    ("semantics", &["object"]),
    ("cron", &["object"]),
    ("managedfields", &["object", "schema"]),
    ("cel", &["object"]),
    ("rules", &["cel", "object", "schema"]),
    ("store", &["texts"]),
    ("kinds", &["cron", "rules", "object", "schema", "semantics"]),
    (
        "apiserver",
        &[
            "store",
            "kinds",
            "managedfields",
            "measures",
            "rules",
            "cel",
            "semantics",
            "object",
            "schema",
            "openapi",
            "serve",
            "tls",
        ],
    ),
    ("openapi", &[]),
    ("client", &["object", "semantics", "tls"]),
    ("local", &["apiserver", "client", "object"]),
    ("join", &["client", "object", "semantics", "tls"]),
    ("controllers", &["client", "cron", "object", "semantics"]),
    ("scheduler", &["client", "object", "schema", "semantics", "tls"]),
    ("cri", &[]),
    ("runtime", &["cri", "hostfs"]),
    ("hollow", &["client", "object"]),
    // Used by tests only.
    ("simulation", &["apiserver", "client", "local", "object", "store"]),
    ("volumes", &["client", "object", "hostfs"]),
    ("fuzz", &[]),
    ("hostfs", &[]),
    ("hostnet", &[]),
    ("network", &["client", "object", "semantics", "cri", "hostnet"]),
    ("proxy", &["client", "semantics", "hostnet"]),
    ("dns", &["client", "object", "semantics"]),
    // Not `runtime`: any engine behind `cri` will do.
    ("node", &["client", "object", "semantics", "cri", "volumes", "hostfs", "serve", "tls"]),
    ("testbed", &["hostnet"]),
    ("dev", &["testbed", "hostnet", "join", "object"]),
    ("bench", &["testbed", "hostnet"]),
    ("sample-web", &[]),
    ("xtask", &[]),
];

/// Runs all checks; `write` writes the documents that are made from others first.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [write] if write == "write" => kinds::write(&workspace())?,
        _ => bail!("usage: cargo xtask tidy [write]"),
    }
    let mut findings = Vec::new();
    check_edges(&mut findings)?;
    check_lengths(&mut findings)?;
    check_links(&mut findings)?;
    let root = workspace();
    named_tests::check(&root, &mut findings)?;
    conformance::check(&root, &mut findings)?;
    kinds::check(&root, &mut findings)?;
    let sources = source::read(&root)?;
    let allowed = fs::read_to_string(root.join("tidy-allow.txt")).unwrap_or_default();
    circles::check(&allowed, &sources, &mut findings);
    errors::check(&allowed, &sources, &mut findings);
    walks::check(&root, &sources, &mut findings)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy");
        return Ok(());
    }
    bail!("{} findings", findings.len())
}

fn check_edges(findings: &mut Vec<String>) -> Result<()> {
    let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if name == "ironhull" {
            continue;
        }
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            findings.push(format!("crate {name} is not in the table of edges (crates/xtask/src/tidy.rs)"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        // Dependencies of tests are not edges of the architecture.
        let used = dependencies.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
        let used: Vec<&str> = used.filter_map(|dependency| dependency["name"].as_str()).collect();
        for to in used.iter().filter(|to| {
            ours.contains(to) && !matches!(**to, "clock" | "metrics" | "causes") && !allowed.contains(to)
        }) {
            findings.push(format!("crate {name} must not use {to}"));
        }
        for to in allowed.iter().filter(|to| !used.contains(to)) {
            findings.push(format!("crate {name} does not use {to}: remove the edge from the table"));
        }
    }
    Ok(())
}

fn check_lengths(findings: &mut Vec<String>) -> Result<()> {
    let root = workspace();
    let allowed = allow_list(&root)?;
    let mut lengths = BTreeMap::new();
    for path in tracked(&root, "*.rs")? {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        if is_exempt(&name) {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        let lines: Vec<&str> = text.lines().collect();
        // Tests at a file's end do not count.
        let end = lines.iter().position(|line| line.starts_with("mod tests {")).unwrap_or(lines.len());
        if end > FILE_LINES_MAX {
            lengths.insert(name.clone(), (end, FILE_LINES_MAX));
        }
        for (function, length) in functions(&lines[..end]) {
            if length > FUNCTION_LINES_MAX {
                lengths.insert(format!("{name}:{function}"), (length, FUNCTION_LINES_MAX));
            }
        }
    }
    for (name, (length, max)) in &lengths {
        match allowed.get(name) {
            None => findings.push(format!("{name} has {length} lines; {max} are allowed")),
            Some(was) if length > was => findings.push(format!("{name} grew from {was} to {length} lines")),
            Some(_) => {}
        }
    }
    for name in allowed.keys().filter(|name| !lengths.contains_key(*name)) {
        findings.push(format!("{name} is short enough now: remove it from tidy-allow.txt"));
    }
    Ok(())
}

/// Entries of the form `FILE LINES` and `FILE:FUNCTION LINES`.
fn allow_list(root: &Path) -> Result<BTreeMap<String, usize>> {
    let text = fs::read_to_string(root.join("tidy-allow.txt")).unwrap_or_default();
    // Lengths are those of files of Rust.
    let is_length = |line: &&str| line.starts_with("crates/");
    let lines = text.lines().filter(is_length);
    lines
        .map(|line| {
            let (name, length) =
                line.rsplit_once(' ').with_context(|| format!("tidy-allow.txt: {line:?}"))?;
            Ok((name.to_owned(), length.parse().with_context(|| format!("tidy-allow.txt: {line:?}"))?))
        })
        .collect()
}

fn is_exempt(name: &str) -> bool {
    name.contains("/generated")
        || name.contains("/tests/")
        || name.ends_with("tests.rs")
        || name.contains("/examples/")
}

/// The functions of formatted code, with their lengths: from the line with `fn` to the brace that closes it.
fn functions(lines: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(indent));
        let body = lines[index..].iter().position(|line| *line == close);
        // A function of a trait, or one on a single line, has no such brace before the next function.
        let next = lines[index + 1..]
            .iter()
            .position(|line| function_name(line).is_some() && line.len() - line.trim_start().len() <= indent);
        if let Some(length) = body.filter(|body| next.is_none_or(|next| *body <= next)) {
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

/// The name of the function that a line begins.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    loop {
        let (word, rest) = words.split_once(' ')?;
        match word {
            "fn" => return rest.split(['(', '<']).next(),
            "async" | "unsafe" | "const" | "extern" | "\"C\"" => words = rest,
            word if word.starts_with("pub") => words = rest.strip_prefix("self) ").unwrap_or(rest),
            _ => return None,
        }
    }
}

fn check_links(findings: &mut Vec<String>) -> Result<()> {
    let root = workspace();
    for path in tracked(&root, "*.md")? {
        let text = fs::read_to_string(&path)?;
        let folder = path.parent().unwrap_or(&root);
        for link in links(&text) {
            let file = link.split('#').next().unwrap_or_default();
            let is_elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !is_elsewhere && !folder.join(file).exists() {
                let name = path.strip_prefix(&root).unwrap_or(&path).display();
                findings.push(format!("{name}: the link to {link} is dead"));
            }
        }
    }
    Ok(())
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    let pieces = text.split("](").skip(1);
    pieces.filter_map(|piece| piece.split_once(')').map(|(link, _)| link)).collect()
}

/// The files that git knows, or would know, of a pattern.
fn tracked(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "--", pattern]).current_dir(root);
    let files = output(&mut git)?;
    Ok(files.lines().map(|line| root.join(line)).filter(|path| path.exists()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured() {
        let text = "impl A {\n    fn short(&self);\n    pub(crate) async fn long(\n        &self,\n    ) {\n        x();\n    }\n}\nfn last() {\n}\n";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(functions(&lines), [("long".to_owned(), 5), ("last".to_owned(), 2)]);
    }

    #[test]
    fn links_are_found() {
        assert_eq!(links("see [a](b.md) and [c](d.md#e)"), ["b.md", "d.md#e"]);
    }
}
