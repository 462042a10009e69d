//! Quantities of resources: `100m`, `1.5Gi`, `2e3`.
//!
//! A number with a suffix, kept exactly, and written in upstream's canonical form
//! (`k8s.io/apimachinery/pkg/api/resource`): no fraction, no lost precision, the largest suffix of its format.
//!
//! ```
//! use object::Quantity;
//! let memory: Quantity = "1.5Gi".parse()?;
//! assert_eq!(memory.to_string(), "1536Mi");
//! assert_eq!("0.5".parse::<Quantity>()?.milli_value(), 500);
//! # Ok::<(), object::QuantityError>(())
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::ops::{AddAssign, Neg, SubAssign};
use std::str::FromStr;

mod parse;
#[cfg(test)]
mod tests;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    DecimalSi,
}

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not even of the form.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number is invalid, or has too many digits.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is invalid.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// A quantity: `mantissa * 10^scale`, with up to 38 digits.
///
/// Equality and order are of the amounts: `1Gi` equals `1024Mi`.
#[derive(Clone, Debug)]
pub struct Quantity {
    mantissa: i128,
    scale: i32,
    format: Format,
    /// The text it came from where upstream would repeat that unchanged.
    text: Option<Box<str>>,
}

/// The smallest suffix of decimal quantities, `n`, as a power of ten: finer amounts are rounded up to it.
const NANO: i32 = -9;
/// The largest suffix of decimal quantities, `E`, as a power of ten.
const DECIMAL_EXPONENT_MAX: i32 = 18;

impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity::new(0, Format::DecimalSi);

    /// `value` units.
    pub const fn new(value: i64, format: Format) -> Quantity {
        Quantity::scaled(value, 0, format)
    }

    /// `value` thousandths.
    pub const fn milli(value: i64, format: Format) -> Quantity {
        Quantity::scaled(value, -3, format)
    }

    /// `value * 10^scale`.
    pub const fn scaled(value: i64, scale: i32, format: Format) -> Quantity {
        Quantity { mantissa: value as i128, scale, format, text: None }
    }

    /// Parses a text; white space is not allowed.
    ///
    /// # Errors
    /// See [`Error`]; the messages are upstream's.
    pub fn parse(text: &str) -> Result<Quantity, Error> {
        parse::parse(text)
    }

    /// How it is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.mantissa.signum() as i32
    }

    /// The amount in whole units, rounded away from zero and clamped to the range of the type.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// The amount in thousandths, rounded away from zero and clamped to the range of the type.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// The amount in units of `10^scale`, rounded away from zero, within the bounds of the type.
    pub fn scaled_value(&self, scale: i32) -> i64 {
        let amount = match self.scale.saturating_sub(scale) {
            up @ 0.. => pow10(up).and_then(|p| self.mantissa.checked_mul(p)),
            down => Some(divide_away_from_zero(self.mantissa, down.unsigned_abs())),
        };
        let bound = if self.mantissa < 0 { i64::MIN } else { i64::MAX };
        if self.is_zero() { 0 } else { amount.and_then(|a| i64::try_from(a).ok()).unwrap_or(bound) }
    }

    /// The amount as a float, perhaps inexact.
    pub fn as_f64(&self) -> f64 {
        self.mantissa as f64 * 10f64.powi(self.scale)
    }

    /// The whole amount, if it is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        let whole = self.scaled_value(0);
        (self.cmp(&Quantity::new(whole, self.format)) == Ordering::Equal).then_some(whole)
    }

    /// The amount times a number; `None` if that has more than 38 digits.
    #[must_use]
    pub fn mul(&self, factor: i64) -> Option<Quantity> {
        let mantissa = self.mantissa.checked_mul(factor.into())?;
        Some(Quantity { mantissa, scale: self.scale, format: self.format, text: None })
    }

    /// Rounds up to a multiple of `10^scale`, away from zero.
    #[must_use]
    pub fn round_up(mut self, scale: i32) -> Quantity {
        if self.scale < scale {
            self.mantissa = divide_away_from_zero(self.mantissa, self.scale.abs_diff(scale));
            self.scale = scale;
            self.text = None;
        }
        self
    }

    /// The mantissa as a whole number of units, if it is one.
    fn exact_units(&self) -> Option<i128> {
        match self.scale {
            up @ 0.. => pow10(up).and_then(|p| self.mantissa.checked_mul(p)),
            down => match pow10(-down) {
                Some(p) => (self.mantissa % p == 0).then(|| self.mantissa / p),
                None => None,
            },
        }
    }
}

fn pow10(exponent: i32) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn divide_away_from_zero(amount: i128, digits: u32) -> i128 {
    match 10i128.checked_pow(digits) {
        Some(p) if amount % p == 0 => amount / p,
        Some(p) => amount / p + amount.signum(),
        None => amount.signum(),
    }
}

