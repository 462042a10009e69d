//! Amounts as upstream's messages show them.

/// Units of 1024 and of 1000.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];

/// Bytes in the largest unit that fits without a remainder: `100Mi`, `95268Ki`, `1001`.
pub(crate) fn bytes(amount: i64) -> String {
    with_unit(amount, 1024, BINARY)
}

/// A count, likewise with `k`, `M`, and so on.
pub(crate) fn number(amount: i64) -> String {
    with_unit(amount, 1000, DECIMAL)
}

fn with_unit(mut amount: i64, base: i64, units: [&str; 6]) -> String {
    let mut unit = "";
    for next in units {
        if amount == 0 || amount % base != 0 {
            break;
        }
        (amount, unit) = (amount / base, next);
    }
    format!("{amount}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_without_rest_is_used() {
        for (amount, text) in
            [(0, "0"), (1023, "1023"), (1024, "1Ki"), (100 << 20, "100Mi"), (3 << 29, "1536Mi")]
        {
            assert_eq!(bytes(amount), text);
        }
        assert_eq!((number(1500), number(2_000_000)), ("1500".to_owned(), "2M".to_owned()));
    }
}
