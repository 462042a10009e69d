//! The arguments of `cargo test`, split into those for cargo and those for the test programs.

/// Options of cargo that take a value, which must not be read as the name of a test.
const WITH_VALUE: [&str; 22] = [
    "-p",
    "--package",
    "--exclude",
    "--bin",
    "--example",
    "--test",
    "--bench",
    "-F",
    "--features",
    "-j",
    "--jobs",
    "--profile",
    "--target",
    "--target-dir",
    "--color",
    "--config",
    "-C",
    "-Z",
    "--manifest-path",
    "--lockfile-path",
    "--message-format",
    "--artifact-dir",
];

/// Options that choose targets; with any of them cargo runs no examples of documentation.
const TARGETS: [&str; 11] = [
    "--lib",
    "--bin",
    "--bins",
    "--example",
    "--examples",
    "--test",
    "--tests",
    "--bench",
    "--benches",
    "--all-targets",
    "--no-doc",
];

/// Options that only cargo itself can answer.
const CARGOS_OWN: [&str; 6] = ["--doc", "--no-run", "--message-format", "--help", "-h", "--unit-graph"];

/// Options of test programs that another form of output goes with.
const OUTPUT: [&str; 8] =
    ["--format", "--list", "-q", "--quiet", "-Z", "--report-time", "--help", "--ensure-time"];

/// The requested tests.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Arguments {
    /// All of it.
    pub(super) given: Vec<String>,
    /// Cargo's arguments.
    pub(super) build: Vec<String>,
    /// The test programs' arguments.
    pub(super) programs: Vec<String>,
    /// Whether cargo has to do it all.
    pub(super) only_cargo: bool,
}

impl Arguments {
    pub(super) fn parse(given: &[String]) -> Arguments {
        let end = given.iter().position(|argument| argument == "--").unwrap_or(given.len());
        let mut build = Vec::new();
        let mut programs = Vec::new();
        let mut of_cargo = given[..end].iter();
        while let Some(argument) = of_cargo.next() {
            if !argument.starts_with('-') {
                // The name of tests, which cargo passes on in front of everything else.
                programs.push(argument.clone());
                continue;
            }
            build.push(argument.clone());
            if WITH_VALUE.contains(&argument.as_str()) {
                build.extend(of_cargo.next().cloned());
            }
        }
        let only_cargo = build.iter().any(|argument| CARGOS_OWN.contains(&name(argument)));
        programs.extend(given.get(end + 1..).unwrap_or_default().iter().cloned());
        Arguments { given: given.to_vec(), build, programs, only_cargo }
    }

    /// Whether cargo would run the examples of documentation, too.
    pub(super) fn doc_tests(&self) -> bool {
        !self.build.iter().any(|argument| TARGETS.contains(&name(argument)))
    }

    /// Whether test programs can report times: not if their output should have another format.
    pub(super) fn times(&self) -> bool {
        !self.programs.iter().any(|argument| OUTPUT.contains(&name(argument)))
    }
}

/// The option without its value.
fn name(argument: &str) -> &str {
    argument.split_once('=').map_or(argument, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Arguments {
        Arguments::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_go_where_cargo_would_send_them() {
        for (text, build, programs) in [
            ("", "", ""),
            ("reads", "", "reads"),
            ("-p kinds reads", "-p kinds", "reads"),
            ("--package=kinds reads -- --nocapture", "--package=kinds", "reads --nocapture"),
            ("--test cluster -- faults:: --ignored", "--test cluster", "faults:: --ignored"),
            ("--release --jobs 1 -- --", "--release --jobs 1", "--"),
        ] {
            let arguments = parsed(text);
            assert_eq!(
                (arguments.build.join(" "), arguments.programs.join(" ")),
                (build.into(), programs.into())
            );
            assert!(!arguments.only_cargo && arguments.times(), "{text}");
        }
    }

    #[test]
    fn what_only_cargo_can_do_is_left_to_it() {
        for text in ["--doc", "--no-run", "--message-format=json", "--message-format json", "-h"] {
            assert!(parsed(text).only_cargo, "{text}");
        }
        assert!(!parsed("-- --help").only_cargo);
    }

    #[test]
    fn examples_run_unless_targets_are_chosen() {
        assert!(parsed("-p object").doc_tests());
        assert!(parsed("-- --test").doc_tests());
        assert!(!parsed("--lib").doc_tests());
        assert!(!parsed("--test=cluster").doc_tests());
    }

    #[test]
    fn another_form_of_output_stays_as_it_was_asked_for() {
        for text in ["-- --list", "-- --format=json", "-- -q", "-- -Z unstable-options"] {
            assert!(!parsed(text).times(), "{text}");
        }
    }
}
