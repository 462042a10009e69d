//! Texts that others are kept as differences from.
//!
//! A difference is a list of values that are not those of the model. Each is written as two numbers, how many equal ones
//! precede it and twice its length, and then its bytes. One that was written shortly before, such as a time, is written
//! as a reference: twice the place of that one's length, plus one.

use crate::scan::{Scan, Span};

/// How many of the last values are looked at for one that is equal.
const LOOK_BACK: usize = 16;

/// A text, with the places of its values.
pub(crate) struct Model {
    text: Box<[u8]>,
    values: Box<[Span]>,
    form: u64,
}

impl Model {
    pub(crate) fn new(text: &[u8], scan: Scan) -> Model {
        Model { text: text.into(), values: scan.values.into(), form: scan.form }
    }

    /// The digest of everything but the values.
    pub(crate) fn form(&self) -> u64 {
        self.form
    }

    /// What is different in another text; `None` if it does not have the same form.
    pub(crate) fn difference(&self, text: &[u8], values: &[Span]) -> Option<Vec<u8>> {
        if values.len() != self.values.len() {
            return None;
        }
        let mut difference = Difference::default();
        let (mut ours, mut theirs) = (0, 0);
        for (value, model) in values.iter().zip(&self.values) {
            if text[ours..value.start as usize] != self.text[theirs..model.start as usize] {
                return None;
            }
            difference.push(value.of(text), model.of(&self.text));
            (ours, theirs) = (value.end as usize, model.end as usize);
        }
        (text[ours..] == self.text[theirs..]).then_some(difference.written)
    }
}

#[derive(Default)]
struct Difference {
    written: Vec<u8>,
    /// The number of equal values since the last one that was written.
    equal: usize,
    /// The last values: the places of their lengths and bytes.
    last: Vec<(usize, usize)>,
}

impl Difference {
    fn push(&mut self, value: &[u8], model: &[u8]) {
        if value == model {
            self.equal += 1;
            return;
        }
        push_number(&mut self.written, std::mem::take(&mut self.equal));
        let written = &self.written;
        let is_same = |(_, bytes): &&(usize, usize)| written[*bytes..].starts_with(value);
        let same = self.last.iter().rev().take(LOOK_BACK).find(is_same);
        // The bytes there may go on; its length tells.
        let same = same.filter(|(length, _)| take_number(&mut &written[*length..]) == value.len() * 2);
        if let Some((length, _)) = same {
            push_number(&mut self.written, length * 2 + 1);
            return;
        }
        let length = self.written.len();
        push_number(&mut self.written, value.len() * 2);
        self.last.push((length, self.written.len()));
        self.written.extend_from_slice(value);
    }
}

/// The parts of a text.
pub(crate) struct Chunks<'a> {
    model: &'a [u8],
    /// Of the model, those not yet passed.
    values: &'a [Span],
    /// How much of the model was passed.
    at: usize,
    difference: &'a [u8],
    /// What of it is left.
    left: &'a [u8],
    /// A value that comes next.
    value: Option<&'a [u8]>,
}

impl<'a> Chunks<'a> {
    /// The parts of a model with a difference.
    pub(crate) fn of(model: &'a Model, difference: &'a [u8]) -> Chunks<'a> {
        let (text, values) = (&*model.text, &*model.values);
        Chunks { model: text, values, at: 0, difference, left: difference, value: None }
    }

    /// The one part of a text without a model.
    pub(crate) fn whole(text: &'a [u8]) -> Chunks<'a> {
        Chunks { model: text, values: &[], at: 0, difference: &[], left: &[], value: None }
    }

    /// The next value of the difference, without its number.
    fn take_value(&mut self) -> &'a [u8] {
        let length = take_number(&mut self.left);
        if length % 2 == 1 {
            let mut there = &self.difference[length / 2..];
            let length = take_number(&mut there);
            return &there[..length / 2];
        }
        let (value, left) = self.left.split_at(length / 2);
        self.left = left;
        value
    }

    fn step(&mut self) -> Option<&'a [u8]> {
        if let Some(value) = self.value.take() {
            return Some(value);
        }
        if self.left.is_empty() {
            let rest = &self.model[self.at..];
            self.at = self.model.len();
            return (!rest.is_empty()).then_some(rest);
        }
        let equal = take_number(&mut self.left);
        let place = self.values[equal];
        self.values = &self.values[equal + 1..];
        let before = &self.model[self.at..place.start as usize];
        self.at = place.end as usize;
        self.value = Some(self.take_value());
        Some(before)
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let chunk = self.step()?;
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
    }
}

/// Writes a number in digits of 7 bits, the lowest first; all but the last have bit 7 set.
fn push_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn take_number(from: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    while let Some((digit, rest)) = from.split_first() {
        *from = rest;
        number |= usize::from(digit & 0x7f) << shift;
        shift += 7;
        if digit & 0x80 == 0 {
            break;
        }
    }
    number
}
