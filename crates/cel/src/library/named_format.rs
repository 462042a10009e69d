//! Formats of strings with names: `library.Format` of Kubernetes.

use std::any::Any;

use base64::Engine;
use object::names;

use super::url::Url;
use crate::operation::{Operation, no_overload};
use crate::value::{Opaque, Timestamp, Value};
use crate::{Function, Overload, Type};

const NAME: &str = "kubernetes.NamedFormat";

/// A format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedFormat {
    name: &'static str,
    /// What is wrong with a text.
    check: fn(&str) -> Vec<String>,
    regex_size: u64,
}

impl NamedFormat {
    /// How long the regular expression counts for in costs that the format stands for.
    pub(crate) fn regex_size(&self) -> u64 {
        self.regex_size
    }

    fn named(name: &str) -> Option<NamedFormat> {
        FORMATS.iter().find(|format| format.name == name).copied()
    }
}

impl Opaque for NamedFormat {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<NamedFormat>().is_some_and(|other| self.name == other.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

macro_rules! formats {
    ($($name:literal $size:literal $check:expr;)*) => {
        const FORMATS: &[NamedFormat] =
            &[$(NamedFormat { name: $name, check: $check, regex_size: $size }),*];

        /// The functions that give a format each.
        fn constant(function: &str) -> Option<Operation> {
            Some(match function {
                $(concat!("format.", $name) => |_, args| match (args.is_empty(), NamedFormat::named($name)) {
                    (true, Some(format)) => Ok(Value::opaque(format)),
                    _ => no_overload(concat!("format.", $name), args),
                },)*
                _ => return None,
            })
        }

        fn constants() -> Vec<Function> {
            vec![$(Function::new(
                concat!("format.", $name),
                vec![Overload::global(concat!("format.", $name), [], Type::opaque(NAME))],
            )),*]
        }
    };
}

formats! {
    "dns1123Label" 30 names::is_dns1123_label;
    "dns1123Subdomain" 60 names::is_dns1123_subdomain;
    "dns1035Label" 30 names::is_dns1035_label;
    "qualifiedName" 60 names::is_qualified_name;
    "dns1123LabelPrefix" 30 |text| names::is_dns1123_label(&masked(text));
    "dns1123SubdomainPrefix" 60 |text| names::is_dns1123_subdomain(&masked(text));
    "dns1035LabelPrefix" 30 |text| names::is_dns1035_label(&masked(text));
    "labelValue" 40 names::is_valid_label_value;
    "uri" 1103 |text| Url::parse(text).err().into_iter().collect();
    "uuid" 70 |text| unless(is_uuid(text), "does not match the UUID format");
    "byte" 84 |text| unless(
        base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "invalid base64",
    );
    "date" 71 |text| unless(
        text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_ok(),
        "invalid date",
    );
    "datetime" 71 |text| unless(Timestamp::parse(text).is_ok(), "invalid datetime");
}

fn unless(is_valid: bool, message: &str) -> Vec<String> {
    if is_valid { Vec::new() } else { vec![message.into()] }
}

/// A prefix of names may end with a hyphen, behind which there will be more.
fn masked(text: &str) -> String {
    match text.strip_suffix('-') {
        // As upstream, the character before it goes too.
        Some(head) if !head.is_empty() => {
            let mut masked = head.to_owned();
            masked.pop();
            masked + "a"
        }
        _ => text.to_owned(),
    }
}

/// Groups of 8, 4, 4, 4 and 12 digits, with hyphens between them or without.
fn is_uuid(text: &str) -> bool {
    let mut rest = text;
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((group, behind)) = rest.split_at_checked(length) else { return false };
        if !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

pub(super) fn functions() -> Vec<Function> {
    let format = || Type::opaque(NAME);
    let messages = Type::optional(Type::list(Type::String));
    let mut functions = vec![
        Function::new(
            "validate",
            vec![Overload::method("format-validate", [format(), Type::String], messages)],
        ),
        Function::new(
            "format.named",
            vec![Overload::global("format-named", [Type::String], Type::optional(format()))],
        ),
    ];
    functions.extend(constants());
    functions
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "validate" => |_, args| match args {
            [format, Value::String(text)] if format.downcast::<NamedFormat>().is_some() => {
                let messages = format.downcast::<NamedFormat>().map(|format| (format.check)(text));
                match messages.filter(|messages| !messages.is_empty()) {
                    Some(messages) => Ok(Value::some(Value::strings(messages))),
                    None => Ok(Value::Optional(None)),
                }
            }
            _ => no_overload("validate", args),
        },
        "format.named" => |_, args| match args {
            [Value::String(name)] => Ok(match NamedFormat::named(name) {
                Some(format) => Value::some(Value::opaque(format)),
                None => Value::Optional(None),
            }),
            _ => no_overload("format.named", args),
        },
        other => return constant(other),
    })
}
