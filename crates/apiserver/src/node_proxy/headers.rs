//! Filtering of the headers that are forwarded.
//!
//! A pod, a Service or a node is not this server: it gets the request, but none of the credentials with which the
//! client authenticated to this server.

use std::net::IpAddr;

use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    SEC_WEBSOCKET_PROTOCOL, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, StatusCode};

use crate::authn::BEARER_PROTOCOL;

/// Headers of one connection, whether `Connection` names them or not.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// Headers with which a client, or a proxy in front of this server, identifies the user.
const CREDENTIALS: [&str; 4] = ["authorization", "x-remote-user", "x-remote-group", "x-remote-uid"];
/// The prefixes of such headers.
const CREDENTIAL_PREFIXES: [&str; 2] = ["x-remote-extra-", "impersonate-"];
/// Headers with which a response would open this server's own origin to other sites.
const CROSS_ORIGIN: [HeaderName; 4] = [
    http::header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    http::header::ACCESS_CONTROL_ALLOW_HEADERS,
    http::header::ACCESS_CONTROL_ALLOW_METHODS,
    http::header::ACCESS_CONTROL_ALLOW_ORIGIN,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Turns a request's headers into those of the request to the target.
pub(super) fn of_request(headers: &mut HeaderMap, host: HeaderValue, client: Option<IpAddr>) {
    let upgrade = upgrade_of(headers);
    let takes_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
    drop_hop_by_hop(headers);
    let is_credential = |name: &HeaderName| {
        let name = name.as_str();
        CREDENTIALS.contains(&name) || CREDENTIAL_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let credentials: Vec<HeaderName> = headers.keys().filter(|name| is_credential(name)).cloned().collect();
    for name in credentials {
        headers.remove(name);
    }
    drop_bearer_protocol(headers);
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(client) = client {
        forwarded_for(headers, client);
    }
    headers.insert(HOST, host);
}

/// Turns the headers of a target's response into those of the response to the client.
pub(super) fn of_response(headers: &mut HeaderMap, status: StatusCode) {
    let upgrade = upgrade_of(headers).filter(|_| status == StatusCode::SWITCHING_PROTOCOLS);
    drop_hop_by_hop(headers);
    for name in CROSS_ORIGIN {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
}

/// The protocol that a message upgrades to, if it does.
pub(super) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let named: Vec<HeaderName> = named.collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Removes the bearer token from the subprotocols that a browser offers.
fn drop_bearer_protocol(headers: &mut HeaderMap) {
    let is_token = |protocol: &[u8]| protocol.trim_ascii().starts_with(BEARER_PROTOCOL.as_bytes());
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let parts = || offered.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if !parts().any(is_token) {
        return;
    }
    let kept: Vec<&[u8]> = parts().filter(|part| !is_token(part)).map(<[u8]>::trim_ascii).collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b","[..]));
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(kept) = kept.ok().filter(|kept| !kept.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, kept);
    }
}

/// Adds the client to the list of those for whom the request was forwarded.
fn forwarded_for(headers: &mut HeaderMap, client: IpAddr) {
    let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<String> = before.map(str::to_owned).chain([client.to_canonical().to_string()]).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
}

pub(crate) fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn pairs(headers: &HeaderMap) -> Vec<String> {
        let mut pairs: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn requests_carry_no_credentials_and_nothing_of_the_connection() {
        let mut headers = map(&[
            ("authorization", "Bearer secret"),
            ("proxy-authorization", "Basic secret"),
            ("impersonate-user", "admin"),
            ("impersonate-group", "system:masters"),
            ("impersonate-uid", "1"),
            ("impersonate-extra-scopes", "all"),
            ("x-remote-user", "admin"),
            ("x-remote-group", "system:masters"),
            ("x-remote-uid", "1"),
            ("x-remote-extra-scopes", "all"),
            ("connection", "close, X-Private"),
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("te", "trailers, deflate"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("host", "api"),
            ("cookie", "a=b"),
            ("accept", "*/*"),
            ("x-forwarded-for", "192.0.2.1"),
        ]);
        of_request(&mut headers, HeaderValue::from_static("10.0.0.1:80"), Some([192, 0, 2, 2].into()));
        let expected = [
            "accept: */*",
            "cookie: a=b",
            "host: 10.0.0.1:80",
            "te: trailers",
            "x-forwarded-for: 192.0.2.1, 192.0.2.2",
        ];
        assert_eq!(pairs(&headers), expected);
    }

    #[test]
    fn the_token_of_a_browser_leaves_the_other_subprotocols() {
        let table = [
            (
                &["base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io , chat"][..],
                Some("v5.channel.k8s.io,chat"),
            ),
            (&["chat", "base64url.bearer.authorization.k8s.io.c2VjcmV0"], Some("chat")),
            (&["base64url.bearer.authorization.k8s.io.c2VjcmV0"], None),
            (&["a, b"], Some("a, b")),
        ];
        for (offered, expected) in table {
            let mut headers = map(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
            for value in offered {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            }
            of_request(&mut headers, HeaderValue::from_static("h"), None);
            let kept: Vec<&str> =
                headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(|v| v.to_str().unwrap()).collect();
            assert_eq!(kept, expected.into_iter().collect::<Vec<_>>(), "{offered:?}");
            assert_eq!(headers[UPGRADE], "websocket");
            assert_eq!(headers[CONNECTION], "Upgrade");
        }
    }

    #[test]
    fn answers_open_nothing_to_other_origins() {
        let mut headers = map(&[
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("connection", "upgrade, x-private"),
            ("upgrade", "h2c"),
            ("x-private", "1"),
            ("content-type", "text/plain"),
        ]);
        of_response(&mut headers, StatusCode::OK);
        assert_eq!(pairs(&headers), ["content-type: text/plain"]);
        let mut headers = map(&[("connection", "upgrade"), ("upgrade", "websocket")]);
        of_response(&mut headers, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(pairs(&headers), ["connection: Upgrade", "upgrade: websocket"]);
    }
}
