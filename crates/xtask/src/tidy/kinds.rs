//! `docs/kinds.md`: which test shows each kind of behaviour of each served resource.
//!
//! The table is written from `crates/kinds/coverage.txt`, in which a resource has one line for each column:
//!
//! ```text
//! pods
//!   defaulting  defaults::tests::a_pod_gets_its_defaults
//!   warnings    none upstream
//! ```
//!
//! A cell names tests by the ends of their paths, separated by commas, says that Kubernetes has no such behaviour either
//! (`none upstream`), or why the behaviour is missing (`not yet: REASON`), which only as many cells may say as [`NOT_YET`]
//! counts. This check looks the tests up and compares the document; the test `registry::tests::coverage` of the crate `kinds`
//! compares the lines with what the strategies do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::tracked;

/// The columns, in the order of the document.
const COLUMNS: [&str; 8] =
    ["defaulting", "validation", "update", "immutable", "status", "columns", "selectors", "warnings"];

/// What a cell says where Kubernetes itself does nothing.
const NONE: &str = "none upstream";

/// How a cell begins whose behaviour is missing.
const MISSING: &str = "not yet:";

/// How many cells are missing. Lower it with each that is done.
const NOT_YET: usize = 0;

const SOURCE: &str = "crates/kinds/coverage.txt";
const DOCUMENT: &str = "docs/kinds.md";

const HEAD: &str = "\
# What is tested of each kind

Written by `cargo xtask tidy write` from `crates/kinds/coverage.txt`. A cell names the tests that show the behaviour, or says that
Kubernetes v1.37 has none of its own for this resource; metadata is the same for all (`validation::metadata::tests::*`).

- *defaulting*: an empty map that Kubernetes fills in and no client sees counts as none.
- *update*: the rules for changes, other than for fields that never change: those of new objects, or others.
- *immutable*: fields that never change, or only once.
- *status*: `status` and the other subresources.
- *columns*: those of `kubectl get`; every kind has its name and its age or time of creation.
- *selectors*: fields other than `metadata.name` and `metadata.namespace` that `--field-selector` takes.
- *warnings*: those that answers carry, deprecations included.

`cargo xtask tidy` fails if a cell is empty, if a test does not exist or does not mention the kind, or if this file is out of date. The tests
of `registry::tests::coverage` in the crate `kinds` fail if a resource is served that is not listed, or if a cell says `none upstream` about
something that the code does.
";

/// One resource: its name, and its cells by column.
#[derive(Debug, PartialEq)]
struct Row<'t> {
    resource: &'t str,
    cells: BTreeMap<&'t str, &'t str>,
}

/// Checks the source of the table, and that the document is made from it.
pub(super) fn check(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(root.join(SOURCE)).context(SOURCE)?;
    let rows = rows(&text)?;
    let tests = Tests::read(root)?;
    let missing =
        rows.iter().flat_map(|row| row.cells.values()).filter(|cell| cell.starts_with(MISSING)).count();
    if missing != NOT_YET {
        findings.push(format!(
            "{SOURCE} has {missing} cells that are not done; NOT_YET in tidy/kinds.rs says {NOT_YET}"
        ));
    }
    for row in &rows {
        let problems = problems(row, &tests);
        findings.extend(problems.into_iter().map(|problem| format!("{SOURCE}: {}: {problem}", row.resource)));
    }
    if fs::read_to_string(root.join(DOCUMENT)).unwrap_or_default() != document(&rows) {
        findings.push(format!("{DOCUMENT} is not what {SOURCE} makes: run cargo xtask tidy write"));
    }
    Ok(())
}

/// Writes the document.
pub(super) fn write(root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join(SOURCE)).context(SOURCE)?;
    fs::write(root.join(DOCUMENT), document(&rows(&text)?)).context(DOCUMENT)
}

fn rows(text: &str) -> Result<Vec<Row<'_>>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some(cell) = line.strip_prefix("  ") else {
            rows.push(Row { resource: line, cells: BTreeMap::new() });
            continue;
        };
        let row = rows.last_mut().with_context(|| format!("{SOURCE}: a cell without a resource: {line}"))?;
        let (column, cell) = cell.split_once(' ').unwrap_or((cell, ""));
        if row.cells.insert(column, cell.trim()).is_some() {
            bail!("{SOURCE}: {} has two cells for {column}", row.resource);
        }
    }
    Ok(rows)
}

