//! The documents `docs/sig-*.md` have a line for every conformance test of the version that is served, and each line names the
//! test of ours that shows the same, or says what is missing.
//!
//! The lines are those of the tables whose first column is headed `conformance test`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::named_tests::is_name;
use super::tracked;

/// The documents, each with the number of conformance tests that Kubernetes v1.37 has for it.
const COUNTS: &[(&str, usize)] = &[
    ("sig-api-machinery", 100),
    ("sig-apps", 60),
    ("sig-auth", 27),
    ("sig-cli", 17),
    ("sig-network", 47),
    ("sig-node", 104),
    // The four of sig-instrumentation and the one of sig-architecture.
    ("sig-others", 5),
    ("sig-scheduling", 11),
    ("sig-storage", 91),
];

/// How a line begins that has no test of ours.
const MISSING: &str = "not yet, comes with ";

pub(super) fn check(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let mut counted = BTreeSet::new();
    for path in tracked(root, "docs/sig-*.md")? {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        match COUNTS.iter().find(|(document, _)| *document == name) {
            Some((document, count)) => {
                counted.insert(*document);
                let problems = problems(&fs::read_to_string(&path)?, *count);
                findings.extend(problems.into_iter().map(|problem| format!("docs/{name}.md {problem}")));
            }
            None => findings.push(format!(
                "docs/{name}.md is not in the list of conformance tests (tidy/conformance.rs)"
            )),
        }
    }
    for (document, count) in COUNTS.iter().filter(|(document, _)| !counted.contains(document)) {
        findings.push(format!("docs/{document}.md is missing, with {count} conformance tests"));
    }
    Ok(())
}

/// What is wrong with a document that should list so many tests.
fn problems(text: &str, count: usize) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (title, ours) in lines(text) {
        if !seen.insert(title) {
            problems.push(format!("lists the conformance test {title:?} twice"));
        }
        let names_a_test = ours.split('`').skip(1).step_by(2).any(is_name);
        if !names_a_test && ours.strip_prefix(MISSING).is_none_or(str::is_empty) {
            problems.push(format!("names no test for {title:?}, and does not say {MISSING:?} either"));
        }
    }
    if seen.len() != count {
        problems.push(format!("lists {} conformance tests of {count}", seen.len()));
    }
    problems
}

/// The two cells of each line.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut listing = false;
    text.lines().filter_map(move |line| {
        let Some((title, ours)) = line.strip_prefix('|').and_then(|line| line.split_once('|')) else {
            listing = false;
            return None;
        };
        let (title, ours) = (title.trim(), ours.trim().trim_end_matches('|').trim());
        let is_heading = title == "conformance test";
        listing |= is_heading;
        (listing && !is_heading && !title.starts_with("---")).then_some((title, ours))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "text\n\n| conformance test | ours |\n| --- | --- |\n| One works | cluster `a::b` |\n\
        | Two works | not yet, comes with two |\n\n| what | ours |\n| --- | --- |\n| more | `c::d` |\n";

    #[test]
    fn the_suite_has_462_tests() {
        assert_eq!(COUNTS.iter().map(|(_, count)| count).sum::<usize>(), 462);
    }

    #[test]
    fn a_whole_document_has_no_problems() {
        assert_eq!(problems(DOCUMENT, 2), Vec::<String>::new());
    }

    #[test]
    fn lines_that_are_missing_double_or_empty_are_found() {
        let without = DOCUMENT.replace("| Two works | not yet, comes with two |\n", "");
        assert_eq!(problems(&without, 2), ["lists 1 conformance tests of 2"]);
        let double = DOCUMENT.replace("Two", "One");
        let expected = ["lists the conformance test \"One works\" twice", "lists 1 conformance tests of 2"];
        assert_eq!(problems(&double, 2), expected);
        for empty in ["", "the same", "not yet", "not yet, comes with ", "`crate`"] {
            let empty = DOCUMENT.replace("not yet, comes with two", empty);
            assert_eq!(problems(&empty, 2).len(), 1, "{empty}");
        }
    }
}
