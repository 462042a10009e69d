//! New inputs from old ones.

/// No input is longer.
const BYTES_MAX: usize = 64 << 10;
/// How many changes an input has at most.
const CHANGES_MAX: usize = 5;
/// Numbers at which code tends to go wrong.
const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "1",
    "-1",
    "127",
    "128",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e400",
];

/// Makes inputs; the same number makes the same ones.
pub(crate) struct Mutator {
    state: u64,
    words: &'static [&'static str],
}

impl Mutator {
    pub(crate) fn new(number: u64, words: &'static [&'static str]) -> Mutator {
        Mutator { state: number, words }
    }

    /// A number below `bound`, which is not 0 (SplitMix64).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        debug_assert!(bound > 0);
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// One of `pool` with a few changes.
    pub(crate) fn input(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = pool[self.below(pool.len())].clone();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut input, pool);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        if input.is_empty() {
            input.push(self.byte());
            return;
        }
        let at = self.below(input.len());
        let range = self.range(input.len());
        match self.below(12) {
            0 => input[at] ^= 1 << self.below(8),
            1 => input[at] = self.byte(),
            2 => {
                let byte = self.byte();
                input.insert(at, byte);
            }
            3 => drop(input.drain(range)),
            4 => {
                // Twice the same: lists, keys, levels of nesting.
                let part = input[range.clone()].to_vec();
                let times = 1 + self.below(8);
                input.splice(range.end..range.end, part.repeat(times));
            }
            5 => {
                let part = input[range].to_vec();
                input.splice(at..at, part);
            }
            6 => {
                let other = &pool[self.below(pool.len())];
                let part = if other.is_empty() { 0..0 } else { self.range(other.len()) };
                input.splice(range, other[part].iter().copied());
            }
            7 | 8 => self.put_word(input, range),
            9 => self.put_number(input, at),
            10 => input.truncate(at),
            _ => {
                let other = self.below(input.len());
                input.swap(at, other);
            }
        }
    }

    /// A byte, as often as not one that means something.
    fn byte(&mut self) -> u8 {
        const SPECIAL: &[u8] = b"\0\n\r\t \"'\\/,:;=!()[]{}-+.#&*%@|>~\x7f\x80\xc3\xff";
        match self.below(2) {
            0 => SPECIAL[self.below(SPECIAL.len())],
            _ => self.below(256) as u8,
        }
    }

    /// A part of something that is not empty, short as a rule.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let bound = if self.below(4) == 0 { length - start } else { (length - start).min(16) };
        start..start + 1 + self.below(bound)
    }

    fn put_word(&mut self, input: &mut Vec<u8>, range: std::ops::Range<usize>) {
        let Some(last) = self.words.len().checked_sub(1) else { return };
        let word = self.words[self.below(last + 1)];
        let range = if self.below(2) == 0 { range.start..range.start } else { range };
        input.splice(range, word.bytes());
    }

    /// Puts a number in the place of the one that is at `at` or behind it.
    fn put_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let number = NUMBERS[self.below(NUMBERS.len())];
        let Some(start) = input[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else {
            return;
        };
        let end =
            input[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(input.len(), |n| start + n);
        input.splice(start..end, number.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_makes_the_same_inputs_and_another_others() {
        let pool = [b"{\"a\": [1, 2]}".to_vec(), Vec::new()];
        let inputs = |number| {
            let mut mutator = Mutator::new(number, &["null"]);
            (0..200).map(|_| mutator.input(&pool)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        assert!(inputs(1).iter().all(|input| input.len() <= BYTES_MAX));
        let different: std::collections::BTreeSet<_> = inputs(1).into_iter().collect();
        assert!(different.len() > 150, "{}", different.len());
    }
}