/// What is wrong with the cells of a resource.
fn problems(row: &Row<'_>, tests: &Tests) -> Vec<String> {
    let mut problems = Vec::new();
    for column in COLUMNS {
        let cell = row.cells.get(column).copied().unwrap_or_default();
        if cell.is_empty() || cell.strip_prefix(MISSING).is_some_and(|reason| reason.trim().is_empty()) {
            problems.push(format!("the cell for {column} is empty"));
        }
        for name in names(cell) {
            problems.extend(
                tests.problem(name, row.resource).map(|problem| format!("{column}: {name} {problem}")),
            );
        }
    }
    let unknown = row.cells.keys().filter(|column| !COLUMNS.contains(column));
    problems.extend(unknown.map(|column| format!("there is no column {column}")));
    problems
}

/// The tests that a cell names.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    let names = cell.split(',').map(str::trim);
    names.filter(move |name| cell != NONE && !cell.starts_with(MISSING) && !name.is_empty())
}

fn document(rows: &[Row<'_>]) -> String {
    let mut text =
        format!("{HEAD}\n| resource | {} |\n|{}\n", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len() + 1));
    for row in rows {
        let cell = |column: &&str| {
            let cell = row.cells.get(column).copied().unwrap_or_default();
            let tests: Vec<String> = names(cell).map(|name| format!("`{name}`")).collect();
            if tests.is_empty() { cell.to_owned() } else { tests.join(", ") }
        };
        let cells: Vec<String> = COLUMNS.iter().map(cell).collect();
        text.push_str(&format!("| {} | {} |\n", row.resource, cells.join(" | ")));
    }
    text
}

/// The tests of the workspace.
#[derive(Default)]
struct Tests {
    by_path: BTreeMap<String, Test>,
    /// What the tests of a file share: its constants and helpers, but neither imports nor the code that it tests.
    shared: Vec<String>,
}

struct Test {
    body: String,
    /// The file, as a place in [`Tests::shared`].
    file: usize,
}

impl Tests {
    fn read(root: &Path) -> Result<Tests> {
        let mut tests = Tests::default();
        for path in tracked(root, "crates/*.rs")? {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let text = fs::read_to_string(&path).with_context(|| name.clone())?;
            tests.add(&name, &text);
        }
        Ok(tests)
    }

    fn add(&mut self, file: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let inline = lines.iter().position(|line| line.starts_with("mod tests {"));
        let module = format!("{}{}", module(file), if inline.is_some() { "::tests" } else { "" });
        let (mut at, mut shared) = (inline.unwrap_or(0), String::new());
        let mut is_test = false;
        while at < lines.len() {
            let line = lines[at].trim_start();
            let name = super::function_name(lines[at]).filter(|_| is_test);
            let Some(name) = name else {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                if !line.starts_with("use ") {
                    shared.push_str(line);
                    shared.push('\n');
                }
                at += 1;
                continue;
            };
            is_test = false;
            let close = format!("{}}}", " ".repeat(lines[at].len() - line.len()));
            let end = lines[at..]
                .iter()
                .position(|line| *line == close)
                .map_or(lines.len(), |length| at + length + 1);
            let body = lines[at..end].join("\n");
            self.by_path.insert(format!("{module}::{name}"), Test { body, file: self.shared.len() });
            at = end;
        }
        self.shared.push(shared);
    }

    /// What is wrong with a name in the row of a resource.
    fn problem(&self, name: &str, resource: &str) -> Option<String> {
        let end = format!("::{name}");
        let found: Vec<(&String, &Test)> =
            self.by_path.iter().filter(|(path, _)| *path == name || path.ends_with(&end)).collect();
        let (path, test) = match found.as_slice() {
            [] => return Some("does not exist".to_owned()),
            [one] => one,
            [(first, _), (second, _), ..] => return Some(format!("could be {first} or {second}")),
        };
        let words = words(resource);
        let texts = [path.as_str(), test.body.as_str(), self.shared[test.file].as_str()];
        let mentions = words.iter().any(|word| texts.iter().any(|text| text.contains(word)));
        (!mentions).then(|| format!("mentions none of {words:?}"))
    }
}

/// The module of a file: `kinds::validation::tests::pods` of `crates/kinds/src/validation/tests/pods.rs`.
fn module(file: &str) -> String {
    let path = file.trim_start_matches("crates/").trim_end_matches(".rs");
    let parts = path.split('/').filter(|part| !matches!(*part, "src" | "lib" | "main"));
    parts.collect::<Vec<_>>().join("::")
}

