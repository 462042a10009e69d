//! Thresholds as the configuration writes them.

use std::collections::BTreeMap;

use super::signal::Signal;
use super::threshold::{Amount, EvictionConfig, Threshold};
use crate::text::{go_duration, quantity};

/// Amounts and times by signal, as text.
pub(crate) struct Limits {
    pub(crate) hard: BTreeMap<&'static str, String>,
    pub(crate) soft: BTreeMap<&'static str, String>,
    pub(crate) soft_grace: BTreeMap<&'static str, String>,
    pub(crate) minimum_reclaim: BTreeMap<&'static str, String>,
}

impl EvictionConfig {
    /// The thresholds in human-readable form.
    pub(crate) fn limits(&self) -> Limits {
        let list = |hard: bool, show: &dyn Fn(&Threshold) -> Option<String>| {
            let chosen = self.thresholds.iter().filter(|threshold| threshold.is_hard() == hard);
            chosen.filter_map(|threshold| Some((threshold.signal.as_str(), show(threshold)?))).collect()
        };
        let amount = |threshold: &Threshold| Some(text(threshold.signal, threshold.value));
        let reclaims = self.thresholds.iter().filter_map(|threshold| {
            Some((threshold.signal.as_str(), text(threshold.signal, threshold.reclaim_min?)))
        });
        Limits {
            hard: list(true, &amount),
            soft: list(false, &amount),
            soft_grace: list(false, &|threshold| Some(go_duration(threshold.grace))),
            minimum_reclaim: reclaims.collect(),
        }
    }
}

fn text(signal: Signal, amount: Amount) -> String {
    match amount {
        Amount::Part(part) => format!("{}%", (part * 1e6).round() / 1e4),
        Amount::Units(units) if signal.counts_inodes() => quantity::number(units),
        Amount::Units(units) => quantity::bytes(units),
    }
}
