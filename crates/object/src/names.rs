//! Validation of names, labels, ports and addresses: the small grammars of the API.
//!
//! Each check returns messages for everything that is wrong, and none if the text is valid. The messages are those of
//! `k8s.io/apimachinery/pkg/util/validation` and `.../pkg/api/validate/content`; they appear in field errors.
//!
//! ```
//! use object::names;
//! assert!(names::is_dns1123_label("web-1").is_empty());
//! assert_eq!(names::is_dns1123_label("a.b"), ["must not contain dots"]);
//! ```

mod grammar;
mod ip;
mod sysctl;
#[cfg(test)]
mod tests;

pub use ip::{
    is_valid_cidr, is_valid_cidr_for_legacy_field, is_valid_ip, is_valid_ip_for_legacy_field,
    parse_cidr_sloppy, parse_ip_sloppy,
};
pub use sysctl::{SysctlNamespace, normalize_sysctl, sysctl_namespace};

/// The error messages for a text.
pub type Messages = Vec<String>;

/// The longest label of a DNS name, and the longest name part of a label key, in bytes.
pub const DNS_LABEL_MAX: usize = 63;
/// The longest DNS subdomain, in bytes.
pub const DNS_SUBDOMAIN_MAX: usize = 253;
/// The longest label value, in bytes.
pub const LABEL_VALUE_MAX: usize = 63;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1123_SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character";

/// A label of a DNS name (RFC 1123): lower case letters, digits and inner hyphens, up to 63 bytes.
pub fn is_dns1123_label(value: &str) -> Messages {
    let mut messages = longer_than(value, DNS_LABEL_MAX);
    if !grammar::dns1123_label(value) {
        messages.push(match grammar::dns1123_subdomain(value) {
            true => "must not contain dots".into(),
            false => regex_message(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                 must start and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            ),
        });
    }
    messages
}

/// A DNS name (RFC 1123): labels joined by dots, up to 253 bytes.
pub fn is_dns1123_subdomain(value: &str) -> Messages {
    let mut messages = longer_than(value, DNS_SUBDOMAIN_MAX);
    messages.extend(dns1123_subdomain_form(value));
    messages
}

fn dns1123_subdomain_form(value: &str) -> Option<String> {
    let message = || regex_message(DNS1123_SUBDOMAIN_MESSAGE, DNS1123_SUBDOMAIN, &["example.com"]);
    (!grammar::dns1123_subdomain(value)).then(message)
}

/// A DNS name (RFC 1123) in which capital letters may stand, too.
pub fn is_dns1123_subdomain_in_any_case(value: &str) -> Messages {
    let mut messages = longer_than(value, DNS_SUBDOMAIN_MAX);
    if !grammar::dns1123_subdomain(&value.to_ascii_lowercase()) {
        messages.push(regex_message(
            "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end \
             with an alphanumeric character",
            DNS1123_SUBDOMAIN,
            &["Example.com"],
        ));
    }
    messages
}

