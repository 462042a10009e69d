use super::*;

fn q(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("0", "0"),
        ("0n", "0"),
        ("0Mi", "0"),
        ("-0", "0"),
        ("0e9", "0"),
        ("1", "1"),
        ("1000m", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1."),
        ("0.001", "1m"),
        ("1.5", "1500m"),
        ("100k", "100k"),
        ("1000k", "1M"),
        ("1024", "1024"),
        ("12345", "12345"),
        ("1500000", "1500k"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("8Ki", "8Ki"),
        ("7Mi", "7Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("1.1Ki", "1126400m"),
        ("0.5Ki", "512"),
        ("1023Ki", "1023Ki"),
        ("100Mi", "100Mi"),
        ("1Ei", "1Ei"),
        ("1e3", "1e3"),
        ("1E3", "1E3"),
        ("1e4", "10e3"),
        ("12e6", "12e6"),
        ("1e-3", "1e-3"),
        ("1e2", "100"),
        ("12.5e1", "12.5e1"),
        ("12.5e2", "1250"),
        ("1n", "1n"),
        ("1u", "1u"),
        ("1000n", "1u"),
        ("1T", "1T"),
        ("1P", "1P"),
        ("1E", "1E"),
        ("1000E", "1000E"),
        ("-1.5", "-1500m"),
        ("-1Ki", "-1Ki"),
        ("-100m", "-100m"),
        ("0.1n", "1n"),
        ("1.0000000001", "1000000001n"),
        ("-0.0000000001", "-1n"),
        ("1e-20", "1e-9"),
        ("100Ei", "9223372036854775807"),
        ("8Ei", "9223372036854775807"),
        ("9999999999999999999999Ki", "9223372036854775807"),
        ("0.0001Ki", "102400u"),
        ("1.00000000001Gi", "1073741824010737419n"),
        ("9223372036854775807", "9223372036854775807"),
        ("92233720368547758070", "92233720368547758070"),
        ("1.500", "1.500"),
        ("007", "007"),
        ("+1", "+1"),
    ] {
        assert_eq!(q(text).to_string(), canonical, "{text}");
        assert_eq!(q(&q(text).to_string()), q(text), "{text} and its canonical form are the same amount");
    }
}

#[test]
fn what_is_no_quantity() {
    for (text, error) in [
        ("", Error::Format),
        ("1.1.M", Error::Format),
        ("1+1.0M", Error::Format),
        ("0.1mi", Error::Suffix),
        ("0.1am", Error::Format),
        ("aoeu", Error::Format),
        (".5i", Error::Suffix),
        ("1i", Error::Suffix),
        ("-3.01i", Error::Suffix),
        ("-3.01e-", Error::Suffix),
        (" 1", Error::Format),
        ("1 ", Error::Format),
        ("1 Mi", Error::Format),
        ("1k1", Error::Suffix),
        ("1MiB", Error::Format),
        ("0x10", Error::Format),
        ("1e9999999999", Error::Suffix),
        ("1K", Error::Suffix),
        ("1mm", Error::Suffix),
        ("9999999999999999999999999999999999999999", Error::Numeric),
        // It fits, but not in the form that it would be written in, with the suffix `m`.
        ("12345678989010456789048901010104567890.1", Error::Numeric),
    ] {
        assert_eq!(Quantity::parse(text).unwrap_err(), error, "{text:?}");
    }
}

#[test]
fn values_round_up() {
    for (text, value, milli) in [
        ("0", 0, 0),
        ("1", 1, 1000),
        ("1m", 1, 1),
        ("1500m", 2, 1500),
        ("-1500m", -2, -1500),
        ("1n", 1, 1),
        ("1Ki", 1024, 1024000),
        ("1.0001", 2, 1001),
        ("1e3", 1000, 1000000),
        ("9223372036854775807", i64::MAX, i64::MAX),
        ("-1e100", i64::MIN, i64::MIN),
        ("1e-100", 1, 1),
    ] {
        assert_eq!((q(text).value(), q(text).milli_value()), (value, milli), "{text}");
    }
    assert_eq!(q("1500m").as_i64(), None);
    assert_eq!(q("2000m").as_i64(), Some(2));
    assert!((q("1500m").as_f64() - 1.5).abs() < 1e-12);
    assert_eq!(q("1.5").round_up(0).to_string(), "2");
}

#[test]
fn arithmetic() {
    for (a, b, sum, difference) in [
        ("1", "1", "2", "0"),
        ("500m", "1", "1500m", "-500m"),
        ("1Gi", "1Mi", "1025Mi", "1023Mi"),
        ("0", "1Ki", "1Ki", "-1Ki"),
        ("1Gi", "0", "1Gi", "1Gi"),
        ("1k", "1Ki", "2024", "-24"),
    ] {
        let (mut plus, mut minus) = (q(a), q(a));
        plus += &q(b);
        minus -= &q(b);
        assert_eq!((plus.to_string().as_str(), minus.to_string().as_str()), (sum, difference), "{a} {b}");
    }
    assert_eq!(q("1500m").mul(2).map(|q| q.to_string()).as_deref(), Some("3"));
    let large = q("1e30").mul(i64::MAX).and_then(|q| q.mul(i64::MAX));
    assert_eq!(large.and_then(|q| q.mul(i64::MAX)), None);
    let (mut plus, mut minus) = (q("1e100"), q("1e100"));
    plus += &q("1n");
    minus -= &q("1n");
    assert!(plus > q("1e100") && minus < q("1e100") && minus > q("1e99"), "{plus} {minus}");
}

#[test]
fn order() {
    for (less, more) in [
        ("1", "2"),
        ("-1", "0"),
        ("0", "1n"),
        ("1k", "1Ki"),
        ("999m", "1"),
        ("1", "1e100"),
        ("-1e100", "-1"),
        ("1n", "1e100"),
        ("1023Mi", "1Gi"),
    ] {
        assert!(q(less) < q(more), "{less} < {more}");
        assert!(q(more) > q(less), "{more} > {less}");
    }
    assert_eq!(q("1Gi"), q("1024Mi"));
    assert_eq!(q("1000m"), q("1"));
    assert_eq!(q("0"), q("0Ki"));
}
