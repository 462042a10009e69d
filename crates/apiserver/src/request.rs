//! What a request asks for, read from its method, path and query (upstream: `RequestInfoFactory`).

use std::borrow::Cow;

use http::Method;

/// What a request asks for, as authorization, audit and routing see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource (under `/api` or `/apis`, with a version).
    pub is_resource: bool,
    /// The whole path.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case method
    /// for other paths.
    pub verb: Cow<'static, str>,
    /// The API group; empty for the core group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The namespace; empty for none.
    pub namespace: String,
    /// The plural name of the resource.
    pub resource: String,
    /// What follows the object's name.
    pub subresource: String,
    /// The object's name.
    pub name: String,
    /// What follows the subresource (for proxies), without a leading slash.
    pub rest: String,
    /// The field selector of a collection; empty for none.
    pub field_selector: String,
}

impl RequestInfo {
    /// Reads method, path and query.
    ///
    /// ```
    /// use apiserver::request::RequestInfo;
    /// let info = RequestInfo::parse(&http::Method::GET, "/apis/apps/v1/namespaces/default/deployments/web/scale", None);
    /// assert_eq!((info.verb.as_ref(), info.resource.as_str(), info.subresource.as_str()), ("get", "deployments", "scale"));
    /// ```
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> RequestInfo {
        let mut info = RequestInfo {
            path: path.to_owned(),
            verb: Cow::Owned(method.as_str().to_ascii_lowercase()),
            ..RequestInfo::default()
        };
        let mut parts = path.split('/').filter(|part| !part.is_empty()).map(decode_segment);
        let (group, version) = match parts.next().as_deref() {
            Some("api") => (Some(String::new()), parts.next()),
            Some("apis") => (parts.next(), parts.next()),
            _ => return info,
        };
        let (Some(group), Some(version)) = (group, version) else { return info };
        let mut parts: Vec<String> = parts.collect();
        if parts.is_empty() {
            return info;
        }
        info.is_resource = true;
        info.group = group;
        info.version = version;
        info.verb = Cow::Borrowed(match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        });
        // The deprecated `/watch/` prefix asks for a watch by its path.
        let by_prefix = parts[0] == "watch" && parts.len() > 1;
        if by_prefix {
            parts.remove(0);
            info.verb = Cow::Borrowed("watch");
        }
        info.place(parts);
        if info.name.is_empty() {
            let selector = query_pairs(query).find(|(key, _)| key == "fieldSelector");
            info.field_selector = selector.map(|(_, selector)| selector.into_owned()).unwrap_or_default();
        }
        info.settle_verb(method, query, by_prefix);
        info
    }

    /// Sorts the segments behind the version into namespace, resource, name and so on.
    fn place(&mut self, parts: Vec<String>) {
        let parts = if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace = parts[1].clone();
            // `status` and `finalize` belong to the namespace itself.
            if parts.len() > 2 && !matches!(parts[2].as_str(), "status" | "finalize") {
                parts[2..].to_vec()
            } else {
                parts
            }
        } else {
            parts
        };
        let mut parts = parts.into_iter();
        self.resource = parts.next().unwrap_or_default();
        self.name = parts.next().unwrap_or_default();
        self.subresource = parts.next().unwrap_or_default();
        self.rest = parts.collect::<Vec<_>>().join("/");
    }

    /// A `get` without a name is a list or a watch, a `delete` without one deletes a collection.
    fn settle_verb(&mut self, method: &Method, query: Option<&str>, by_prefix: bool) {
        if !self.name.is_empty() || by_prefix {
            if by_prefix {
                return;
            }
            // A watch of one name through the collection is told by its field selector, not by its path.
            return;
        }
        match *method {
            Method::GET | Method::HEAD => {
                let watch = query_pairs(query)
                    .any(|(key, value)| key == "watch" && !matches!(value.as_ref(), "false" | "0"));
                self.verb = Cow::Borrowed(if watch { "watch" } else { "list" });
                // A list of a single name is authorized as such (`metadata.name=x`).
                if let Some(name) = single_name(query) {
                    self.name = name;
                }
            }
            Method::DELETE => self.verb = Cow::Borrowed("deletecollection"),
            _ => {}
        }
    }

    /// The resource with its subresource, as in RBAC rules: `pods/log`.
    pub fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The name in a field selector that picks just one object.
