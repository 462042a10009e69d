use std::collections::HashSet;

use super::*;
use crate::field::{Errors, Path};

/// Checks which texts are right and which are wrong.
fn check(is: fn(&str) -> Messages, right: &[&str], wrong: &[&str]) {
    for text in right {
        assert_eq!(is(text), Messages::new(), "{text:?} is right");
    }
    for text in wrong {
        assert!(!is(text).is_empty(), "{text:?} is wrong");
    }
}

#[test]
fn dns_names() {
    let long = "a".repeat(64);
    let right = ["a", "ab", "abc", "a1", "a-1", "a--1--2--b", "0", "01", "1a", "a1b2c3", &long[..63]];
    let wrong =
        ["", "A", "aBc", "A1", "-", "a-", "-a", "1-", "_", "a_b", ".", "a.", "a..b", " ", "a b", "ä", &long];
    check(is_dns1123_label, &right, &wrong);
    check(
        is_dns1123_subdomain,
        &[&right[..], &["a.b", "0.a-1.b"]].concat(),
        &["", "a.", ".a", "a..b", "A.b", "a_b", "a.-b"],
    );
    check(is_dns1035_label, &["a", "a1", "a-1"], &["", "0", "1a", "A", "a-", "a.b", &long]);
    check(
        is_wildcard_dns1123_subdomain,
        &["*.example.com", "*.bar"],
        &["*", "*.*.bar", "*bar.com", "f*.bar.com", "a.b"],
    );
    check(is_dns1123_subdomain_with_underscore, &["_a._b", "a_b.c"], &["__a", "a_", "", "a.."]);
    assert!(is_dns1123_subdomain(&"a".repeat(254))[0].contains("no more than 253 characters"));
}

#[test]
fn labels() {
    let long = "a".repeat(64);
    let right = [
        "simple",
        "now-with-dashes",
        "1-starts-with-num",
        "1234",
        "simple/simple",
        "now-with-dashes.x/y",
        "1.2.3.4/5678",
        "Uppercase_Is_OK_123",
        "example.com/Uppercase_Is_OK_123",
    ];
    let wrong = [
        "",
        "/",
        "/a",
        "a/",
        "a/b/c",
        "nospecialchars%^=@",
        "cantendwithadash-",
        "-cantstart",
        "A.com/x",
        &long,
    ];
    check(is_qualified_name, &right, &wrong);
    check(is_valid_label_value, &["", "simple", "a.b_c-D", "1"], &["a b", "-a", "a-", "a/b", &long]);
    assert_eq!(
        is_qualified_name(""),
        [
            "name part must be non-empty".to_owned(),
            format!(
                "name part {LABEL_KEY_MESSAGE} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{LABEL_KEY}')"
            ),
        ]
    );
    assert_eq!(is_valid_label_value(&long), ["must be no more than 63 bytes"]);
}

#[test]
fn keys_variables_ports_and_numbers() {
    check(is_config_map_key, &["a", "a.b", "_a", ".a", "A-1"], &["", ".", "..", "..a", "a/b", "a b"]);
    check(is_env_var_name, &["A", "1a", "a b", "a.b-c", "!"], &["", "a=b", "ä", "a\n"]);
    check(is_c_identifier, &["_", "a1", "A_b"], &["", "1a", "a-b"]);
    check(is_http_header_name, &["X-A", "a"], &["", "a:b", "a b"]);
    check(
        is_valid_port_name,
        &["http", "a-1", "80a"],
        &["", "80", "-a", "a-", "a--b", "A", "sixteen-letters-x"],
    );
    check(is_valid_percent, &["0%", "25%", "250%"], &["", "%", "25", "-1%", "1.5%", "25%%"]);
    check(is_decimal_integer, &["0", "-1", "10"], &["", "-", "-0", "01", "+1", "1a", "a"]);
    check(is_path_segment_name, &["a", "", "a..b"], &[".", "..", "a/b", "a%b"]);
    check(is_valid_condition_reason, &["A", "A1_", "ReasonA,ReasonB"], &["", "1A", "A,", "A-B"]);
    assert_eq!(is_valid_port_num(0), ["must be between 1 and 65535, inclusive"]);
    assert!(is_valid_port_num(65535).is_empty());
    assert_eq!(is_valid_user_id(-1), ["must be between 0 and 2147483647, inclusive"]);
    assert!(is_valid_group_id(0).is_empty());
}

#[test]
fn addresses() {
    let path = Path::root("ip");
    let message = |errors: Errors| errors.iter().map(|e| e.detail.clone()).next().unwrap_or_default();
    for (value, legacy, strict) in [
        ("10.0.0.1", "", ""),
        ("2001:db8::1", "", ""),
        ("2001:DB8::1", "", r#"must be in canonical form ("2001:db8::1")"#),
        ("10.0.0.01", "must not have leading 0s", "must not have leading 0s"),
        (
            "::ffff:1.2.3.4",
            "must not be an IPv4-mapped IPv6 address",
            "must not be an IPv4-mapped IPv6 address",
        ),
    ] {
        assert_eq!(message(is_valid_ip_for_legacy_field(&path, value, &HashSet::new())), legacy, "{value}");
        assert_eq!(message(is_valid_ip(&path, value)), strict, "{value}");
    }
    for wrong in ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "a", "fe80::1%eth0", "1.2.3.4/8", "1..2.3"] {
        assert!(message(is_valid_ip(&path, wrong)).starts_with("must be a valid IP address"), "{wrong}");
    }
    assert!(is_valid_ip_for_legacy_field(&path, "10.0.0.01", &HashSet::from(["10.0.0.01"])).is_empty());
    for (value, strict) in [
        ("10.0.0.0/8", ""),
        ("0.0.0.0/0", ""),
        ("::/0", ""),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
        ("FE80::/64", r#"must be in canonical form ("fe80::/64")"#),
        ("10.0.0.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        ("10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
    ] {
        assert_eq!(message(is_valid_cidr(&path, value)), strict, "{value}");
    }
    assert!(is_valid_cidr_for_legacy_field(&path, "FE80::/64", &HashSet::new()).is_empty());
}
