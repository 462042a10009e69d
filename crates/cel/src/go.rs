//! Forms of text that Go's standard library defines.

/// A number as `%g` writes it: the fewest digits that tell it, with an exponent below 1e-4 and from 1e6 on.
pub(crate) fn format_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..EXPONENT_MAX).contains(&exponent) {
        return number.to_string();
    }
    with_exponent(mantissa, exponent)
}

/// From this power of ten on, `%g` writes an exponent.
const EXPONENT_MAX: i32 = 6;

/// A number as `%.*e` writes it.
pub(crate) fn format_scientific(number: f64, precision: usize) -> String {
    let scientific = format!("{number:.precision$e}");
    match scientific.split_once('e') {
        Some((mantissa, exponent)) => with_exponent(mantissa, exponent.parse().unwrap_or(0)),
        None => scientific,
    }
}

fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A number as `strconv.ParseFloat` reads it, without its hexadecimal form.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let is_written = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (number.is_finite() || number.is_nan() || is_written).then_some(number)
}

/// Text in quotes as `%q` writes it.
pub(crate) fn quote(text: &str) -> String {
    object::quote(text)
}
