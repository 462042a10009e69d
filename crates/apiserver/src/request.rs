//! The facts of a request, parsed once from its method, path and query (upstream: `RequestInfoFactory`).
//!
//! Authorization, routing and the registry share this one value. Code that parsed a request's text again could see a
//! different request from the one that was authorized.

use std::borrow::Cow;

use http::Method;
use object::{FieldSelector, Selector, SelectorError, names};
use schema::GroupResource;

mod parameters;
mod percent;

pub use parameters::Parameters;
pub(crate) use percent::{decode_path, encode_path};

/// A request as authorization, audit, routing and the registry see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestInfo {
    /// Whether the path names a resource (under `/api` or `/apis`, with a version).
    pub is_resource: bool,
    /// The whole path, decoded.
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
    /// The path segment after the object's name.
    pub subresource: String,
    /// The object's name, which may come from a field selector that picks exactly one.
    pub name: String,
    /// The path after the subresource (for proxies), percent-encoded, without its leading slash.
    pub rest: String,
    /// The query.
    pub parameters: Parameters,
    /// Which objects of a collection are meant.
    pub selectors: Selectors,
    /// Whether authorization considers the selectors: not with the deprecated `/watch/` prefix.
    pub selectors_count: bool,
}

/// The selectors of a request. One that cannot be read selects nothing for authorization, and is refused where the
/// collection is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selectors {
    /// `fieldSelector`
    pub fields: Option<Result<FieldSelector, SelectorError>>,
    /// `labelSelector`
    pub labels: Option<Result<Selector, SelectorError>>,
}

impl Selectors {
    fn read(parameters: &Parameters) -> Selectors {
        let text = |name: &str| parameters.get(name).filter(|text| !text.is_empty());
        Selectors {
            fields: text("fieldSelector").map(FieldSelector::parse),
            labels: text("labelSelector").map(Selector::parse),
        }
    }
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
        let decoded = percent::decode(path, false);
        let mut info = RequestInfo {
            path: String::from_utf8_lossy(&decoded).into_owned(),
            verb: Cow::Owned(method.as_str().to_ascii_lowercase()),
            parameters: Parameters::parse(query),
            ..RequestInfo::default()
        };
        let segments = Segments::of(&decoded);
        let behind_version = match segments.text(0).as_deref() {
            Some("api") => 2,
            Some("apis") => 3,
            _ => return info,
        };
        if segments.len() <= behind_version {
            return info;
        }
        info.is_resource = true;
        if behind_version == 3 {
            info.group = segments.text(1).unwrap_or_default();
        }
        info.version = segments.text(behind_version - 1).unwrap_or_default();
        info.verb = Cow::Borrowed(match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        });
        // The deprecated `/watch/` prefix asks for a watch by its path.
        let by_prefix = segments.is(behind_version, "watch") && segments.len() > behind_version + 1;
        if by_prefix {
            info.verb = Cow::Borrowed(if info.verb == "get" { "watch" } else { "" });
        }
        info.place(&segments, behind_version + usize::from(by_prefix));
        info.selectors = Selectors::read(&info.parameters);
        info.selectors_count = !by_prefix;
        if !by_prefix && info.name.is_empty() {
            info.settle_verb();
        }
        info
    }

    /// Sorts the segments behind the version into namespace, resource, name and so on.
    fn place(&mut self, segments: &Segments<'_>, start: usize) {
        let mut start = start;
        if segments.is(start, "namespaces") && segments.len() > start + 1 {
            self.namespace = segments.text(start + 1).unwrap_or_default();
            // `status` and `finalize` belong to the namespace itself.
            let is_part = segments.is(start + 2, "status") || segments.is(start + 2, "finalize");
            if segments.len() > start + 2 && !is_part {
                start += 2;
            }
        }
        self.resource = segments.text(start).unwrap_or_default();
        self.name = segments.text(start + 1).unwrap_or_default();
        self.subresource = segments.text(start + 2).unwrap_or_default();
        self.rest = encode_path(segments.behind(start + 2));
    }

    /// A `get` without a name is a list or a watch, a `delete` without one deletes a collection.
    fn settle_verb(&mut self) {
        match &*self.verb {
            "get" => {
                let watch = self.parameters.is_true("watch");
                self.verb = Cow::Borrowed(if watch { "watch" } else { "list" });
                // A list of a single name is authorized as such.
                let fields = self.selectors.fields.as_ref().and_then(|fields| fields.as_ref().ok());
                let name = fields.and_then(|fields| fields.exact("metadata.name"));
                let name = name.filter(|name| names::is_path_segment_name(name).is_empty());
                self.name = name.unwrap_or_default().to_owned();
            }
            "delete" => self.verb = Cow::Borrowed("deletecollection"),
            _ => {}
        }
    }

    /// The field selector by which authorization may decide, where the verb is one of collections.
    pub fn authorized_fields(&self) -> Option<&FieldSelector> {
        self.selectors.fields.as_ref().filter(|_| self.selects()).and_then(|fields| fields.as_ref().ok())
    }

    /// The label selector by which authorization may decide, likewise.
    pub fn authorized_labels(&self) -> Option<&Selector> {
        self.selectors.labels.as_ref().filter(|_| self.selects()).and_then(|labels| labels.as_ref().ok())
    }

    fn selects(&self) -> bool {
        self.selectors_count && matches!(&*self.verb, "list" | "watch" | "deletecollection")
    }

    /// The resource, whatever its version.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource::new(&self.group, &self.resource)
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

