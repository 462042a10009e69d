//! The functions that ARCHITECTURE.md walks through exist.
//!
//! A walk is a numbered list; in its items `crate::module::function` and `crate::module::Type::function` in backticks
//! name functions, and may leave out modules that a crate re-exports from.

use std::fs;
use std::path::Path;

use anyhow::Result;
use syn::visit::{self, Visit};

use super::source::Source;

/// A function, and where it is defined.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    package: String,
    module: Vec<String>,
    /// The type or trait that it belongs to.
    of: Option<String>,
    name: String,
}

pub(super) fn check(root: &Path, sources: &[Source], findings: &mut Vec<String>) -> Result<()> {
    let functions: Vec<Function> = sources.iter().flat_map(functions).collect();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    for path in named(&text) {
        if !functions.iter().any(|function| function.is(path)) {
            findings.push(format!("ARCHITECTURE.md walks through {path}, which does not exist"));
        }
    }
    Ok(())
}

impl Function {
    fn is(&self, path: &str) -> bool {
        let mut parts = path.split("::").map(str::to_owned).collect::<Vec<_>>();
        let name = parts.pop();
        let of = parts.pop_if(|part| part.starts_with(|c: char| c.is_ascii_uppercase()));
        let Some((package, module)) = parts.split_first() else { return false };
        *package == self.package
            && name.as_ref() == Some(&self.name)
            && of == self.of
            && self.module.starts_with(module)
    }
}

/// The functions of a file.
fn functions(source: &Source) -> Vec<Function> {
    let mut reader = Reader { source, of: None, found: Vec::new() };
    reader.visit_file(&source.file);
    reader.found
}

struct Reader<'a> {
    source: &'a Source,
    of: Option<String>,
    found: Vec<Function>,
}

impl Reader<'_> {
    fn add(&mut self, name: &syn::Ident) {
        let Source { package, module, .. } = self.source;
        let (package, module) = (package.clone(), module.clone());
        self.found.push(Function { package, module, of: self.of.clone(), name: name.to_string() });
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig.ident);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let syn::Type::Path(path) = &*item.self_ty {
            self.of = path.path.segments.last().map(|segment| segment.ident.to_string());
            visit::visit_item_impl(self, item);
            self.of = None;
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.of = Some(item.ident.to_string());
        visit::visit_item_trait(self, item);
        self.of = None;
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.add(&item.sig.ident);
    }
}

/// The functions that numbered lists name.
fn named(text: &str) -> Vec<&str> {
    let mut is_item = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let starts = line.trim_start().split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        // An item continues in indented lines.
        is_item = starts || is_item && line.starts_with(' ');
        if is_item {
            found.extend(line.split('`').skip(1).step_by(2).filter(|text| is_function(text)));
        }
    }
    found
}

fn is_function(text: &str) -> bool {
    let last = text.rsplit("::").next().unwrap_or_default();
    let is_word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    text.contains("::") && text.split("::").all(is_word) && last.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_in_numbered_lists_only() {
        let text = "`a::b`\n\n1. `c::D::e` reads `Thing`,\n   then `c::f::g`.\n2. `h::I`, `j`\n\n`k::l`\n";
        assert_eq!(named(text), ["c::D::e", "c::f::g"]);
    }

    #[test]
    fn functions_are_found_where_they_are() {
        let text = "fn free() {} impl Thing<T> { async fn go(&self) {} } trait Doer { fn act(&self); }";
        let module = vec!["deep".to_owned(), "down".to_owned()];
        let source =
            Source { package: "p".into(), name: String::new(), module, file: syn::parse_str(text).unwrap() };
        let functions = functions(&source);
        let knows = |path: &str| functions.iter().any(|function| function.is(path));
        for path in ["p::deep::down::free", "p::deep::Thing::go", "p::Thing::go", "p::deep::Doer::act"] {
            assert!(knows(path), "{path}");
        }
        for path in ["p::deep::down::go", "q::free", "p::up::free", "p::Thing::free", "p::gone"] {
            assert!(!knows(path), "{path}");
        }
    }
}
