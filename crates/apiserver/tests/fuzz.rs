//! Properties that hold for every path and query of a request.
//!
//! An input is the target of a request line: a path, and a query behind a question mark.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use apiserver::options::Query;
use apiserver::request::RequestInfo;
use fuzz::{Target, assert_linear, measured};
use http::Method;

#[global_allocator]
static METER: fuzz::Meter = fuzz::Meter;

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// The limit on the bytes of the request's description per byte of the target, in addition to a fixed part.
const BYTES_PER_BYTE_MAX: usize = 100;
const BYTES_FIXED: usize = 16 << 10;

fn parse(method: &Method, input: &[u8]) -> RequestInfo {
    let text = String::from_utf8_lossy(input);
    let (path, query) = text.split_once('?').map_or((&*text, None), |(path, query)| (path, Some(query)));
    RequestInfo::parse(method, path, query)
}

/// Encodes each byte of a path but its slashes, the other way of writing the same.
fn encoded(path: &str) -> String {
    path.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02x}") }).collect()
}

#[test]
fn a_request_is_read_in_one_way() {
    let words = &[
        "/api/v1/",
        "/apis/apps/v1/",
        "namespaces/",
        "pods",
        "/status",
        "watch/",
        "?",
        "&",
        "labelSelector=",
        "%2F",
        "%00",
        "fieldSelector=metadata.name%3D",
        "limit=",
        "continue=",
        "resourceVersion=",
        "watch=true",
        "..",
        "//",
        "proxy/",
        ";",
    ];
    Target::new(env!("CARGO_MANIFEST_DIR"), "requests").words(words).run(|input| {
        for method in METHODS {
            let (info, spent) = measured(|| parse(&method, input));
            let allowed = BYTES_FIXED + BYTES_PER_BYTE_MAX * input.len();
            assert!(spent.peak <= allowed, "{} bytes of memory for {} of input", spent.peak, input.len());
            // A different spelling has the same meaning.
            if !info.path.contains('\u{fffd}') {
                let same = RequestInfo::parse(&method, &encoded(&info.path), info.parameters.raw());
                assert_eq!(same, info);
            }
            if !info.is_resource {
                assert!(
                    info.resource.is_empty() && info.namespace.is_empty() && info.name.is_empty(),
                    "{info:?}"
                );
            }
            // A part of a path that names something holds no slash, so that no other path means the same.
            let parts = [&info.group, &info.version, &info.namespace, &info.resource, &info.subresource];
            assert!(parts.iter().all(|part| !part.contains('/')), "{info:?}");
        }
        Query::read(&parse(&Method::GET, input)).is_ok()
    });
}

#[test]
fn selectors_of_a_request_are_those_that_count() {
    let words = &[
        "labelSelector=",
        "fieldSelector=",
        "%3D",
        "%2C",
        "app",
        "&",
        "=",
        "+",
        "metadata.name",
        "!",
        "in+(",
        ")",
    ];
    Target::new(env!("CARGO_MANIFEST_DIR"), "request-selectors").words(words).run(|input| {
        let target = [b"/api/v1/pods?", input].concat();
        let info = parse(&Method::GET, &target);
        let Ok(query) = Query::read(&info) else { return false };
        // The list is filtered by the same selectors that authorization has seen.
        assert_eq!(query.fields.as_ref(), info.authorized_fields());
        if let Some(name) = query.fields.as_ref().and_then(|fields| fields.exact("metadata.name"))
            && !info.name.is_empty()
        {
            assert_eq!(info.name, name);
        }
        true
    });
}

#[test]
fn work_grows_with_the_request_and_no_faster() {
    let read = |input: &[u8]| drop(Query::read(&parse(&Method::GET, input)));
    let path = |parts| [b"/api/v1/".to_vec(), b"a/".repeat(parts)].concat();
    assert_linear("a path", 1_000, path, read);
    assert_linear(
        "a query",
        1_000,
        |parts| [b"/api/v1/pods?".to_vec(), b"a=b&".repeat(parts)].concat(),
        read,
    );
    let dry = |parts| [b"/api/v1/pods?".to_vec(), b"dryRun=All&".repeat(parts)].concat();
    assert_linear("a parameter that is a list", 1_000, dry, read);
    let labels =
        |parts| [b"/api/v1/pods?labelSelector=".to_vec(), b"a!%3Db,".repeat(parts), b"c".to_vec()].concat();
    assert_linear("a selector", 1_000, labels, read);
}
