//! Where facts come from: checkouts of the API definitions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::go::{self, Body, Decl, Package};
use super::proto::{self, Numbers};
use super::supplement::SUPPLEMENTS;

/// A Go type by package and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeName {
    pub(crate) package: String,
    pub(crate) name: String,
}

impl TypeName {
    /// The name in OpenAPI: `k8s.io/api/core/v1` and `Pod` give `io.k8s.api.core.v1.Pod`.
    pub(crate) fn open_api(&self) -> String {
        let path = self.package.strip_prefix("k8s.io/").unwrap_or(&self.package);
        format!("io.k8s.{}.{}", path.replace('/', "."), self.name)
    }
}

/// The packages of the API definitions.
pub(crate) struct Sources {
    packages: BTreeMap<String, (Package, Numbers)>,
}

impl Sources {
    /// Reads the packages with these import paths. `root` holds the checkouts by repository name (`api`,
    /// `apimachinery`, ...).
    pub(crate) fn read(root: &Path, paths: impl IntoIterator<Item = String>) -> Result<Sources> {
        let mut packages = BTreeMap::new();
        for path in paths {
            let dir = dir_of(root, &path);
            let package = go::read_package(&path, &dir)?;
            let numbers = match std::fs::read_to_string(dir.join("generated.proto")) {
                Ok(text) => proto::parse(&text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Numbers::new(),
                Err(error) => return Err(error).context(format!("{}/generated.proto", dir.display())),
            };
            packages.insert(path, (package, numbers));
        }
        let mut sources = Sources { packages };
        for supplement in SUPPLEMENTS {
            for path in supplement.packages {
                sources.add(path, supplement.ty, supplement.members)?;
            }
        }
        Ok(sources)
    }

    /// Adds members, with the numbers that their tags name, to a type.
    fn add(&mut self, path: &str, ty: &str, lines: &str) -> Result<()> {
        let (package, numbers) =
            self.packages.get_mut(path).with_context(|| format!("package {path} was not read"))?;
        let added = go::parse_members(path, lines)?;
        let message = numbers.entry(ty.to_owned()).or_default();
        for member in &added {
            let (name, _) = member.json();
            if message.insert(name.to_owned(), member.tagged_number()).is_some() {
                bail!("the checkouts know {path} {ty}.{name}: remove it from the supplements");
            }
        }
        let decl = package.types.entry(ty.to_owned());
        let decl = decl.or_insert_with(|| Decl { markers: Vec::new(), body: Body::Struct(Vec::new()) });
        match &mut decl.body {
            Body::Struct(members) => members.extend(added),
            Body::Named(_) => bail!("{path} {ty} is no struct"),
        }
        Ok(())
    }

    /// The package with this import path.
    pub(crate) fn package(&self, path: &str) -> Result<&Package> {
        let found = self.packages.get(path).with_context(|| format!("package {path} was not read"))?;
        Ok(&found.0)
    }

    /// The declaration of a type.
    pub(crate) fn decl(&self, name: &TypeName) -> Result<&Decl> {
        self.package(&name.package)?
            .types
            .get(&name.name)
            .with_context(|| format!("{} declares no {}", name.package, name.name))
    }

    /// The field numbers of a type's message; `None` if the type has no protobuf form.
    pub(crate) fn message(&self, name: &TypeName) -> Option<&BTreeMap<String, u32>> {
        self.packages.get(&name.package)?.1.get(&name.name)
    }
}

fn dir_of(root: &Path, path: &str) -> PathBuf {
    root.join(path.strip_prefix("k8s.io/").unwrap_or(path))
}

/// The group versions that the checkout of `repository` defines below `folder`, as import paths.
pub(crate) fn group_versions(root: &Path, repository: &str, folder: &str) -> Result<Vec<String>> {
    let base = format!("k8s.io/{repository}{folder}");
    let mut found = Vec::new();
    for group in folders(&dir_of(root, &base))? {
        for version in folders(&dir_of(root, &base).join(&group))? {
            let path = format!("{base}/{group}/{version}");
            if dir_of(root, &path).join("register.go").is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn folders(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
