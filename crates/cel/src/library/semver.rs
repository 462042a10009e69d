//! Semantic versions: `library.SemverLib(library.SemverVersion(1))` of Kubernetes, with the grammar and the order of
//! semver.org.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;

use crate::go::quote;
use crate::operation::{Operation, fail, no_overload};
use crate::value::{Evaluated, Opaque, Value};
use crate::{Function, Overload, Type};

const NAME: &str = "kubernetes.Semver";

/// A version.
#[derive(Debug)]
struct Version {
    /// Major, minor and patch.
    numbers: [u64; 3],
    prerelease: Vec<Part>,
    build: String,
}

/// A part of what is behind the hyphen. Numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    /// The order, which leaves the build out.
    fn order(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => self.prerelease.cmp(&other.prerelease),
            }
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (index, part) in self.prerelease.iter().enumerate() {
            f.write_str(if index == 0 { "-" } else { "." })?;
            match part {
                Part::Number(number) => write!(f, "{number}")?,
                Part::Word(word) => f.write_str(word)?,
            }
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

impl Opaque for Version {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Version>().is_some_and(|other| self.order(other) == Ordering::Equal)
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn functions() -> Vec<Function> {
    let version = || Type::opaque(NAME);
    let pair = || [version(), version()];
    let part = |name, id| Function::new(name, vec![Overload::method(id, [version()], Type::Int)]);
    vec![
        Function::new(
            "semver",
            vec![
                Overload::global("string_to_semver", [Type::String], version()),
                Overload::global("string_bool_to_semver", [Type::String, Type::Bool], version()),
            ],
        ),
        Function::new(
            "isSemver",
            vec![
                Overload::global("is_semver_string", [Type::String], Type::Bool),
                Overload::global("is_semver_string_bool", [Type::String, Type::Bool], Type::Bool),
            ],
        ),
        Function::new("isGreaterThan", vec![Overload::method("semver_is_greater_than", pair(), Type::Bool)]),
        Function::new("isLessThan", vec![Overload::method("semver_is_less_than", pair(), Type::Bool)]),
        Function::new("compareTo", vec![Overload::method("semver_compare_to", pair(), Type::Int)]),
        part("major", "semver_major"),
        part("minor", "semver_minor"),
        part("patch", "semver_patch"),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "semver" => |_, args| match parsed(args) {
            Some(Ok(version)) => Ok(Value::opaque(version)),
            Some(Err(message)) => fail(message),
            None => no_overload("semver", args),
        },
        "isSemver" => |_, args| match parsed(args) {
            Some(parsed) => Ok(Value::Bool(parsed.is_ok())),
            None => no_overload("isSemver", args),
        },
        "major" => |_, args| number("major", args, 0),
        "minor" => |_, args| number("minor", args, 1),
        "patch" => |_, args| number("patch", args, 2),
        _ => return None,
    })
}

/// The order of two values, if they are versions.
pub(super) fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    Some(left.downcast::<Version>()?.order(right.downcast::<Version>()?))
}

fn number<'v>(function: &str, args: &[Value<'v>], place: usize) -> Evaluated<'v> {
    let number = args
        .first()
        .and_then(|value| value.downcast::<Version>())
        .and_then(|version| version.numbers.get(place));
    match number {
        // As Go converts numbers of 64 bits.
        Some(number) => Ok(Value::Int(number.cast_signed())),
        None => no_overload(function, args),
    }
}

fn parsed(args: &[Value<'_>]) -> Option<Result<Version, String>> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Some(parse(text)),
        [Value::String(text), Value::Bool(true)] => Some(normalize(text).and_then(|text| parse(&text))),
        _ => None,
    }
}

/// Drops a `v` and zeros before numbers, and adds numbers that are missing.
fn normalize(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text
        .splitn(3, '.')
        .map(|part| {
            if part.len() < 2 {
                return part.to_owned();
            }
            let trimmed = part.trim_start_matches('0');
            match trimmed.starts_with(|first: char| first.is_ascii_digit()) {
                true => trimmed.to_owned(),
                false => format!("0{trimmed}"),
            }
        })
        .collect();
    if parts.len() < 3 {
        if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".into());
        }
        parts.resize(3, "0".into());
    }
    Ok(parts.join("."))
}

fn parse(text: &str) -> Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".into());
    }
    let mut parts = text.splitn(3, '.');
    let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("No Major.Minor.Patch elements found".into());
    };
    let (rest, build) = match rest.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (rest, None),
    };
    let (patch, prerelease) = match rest.split_once('-') {
        Some((patch, prerelease)) => (patch, Some(prerelease)),
        None => (rest, None),
    };
    let numbers =
        [version_number("Major", major)?, version_number("Minor", minor)?, version_number("Patch", patch)?];
    let prerelease = prerelease.map(|text| text.split('.').map(self::part).collect()).transpose()?;
    for part in build.into_iter().flat_map(|build| build.split('.')) {
        if part.is_empty() {
            return Err("Build meta data is empty".into());
        }
        if !part.bytes().all(is_word) {
            return Err(format!("Invalid character(s) found in build meta data {}", quote(part)));
        }
    }
    Ok(Version {
        numbers,
        prerelease: prerelease.unwrap_or_default(),
        build: build.unwrap_or_default().into(),
    })
}

fn version_number(name: &str, text: &str) -> Result<u64, String> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {} number {}", name.to_lowercase(), quote(text)));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{name} number must not contain leading zeroes {}", quote(text)));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: invalid syntax", quote(text)))
}

fn part(text: &str) -> Result<Part, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".into());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!(
                "Numeric PreRelease version must not contain leading zeroes {}",
                quote(text)
            ));
        }
        let out_of_range = |_| format!("strconv.ParseUint: parsing {}: value out of range", quote(text));
        return text.parse().map(Part::Number).map_err(out_of_range);
    }
    if !text.bytes().all(is_word) {
        return Err(format!("Invalid character(s) found in prerelease {}", quote(text)));
    }
    Ok(Part::Word(text.into()))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}