/// A DNS name whose labels may hold underscores too (search paths of a pod's DNS).
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Messages {
    let mut messages = longer_than(value, DNS_SUBDOMAIN_MAX);
    if !value.split('.').all(grammar::dns1123_label_with_underscore) {
        messages.push(regex_message(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or \
             '.', and must start and end with an alphanumeric character",
            r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    messages
}

/// A DNS name with a wildcard for its first label, as `*.example.com`.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Messages {
    let mut messages = longer_than(value, DNS_SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(grammar::dns1123_subdomain) {
        messages.push(regex_message(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which \
             must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
             character",
            &format!(r"\*\.{DNS1123_SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    messages
}

/// A label of a DNS name in its older form (RFC 1035), which starts with a letter.
pub fn is_dns1035_label(value: &str) -> Messages {
    let mut messages = longer_than(value, DNS_LABEL_MAX);
    if !(grammar::dns1123_label(value) && value.starts_with(|c: char| c.is_ascii_lowercase())) {
        messages.push(regex_message(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
             alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    messages
}

/// A label key, also called a qualified name: a name with an optional DNS name and slash before it.
pub fn is_qualified_name(value: &str) -> Messages {
    let form = || regex_message(LABEL_KEY_MESSAGE, LABEL_KEY, &["MyName", "my.name", "123-abc"]);
    let mut messages = Messages::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                form()
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".into());
            } else {
                messages
                    .extend(more_bytes_than(prefix, DNS_SUBDOMAIN_MAX).map(|m| format!("prefix part {m}")));
                messages.extend(dns1123_subdomain_form(prefix).map(|m| format!("prefix part {m}")));
            }
            name
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".into());
    }
    messages.extend(more_bytes_than(name, DNS_LABEL_MAX).map(|m| format!("name part {m}")));
    if !grammar::label_key_name(name) {
        messages.push(format!("name part {}", form()));
    }
    messages
}

/// A value of a label; may be empty.
pub fn is_valid_label_value(value: &str) -> Messages {
    let mut messages: Messages = more_bytes_than(value, LABEL_VALUE_MAX).into_iter().collect();
    if !(value.is_empty() || grammar::label_key_name(value)) {
        messages.push(regex_message(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
             and must start and end with an alphanumeric character",
            &format!("({LABEL_KEY})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    messages
}

/// A key of a ConfigMap or a Secret, which becomes a file name.
pub fn is_config_map_key(value: &str) -> Messages {
    let mut messages = longer_than(value, DNS_SUBDOMAIN_MAX);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        messages.push(regex_message(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    messages.extend(directory_prefix(value));
    messages
}

/// A name of an environment variable: printable ASCII without `=`.
pub fn is_env_var_name(value: &str) -> Messages {
    let mut messages = Messages::new();
    if value.is_empty() {
        messages.push("environment variable name must be non-empty".into());
    }
    if !value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=') {
        messages.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .into(),
        );
    }
    messages
}

/// An identifier of the C language.
pub fn is_c_identifier(value: &str) -> Messages {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if value.bytes().all(word) && value.starts_with(|c: char| !c.is_ascii_digit()) {
        return Messages::new();
    }
    vec![regex_message(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of \
         alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// The name of an HTTP header.
pub fn is_http_header_name(value: &str) -> Messages {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Messages::new();
    }
    vec![regex_message(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// A port, 1 to 65535.
pub fn is_valid_port_num(port: i64) -> Messages {
    is_in_range(port, 1, 65535)
}

/// A number from `min` to `max`, both included.
pub fn is_in_range(value: i64, min: i64, max: i64) -> Messages {
    if (min..=max).contains(&value) {
        return Messages::new();
    }
    vec![format!("must be between {min} and {max}, inclusive")]
}

/// A user's number.
pub fn is_valid_user_id(uid: i64) -> Messages {
    is_in_range(uid, 0, i32::MAX.into())
}

/// A group's number.
pub fn is_valid_group_id(gid: i64) -> Messages {
    is_in_range(gid, 0, i32::MAX.into())
}

/// The name of a port (RFC 6335, lower case only).
pub fn is_valid_port_name(port: &str) -> Messages {
    let mut messages = longer_than(port, 15);
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if port.is_empty() || !port.bytes().all(alphanumeric) {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !port.bytes().any(|b| b.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)".into());
    }
    if port.contains("--") {
        messages.push("must not contain consecutive hyphens".into());
    }
    if port.starts_with('-') || port.ends_with('-') {
        messages.push("must not begin or end with a hyphen".into());
    }
    messages
}

/// A percentage such as `25%`.
pub fn is_valid_percent(value: &str) -> Messages {
    if value.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        return Messages::new();
    }
    vec![regex_message(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// A decimal integer as people write it: no leading zeros, no plus.
pub fn is_decimal_integer(value: &str) -> Messages {
    if value.is_empty() {
        return vec!["must be non-empty".into()];
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && digits.starts_with(|c| c != '0');
    if value == "0" || canonical {
        return Messages::new();
    }
    vec!["must be a valid decimal integer in canonical form".into()]
}

/// A name that can stand as one segment of a URL path; length and emptiness are not checked.
pub fn is_path_segment_name(name: &str) -> Messages {
    match name {
        "." | ".." => vec![format!("may not be '{name}'")],
        name => is_path_segment_prefix(name),
    }
}

/// A name that can begin one segment of a URL path (a `generateName`).
pub fn is_path_segment_prefix(name: &str) -> Messages {
    let forbidden = ["/", "%"].into_iter().filter(|text| name.contains(text));
    forbidden.map(|text| format!("may not contain '{text}'")).collect()
}

/// A reason of a condition, without the check of its length.
pub fn is_valid_condition_reason(value: &str) -> Messages {
    if grammar::condition_reason(value) {
        return Messages::new();
    }
    vec![regex_message(
        "a condition reason must start with alphabetic character, optionally followed by a string of \
         alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

/// The message of a text that does not match a regular expression.
pub fn regex_message(message: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

fn longer_than(value: &str, max: usize) -> Messages {
    let too_long = value.len() > max;
    too_long.then(|| format!("must be no more than {max} characters")).into_iter().collect()
}

fn more_bytes_than(value: &str, max: usize) -> Option<String> {
    (value.len() > max).then(|| format!("must be no more than {max} bytes"))
}

fn directory_prefix(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        value => value.starts_with("..").then(|| "must not start with '..'".into()),
    }
}
