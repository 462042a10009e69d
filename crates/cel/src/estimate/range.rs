//! Ranges of costs and sizes. Arithmetic stays at the largest number instead of overflowing.

/// A range of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The smallest.
    pub min: u64,
    /// The largest; `u64::MAX` where nothing is known.
    pub max: u64,
}

/// What something costs, in cel-go's units.
pub type CostRange = Range;

/// The length of a string in characters, of bytes, a list or a map.
pub type SizeRange = Range;

impl Range {
    /// A size or cost about which nothing is known.
    pub const UNKNOWN: Range = Range { min: 0, max: u64::MAX };

    /// A range of one number.
    pub const fn exactly(value: u64) -> Range {
        Range { min: value, max: value }
    }

    pub(super) fn up_to(max: u64) -> Range {
        Range { min: 0, max }
    }

    pub(super) fn plus(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(super) fn times(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Rounded up.
    pub(super) fn scaled(self, factor: f64) -> Range {
        Range { min: scaled(self.min, factor), max: scaled(self.max, factor) }
    }

    pub(super) fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// The conversion to an integer stays within its bounds.
fn scaled(value: u64, factor: f64) -> u64 {
    (value as f64 * factor).ceil() as u64
}
