//! The parser of quantities.

use super::{Error, Format, NANO, Quantity, divide_away_from_zero};

/// This number of decimal digits always fits into 64 bits.
const DIGITS_MAX: usize = 18;

/// A text taken apart: `sign`, digits before and after the point, suffix.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

pub(super) fn parse(text: &str) -> Result<Quantity, Error> {
    if text.is_empty() {
        return Err(Error::Format);
    }
    let parts = split(text)?;
    let suffix = Suffix::parse(parts.suffix).ok_or(Error::Suffix)?;
    let Parts { whole, fraction, .. } = parts;
    let digits = whole.len().max(1) + fraction.len();
    let fast = match suffix {
        Suffix::Decimal { exponent, .. } => {
            digits <= DIGITS_MAX && exponent.saturating_sub(fraction.len() as i32) >= NANO
        }
        // As upstream: the binary suffix counts for some digits.
        Suffix::Binary { exponent } => {
            fraction.is_empty() && whole.len().max(1) + exponent as usize * 3 / 10 < 15
        }
    };
    let mut quantity = if fast { exact(&parts, suffix)? } else { rounded(&parts, suffix)? };
    if fast && repeats(&parts, suffix) {
        quantity.text = Some(text.into());
    }
    if parts.negative {
        quantity.mantissa = -quantity.mantissa;
    }
    Ok(quantity)
}

fn split(text: &str) -> Result<Parts<'_>, Error> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start_matches('0');
    let (whole, rest) = take(unsigned, |b| b.is_ascii_digit());
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => take(rest, |b| b.is_ascii_digit()),
        None => ("", rest),
    };
    let (_, exponent) = take(suffix, |b| b"eEinumkKMGTP".contains(&b));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if exponent.bytes().all(|b| b.is_ascii_digit()) {
        Ok(Parts { negative, whole, fraction, suffix })
    } else {
        Err(Error::Format)
    }
}

fn take(text: &str, is: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !is(b)).unwrap_or(text.len()))
}

#[derive(Clone, Copy)]
enum Suffix {
    Decimal { exponent: i32, format: Format },
    Binary { exponent: u32 },
}

impl Suffix {
    fn parse(suffix: &str) -> Option<Suffix> {
        let decimal = |exponent| Some(Suffix::Decimal { exponent, format: Format::DecimalSi });
        let binary = |exponent| Some(Suffix::Binary { exponent });
        match suffix {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            other => {
                let exponent = other.strip_prefix(['e', 'E'])?.parse().ok()?;
                Some(Suffix::Decimal { exponent, format: Format::DecimalExponent })
            }
        }
    }
}

/// All digits fit: nothing is rounded.
fn exact(parts: &Parts<'_>, suffix: Suffix) -> Result<Quantity, Error> {
    let mantissa = digits(parts)?;
    Ok(match suffix {
        Suffix::Decimal { exponent, format } => {
            Quantity { mantissa, scale: exponent - parts.fraction.len() as i32, format, text: None }
        }
        Suffix::Binary { exponent } => {
            Quantity { mantissa: mantissa << exponent, scale: 0, format: Format::BinarySi, text: None }
        }
    })
}

/// Many digits: rounds up to nano-units, so that a small amount does not become zero, and caps binary amounts at
/// 2^63-1.
fn rounded(parts: &Parts<'_>, suffix: Suffix) -> Result<Quantity, Error> {
    // Digits after the 20th of the fraction can only round up the preceding ones.
    let kept = &parts.fraction[..parts.fraction.len().min(20)];
    let dropped = parts.fraction[kept.len()..].bytes().any(|b| b != b'0');
    let mantissa = digits(&Parts { fraction: kept, ..*parts })?;
    let mantissa = mantissa.checked_add(dropped.into()).ok_or(Error::Numeric)?;
    let scale = -(kept.len() as i32);
    match suffix {
        Suffix::Decimal { exponent, format } => {
            let scale = scale.saturating_add(exponent);
            let quantity = Quantity { mantissa, scale, format, text: None }.round_up(NANO);
            // Suffixes go in steps of three digits: written with the next one, it must fit again.
            let step = 10_i128.pow(quantity.scale.rem_euclid(3).unsigned_abs());
            quantity.mantissa.checked_mul(step).ok_or(Error::Numeric)?;
            Ok(quantity)
        }
        Suffix::Binary { exponent } => Ok(rounded_binary(mantissa, scale, exponent)),
    }
}

fn rounded_binary(mut mantissa: i128, mut scale: i32, exponent: u32) -> Quantity {
    let factor = 1i128 << exponent;
    let product = loop {
        match mantissa.checked_mul(factor) {
            Some(product) => break product,
            None => (mantissa, scale) = (divide_away_from_zero(mantissa, 1), scale + 1),
        }
    };
    let quantity = Quantity { mantissa: product, scale, format: Format::BinarySi, text: None }.round_up(NANO);
    let most = Quantity::new(i64::MAX, Format::BinarySi);
    let one = Quantity::new(1, Format::BinarySi);
    match quantity {
        q if q > most => most,
        q if q < one && !q.is_zero() => Quantity { format: Format::DecimalSi, ..q },
        q => q,
    }
}

fn digits(parts: &Parts<'_>) -> Result<i128, Error> {
    let mut mantissa: i128 = 0;
    for digit in parts.whole.bytes().chain(parts.fraction.bytes()) {
        let next = mantissa.checked_mul(10).and_then(|m| m.checked_add((digit - b'0').into()));
        mantissa = next.ok_or(Error::Numeric)?;
    }
    Ok(mantissa)
}

/// Whether upstream takes the text for canonical and writes it back unchanged, which it does for some texts that are
/// not (`1.500`, `+1`).
fn repeats(parts: &Parts<'_>, suffix: Suffix) -> bool {
    let Ok(mantissa) = digits(parts) else { return false };
    match suffix {
        Suffix::Binary { .. } => mantissa & 7 != 0,
        Suffix::Decimal { exponent, .. } => {
            let scale = exponent - parts.fraction.len() as i32;
            !parts.whole.is_empty() && scale % 3 == 0 && mantissa % 1000 != 0
        }
    }
}
