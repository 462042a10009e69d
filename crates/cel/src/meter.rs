//! What an evaluation has used, and how much it may use.

use std::sync::Arc;

use regex::Regex;

use crate::EvaluationError;

/// How many bytes an evaluation may make for each unit of its budget: an item of a list, which costs one, takes nearly that.
const BYTES_PER_COST: u64 = 64;
/// How many bytes every evaluation may make.
const BYTES_FREE: u64 = 1 << 20;
/// How many regular expressions are kept that were compiled during the evaluation.
const REGEXES_MAX: usize = 16;
/// How many steps of comprehensions there are from one look at the deadline to the next, as upstream.
const STEPS_PER_INTERRUPT_CHECK: u32 = 100;

/// Counts the costs of an evaluation, and ends it when it exceeds its budget or its time.
///
/// Costs are those of cel-go. They leave out the lengths of what `replace` and `format` make and the depth of what `==`
/// compares, so both are counted apart, in bytes, with a bound that follows from the budget.
pub struct Meter<'m> {
    cost: u64,
    limit: u64,
    bytes: u64,
    bytes_max: u64,
    steps: u32,
    /// Those that were compiled last.
    regexes: Vec<(Box<str>, Arc<Regex>)>,
    interrupted: Option<&'m dyn Fn() -> bool>,
}

impl<'m> Meter<'m> {
    /// A meter for a budget.
    pub fn new(limit: u64) -> Meter<'m> {
        let bytes_max = limit.saturating_mul(BYTES_PER_COST).saturating_add(BYTES_FREE);
        Meter { cost: 0, limit, bytes: 0, bytes_max, steps: 0, regexes: Vec::new(), interrupted: None }
    }

    /// The same, which asks from time to time whether to stop.
    #[must_use]
    pub fn with_interrupt(mut self, interrupted: &'m dyn Fn() -> bool) -> Meter<'m> {
        self.interrupted = Some(interrupted);
        self
    }

    /// What has been used.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// What is left of the budget.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.cost)
    }

    /// Adds to the costs.
    ///
    /// # Errors
    /// [`EvaluationError::CostLimit`]
    pub fn charge(&mut self, cost: u64) -> Result<(), EvaluationError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(EvaluationError::CostLimit) } else { Ok(()) }
    }

    /// Takes back one unit, which upstream counts twice in one place.
    pub(crate) fn refund(&mut self) {
        self.cost = self.cost.saturating_sub(1);
    }

    /// Counts bytes that are about to be made, or parts that are about to be compared.
    pub(crate) fn use_bytes(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.bytes > self.bytes_max { Err(EvaluationError::MemoryLimit) } else { Ok(()) }
    }

    /// A regular expression that was compiled before.
    pub(crate) fn regex(&self, pattern: &str) -> Option<Arc<Regex>> {
        self.regexes.iter().find(|(known, _)| **known == *pattern).map(|(_, regex)| Arc::clone(regex))
    }

    /// Keeps a regular expression for the rest of the evaluation.
    pub(crate) fn keep_regex(&mut self, pattern: &str, regex: &Arc<Regex>) {
        if self.regexes.len() >= REGEXES_MAX {
            self.regexes.remove(0);
        }
        self.regexes.push((pattern.into(), Arc::clone(regex)));
    }

    /// Counts a step of a comprehension.
    pub(crate) fn step(&mut self) -> Result<(), EvaluationError> {
        self.steps += 1;
        if self.steps < STEPS_PER_INTERRUPT_CHECK {
            return Ok(());
        }
        self.steps = 0;
        match self.interrupted {
            Some(interrupted) if interrupted() => Err(EvaluationError::Interrupted),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.cost, self.limit)
    }
}
