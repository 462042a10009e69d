//! Reads type declarations out of Go source: structs with their tags and comment markers, and named types.
//!
//! This is not a Go parser: it relies on the layout that gofmt gives to API definitions, one member per line.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};

/// The declarations of one Go package.
#[derive(Debug)]
pub(crate) struct Package {
    /// The import path, for example `k8s.io/api/core/v1`.
    pub(crate) path: String,
    /// The declared types, by name.
    pub(crate) types: BTreeMap<String, Decl>,
    /// String constants, by name.
    pub(crate) constants: BTreeMap<String, String>,
}

impl Package {
    /// The API group; empty for the core group and for packages without one.
    pub(crate) fn group(&self) -> &str {
        self.constants.get("GroupName").map_or("", String::as_str)
    }
}

/// One type declaration.
#[derive(Debug)]
pub(crate) struct Decl {
    /// Comment markers without their `+`, for example `structType=atomic`.
    pub(crate) markers: Vec<String>,
    /// The declaration.
    pub(crate) body: Body,
}

/// The right side of a type declaration.
#[derive(Debug)]
pub(crate) enum Body {
    /// `type X struct { ... }`
    Struct(Vec<Member>),
    /// `type X Y` and `type X = Y`
    Named(GoType),
}

/// One member of a struct.
#[derive(Debug)]
pub(crate) struct Member {
    /// The Go name; the type's name where the member is embedded.
    pub(crate) name: String,
    /// Whether Go embeds the member's type.
    pub(crate) embedded: bool,
    /// The type.
    pub(crate) ty: GoType,
    /// The tags by key, for example `json`.
    pub(crate) tags: BTreeMap<String, String>,
    /// Comment markers without their `+`.
    pub(crate) markers: Vec<String>,
}

impl Member {
    /// The name and the options of the JSON tag.
    pub(crate) fn json(&self) -> (&str, Vec<&str>) {
        let mut parts = self.tags.get("json").map_or("", String::as_str).split(',');
        (parts.next().unwrap_or_default(), parts.collect())
    }

    /// The field number that the protobuf tag names; 0 if none.
    pub(crate) fn tagged_number(&self) -> u32 {
        let tag = self.tags.get("protobuf").map_or("", String::as_str);
        tag.split(',').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A type expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GoType {
    /// A named type; builtins have an empty package path.
    Name { package: String, name: String },
    /// `*T`
    Pointer(Box<GoType>),
    /// `[]T`
    Slice(Box<GoType>),
    /// `map[K]T`; every key of the API is a string.
    Map(Box<GoType>),
    /// `interface{}`
    Any,
}

const BUILTINS: &[&str] = &["bool", "string", "byte", "int", "int32", "int64", "uint8", "float64", "any"];

/// Reads all declarations of the package in `dir`.
pub(crate) fn read_package(path: &str, dir: &Path) -> Result<Package> {
    let mut package = Package { path: path.to_owned(), types: BTreeMap::new(), constants: BTreeMap::new() };
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| format!("read {}", dir.display()))?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|file| is_source(file))
        .collect();
    files.sort();
    for file in files {
        let text = without_block_comments(&std::fs::read_to_string(&file)?);
        Reader::new(&text, &mut package).read().with_context(|| format!("in {}", file.display()))?;
    }
    Ok(package)
}

/// Reads the members in `lines`, which refer only to types of the package itself.
pub(crate) fn parse_members(package: &str, lines: &str) -> Result<Vec<Member>> {
    let resolve = |text: &str| go_type(text, package, &BTreeMap::new());
    let members = lines.lines().map(|line| member(line.trim(), Vec::new(), resolve));
    Ok(members.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn is_source(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".go")
        && !name.ends_with("_test.go")
        && !name.ends_with(".pb.go")
        && !name.starts_with("zz_generated")
}

fn without_block_comments(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        inside |= line.trim_start().starts_with("/*");
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        inside &= !line.contains("*/");
    }
    out
}