/// The parts of a decoded path between its slashes; empty ones do not count.
struct Segments<'a> {
    path: &'a [u8],
    /// Where each begins and ends.
    places: Vec<(usize, usize)>,
}

impl<'a> Segments<'a> {
    /// At most these are distinguished: prefix, group, version, `watch`, `namespaces`, namespace, resource, name,
    /// subresource.
    const MAX: usize = 9;

    fn of(path: &'a [u8]) -> Segments<'a> {
        let mut places = Vec::with_capacity(Self::MAX);
        let mut start = 0;
        while start < path.len() && places.len() < Self::MAX {
            let end = path[start..].iter().position(|byte| *byte == b'/').map_or(path.len(), |at| start + at);
            if end > start {
                places.push((start, end));
            }
            start = end + 1;
        }
        Segments { path, places }
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn bytes(&self, index: usize) -> Option<&'a [u8]> {
        self.places.get(index).map(|(start, end)| &self.path[*start..*end])
    }

    fn is(&self, index: usize, text: &str) -> bool {
        self.bytes(index) == Some(text.as_bytes())
    }

    fn text(&self, index: usize) -> Option<String> {
        self.bytes(index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The rest after a segment and its slash.
    fn behind(&self, index: usize) -> &'a [u8] {
        let end = self.places.get(index).map_or(self.path.len(), |(_, end)| *end + 1);
        self.path.get(end..).unwrap_or_default()
    }
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
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3D%3Dx,status.phase%3Da", "list|||pods|x|"),
            ("GET", "/api/v1/pods?fieldSelector=status.phase%21%3Da%5C,metadata.name%3Dx", "list|||pods||"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Da%2Fb", "list|||pods||"),
            ("GET", "/api/v1/pods?fieldSelector=x&fieldSelector=metadata.name%3Dx", "list|||pods||"),
            ("DELETE", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "deletecollection|||pods||"),
            ("GET", "/api/v1/pods?watch=0&watch=1", "list|||pods||"),
            ("GET", "/api/v1/pods?watch=False", "list|||pods||"),
            ("GET", "/api/v1/pods?watch=&watch=0", "watch|||pods||"),
            ("GET", "/api/v1/watch/pods?watch=0", "watch|||pods||"),
            ("POST", "/api/v1/watch/namespaces/a/pods", "||a|pods||"),
            // An encoded slash is a slash for everybody.
            ("GET", "/api/v1/namespaces/a%2Fpods%2Fp", "get||a|pods|p|"),
            ("GET", "/api/v1//namespaces/a/pods/", "list||a|pods||"),
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
    fn what_follows_a_subresource_is_passed_on_as_it_is() {
        let table = [
            ("/api/v1/nodes/n/proxy", ""),
            ("/api/v1/nodes/n/proxy/", ""),
            ("/api/v1/nodes/n/proxy/a//b/", "a//b/"),
            ("/api/v1/nodes/n/proxy/a%3Fb%23c%20d", "a%3Fb%23c%20d"),
            ("/api/v1/nodes/n/proxy/%FF%2f..", "%FF/.."),
            ("/api/v1/nodes/n/proxy/100%25", "100%25"),
        ];
        for (path, rest) in table {
            assert_eq!(RequestInfo::parse(&Method::GET, path, None).rest, rest, "{path}");
        }
    }

    #[test]
    fn selectors_decide_who_may_where_the_collection_obeys_them() {
        let fields = |method: &Method, path: &str| {
            let query = "fieldSelector=spec.nodeName%3Da&fieldSelector=spec.nodeName%3Db";
            let info = RequestInfo::parse(method, path, Some(query));
            info.authorized_fields().and_then(|fields| fields.exact("spec.nodeName").map(str::to_owned))
        };
        assert_eq!(fields(&Method::GET, "/api/v1/pods").as_deref(), Some("a"));
        assert_eq!(fields(&Method::DELETE, "/api/v1/namespaces/d/pods").as_deref(), Some("a"));
        for (method, path) in [
            (Method::GET, "/api/v1/watch/pods"),
            (Method::GET, "/api/v1/namespaces/d/pods/p"),
            (Method::POST, "/api/v1/namespaces/d/pods"),
        ] {
            assert_eq!(fields(&method, path), None, "{path}");
        }
    }
}
