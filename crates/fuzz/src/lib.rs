//! Random inputs for parsers, and checks that every input must pass.
//!
//! A [`Target`] has a folder of kept seeds. A run checks each seed unchanged, then inputs made from seeds by
//! [mutation](mutate): the same ones in every run, few enough for an ordinary `cargo test`. With
//! `IRONHULL_FUZZ_SECONDS` it continues for that long with new inputs (`cargo xtask test-long fuzz`); setting
//! `IRONHULL_FUZZ_SEED` to the number that it prints repeats the same inputs.
//!
//! An input that a check accepts is added to the seeds of the run, so that mutations reach beyond the first error. An
//! input that fails or does not finish is stored next to the seeds as `found-…`, where it stays as a test. [`Meter`]
//! measures how much memory a parser uses, and thereby whether its work grows faster than its input.
//!
//! For tests only. This crate knows no parser.
#![deny(missing_docs)]

mod memory;
mod mutate;
mod watchdog;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clock::Clock;

pub use memory::{Meter, Spent, assert_linear, measured};
use mutate::Mutator;
use watchdog::Watchdog;

/// How many inputs an ordinary run makes.
const INPUTS: usize = 2_000;
/// How many inputs that were accepted join the seeds.
const ACCEPTED_MAX: usize = 256;

/// A parser under test.
#[derive(Debug)]
pub struct Target {
    name: &'static str,
    folder: PathBuf,
    made: Vec<Vec<u8>>,
    words: &'static [&'static str],
    inputs: usize,
}

/// The duration of a run.
#[derive(Debug, Clone, Copy)]
enum Budget {
    Inputs(usize),
    Time(Duration),
}

impl Target {
    /// A target whose seeds are the files in the folder `fuzz-seeds/NAME` of a package, `env!("CARGO_MANIFEST_DIR")`.
    pub fn new(package: &str, name: &'static str) -> Target {
        let folder = Path::new(package).join("fuzz-seeds").join(name);
        Target { name, folder, made: Vec::new(), words: &[], inputs: INPUTS }
    }

    /// More seeds than are in the folder, such as those that an encoder makes.
    pub fn seeds(self, made: Vec<Vec<u8>>) -> Target {
        Target { made, ..self }
    }

    /// Words of the language that mutations put in.
    pub fn words(self, words: &'static [&'static str]) -> Target {
        Target { words, ..self }
    }

    /// How many inputs an ordinary run makes, where they cost more or less than usual.
    pub fn inputs(self, inputs: usize) -> Target {
        Target { inputs, ..self }
    }

    /// Runs `check` on seeds and mutations. It says whether the parser accepted the input, and panics where something
    /// does not hold.
    ///
    /// # Panics
    /// Where the check does, after the input has been kept; and without seeds.
    pub fn run(self, mut check: impl FnMut(&[u8]) -> bool) {
        let seeds = self.all_seeds();
        assert!(!seeds.is_empty(), "no seeds are in {}", self.folder.display());
        let (number, budget) = self.budget();
        let watchdog = Watchdog::start(self.name, self.folder.clone());
        let mut look = |input: &[u8]| {
            watchdog.begins(input);
            let outcome = catch_unwind(AssertUnwindSafe(|| check(input)));
            watchdog.ends();
            outcome.unwrap_or_else(|panic| {
                watchdog::keep(self.name, &self.folder, input, "fails");
                resume_unwind(panic)
            })
        };
        for seed in &seeds {
            look(seed);
        }
        let mut mutator = Mutator::new(number, self.words);
        let mut pool = seeds.clone();
        let clock = Clock::system();
        let start = clock.now();
        let mut done = 0;
        let goes_on = |done: usize| match budget {
            Budget::Inputs(inputs) => done < inputs,
            Budget::Time(time) => clock.now().duration_since(start).unsigned_abs() < time,
        };
        while goes_on(done) {
            let input = mutator.input(&pool);
            done += 1;
            if look(&input) && !pool.contains(&input) {
                if pool.len() < seeds.len() + ACCEPTED_MAX {
                    pool.push(input);
                } else {
                    let place = seeds.len() + mutator.below(ACCEPTED_MAX);
                    pool[place] = input;
                }
            }
        }
        println!("{}: {} seeds, {done} inputs of IRONHULL_FUZZ_SEED={number}", self.name, seeds.len());
    }

    /// The kept inputs, in the order of their names, and the others.
    fn all_seeds(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
        files.sort();
        let kept = files.iter().map(|path| fs::read(path).expect("a seed can be read"));
        kept.chain(self.made.iter().cloned()).collect()
    }

    /// The seed of the inputs, and their number.
    fn budget(&self) -> (u64, Budget) {
        let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let budget = match variable("IRONHULL_FUZZ_SECONDS") {
            Some(seconds) => Budget::Time(Duration::from_secs(seconds)),
            None => Budget::Inputs(self.inputs),
        };
        let fixed = variable("IRONHULL_FUZZ_SEED");
        let number = match budget {
            Budget::Inputs(_) => fixed.unwrap_or(0),
            Budget::Time(_) => fixed.unwrap_or_else(|| Clock::system().random_u64()),
        };
        (number, budget)
    }
}
