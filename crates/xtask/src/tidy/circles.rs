//! The modules of a folder form a ladder: none of them uses another that uses it, directly or indirectly.
//!
//! For each folder, the modules directly in it are checked, each with everything below it. A parent and its own
//! children do not count as a circle: a parent re-exports and wires, and may hold the types that all share. Circles
//! that existed when this check was introduced are listed in `tidy-allow.txt` as `circle FOLDER: MODULE MODULE...`, and
//! may only shrink.

use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

use super::source::{Source, is_for_tests};

/// A module by its path in the crate.
type Module = Vec<String>;
/// Who uses whom among the modules of one folder.
type Edges = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check(allow_list: &str, sources: &[Source], findings: &mut Vec<String>) {
    let allowed = allowed(allow_list);
    let packages: BTreeSet<&str> = sources.iter().map(|source| &*source.package).collect();
    let mut found = BTreeSet::new();
    for package in packages {
        let of_package: Vec<&Source> = sources.iter().filter(|source| source.package == package).collect();
        for (folder, edges) in folders(&of_package) {
            for circle in circles(&edges) {
                let place = [package].into_iter().chain(folder.iter().map(String::as_str));
                found.insert((place.collect::<Vec<_>>().join("/"), circle));
            }
        }
    }
    for circle in found.difference(&allowed) {
        let (folder, modules) = circle;
        let names = modules.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let grew = allowed.iter().any(|(at, was)| at == folder && modules.is_subset(was));
        let why =
            if grew { "is smaller now: change it in tidy-allow.txt" } else { "use each other in a circle" };
        findings.push(format!("circle {folder}: {names}: {why}"));
    }
    for (folder, modules) in allowed.difference(&found) {
        if !found.iter().any(|(at, is)| at == folder && is.is_subset(modules)) {
            let names = modules.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            findings.push(format!("circle {folder}: {names} is gone: remove it from tidy-allow.txt"));
        }
    }
}

/// The circles that are allowed: folder, and modules in it.
fn allowed(text: &str) -> BTreeSet<(String, BTreeSet<String>)> {
    let entries = text.lines().filter_map(|line| line.strip_prefix("circle ")?.split_once(": "));
    entries
        .map(|(folder, names)| (folder.to_owned(), names.split(' ').map(str::to_owned).collect()))
        .collect()
}

/// Who uses whom, by folder.
fn folders(sources: &[&Source]) -> BTreeMap<Module, Edges> {
    let names: BTreeMap<&Module, Names> =
        sources.iter().map(|source| (&source.module, Names::of(source))).collect();
    let mut folders: BTreeMap<Module, Edges> = BTreeMap::new();
    for source in sources {
        for path in &names[&source.module].used {
            let target = resolve(&names, path.clone(), 0);
            let common = source.module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (source.module.get(common), target.get(common)) {
                let edges = folders.entry(target[..common].to_vec()).or_default();
                edges.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    folders
}

/// The module that defines the target of a path, as far as imports show it.
fn resolve(names: &BTreeMap<&Module, Names>, path: Vec<String>, depth: usize) -> Module {
    let mut module = Module::new();
    for (index, segment) in path.iter().enumerate() {
        let mut below = module.clone();
        below.push(segment.clone());
        if names.contains_key(&below) {
            module = below;
            continue;
        }
        // Chains of re-exports are short; imports that name each other would not end.
        let target = names.get(&module).and_then(|known| known.imported.get(segment));
        if let Some(target) = target.filter(|_| depth < 8) {
            let rest = path[index + 1..].iter().cloned();
            return resolve(names, target.iter().cloned().chain(rest).collect(), depth + 1);
        }
        break;
    }
    module
}

/// The names that a file uses from its own crate.
#[derive(Default)]
struct Names {
    /// The target of each imported name.
    imported: BTreeMap<String, Vec<String>>,
    /// Every path that it uses.
    used: BTreeSet<Vec<String>>,
}

impl Names {
    fn of(source: &Source) -> Names {
        let mut reader = Reader { module: &source.module, names: Names::default() };
        reader.visit_file(&source.file);
        reader.names
    }
}

struct Reader<'a> {
    module: &'a Module,
    names: Names,
}

impl Reader<'_> {
    /// A path from the crate's root on; `None` for those of other crates.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut from = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.module.clone(),
            _ => return None,
        };
        let ups = path.iter().filter(|segment| *segment == "super").count();
        from.truncate(from.len().checked_sub(ups)?);
        let rest = path.iter().skip_while(|segment| matches!(segment.as_str(), "crate" | "self" | "super"));
        from.extend(rest.cloned());
        Some(from)
    }

    fn import(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before, tree)),
            syn::UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.name(last, before.to_vec());
            }
            syn::UseTree::Name(name) => self.name(name.ident.to_string(), with(&name.ident)),
            syn::UseTree::Rename(rename) => self.name(rename.rename.to_string(), with(&rename.ident)),
            syn::UseTree::Glob(_) => self.names.used.extend(self.absolute(before)),
        }
    }

    fn name(&mut self, name: String, path: Vec<String>) {
        // `use child::Name` in the parent of `child`.
        let path = self.absolute(&path).unwrap_or_else(|| [self.module.as_slice(), path.as_slice()].concat());
        self.names.used.insert(path.clone());
        self.names.imported.insert(name, path);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.import(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.names.used.extend(self.absolute(&segments));
        visit::visit_path(self, path);
    }
}

