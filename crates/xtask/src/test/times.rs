//! The durations of tests, read from the output of test programs.

use std::time::Duration;

/// A test that has run.
#[derive(Debug, PartialEq)]
pub(super) struct Timed {
    pub(super) name: String,
    pub(super) took: Duration,
}

/// The meaning of a line of a test program's output.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// A test passed.
    Passed(Timed),
    /// A test failed.
    Failed(Timed),
    /// Something else, to be shown.
    Other,
}

/// Reads a line of libtest's output with `--report-time`: `test NAME ... ok <0.004s>`.
pub(super) fn line(text: &str) -> Line {
    let read = || {
        let (name, rest) = text.trim_end().strip_prefix("test ")?.rsplit_once(" ... ")?;
        let (result, time) = rest.split_once(" <")?;
        let took = seconds(time.strip_suffix("s>")?)?;
        let timed = Timed { name: name.to_owned(), took };
        match result {
            "ok" => Some(Line::Passed(timed)),
            "FAILED" => Some(Line::Failed(timed)),
            _ => None,
        }
    };
    read().unwrap_or(Line::Other)
}

/// Reads the lines `SECONDS NAME` that programs with their own trials write.
pub(super) fn written(text: &str) -> Vec<Timed> {
    let read = |line: &str| {
        let (time, name) = line.split_once(' ')?;
        Some(Timed { name: name.to_owned(), took: seconds(time)? })
    };
    text.lines().filter_map(read).collect()
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(name: &str, took: u64) -> Timed {
        Timed { name: name.to_owned(), took: Duration::from_millis(took) }
    }

    #[test]
    fn lines_of_test_programs() {
        assert_eq!(line("test a::b ... ok <0.250s>\n"), Line::Passed(timed("a::b", 250)));
        assert_eq!(
            line("test a::b - should panic ... FAILED <2.000s>"),
            Line::Failed(timed("a::b - should panic", 2000))
        );
        for other in ["test a ... ignored", "test a ... ok", "running 3 tests", "test a ... ok <soon>", ""] {
            assert_eq!(line(other), Line::Other, "{other}");
        }
    }

    #[test]
    fn times_that_were_written() {
        let text = "1.5 dns::names are answered\nbroken\n0.25 a\n";
        assert_eq!(written(text), [timed("dns::names are answered", 1500), timed("a", 250)]);
    }
}
