//! The workspace's parsed sources, for the checks of structure.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{is_exempt, tracked};

/// One file of a crate's `src`.
pub(super) struct Source {
    /// The crate's folder, which is its name.
    pub package: String,
    /// Where it is in the workspace.
    pub name: String,
    /// The module that it is; empty for the crate's root.
    pub module: Vec<String>,
    pub file: syn::File,
}

/// All sources but tests, examples and generated ones.
pub(super) fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in tracked(root, "crates/*/src/*.rs")? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let Some((package, module)) = place(&name).filter(|_| !is_exempt(&name)) else { continue };
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        let file = syn::parse_file(&text).with_context(|| name.clone())?;
        sources.push(Source { package, name, module, file });
    }
    Ok(sources)
}

/// The crate and the module of a file, from its path.
fn place(name: &str) -> Option<(String, Vec<String>)> {
    let (package, file) = name.strip_prefix("crates/")?.split_once("/src/")?;
    let mut module: Vec<String> = file.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if module.len() == 1 && matches!(&*module[0], "lib" | "main") {
        module.clear();
    }
    Some((package.to_owned(), module))
}

/// Whether something exists in tests only.
pub(super) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.path().is_ident("cfg").then(|| attribute.meta.require_list().ok()).flatten();
        list.is_some_and(|list| list.tokens.to_string() == "test")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_module() {
        let module = |name| place(name).map(|(package, module)| format!("{package} {}", module.join("::")));
        assert_eq!(module("crates/a/src/lib.rs").as_deref(), Some("a "));
        assert_eq!(module("crates/a/src/b.rs").as_deref(), Some("a b"));
        assert_eq!(module("crates/a/src/b/c.rs").as_deref(), Some("a b::c"));
        assert_eq!(module("crates/a/build.rs"), None);
    }
}
