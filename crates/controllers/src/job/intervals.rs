//! Sets of completion indexes in the form of a Job's status: `1,3-5,7`.

use std::collections::BTreeSet;
use std::fmt;

/// Indexes in order, as ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<Interval>);

/// Indexes from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    first: i32,
    last: i32,
}

impl Intervals {
    /// Reads a text of the API. Indexes of `completions` or more are left out, and so are parts that are not numbers.
    pub(super) fn parse(text: &str, completions: i32) -> Intervals {
        let mut found = Intervals::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
            if (0..completions).contains(&first) {
                found.insert(Interval { first, last: last.min(completions - 1) });
            }
        }
        found
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many indexes there are.
    pub(super) fn total(&self) -> i32 {
        self.0.iter().map(|interval| interval.last - interval.first + 1).sum()
    }

    /// Whether the index is among them.
    pub(super) fn has(&self, index: i32) -> bool {
        let at = self.0.partition_point(|interval| interval.last < index);
        self.0.get(at).is_some_and(|interval| interval.first <= index)
    }

    /// These and the given ones.
    pub(super) fn with(&self, indexes: impl IntoIterator<Item = i32>) -> Intervals {
        let indexes: BTreeSet<i32> = indexes.into_iter().collect();
        let single = indexes.into_iter().map(|index| Interval { first: index, last: index }).collect();
        self.merged(&Intervals(single))
    }

    /// Both together.
    pub(super) fn merged(&self, other: &Intervals) -> Intervals {
        let mut all: Vec<Interval> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_by_key(|interval| interval.first);
        let mut merged = Intervals::default();
        for interval in all {
            merged.insert(interval);
        }
        merged
    }

    /// How many indexes are in both.
    pub(super) fn common(&self, other: &Intervals) -> i32 {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = 0;
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            common += (a.last.min(b.last) - a.first.max(b.first) + 1).max(0);
            if a.last <= b.last {
                mine.next()
            } else {
                theirs.next()
            };
        }
        common
    }

    /// The lowest `count` indexes below `completions` that are not among these.
    pub(super) fn missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut next = 0;
        for interval in &self.0 {
            missing.extend((next..interval.first.min(completions)).take(count - missing.len()));
            next = next.max(interval.last.saturating_add(1));
        }
        missing.extend((next..completions).take(count - missing.len()));
        missing
    }

    /// Adds a range that begins no earlier than the last one.
    fn insert(&mut self, interval: Interval) {
        match self.0.last_mut() {
            Some(last) if interval.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(interval.last)
            }
            _ => self.0.push(interval),
        }
    }
}

impl fmt::Display for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Interval { first, last }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written_in_the_form_of_the_api() {
        let cases = [
            ("", 5, "", 0),
            ("1", 5, "1", 1),
            ("1,2", 5, "1,2", 2),
            ("1-2,3,5-7", 8, "1-3,5-7", 6),
            ("1-2,5-7", 6, "1,2,5", 3),
            ("x,1-y,3", 9, "3", 1),
            ("4,9-12", 9, "4", 1),
        ];
        for (text, completions, shown, total) in cases {
            let read = Intervals::parse(text, completions);
            assert_eq!((read.to_string().as_str(), read.total()), (shown, total), "{text}");
            assert!((0..completions).filter(|index| read.has(*index)).count() as i32 == total, "{text}");
        }
    }

    #[test]
    fn sets_are_joined_compared_and_searched_for_gaps() {
        let some = Intervals::parse("1,3-5,9", 10);
        assert_eq!(some.with([2, 7, 2]).to_string(), "1-5,7,9");
        assert_eq!(some.merged(&Intervals::parse("0,4-8", 10)).to_string(), "0,1,3-9");
        assert_eq!(some.common(&Intervals::parse("0-3,5,9", 10)), 4);
        assert_eq!(some.missing(3, 10), [0, 2, 6]);
        assert_eq!(some.missing(9, 10), [0, 2, 6, 7, 8]);
        assert_eq!(some.missing(9, 4), [0, 2]);
        assert_eq!(Intervals::default().missing(2, 10), [0, 1]);
    }
}