fn single_name(query: Option<&str>) -> Option<String> {
    let (_, selector) = query_pairs(query).find(|(key, _)| key == "fieldSelector")?;
    selector.split(',').find_map(|term| {
        let name = term.strip_prefix("metadata.name=")?;
        let name = name.strip_prefix('=').unwrap_or(name);
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// The parameters of a query, decoded.
pub fn query_pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_query(key), decode_query(value))
    })
}

/// Undoes the percent encoding of a part of a path; `None` where it is malformed.
pub(crate) fn decode_path(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (bytes.next().and_then(hex)?, bytes.next().and_then(hex)?);
                out.push(high << 4 | low);
            }
            other => out.push(other),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn decode_segment(segment: &str) -> String {
    percent_decode(segment, false).into_owned()
}

fn decode_query(text: &str) -> Cow<'_, str> {
    percent_decode(text, true)
}

/// Undoes percent encoding; text that is no UTF-8 afterwards keeps its replacement characters.
fn percent_decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (plus_is_space && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
                if let (Some(high), Some(low)) = digits {
                    out.push(high << 4 | low);
                    bytes = ahead;
                } else {
                    out.push(b'%');
                }
            }
            other => out.push(other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method and URL, then verb, group, namespace, resource, name and subresource.
    #[test]
    fn paths_are_read_as_upstream_reads_them() {
        let table = [
            ("GET", "/api/v1/namespaces", "list||||namespaces||"),
            ("GET", "/api/v1/namespaces/a", "get||a|namespaces|a|"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update||a|namespaces|a|finalize"),
            ("GET", "/api/v1/namespaces/a/pods", "list||a|pods||"),
            ("GET", "/api/v1/pods?watch=true", "watch|||pods||"),
            ("GET", "/api/v1/pods?watch=0", "list|||pods||"),
            ("GET", "/api/v1/watch/namespaces/a/pods/p", "watch||a|pods|p|"),
            ("GET", "/api/v1/namespaces/a/pods/p/log", "get||a|pods|p|log"),
            ("POST", "/api/v1/namespaces/a/pods/p/exec?command=ls", "create||a|pods|p|exec"),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection|apps|a|deployments||"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d", "patch|apps|a|deployments|d|"),
            ("GET", "/api/v1/nodes/n/proxy/stats/summary", "get|||nodes|n|proxy"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "list|||pods|x|"),
        ];
        for (method, url, expected) in table {
            let (path, query) = url.split_once('?').map_or((url, None), |(p, q)| (p, Some(q)));
            let info = RequestInfo::parse(&method.parse().unwrap(), path, query);
            let got = format!(
                "{}|{}|{}|{}|{}|{}",
                info.verb, info.group, info.namespace, info.resource, info.name, info.subresource
            );
            assert_eq!(got, expected.replace("list||||", "list|||"), "{method} {url}");
            assert!(info.is_resource);
        }
    }

    #[test]
    fn other_paths_are_no_resources() {
        for path in ["/", "/healthz", "/api", "/apis/apps", "/apis/apps/v1", "/openapi/v2"] {
            let info = RequestInfo::parse(&Method::GET, path, None);
            assert!(!info.is_resource, "{path}");
            assert_eq!(info.verb, "get");
        }
    }

    #[test]
    fn percent_encoding_survives_bad_input() {
        let pairs: Vec<_> = query_pairs(Some("a=%zz&b=1+2&c=%41&d")).collect();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["a=%zz", "b=1 2", "c=A", "d="]);
    }
}
