//! Collects the description texts of the Kubernetes API from the sources of the `k8s-openapi` crate, which `cargo` has
//! downloaded anyway, and packs them into one compressed file for `include_bytes!`.
//!
//! The crate itself provides these texts through its feature `schemars`. Because cargo unifies features, that would be
//! switched on for every crate of the workspace, and would cost minutes and megabytes; see
//! `docs/decisions/openapi-texts.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The module of the API version whose texts are packed; the feature of `k8s-openapi` has the same name.
const API_VERSION: &str = "v1_37";
/// Fewer texts than this mean that the sources no longer look as this script expects.
const TEXTS_MIN: usize = 3000;

/// Texts by type and field; the field is empty for the type's own text.
type Texts = BTreeMap<(String, String), String>;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let sources = sources()?;
    println!("cargo::rerun-if-changed={}", sources.display());
    let mut texts = Texts::new();
    read_directory(&sources, &mut texts)?;
    ensure!(texts.len() >= TEXTS_MIN, "only {} descriptions found in {}", texts.len(), sources.display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let file = fs::File::create(out.join("descriptions.gz"))?;
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    for ((ty, field), text) in &texts {
        ensure!(!text.contains(['\u{1e}', '\u{1f}']), "{ty}.{field} holds a separator");
        write!(packed, "{ty}\u{1f}{field}\u{1f}{text}\u{1e}")?;
    }
    packed.finish()?;
    Ok(())
}

/// Where cargo keeps the sources of the `k8s-openapi` that the workspace is locked to.
fn sources() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("cargo sets {name}"));
    let output = Command::new(variable("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &variable("TARGET")?])
        .current_dir(variable("CARGO_MANIFEST_DIR")?)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let package = packages.iter().find(|package| package["name"] == "k8s-openapi");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.context("the workspace depends on k8s-openapi")?);
    Ok(manifest.parent().context("a manifest lies in a directory")?.join("src").join(API_VERSION))
}

fn read_directory(directory: &Path, texts: &mut Texts) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read_directory(&path, texts)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path)?;
            read_source(&source, texts).with_context(|| format!("in {}", path.display()))?;
        }
    }
    Ok(())
}

/// Reads the texts out of a type's generated `JsonSchema` implementation, line by line: the type's name is below `fn
/// schema_name`, its text at an indentation of 12, a field's name at 16 and its text at 20.
fn read_source(source: &str, texts: &mut Texts) -> Result<()> {
    let mut ty = None;
    let mut field = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("fn schema_name()") {
            let name = lines.next().map(str::trim).and_then(|line| line.strip_suffix(".into()"));
            ty = name.map(unquote).transpose()?;
            field.clear();
            continue;
        }
        let Some(ty) = &ty else { continue };
        let text = line.trim_start();
        match line.len() - text.len() {
            12 if field.is_empty() => {
                if let Some(literal) = text.strip_prefix("\"description\": ") {
                    texts.insert((ty.clone(), String::new()), unquote(literal.trim_end_matches(','))?);
                }
            }
            16 => {
                if let Some((name, "{" | "({")) = text.rsplit_once(": ") {
                    field = unquote(name)?;
                }
            }
            20 => {
                let inserted = text.split_once("insert(\"description\".into(), ");
                let literal = match inserted {
                    Some((_, rest)) => rest.strip_suffix(".into());"),
                    None => text.strip_prefix("\"description\": ").map(|rest| rest.trim_end_matches(',')),
                };
                if let Some(literal) = literal {
                    texts.insert((ty.clone(), field.clone()), unquote(literal)?);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text of a Rust string literal.
fn unquote(literal: &str) -> Result<String> {
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.with_context(|| format!("{literal} is no string literal"))?;
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some(escaped @ ('"' | '\\' | '\'')) => text.push(escaped),
            Some('u') => {
                let code: String = characters.by_ref().skip(1).take_while(|c| *c != '}').collect();
                let code = u32::from_str_radix(&code, 16)?;
                text.push(char::from_u32(code).with_context(|| format!("{code:x} is no character"))?);
            }
            other => bail!("unknown escape {other:?}"),
        }
    }
    Ok(text)
}
