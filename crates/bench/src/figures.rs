//! Measured figures next to the design's budgets.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

/// The bound of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

/// One figure.
#[derive(Clone, Debug)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    budget: Option<Budget>,
    note: String,
}

impl Figure {
    /// How much of the budget is used: above 1 it is missed, whichever side the bound is on.
    fn ratio(&self) -> Option<f64> {
        self.budget.map(|budget| match budget {
            Budget::AtMost(most) => self.value / most,
            Budget::AtLeast(least) => least / self.value,
        })
    }

    fn row(&self) -> [String; 4] {
        let budget = match self.budget {
            None => String::new(),
            Some(Budget::AtMost(most)) => format!("<= {}", number(most)),
            Some(Budget::AtLeast(least)) => format!(">= {}", number(least)),
        };
        let verdict = self.ratio().map_or_else(String::new, |ratio| {
            format!("{ratio:.2}{}", if ratio > 1.0 { " missed" } else { "" })
        });
        [self.name.clone(), format!("{} {}", number(self.value), self.unit), budget, verdict]
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a figure; `note` states the conditions under which it was measured.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        budget: Option<Budget>,
        note: impl Into<String>,
    ) {
        let figure = Figure { name: name.into(), value, unit, budget, note: note.into() };
        eprintln!("  {}: {} {}  {}", figure.name, number(figure.value), figure.unit, figure.note);
        self.0.push(figure);
    }

    /// Prints the table.
    pub fn print(&self) {
        let head = ["figure", "measured", "budget", "used"].map(str::to_owned);
        let rows: Vec<[String; 4]> = std::iter::once(head).chain(self.0.iter().map(Figure::row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..4).map(width).collect();
        let notes = std::iter::once("").chain(self.0.iter().map(|figure| figure.note.as_str()));
        for ([name, value, budget, verdict], note) in rows.iter().zip(notes) {
            let (a, b, c, d) = (widths[0], widths[1], widths[2], widths[3]);
            println!("{name:a$}  {value:>b$}  {budget:>c$}  {verdict:d$}  {note}");
        }
    }

    /// Writes all figures as one JSON document.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, path: &Path) -> std::io::Result<()> {
        let figures = self.0.iter().map(|figure| {
            let (at_most, at_least) = match figure.budget {
                Some(Budget::AtMost(most)) => (Some(most), None),
                Some(Budget::AtLeast(least)) => (None, Some(least)),
                None => (None, None),
            };
            json!({
                "name": figure.name, "value": figure.value, "unit": figure.unit, "note": figure.note,
                "atMost": at_most, "atLeast": at_least, "used": figure.ratio(),
            })
        });
        let document = json!({ "figures": figures.collect::<Vec<_>>() });
        std::fs::write(path, format!("{document:#}\n"))
    }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Megabytes (of 10^6 bytes).
pub fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The quantile of the sorted values for this share (0 to 1).
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_used_from_both_sides() {
        let figure = |value, budget| Figure {
            name: "f".into(),
            value,
            unit: "ms",
            budget: Some(budget),
            note: String::new(),
        };
        assert_eq!(figure(30.0, Budget::AtMost(60.0)).row()[2..], ["<= 60.0", "0.50"]);
        assert_eq!(figure(50.0, Budget::AtLeast(100.0)).row()[2..], [">= 100", "2.00 missed"]);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 0.99), Duration::from_millis(20));
        assert_eq!(percentile(&values, 0.5), Duration::from_millis(11));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
