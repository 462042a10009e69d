//! The source of `k8s-openapi`: which group versions and fields the release has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::table::{Table, Type, Value};

/// The module of the release inside the crate's source.
const RELEASE: &str = "src/v1_37";

/// The types of one release by their OpenAPI name, with the JSON names of their fields.
pub(crate) struct Release {
    types: BTreeMap<String, BTreeSet<String>>,
}

impl Release {
    /// Reads the types out of the crate in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Release> {
        let mut types = BTreeMap::new();
        collect(&dir.join(RELEASE), &mut types)?;
        if types.is_empty() {
            bail!("no types in {}", dir.join(RELEASE).display());
        }
        Ok(Release { types })
    }

    /// Whether the release has types of this Go package.
    pub(crate) fn serves(&self, package: &str) -> bool {
        let path = package.strip_prefix("k8s.io/").unwrap_or(package).replace('/', ".");
        let prefix = format!("io.k8s.{path}.");
        self.types.keys().any(|name| name.starts_with(&prefix))
    }

    /// Prints every type and field that only one side knows.
    pub(crate) fn compare(&self, table: &Table) {
        for (name, fields) in &self.types {
            let Some(ty) = table.types.get(name) else {
                println!("not in the table: {name}");
                continue;
            };
            if fields.is_empty() {
                continue;
            }
            let ours = json_names(table, ty);
            for field in fields.difference(&ours) {
                println!("not in the table: {name}.{field}");
            }
            for field in ours.difference(fields) {
                println!("not in k8s-openapi: {name}.{field}");
            }
        }
    }
}

fn json_names(table: &Table, ty: &Type) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for field in &ty.fields {
        match &field.ty {
            Value::Over(_, embedded) if field.inline => {
                names.extend(json_names(table, &table.types[&embedded.open_api()]));
            }
            _ => {
                names.insert(field.name.clone());
            }
        }
    }
    names
}

fn collect(dir: &Path, types: &mut BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, types)?;
        } else {
            let text = std::fs::read_to_string(&path)?;
            if let Some(name) =
                text.lines().next().and_then(|l| l.strip_prefix("// Generated from definition "))
            {
                types.insert(name.to_owned(), fields(&text));
            }
        }
    }
    Ok(())
}

/// The JSON names that the type's `deserialize_struct` call lists.
fn fields(text: &str) -> BTreeSet<String> {
    let list =
        text.split_once("deserializer.deserialize_struct(").and_then(|(_, rest)| rest.split_once("&["));
    let list = list.and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    list.lines()
        .map(|line| line.trim().trim_matches([',', '"']))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The folder of the `k8s-openapi` crate that this workspace depends on.
pub(crate) fn locate() -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .context("run cargo metadata")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "k8s-openapi")
        .and_then(|package| package["manifest_path"].as_str())
        .context("nothing here depends on k8s-openapi; give --k8s-openapi DIR")?;
    Ok(Path::new(manifest).parent().context("the manifest has no folder")?.to_owned())
}
