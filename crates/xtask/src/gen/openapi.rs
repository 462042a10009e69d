//! The source of `k8s-openapi`: which group versions and fields the release has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::table::{Fact, Table, Type, Value};

/// The module of the release inside the crate's source.
const RELEASE: &str = "src/v1_37";

/// Definitions without a type in the table: they have a special JSON form, or are aliases.
const NO_TYPE: &[&str] = &[
    "io.k8s.List",
    // An alias of the type of v1.
    "io.k8s.api.admissionregistration.v1alpha1.MatchCondition",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
];

/// Fields that `k8s-openapi` requires although upstream's documents do not, or the reverse.
const REQUIRED_THERE: &[&str] = &[
    "io.k8s.api.core.v1.ConfigMapEnvSource.name",
    "io.k8s.api.core.v1.ConfigMapKeySelector.name",
    "io.k8s.api.core.v1.ConfigMapProjection.name",
    "io.k8s.api.core.v1.ConfigMapVolumeSource.name",
    "io.k8s.api.core.v1.LocalObjectReference.name",
    "io.k8s.api.core.v1.SecretEnvSource.name",
    "io.k8s.api.core.v1.SecretKeySelector.name",
    "io.k8s.api.core.v1.SecretProjection.name",
    "io.k8s.api.events.v1.Event.eventTime",
];

/// The types of one release by their OpenAPI name.
pub(crate) struct Release {
    types: BTreeMap<String, Known>,
}

/// The JSON names of a type's fields.
struct Known {
    all: BTreeSet<String>,
    required: BTreeSet<String>,
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

    /// Fails on types, fields and required fields that only one side knows.
    pub(crate) fn compare(&self, table: &Table) -> Result<()> {
        let mut differences = Vec::new();
        for (name, known) in &self.types {
            let Some(ty) = table.types.get(name) else {
                if !NO_TYPE.contains(&name.as_str()) {
                    differences.push(format!("{name} is not in the table"));
                }
                continue;
            };
            // Types that are one plain value there, and that hide the fields of their objects.
            if known.all.is_empty() {
                continue;
            }
            let all = json_names(table, ty, |_| true);
            for field in known.all.symmetric_difference(&all) {
                differences.push(format!("only one side has {name}.{field}"));
            }
            let required = json_names(table, ty, |field| field.required);
            for field in known.required.symmetric_difference(&required) {
                let name = format!("{name}.{field}");
                // It makes all metadata required, which upstream does not.
                if field != "metadata" && !REQUIRED_THERE.contains(&name.as_str()) {
                    differences.push(format!("only one side requires {name}"));
                }
            }
        }
        if !differences.is_empty() {
            bail!("the API definitions differ from k8s-openapi:\n{}", differences.join("\n"));
        }
        Ok(())
    }
}

/// The JSON names of the fields that `keep` keeps, also of embedded types.
fn json_names(table: &Table, ty: &Type, keep: fn(&Fact) -> bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for field in &ty.fields {
        match &field.ty {
            Value::Over(_, embedded) if field.inline => {
                names.extend(json_names(table, &table.types[&embedded.open_api()], keep));
            }
            _ if keep(field) => {
                names.insert(field.name.clone());
            }
            _ => {}
        }
    }
    names
}

fn collect(dir: &Path, types: &mut BTreeMap<String, Known>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, types)?;
        } else {
            let text = std::fs::read_to_string(&path)?;
            if let Some(name) =
                text.lines().next().and_then(|l| l.strip_prefix("// Generated from definition "))
            {
                types.insert(name.to_owned(), known(&text));
            }
        }
    }
    Ok(())
}

/// The JSON names that the type's `deserialize_struct` call and its schema's `required` list.
fn known(text: &str) -> Known {
    let after = |mark: &str| text.split_once(mark).map_or("", |(_, rest)| rest);
    let call = after("deserializer.deserialize_struct(");
    // The schema of the type itself is the outermost: its list has the smallest indentation.
    Known {
        all: quoted_lines(call.split_once("&[").map_or("", |(_, rest)| rest)),
        required: quoted_lines(after("\n            \"required\": [")),
    }
}

/// The quoted words of the lines up to the closing bracket.
fn quoted_lines(text: &str) -> BTreeSet<String> {
    let list = text.split_once(']').map_or("", |(list, _)| list);
    let words = list.lines().map(|line| line.trim().trim_matches([',', '"']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
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
