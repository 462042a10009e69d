//! The result of a test program.

use std::time::Duration;

use super::limit::Ended;
use super::times::{self, Line, Timed};

/// The result of a test program.
#[derive(Debug)]
pub(super) struct Outcome {
    /// `crate: target`.
    pub(super) program: String,
    pub(super) passed: bool,
    pub(super) took: Duration,
    pub(super) tests: Vec<Timed>,
    /// The names of the tests that failed, as far as the program says; or that it did not end.
    pub(super) failed: Vec<String>,
}

impl Outcome {
    /// Of a program that has not run yet.
    pub(super) fn of(program: String) -> Outcome {
        Outcome { program, passed: false, took: Duration::ZERO, tests: Vec::new(), failed: Vec::new() }
    }

    /// Keeps the result of a test. Returns whether people should see the line.
    pub(super) fn reads(&mut self, line: &[u8]) -> bool {
        match times::line(&String::from_utf8_lossy(line)) {
            Line::Passed(test) => {
                self.tests.push(test);
                false
            }
            Line::Failed(test) => {
                self.failed.push(test.name.clone());
                self.tests.push(test);
                true
            }
            Line::Other => true,
        }
    }

    /// Takes the end of the program. If it was ended at the limit, its last lines are shown.
    pub(super) fn ends(&mut self, ended: Ended, limit: Duration) {
        self.passed = ended.passed;
        let Some(last) = ended.hung else { return };
        let hung = format!("it did not end within {} s, and was killed", limit.as_secs());
        println!("\n== {}: {hung}; its last lines:", self.program);
        last.iter().for_each(|line| println!("  {line}"));
        self.failed.push(hung);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_print_is_kept() {
        let mut outcome = Outcome::of("a: lib".to_owned());
        assert!(!outcome.reads(b"test a ... ok <0.100s>\n"));
        assert!(outcome.reads(b"test b ... FAILED <0.200s>\n"));
        assert!(outcome.reads(b"running 2 tests\n"));
        assert_eq!(outcome.failed, ["b"]);
        assert_eq!(outcome.tests.len(), 2);
    }

    #[test]
    fn a_program_that_hangs_has_failed() {
        let mut outcome = Outcome::of("a: lib".to_owned());
        let hung = Some(vec!["test a has been running for over 60 seconds".to_owned()]);
        outcome.ends(Ended { passed: false, hung }, Duration::from_secs(900));
        assert!(!outcome.passed);
        assert_eq!(outcome.failed, ["it did not end within 900 s, and was killed"]);
    }
}
