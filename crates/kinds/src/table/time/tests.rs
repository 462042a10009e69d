use object::value;

use super::*;

#[test]
fn spans_have_two_or_three_figures() {
    let cases = [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (1, "1s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 70, "3h1m"),
        (8 * HOUR - 1, "7h59m"),
        (8 * HOUR, "8h"),
        (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"),
        (3 * DAY + 4 * HOUR, "3d4h"),
        (8 * DAY, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"),
        (8 * YEAR + DAY, "8y"),
    ];
    for (seconds, text) in cases {
        assert_eq!(human_duration(seconds), text, "{seconds} s");
    }
}

#[test]
fn spans_are_cut_to_whole_seconds() {
    let at = |text: &str| Value::from(text);
    let between = |start: &str, end: &str| seconds_between(&at(start), &at(end));
    assert_eq!(between("2024-01-01T00:00:00Z", "2024-01-01T00:00:05Z"), Some(5));
    assert_eq!(between("2024-01-01T00:00:00.900000Z", "2024-01-01T00:00:05.100000Z"), Some(4));
    assert_eq!(between("2024-01-01T00:00:05.100000Z", "2024-01-01T00:00:00.900000Z"), Some(-4));
    assert_eq!(seconds_between(&value!(null), &at("2024-01-01T00:00:00Z")), None);
}
