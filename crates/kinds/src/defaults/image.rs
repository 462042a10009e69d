//! The default of an image's pull policy.

/// `Always` for images whose tag is `latest` or missing, because they may refer to a new image later.
pub(super) fn pull_policy(image: &str) -> &'static str {
    match image_tag(image) {
        Some("latest") => "Always",
        _ => "IfNotPresent",
    }
}

/// The tag of an image reference, `latest` if it has neither tag nor digest; `None` if it has only a digest, or is
/// invalid.
fn image_tag(image: &str) -> Option<&str> {
    let (named, digest) = match image.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (image, None),
    };
    let path_start = named.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match named[path_start..].split_once(':') {
        Some((_, tag)) => (&named[..named.len() - tag.len() - 1], Some(tag)),
        None => (named, None),
    };
    // The host before the first slash may hold upper case letters and a port, the path may not.
    let is_host = |part: &str| part == "localhost" || part.contains(['.', ':']);
    let path = name.split_once('/').filter(|(host, _)| is_host(host)).map_or(name, |(_, path)| path);
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| is_name_byte(b) || b"._-".contains(&b));
    if !path.split('/').all(part) {
        return None;
    }
    match (tag, digest) {
        (Some(tag), _) => Some(tag),
        (None, Some(_)) => None,
        (None, None) => Some("latest"),
    }
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}