struct Reader<'a> {
    lines: std::iter::Peekable<std::str::Lines<'a>>,
    imports: Rc<BTreeMap<String, String>>,
    package: &'a mut Package,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, package: &'a mut Package) -> Reader<'a> {
        Reader { lines: text.lines().peekable(), imports: Rc::new(imports(text)), package }
    }

    fn read(&mut self) -> Result<()> {
        // The markers of a type may stand in the comment before its doc comment.
        let mut comments: [Vec<String>; 2] = Default::default();
        while let Some(line) = self.lines.next() {
            let trimmed = line.trim();
            if let Some(comment) = trimmed.strip_prefix("//") {
                comments[1].extend(marker(comment));
            } else if trimmed.is_empty() {
                comments = [std::mem::take(&mut comments[1]), Vec::new()];
            } else {
                if let Some(rest) = line.strip_prefix("type ") {
                    self.declaration(rest, std::mem::take(&mut comments).concat())?;
                } else if let Some((name, value)) = constant(trimmed) {
                    self.package.constants.insert(name, value);
                }
                comments = Default::default();
            }
        }
        Ok(())
    }

    fn declaration(&mut self, rest: &str, markers: Vec<String>) -> Result<()> {
        let Some((name, rest)) = rest.split_once(' ') else { return Ok(()) };
        let rest = rest.trim().trim_start_matches("= ");
        let body = if rest == "struct {" {
            Body::Struct(self.members()?)
        } else if rest.starts_with("struct") {
            Body::Struct(Vec::new())
        } else if rest.starts_with("interface") || rest.starts_with("func") || name == "(" {
            return Ok(());
        } else {
            Body::Named(self.go_type(rest.split(" //").next().unwrap_or(rest).trim())?)
        };
        self.package.types.insert(name.to_owned(), Decl { markers, body });
        Ok(())
    }

    fn members(&mut self) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        let mut markers = Vec::new();
        for line in self.lines.by_ref() {
            let trimmed = line.trim();
            if trimmed == "}" {
                return Ok(members);
            } else if let Some(comment) = trimmed.strip_prefix("//") {
                markers.extend(marker(comment));
            } else if trimmed.is_empty() {
                markers.clear();
            } else {
                let resolve = |text: &str| go_type(text, &self.package.path, &self.imports);
                members.extend(member(trimmed, std::mem::take(&mut markers), resolve)?);
            }
        }
        bail!("a struct does not end")
    }

    fn go_type(&self, text: &str) -> Result<GoType> {
        go_type(text, &self.package.path, &self.imports)
    }
}

/// The imported paths by their names in this file.
fn imports(text: &str) -> BTreeMap<String, String> {
    let mut imports = BTreeMap::new();
    for line in text.lines().take_while(|line| !line.starts_with("type ")) {
        let line = line.trim().trim_start_matches("import ");
        let Some((alias, rest)) = line.split_once('"') else { continue };
        let Some(path) = rest.strip_suffix('"') else { continue };
        let alias = alias.trim();
        let last = path.rsplit('/').next().unwrap_or(path);
        imports.insert(if alias.is_empty() { last } else { alias }.to_owned(), path.to_owned());
    }
    imports
}

fn marker(comment: &str) -> Option<String> {
    comment.trim().strip_prefix('+').map(|marker| marker.trim().to_owned())
}

/// `Name Type = "value"` and `Name = "value"`.
fn constant(line: &str) -> Option<(String, String)> {
    let (left, right) = line.trim_start_matches("const ").split_once(" = \"")?;
    let name = left.split_whitespace().next()?;
    Some((name.to_owned(), right.split('"').next()?.to_owned()))
}

/// One line of a struct; `None` for members without tags, which no encoding shows.
fn member(
    line: &str,
    markers: Vec<String>,
    go_type: impl Fn(&str) -> Result<GoType>,
) -> Result<Option<Member>> {
    let (left, tags) = match line.split_once('`') {
        Some((left, rest)) => (left.trim(), rest.split('`').next().unwrap_or_default()),
        None => (line.split("//").next().unwrap_or(line).trim(), ""),
    };
    let tags = split_tags(tags)?;
    let (name, ty) = match left.split_once(char::is_whitespace) {
        Some((name, ty)) => (name, ty.trim()),
        None => ("", left),
    };
    let embedded = name.is_empty();
    if !tags.contains_key("json") && !embedded {
        return Ok(None);
    }
    let name = if embedded { ty.rsplit(['.', '*']).next().unwrap_or(ty) } else { name };
    Ok(Some(Member { name: name.to_owned(), embedded, ty: go_type(ty)?, tags, markers }))
}

fn split_tags(text: &str) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(":\"").with_context(|| format!("tags {text}"))?;
        let (value, after) = after.split_once('"').with_context(|| format!("tags {text}"))?;
        tags.insert(key.trim().to_owned(), value.to_owned());
        rest = after.trim();
    }
    Ok(tags)
}

fn go_type(text: &str, package: &str, imports: &BTreeMap<String, String>) -> Result<GoType> {
    let inner = |text: &str| go_type(text, package, imports).map(Box::new);
    if let Some(rest) = text.strip_prefix('*') {
        return Ok(GoType::Pointer(inner(rest)?));
    }
    if let Some(rest) = text.strip_prefix("[]") {
        return Ok(GoType::Slice(inner(rest)?));
    }
    if let Some(rest) = text.strip_prefix("map[") {
        let (_, value) = rest.split_once(']').with_context(|| format!("map type {text}"))?;
        return Ok(GoType::Map(inner(value)?));
    }
    if text == "interface{}" || text == "any" {
        return Ok(GoType::Any);
    }
    let (package, name) = match text.split_once('.') {
        Some((alias, name)) => match imports.get(alias) {
            Some(path) => (path.as_str(), name),
            None => bail!("no import is called {alias}"),
        },
        None if BUILTINS.contains(&text) => ("", text),
        None => (package, text),
    };
    Ok(GoType::Name { package: package.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests;