/// The groups of names that reach each other.
fn circles(edges: &Edges) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|name| (name, reach(edges, name))).collect();
    let reaches = |from: &String, to: &String| reached.get(from).is_some_and(|all| all.contains(to));
    let of = |name: &String| -> BTreeSet<String> {
        edges.keys().filter(|other| reaches(name, other) && reaches(other, name)).cloned().collect()
    };
    edges.keys().map(of).filter(|circle| circle.len() > 1).collect()
}

fn reach<'a>(edges: &'a Edges, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&String> = edges.get(from).into_iter().flatten().collect();
    while let Some(name) = todo.pop() {
        if reached.insert(name) {
            todo.extend(edges.get(name).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(module: &str, text: &str) -> Source {
        let module = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let file = syn::parse_str(text).unwrap();
        Source { package: "p".into(), name: String::new(), module, file }
    }

    fn found(sources: &[Source]) -> Vec<String> {
        let sources: Vec<&Source> = sources.iter().collect();
        let folders = folders(&sources);
        let all =
            folders.iter().flat_map(|(folder, edges)| circles(edges).into_iter().map(move |c| (folder, c)));
        all.map(|(folder, circle)| format!("{}: {}", folder.join("/"), Vec::from_iter(circle).join(" ")))
            .collect()
    }

    #[test]
    fn circles_are_found_whatever_way_names_come() {
        let root = source("", "mod a; mod b; mod c; pub use c::Other;");
        let direct = [source("a", "use crate::b::Name;"), source("b", "fn f() { crate::a::g() }")];
        assert_eq!(found(&direct), [": a b"]);
        let through_the_root =
            [root, source("a", "use crate::c::X;"), source("c", "struct Other; use super::a::Y;")];
        assert_eq!(found(&through_the_root), [": a c"]);
        let re_exported = [
            source("", "mod d; pub use d::e::Name;"),
            source("d::e", "use super::f::Z;"),
            source("d", "pub mod e; mod f;"),
            source("d::f", "use crate::Name;"),
        ];
        assert_eq!(found(&re_exported), ["d: e f"]);
    }

    #[test]
    fn ladders_parents_and_tests_are_none() {
        let sources = [
            source("a", "mod b; mod c; use c::run; pub struct Shared;"),
            source("a::b", "use super::Shared;"),
            source(
                "a::c",
                "use super::{Shared, b::Name}; #[cfg(test)] mod tests { use super::super::d::T; }",
            ),
            source("a::d", "use super::c::run;"),
        ];
        assert_eq!(found(&sources), [""; 0]);
    }

    #[test]
    fn allowed_circles_are_read() {
        let allowed = allowed("crates/a.rs 600\ncircle a/b: c d\n");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(Vec::from_iter(allowed), [("a/b".to_owned(), names(&["c", "d"]))]);
    }
}
