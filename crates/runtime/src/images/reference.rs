//! Names of images.
//!
//! Names written by users are completed as usual: `busybox` is `docker.io/library/busybox:latest`. If there are both a
//! tag and a digest, the digest decides and the tag is dropped.

use oci_client::Reference;

use super::error::ImageError;
use crate::digest::Digest;

/// Reads and completes a name.
pub(super) fn parse(name: &str) -> Result<Reference, ImageError> {
    let invalid = |reason: String| ImageError::InvalidName { name: name.to_owned(), reason };
    let reference: Reference = name.parse().map_err(|error: oci_client::ParseError| match error {
        oci_client::ParseError::ReferenceInvalidFormat => invalid("invalid reference format".to_owned()),
        error => invalid(error.to_string()),
    })?;
    // It would be interpreted as a name on Docker Hub, where names have no capitals, and the completed name could not
    // be parsed again.
    if reference.repository().bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(invalid("invalid reference format".to_owned()));
    }
    match reference.digest() {
        None => Ok(reference),
        Some(digest) => {
            let digest = Digest::parse(digest).map_err(|error| invalid(error.to_string()))?;
            Ok(reference.clone_with_digest(digest.into()))
        }
    }
}

/// The name with this digest.
pub(super) fn with_digest(reference: &Reference, digest: &Digest) -> String {
    format!("{}/{}@{digest}", reference.registry(), reference.repository())
}

/// The id that a text is, with or without `sha256:`.
pub(super) fn as_id(text: &str) -> Option<Digest> {
    Digest::parse(text).or_else(|_| Digest::parse(&format!("sha256:{text}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        let hex = "0".repeat(64);
        let cases = [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("user/app:1", "docker.io/user/app:1".to_owned()),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000/a/b/c:x".to_owned()),
            (&format!("registry.k8s.io/pause:3@sha256:{hex}"), format!("registry.k8s.io/pause@sha256:{hex}")),
        ];
        for (name, full) in cases {
            assert_eq!(parse(name).unwrap().whole(), full, "{name}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "UPPER", "Host/app", "a:b:c", "-x", "a//b", "x@sha256:12", "x@sha512:ab", " busybox"]
        {
            let error = parse(name).expect_err(name);
            assert!(matches!(error, ImageError::InvalidName { .. }), "{name}: {error}");
        }
        let error = parse("a b").unwrap_err().to_string();
        assert_eq!(error, "couldn't parse image name \"a b\": invalid reference format");
    }
}
