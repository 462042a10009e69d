//! URLs: `library.URLs` of Kubernetes, as Go's `net/url` reads them.

use std::any::Any;

use crate::go::quote;
use crate::operation::{Operation, fail, no_overload};
use crate::value::{Evaluated, MapBuilder, Opaque, Value};
use crate::{Function, Meter, Overload, Type};

const NAME: &str = "kubernetes.URL";

/// A URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    text: Box<str>,
    scheme: String,
    host: String,
    /// As it was written, if that is a valid form.
    escaped_path: String,
    query: String,
}

impl Opaque for Url {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Url>() == Some(self)
    }

    fn text(&self) -> Option<String> {
        Some(self.text.to_string())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Url {
    /// Reads an absolute URL or an absolute path.
    ///
    /// # Errors
    /// Go's message.
    pub(super) fn parse(text: &str) -> Result<Url, String> {
        // As that of a request, a fragment is a part of the path.
        read(text).map_err(|error| format!("parse {}: {error}", quote(text)))?;
        let without_fragment = text.split_once('#').map_or(text, |(head, _)| head);
        read(without_fragment)
            .map(|url| Url { text: text.into(), ..url })
            .map_err(|error| format!("parse {}: {error}", quote(text)))
    }

    fn hostname(&self) -> &str {
        let host = self.without_port();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn without_port(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((host, port)) if is_port(port) => host,
            _ => &self.host,
        }
    }

    fn port(&self) -> &str {
        self.host.get(self.without_port().len() + 1..).unwrap_or_default()
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn read(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".into());
    }
    if text.is_empty() {
        return Err("empty url".into());
    }
    let (scheme, rest) = scheme(text)?;
    let (rest, query) = match rest.strip_suffix('?').filter(|rest| !rest.contains('?')) {
        Some(rest) => (rest, ""),
        None => rest.split_once('?').unwrap_or((rest, "")),
    };
    let url = |host: String, path: String| Url {
        text: text.into(),
        scheme: scheme.to_ascii_lowercase(),
        host,
        escaped_path: path,
        query: query.into(),
    };
    if text == "*" {
        return Ok(url(String::new(), "*".into()));
    }
    if !rest.starts_with('/') {
        if scheme.is_empty() {
            return Err("invalid URI for request".into());
        }
        // Such as `mailto:a@b`: neither host nor path.
        return Ok(url(String::new(), String::new()));
    }
    let (authority, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            check_user(user)?;
            self::host(host)?
        }
        None => self::host(authority)?,
    };
    Ok(url(host, escaped_path(path)?))
}

/// The scheme, if there is one, and the rest.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (place, character) in text.char_indices() {
        match character {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if place > 0 => {}
            ':' if place == 0 => return Err("missing protocol scheme".into()),
            ':' => {
                return Ok((
                    text.get(..place).unwrap_or_default(),
                    text.get(place + 1..).unwrap_or_default(),
                ));
            }
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_user(user: &str) -> Result<(), String> {
    let is_valid =
        |character: char| character.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(character);
    if !user.chars().all(is_valid) {
        return Err("net/url: invalid userinfo".into());
    }
    unescape(user, false).map(|_| ())
}

fn host(host: &str) -> Result<String, String> {
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("missing ']' in host")?;
        host.get(end + 1..).unwrap_or_default()
    } else {
        host.rfind(':').and_then(|place| host.get(place..)).unwrap_or_default()
    };
    if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    let is_valid = |character: char| {
        !character.is_ascii()
            || character.is_ascii_alphanumeric()
            || "-_.~!$&'()*+,;=:[]<>\"%".contains(character)
    };
    if let Some(other) = host.chars().find(|character| !is_valid(*character)) {
        return Err(format!("invalid character {} in host name", quote(&other.to_string())));
    }
    // Only bytes beyond ASCII and the percent sign of zones can be escaped.
    for (place, _) in host.match_indices('%') {
        let code = host.get(place + 1..place + 3).unwrap_or_default();
        let is_allowed = code == "25" || u8::from_str_radix(code, 16).is_ok_and(|byte| byte >= 0x80);
        if !is_allowed {
            let shown = host.get(place..(place + 3).min(host.len())).unwrap_or("%");
            return Err(format!("invalid URL escape {}", quote(shown)));
        }
    }
    unescape(host, false).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Text without its escapes.
fn unescape(text: &str, is_query: bool) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match first {
            b'%' => {
                let code = behind.get(..2).filter(|code| code.iter().all(u8::is_ascii_hexdigit));
                let value = code
                    .and_then(|code| std::str::from_utf8(code).ok())
                    .and_then(|code| u8::from_str_radix(code, 16).ok());
                let Some(value) = value else {
                    let shown = String::from_utf8_lossy(behind.get(..2).unwrap_or(behind)).into_owned();
                    return Err(format!("invalid URL escape {}", quote(&format!("%{shown}"))));
                };
                rest = behind.get(2..).unwrap_or_default();
                value
            }
            b'+' if is_query => b' ',
            other => *other,
        });
    }
    Ok(bytes)
}