/// How sources mention a resource: by its plural, and by its kind in the spellings of types, functions and constants.
fn words(resource: &str) -> BTreeSet<String> {
    let (plural, kind) = resource.split_once(' ').unwrap_or((resource, ""));
    let plural = plural.split('.').next().unwrap_or(plural);
    let snake = snake(kind.trim_matches(['(', ')']));
    let constant = snake.to_uppercase();
    let constants = constant.strip_suffix('Y').map(|start| format!("{start}IES")).unwrap_or_default();
    let all = [
        format!("\"{plural}\""),
        format!("/{plural}"),
        kind.trim_matches(['(', ')']).to_owned(),
        snake,
        constant,
        constants,
    ];
    all.into_iter().filter(|word| word.len() > 2).collect()
}

/// `persistent_volume` of `PersistentVolume`, `csi_driver` of `CSIDriver`.
fn snake(kind: &str) -> String {
    let mut snake = String::new();
    let characters: Vec<char> = kind.chars().collect();
    for (index, character) in characters.iter().enumerate() {
        let is_next_lower = characters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        let was_lower = index > 0 && characters[index - 1].is_ascii_lowercase();
        if character.is_ascii_uppercase() && index > 0 && (was_lower || is_next_lower) {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "use a::validate_job;\nfn helper() {}\n#[test]\nfn pods() {\n    validate_pod()\n}\n#[test]\nfn jobs() {\n    validate_job()\n}\n";
    const CODE: &str = "fn validate_job() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn rows() {\n        rows_of_pod()\n    }\n}\n";

    fn tests() -> Tests {
        let mut tests = Tests::default();
        tests.add("crates/kinds/src/validation/tests/of_much.rs", FILE);
        tests.add("crates/apiserver/tests/api/of_much.rs", FILE);
        tests.add("crates/kinds/src/core.rs", CODE);
        tests
    }

    #[test]
    fn tests_are_found_by_the_end_of_their_path() {
        let tests = tests();
        let problem = |name: &str, resource: &str| tests.problem(name, resource).unwrap_or_default();
        assert_eq!(problem("validation::tests::of_much::pods", "pods (Pod)"), "");
        assert_eq!(problem("kinds::core::tests::rows", "pods (Pod)"), "");
        assert_eq!(problem("helper", "pods (Pod)"), "does not exist");
        let both = "could be apiserver::tests::api::of_much::pods or kinds::validation::tests::of_much::pods";
        assert_eq!(problem("of_much::pods", "pods (Pod)"), both);
    }

    /// Neither an import nor another test nor the code that is tested makes a test one of a kind.
    #[test]
    fn tests_mention_their_kind() {
        let tests = tests();
        for (name, is_of_jobs) in
            [("api::of_much::jobs", true), ("api::of_much::pods", false), ("core::tests::rows", false)]
        {
            assert_eq!(tests.problem(name, "jobs.batch (Job)").is_none(), is_of_jobs, "{name}");
        }
        assert!(
            tests.problem("api::of_much::pods", "jobs.batch (Job)").unwrap().starts_with("mentions none of")
        );
    }

    #[test]
    fn every_cell_says_something() {
        let text = "pods (Pod)\n  defaulting core::tests::rows, none\n  validation\n  update not yet: \n  other none upstream\n";
        let rows = rows(text).unwrap();
        let found = problems(&rows[0], &tests());
        let empty = ["validation", "update", "immutable", "status", "columns", "selectors", "warnings"];
        let mut expected = vec!["defaulting: none does not exist".to_owned()];
        expected.extend(empty.map(|column| format!("the cell for {column} is empty")));
        expected.push("there is no column other".to_owned());
        assert_eq!(found, expected);
        assert!(super::rows("  defaulting none upstream\n").is_err());
        assert!(super::rows("a\n  update a\n  update b\n").is_err());
    }

    #[test]
    fn the_document_has_a_line_for_each_resource() {
        let cells: String = COLUMNS.iter().map(|column| format!("  {column} none upstream\n")).collect();
        let text = format!("# comment\n\npods (Pod)\n{}", cells.replacen(NONE, "a::b, c", 1));
        let document = document(&rows(&text).unwrap());
        let last = document.lines().last().unwrap();
        assert_eq!(last, format!("| pods (Pod) | `a::b`, `c` |{}", " none upstream |".repeat(7)));
    }

    #[test]
    fn kinds_are_spelt_as_in_sources() {
        let spelt = |kind| snake(kind);
        assert_eq!(spelt("PersistentVolume"), "persistent_volume");
        assert_eq!(spelt("CSIDriver"), "csi_driver");
        assert_eq!(spelt("IPAddress"), "ip_address");
        assert_eq!(spelt("Pod"), "pod");
    }
}
