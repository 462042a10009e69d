//! The summary at the end of all tests.

use std::fmt;
use std::time::Duration;

use super::outcome::Outcome;

/// How many of the slowest tests and programs are named.
const SLOWEST: usize = 10;

/// The results of all test programs.
#[derive(Debug, Default)]
pub(super) struct Summary {
    outcomes: Vec<Outcome>,
}

impl Summary {
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.outcomes.iter().any(|outcome| !outcome.passed)
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    mut rows: Vec<(Duration, String)>,
) -> Result<(), fmt::Error> {
    rows.sort_by(|one, two| two.cmp(one));
    if !rows.is_empty() {
        writeln!(f, "\n{title}:")?;
    }
    for (took, name) in rows.into_iter().take(SLOWEST) {
        writeln!(f, "{:9.2}s  {name}", took.as_secs_f64())?;
    }
    Ok(())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests = self.outcomes.iter().flat_map(|outcome| {
            outcome.tests.iter().map(|test| (test.took, format!("{}: {}", outcome.program, test.name)))
        });
        list(f, "the slowest tests", tests.collect())?;
        let programs = self.outcomes.iter().map(|outcome| (outcome.took, outcome.program.clone()));
        list(f, "the slowest test programs", programs.collect())?;
        if self.has_failed() {
            writeln!(f, "\nfailed:")?;
        }
        for outcome in self.outcomes.iter().filter(|outcome| !outcome.passed) {
            writeln!(f, "  {}", outcome.program)?;
            outcome.failed.iter().try_for_each(|name| writeln!(f, "    {name}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::times::Timed;
    use super::*;

    #[test]
    fn the_slowest_and_the_failed_are_named() {
        let outcome = |program: &str, passed, tests: u64| Outcome {
            program: program.to_owned(),
            passed,
            took: Duration::from_secs(tests),
            tests: (0..tests)
                .map(|number| Timed { name: format!("t{number}"), took: Duration::from_millis(number) })
                .collect(),
            failed: if passed { Vec::new() } else { vec!["t0".to_owned()] },
        };
        let mut summary = Summary::default();
        summary.add(outcome("a: lib", true, 12));
        assert!(!summary.has_failed());
        assert!(!summary.to_string().contains("failed"));
        summary.add(outcome("b: lib", false, 2));
        assert!(summary.has_failed());
        let text = summary.to_string();
        assert!(text.contains("the slowest tests:\n     0.01s  a: lib: t11\n"), "{text}");
        assert!(!text.contains("a: lib: t1\n") && !text.contains("b: lib: t0\n"), "{text}");
        assert!(text.contains("programs:\n    12.00s  a: lib\n     2.00s  b: lib\n"), "{text}");
        assert!(text.ends_with("failed:\n  b: lib\n    t0\n"), "{text}");
    }
}
