//! Values formatted as Go formats them, for upstream's messages.

use std::time::Duration;

pub(crate) mod quantity;

/// A duration as Go prints it: `10s`, `2m40s`, `5m0s`, `1.5s`, `12ms`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (value, unit) = match nanos {
            0..1_000 => return format!("{nanos}ns"),
            1_000..1_000_000 => (nanos as f64 / 1e3, "µs"),
            _ => (nanos as f64 / 1e6, "ms"),
        };
        return format!("{value}{unit}");
    }
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let fraction = f64::from(duration.subsec_nanos()) / 1e9;
    let rest = format!("{}s", (seconds % 60) as f64 + fraction);
    match (hours, minutes) {
        (0, 0) => rest,
        (0, _) => format!("{minutes}m{rest}"),
        _ => format!("{hours}h{minutes}m{rest}"),
    }
}

/// A list as Go prints it: `[a b]`.
pub(crate) fn go_list<T: AsRef<str>>(items: &[T]) -> String {
    format!("[{}]", items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let cases = [
            (0, "0s"),
            (12_000_000, "12ms"),
            (1_500_000, "1.5ms"),
            (10_000_000_000, "10s"),
            (1_250_000_000, "1.25s"),
            (160_000_000_000, "2m40s"),
            (300_000_000_000, "5m0s"),
            (3_600_000_000_000, "1h0m0s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }
}
