//! Targets: how the name of a request describes one, and what is dialed.

use std::net::SocketAddr;

use object::{Status, Value};

use crate::ApiServer;
use crate::request::RequestInfo;

/// How a target is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    /// TLS with the server's client certificate, and the node's certificate verified.
    Node,
}

/// The target of a request.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) address: SocketAddr,
    pub(super) path_and_query: String,
    /// Whether an answer may redirect the client: not if the server chose the path itself.
    pub(super) may_redirect: bool,
}

impl Target {
    /// The target that gets the rest of the path.
    pub(super) fn of_rest(scheme: Scheme, address: SocketAddr, info: &RequestInfo) -> Target {
        let path_and_query = match info.parameters.raw() {
            Some(query) => format!("/{}?{query}", info.rest),
            None => format!("/{}", info.rest),
        };
        Target { scheme, address, path_and_query, may_redirect: true }
    }
}

/// The parts of `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`. The port may be a name, or empty for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) scheme: Scheme,
    pub(super) name: &'a str,
    pub(super) port: &'a str,
}

impl<'a> Place<'a> {
    /// Reads the name of a request (upstream: `SplitSchemeNamePort`).
    pub(super) fn read(text: &'a str) -> Option<Place<'a>> {
        let mut parts = text.split(':');
        let (scheme, name, port) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), None, ..) => ("", name, ""),
            (Some(name), Some(port), None, _) => ("", name, port),
            (Some(scheme), Some(name), Some(port), None) => (scheme, name, port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        (!name.is_empty()).then_some(Place { scheme, name, port })
    }
}

/// The object that a request names, by the path of its collection.
pub(super) fn object(
    server: &ApiServer,
    path: &'static str,
    namespace: &str,
    name: &str,
) -> Result<Value, Status> {
    let plural = path.split('/').next().unwrap_or(path);
    let found = server.registry.collection(path).and_then(|collection| collection.get(namespace, name));
    found.map(|object| object.value()).ok_or_else(|| Status::not_found("", plural, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_scheme_and_port() {
        let table = [
            ("web", Some((Scheme::Http, "web", ""))),
            ("web:80", Some((Scheme::Http, "web", "80"))),
            ("http:web", Some((Scheme::Http, "http", "web"))),
            ("https:web:", Some((Scheme::Https, "web", ""))),
            ("https:web:tls", Some((Scheme::Https, "web", "tls"))),
            ("ftp:web:21", None),
            (":80", None),
            ("", None),
            ("https::80", None),
            ("http:web:80:1", None),
        ];
        for (text, expected) in table {
            let place = Place::read(text).map(|place| (place.scheme, place.name, place.port));
            assert_eq!(place, expected, "{text}");
        }
    }
}
