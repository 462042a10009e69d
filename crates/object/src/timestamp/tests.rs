use proptest::prelude::*;

use super::*;

#[test]
fn times_are_read() {
    for (text, seconds, nanos) in [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2008-01-01T01:01:01Z", 1_199_149_261, 0),
        ("2000-02-29T23:59:59.5Z", 951_868_799, 500_000_000),
        ("2024-01-01T02:00:00+02:00", 1_704_067_200, 0),
        ("0001-01-01T00:00:00Z", Timestamp::ZERO.seconds, 0),
    ] {
        assert_eq!(Timestamp::parse(text, Precision::Seconds), Ok(Timestamp { seconds, nanos }), "{text}");
    }
    let micro = Timestamp::parse("2010-01-01T01:01:01.000010Z", Precision::Micros).unwrap();
    assert_eq!(micro, Timestamp { seconds: 1_262_307_661, nanos: 10_000 });
    assert_eq!(micro.format(Precision::Micros), "2010-01-01T01:01:01.000010Z");
}

#[test]
fn errors_are_gos() {
    for (text, precision, error) in [
        (
            "foo",
            Precision::Seconds,
            r#"parsing time "foo" as "2006-01-02T15:04:05Z07:00": cannot parse "foo" as "2006""#,
        ),
        (
            "2024-01-01",
            Precision::Seconds,
            r#"parsing time "2024-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#,
        ),
        (
            "2024-01-01T00:00:00",
            Precision::Seconds,
            r#"parsing time "2024-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
        ),
        (
            "2024-01-01T00:00:00Z",
            Precision::Micros,
            r#"parsing time "2024-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#,
        ),
        (
            "2023-02-29T00:00:00Z",
            Precision::Seconds,
            r#"parsing time "2023-02-29T00:00:00Z": day out of range"#,
        ),
        (
            "2023-13-01T00:00:00Z",
            Precision::Seconds,
            r#"parsing time "2023-13-01T00:00:00Z": month out of range"#,
        ),
        // In UTC they are in the years 10000 and -1, which could not be read again.
        (
            "9999-12-31T23:59:59-12:00",
            Precision::Seconds,
            r#"parsing time "9999-12-31T23:59:59-12:00": year out of range"#,
        ),
        (
            "0000-01-01T00:00:00+00:01",
            Precision::Seconds,
            r#"parsing time "0000-01-01T00:00:00+00:01": year out of range"#,
        ),
        (
            "2023-01-01T00:00:00Zx",
            Precision::Seconds,
            r#"parsing time "2023-01-01T00:00:00Zx": extra text: "x""#,
        ),
    ] {
        assert_eq!(Timestamp::parse(text, precision).unwrap_err().to_string(), error);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(seconds in -62_167_219_200_i64..253_402_300_800, micros in 0_u32..1_000_000) {
        let time = Timestamp { seconds, nanos: micros * 1000 };
        prop_assert_eq!(Timestamp::parse(&time.format(Precision::Micros), Precision::Micros), Ok(time));
    }

    #[test]
    fn garbage_does_not_panic(text in "[0-9T:.Z+äö -]{0,30}") {
        let _ = Timestamp::parse(&text, Precision::Seconds);
        let _ = Timestamp::parse(&text, Precision::Micros);
    }
}