/// The path as it was written, or with escapes where it needs some.
fn escaped_path(path: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    let bytes = unescape(path, false)?;
    if path.bytes().all(|byte| is_plain(byte) || b"!'()*[]%".contains(&byte)) {
        return Ok(path.into());
    }
    let mut escaped = String::with_capacity(bytes.len());
    for byte in bytes {
        match is_plain(byte) {
            true => escaped.push(char::from(byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(escaped)
}

pub(super) fn functions() -> Vec<Function> {
    let url = || Type::opaque(NAME);
    let part = |name, id| Function::new(name, vec![Overload::method(id, [url()], Type::String)]);
    let query = Type::map(Type::String, Type::list(Type::String));
    vec![
        Function::new("url", vec![Overload::global("string_to_url", [Type::String], url())]),
        Function::new("isURL", vec![Overload::global("is_url_string", [Type::String], Type::Bool)]),
        part("getScheme", "url_get_scheme"),
        part("getHost", "url_get_host"),
        part("getHostname", "url_get_hostname"),
        part("getPort", "url_get_port"),
        part("getEscapedPath", "url_get_escaped_path"),
        Function::new("getQuery", vec![Overload::method("url_get_query", [url()], query)]),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "url" => |context, args| match args {
            [Value::String(text)] => {
                context.meter.use_bytes(text.len().saturating_mul(4))?;
                match Url::parse(text) {
                    Ok(url) => Ok(Value::opaque(url)),
                    Err(error) => fail(format!("URL parse error during conversion from string: {error}")),
                }
            }
            _ => no_overload("url", args),
        },
        "isURL" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(read(text).is_ok())),
            _ => no_overload("isURL", args),
        },
        "getScheme" => |_, args| part("getScheme", args, |url| &url.scheme),
        "getHost" => |_, args| part("getHost", args, |url| &url.host),
        "getHostname" => |_, args| part("getHostname", args, Url::hostname),
        "getPort" => |_, args| part("getPort", args, Url::port),
        "getEscapedPath" => |_, args| part("getEscapedPath", args, |url| &url.escaped_path),
        "getQuery" => |context, args| match args.first().and_then(|value| value.downcast::<Url>()) {
            Some(url) => query(context.meter, &url.query),
            None => no_overload("getQuery", args),
        },
        _ => return None,
    })
}

fn part<'v>(function: &str, args: &[Value<'v>], part: fn(&Url) -> &str) -> Evaluated<'v> {
    match args.first().and_then(|value| value.downcast::<Url>()) {
        Some(url) => Ok(Value::string(part(url))),
        None => no_overload(function, args),
    }
}

/// The values of each key. Parts that are not of the form are left out.
fn query<'v>(meter: &mut Meter<'_>, query: &str) -> Evaluated<'v> {
    meter.use_bytes(query.len().saturating_mul(size_of::<Value<'_>>()))?;
    let mut found: Vec<(String, Vec<Value<'v>>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for part in query.split('&').filter(|part| !part.is_empty() && !part.contains(';')) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (Ok(key), Ok(value)) = (unescape(key, true), unescape(value, true)) else { continue };
        let key = String::from_utf8_lossy(&key).into_owned();
        let value = Value::string(String::from_utf8_lossy(&value).as_ref());
        let place = *places.entry(key.clone()).or_insert(found.len());
        match found.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => found.push((key, vec![value])),
        }
    }
    let mut map = MapBuilder::default();
    for (key, values) in found {
        map.insert(Value::from(key), Value::list(values))?;
    }
    Ok(map.build())
}