/// Both mantissas at one scale: that of the finer one, or as near to it as fits.
fn align(a: &Quantity, b: &Quantity) -> (i128, i128, i32) {
    match (a.mantissa, b.mantissa, a.scale.cmp(&b.scale)) {
        (_, _, Ordering::Equal) | (_, 0, _) => (a.mantissa, b.mantissa, a.scale),
        (0, _, _) => (0, b.mantissa, b.scale),
        (_, _, Ordering::Less) => {
            let (b, a, scale) = align(b, a);
            (a, b, scale)
        }
        (_, _, Ordering::Greater) => {
            // As fine as the coarser one can become without loss.
            let (mut mantissa, mut scale) = (a.mantissa, a.scale);
            while let Some(finer) = mantissa.checked_mul(10).filter(|_| scale > b.scale) {
                (mantissa, scale) = (finer, scale - 1);
            }
            (mantissa, divide_away_from_zero(b.mantissa, scale.abs_diff(b.scale)), scale)
        }
    }
}

/// The sum; a zero takes on the other's format. Where the sum cannot be exact in 38 digits it is rounded away
/// from zero.
impl AddAssign<&Quantity> for Quantity {
    fn add_assign(&mut self, other: &Quantity) {
        self.text = None;
        if self.is_zero() {
            self.format = other.format;
        }
        let (a, b, scale) = align(self, other);
        match a.checked_add(b) {
            Some(sum) => (self.mantissa, self.scale) = (sum, scale),
            None => {
                let sum = divide_away_from_zero(a, 1) + divide_away_from_zero(b, 1);
                (self.mantissa, self.scale) = (sum, scale + 1);
            }
        }
    }
}

/// The difference; see the sum.
impl SubAssign<&Quantity> for Quantity {
    fn sub_assign(&mut self, other: &Quantity) {
        *self += &-other.clone();
    }
}

impl Neg for Quantity {
    type Output = Quantity;
    fn neg(mut self) -> Quantity {
        self.text = None;
        self.mantissa = -self.mantissa;
        self
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let signs = self.sign().cmp(&other.sign());
        if signs.is_ne() || self.is_zero() {
            return signs;
        }
        if self.scale < other.scale {
            return other.cmp(self).reverse();
        }
        let finer = 10i128.checked_pow(self.scale.abs_diff(other.scale));
        match finer.and_then(|p| self.mantissa.checked_mul(p)) {
            Some(finer) => finer.cmp(&other.mantissa),
            // Beyond any mantissa: the larger scale wins.
            None => self.sign().cmp(&0),
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

impl Default for Quantity {
    fn default() -> Quantity {
        Quantity::ZERO
    }
}

impl FromStr for Quantity {
    type Err = Error;
    fn from_str(text: &str) -> Result<Quantity, Error> {
        Quantity::parse(text)
    }
}

/// The canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.is_zero() {
            return f.write_str("0");
        }
        match (self.format, self.exact_units()) {
            // Small and fractional amounts are written decimally, so that nothing is lost.
            (Format::BinarySi, Some(units)) if units.unsigned_abs() >= 1024 => write_binary(f, units),
            (Format::BinarySi | Format::DecimalSi, _) => self.write_decimal(f, true),
            (Format::DecimalExponent, _) => self.write_decimal(f, false),
        }
    }
}

fn write_binary(f: &mut fmt::Formatter<'_>, mut units: i128) -> fmt::Result {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut power = 0;
    while units % 1024 == 0 && power + 1 < SUFFIXES.len() {
        units /= 1024;
        power += 1;
    }
    write!(f, "{units}{}", SUFFIXES[power])
}

impl Quantity {
    fn write_decimal(&self, f: &mut fmt::Formatter<'_>, with_suffix: bool) -> fmt::Result {
        let (mut mantissa, mut exponent) = (self.mantissa, self.scale);
        if with_suffix && exponent < NANO {
            (mantissa, exponent) = (divide_away_from_zero(mantissa, exponent.abs_diff(NANO)), NANO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        let excess = match with_suffix {
            true => exponent - exponent.div_euclid(3).min(DECIMAL_EXPONENT_MAX / 3) * 3,
            false => exponent.rem_euclid(3),
        };
        let zeros = usize::try_from(excess).unwrap_or(0);
        exponent -= excess;
        write!(f, "{mantissa}{:0<zeros$}", "")?;
        match exponent {
            0 => Ok(()),
            e if with_suffix => f.write_str(decimal_suffix(e)),
            e => write!(f, "e{e}"),
        }
    }
}

fn decimal_suffix(exponent: i32) -> &'static str {
    match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    }
}
