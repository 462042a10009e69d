//! The tests that documents name exist.
//!
//! In the tables of `docs/security.md` and `docs/sig-*.md` the last column names tests: `group::name`, `name_of_a_test`,
//! or `group::*` and `name_that_begins_so_*` for several.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{function_name, tracked};

/// The definitions in the sources: functions, and modules by file or by declaration.
#[derive(Default)]
struct Defined {
    functions: BTreeSet<String>,
    modules: BTreeSet<String>,
}

impl Defined {
    fn read(root: &Path) -> Result<Defined> {
        let mut defined = Defined::default();
        for path in tracked(root, "*.rs")? {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            for line in text.lines() {
                defined.functions.extend(function_name(line).map(str::to_owned));
            }
            let parts = path.strip_prefix(root).unwrap_or(&path).iter().filter_map(|part| part.to_str());
            defined.modules.extend(parts.map(|part| part.trim_end_matches(".rs").to_owned()));
        }
        Ok(defined)
    }

    fn knows(&self, name: &str) -> bool {
        let (group, last) = name.rsplit_once("::").unwrap_or(("", name));
        let group = group.rsplit("::").next().unwrap_or_default();
        let is_group = group.is_empty() || self.modules.contains(group);
        is_group
            && match last.strip_suffix('*') {
                Some("") => true,
                Some(start) => self.functions.iter().any(|function| function.starts_with(start)),
                None => self.functions.contains(last) || self.modules.contains(last),
            }
    }
}

pub(super) fn check(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let defined = Defined::read(root)?;
    let mut documents = tracked(root, "docs/security.md")?;
    documents.extend(tracked(root, "docs/sig-*.md")?);
    for path in documents {
        let text = fs::read_to_string(&path)?;
        let document = path.strip_prefix(root).unwrap_or(&path).display();
        for name in named(&text).into_iter().filter(|name| !defined.knows(name)) {
            findings.push(format!("{document} names the test {name}, which does not exist"));
        }
    }
    Ok(())
}

/// The names of tests in the last columns of a document's tables.
fn named(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end().strip_suffix('|')?.rsplit('|').next());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.filter(|name| is_name(name)).collect()
}

/// Whether a text in backticks is a test's name, and not a crate's.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:*".contains(c);
    text.chars().all(allowed) && (text.contains("::") || text.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_last_columns() {
        let text =
            "| `a::no` | b `crate` `c::d_e`, `f_*` |\n| --- | --- |\n`g::h`\n| x | `kubectl get` `i::*` |";
        assert_eq!(named(text), ["c::d_e", "f_*", "i::*"]);
    }

    #[test]
    fn names_are_looked_up() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let defined = Defined { functions: list(&["long_name", "b"]), modules: list(&["a", "deep"]) };
        for name in ["a::long_name", "x::a::b", "long_name", "long_*", "deep::*", "a::deep"] {
            assert!(defined.knows(name), "{name}");
        }
        for name in ["a::missing", "c::b", "longer_*", "c::*"] {
            assert!(!defined.knows(name), "{name}");
        }
    }
}
