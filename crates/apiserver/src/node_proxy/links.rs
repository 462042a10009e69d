//! Links in answers of pods and Services: those to the same host lead back through the proxy (upstream:
//! `apimachinery/pkg/util/proxy/transport.go`).

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, Uri};
use http_body_util::BodyExt;

use crate::body::{self, Body};

/// The maximum length of a tag; a longer one is passed on unchanged.
const TAG_BYTES_MAX: usize = 64 << 10;
/// Elements whose content is text, with their end tags.
const RAW: [(&str, &[u8]); 4] =
    [("script", b"</script"), ("style", b"</style"), ("textarea", b"</textarea"), ("title", b"</title")];

/// The source of a response.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The path of the proxy, which precedes the target's own paths.
    prefix: String,
    /// The host in the proxy's request.
    address: String,
    /// The host in the client's request.
    host: String,
}

impl Source {
    /// The source of the answer to a request for `asked`, which the target knows as `path`.
    pub(super) fn new(asked: &Uri, path: &str, address: String, host: Option<&HeaderValue>) -> Source {
        let path = path.split('?').next().unwrap_or_default();
        let prefix = asked.path().strip_suffix(path).unwrap_or(asked.path());
        let host = host.and_then(|host| host.to_str().ok()).or(asked.host()).unwrap_or_default();
        Source { prefix: prefix.trim_end_matches('/').to_owned(), address, host: host.to_owned() }
    }

    /// The link that a client can follow; `None` if it can follow the existing one.
    fn rewrite(&self, link: &str) -> Option<String> {
        let behind_scheme = link.find("://").filter(|colon| {
            link[..*colon].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        });
        let start = match behind_scheme {
            Some(colon) => colon + 3,
            None if link.starts_with("//") => 2,
            None => 0,
        };
        let host_end = match start {
            0 => 0,
            start => link[start..].find(['/', '?', '#']).map_or(link.len(), |length| start + length),
        };
        let (origin, path) = link.split_at(host_end);
        let host = &origin[start.min(origin.len())..];
        let is_elsewhere = !host.is_empty() && host != self.address && host != self.host;
        if is_elsewhere || !path.starts_with('/') {
            return None;
        }
        let origin = if host == self.host { origin } else { "" };
        let prefix = if path.starts_with(&self.prefix) { "" } else { &self.prefix };
        Some(format!("{origin}{prefix}{path}")).filter(|new| new != link)
    }

    /// Rewrites the links of a response, in a redirect or a page, to lead through the proxy.
    pub(super) fn lead_back(self, mut response: Response<Body>) -> Response<Body> {
        let link = response.headers().get(LOCATION).and_then(|link| link.to_str().ok());
        if let Some(link) = link.and_then(|link| self.rewrite(link))
            && let Ok(link) = HeaderValue::from_str(&link)
        {
            response.headers_mut().insert(LOCATION, link);
        }
        let headers = response.headers();
        let is_page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let is_plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
        if !is_page || !is_plain {
            return response;
        }
        response.headers_mut().remove(CONTENT_LENGTH);
        let page = Page { source: self, rest: Vec::new(), raw: None };
        response.map(|body| {
            let pieces = body.into_data_stream();
            body::stream(stream::unfold(Some((pieces, page)), |state| async {
                let (mut pieces, mut page) = state?;
                match pieces.next().await {
                    Some(Ok(piece)) => Some((Ok(page.feed(&piece)), Some((pieces, page)))),
                    Some(Err(error)) => Some((Err(error), None)),
                    None => Some((Ok(Bytes::from(page.rest)), None)),
                }
            }))
        })
    }
}

/// A page that is processed tag by tag.
struct Page {
    source: Source,
    /// The possible beginning of a tag.
    rest: Vec<u8>,
    /// The end of the current text without tags.
    raw: Option<&'static [u8]>,
}

impl Page {
    /// Takes a piece and returns the finished part of the page.
    fn feed(&mut self, piece: &[u8]) -> Bytes {
        self.rest.extend_from_slice(piece);
        let mut out = Vec::with_capacity(self.rest.len());
        let mut at = 0;
        while at < self.rest.len() {
            let rest = &self.rest[at..];
            let Some(length) = self.raw.map_or_else(|| text_length(rest), |end| raw_length(rest, end)) else {
                break;
            };
            if length > 0 {
                out.extend_from_slice(&rest[..length]);
                at += length;
                let is_over = self.raw.is_some_and(|end| starts_with(&self.rest[at..], end));
                self.raw = self.raw.filter(|_| !is_over);
                continue;
            }
            if self.raw.take_if(|end| starts_with(rest, end)).is_some() {
                continue;
            }
            let Some(length) = tag_length(rest) else { break };
            let tag = &rest[..length];
            match std::str::from_utf8(tag) {
                Ok(tag) => out.extend_from_slice(self.source.tag(tag).as_bytes()),
                Err(_) => out.extend_from_slice(tag),
            }
            let name = name_of(tag);
            self.raw = match tag {
                b"<!--" => Some(b"-->"),
                _ => RAW.iter().find(|(raw, _)| raw.as_bytes() == name).map(|(_, end)| *end),
            };
            at += length;
        }
        self.rest.drain(..at);
        if self.rest.len() > TAG_BYTES_MAX {
            out.append(&mut self.rest);
        }
        out.into()
    }
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// The length of the text before a tag.
fn text_length(text: &[u8]) -> Option<usize> {
    Some(text.iter().position(|byte| *byte == b'<').unwrap_or(text.len()))
}

/// The length of the text without tags before its end; `None` if that is not known yet.
fn raw_length(text: &[u8], end: &[u8]) -> Option<usize> {
    let found = text.windows(end.len()).position(|window| window.eq_ignore_ascii_case(end));
    found.or_else(|| text.len().checked_sub(end.len() - 1).filter(|length| *length > 0))
}

/// The length of the tag that begins here; `None` if its end has not arrived yet.
fn tag_length(text: &[u8]) -> Option<usize> {
    const COMMENT: &[u8] = b"<!--";
    if COMMENT.starts_with(&text[..text.len().min(COMMENT.len())]) {
        return (text.len() >= COMMENT.len()).then_some(COMMENT.len());
    }
    let mut quote = None;
    for (index, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(index + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

/// The name of the element that a tag opens, in lower case.
fn name_of(tag: &[u8]) -> Vec<u8> {
    let name = tag[1..].iter().take_while(|byte| byte.is_ascii_alphanumeric());
    name.map(u8::to_ascii_lowercase).collect()
}

/// The attributes of an element that are links.
fn links_of(element: &[u8]) -> &'static [&'static str] {
    match element {
        b"a" | b"area" | b"base" | b"link" => &["href"],
        b"applet" => &["codebase"],
        b"audio" | b"embed" | b"script" | b"source" => &["src"],
        b"blockquote" | b"del" | b"ins" | b"q" => &["cite"],
        b"body" => &["background"],
        b"button" => &["formaction"],
        b"command" => &["icon"],
        b"form" => &["action"],
        b"frame" | b"iframe" => &["longdesc", "src"],
        b"head" => &["profile"],
        b"html" => &["manifest"],
        b"img" => &["longdesc", "src", "usemap"],
        b"input" => &["src", "usemap", "formaction"],
        b"object" => &["classid", "codebase", "data", "usemap"],
        b"video" => &["poster", "src"],
        _ => &[],
    }
}

impl Source {
    /// A tag with its links rewritten; everything else stays unchanged.
    fn tag(&self, tag: &str) -> String {
        let name = name_of(tag.as_bytes());
        let links = links_of(&name);
        if links.is_empty() {
            return tag.to_owned();
        }
        let (mut out, mut rest) = (tag[..=name.len()].to_owned(), &tag[name.len() + 1..]);
        while let Some(equals) = rest.find('=') {
            let (before, behind) = rest.split_at(equals + 1);
            let attribute =
                before[..equals].trim_end().rsplit([' ', '\t', '\n', '\r', '/', '"', '\'']).next();
            let attribute = attribute.unwrap_or_default().to_ascii_lowercase();
            let value_start = behind.len() - behind.trim_start().len();
            let (space, behind) = behind.split_at(value_start);
            out.push_str(before);
            out.push_str(space);
            let quote = behind.chars().next().filter(|first| matches!(first, '"' | '\''));
            let (value, behind) = match quote {
                Some(quote) => behind[1..].split_once(quote).unwrap_or((&behind[1..], "")),
                None => behind.split_at(behind.find([' ', '\t', '\n', '\r', '>']).unwrap_or(behind.len())),
            };
            let new = links
                .contains(&attribute.as_str())
                .then(|| self.rewrite(&value.replace("&amp;", "&")))
                .flatten()
                .map(|link| link.replace('&', "&amp;").replace('"', "&#34;"));
            match (new, quote) {
                (Some(new), _) => out.push_str(&format!("\"{new}\"")),
                (None, Some(quote)) => out.push_str(&format!("{quote}{value}{quote}")),
                (None, None) => out.push_str(value),
            }
            rest = behind;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/api/v1/namespaces/n/pods/p/proxy";

    fn source() -> Source {
        let asked: Uri = format!("{PREFIX}/a/b?x=y").parse().unwrap();
        let host = HeaderValue::from_static("cluster:6443");
        Source::new(&asked, "/a/b?x=y", "10.0.0.1:80".to_owned(), Some(&host))
    }

    #[test]
    fn links_to_the_same_host_lead_through_the_proxy() {
        let source = source();
        let cases = [
            ("/x?y#z", Some(format!("{PREFIX}/x?y#z"))),
            ("/", Some(format!("{PREFIX}/"))),
            ("http://10.0.0.1:80/x", Some(format!("{PREFIX}/x"))),
            ("https://cluster:6443/x", Some(format!("https://cluster:6443{PREFIX}/x"))),
            ("//10.0.0.1:80/x", Some(format!("{PREFIX}/x"))),
            ("http://example.com/x", None),
            ("//example.com/x", None),
            ("x/y", None),
            ("?x=/y", None),
            ("#x", None),
            ("mailto:a@b", None),
            (&format!("{PREFIX}/x"), None),
        ];
        for (link, expected) in cases {
            assert_eq!(source.rewrite(link), expected, "{link}");
        }
    }

    fn page(pieces: &[&str]) -> String {
        let mut page = Page { source: source(), rest: Vec::new(), raw: None };
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| page.feed(piece.as_bytes())).collect();
        out.append(&mut page.rest);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pages_keep_all_but_their_links() {
        let html = concat!(
            "<!DOCTYPE html><html><head><title><a href=/t></title><link rel=x href='/s.css'>",
            "<script src=\"/j.js\">let a = \"<a href='/no'>\";</script></head>",
            "<body class=a><!-- <a href=\"/no\"> --><A HREF = \"/x?a=1&amp;b=2\" id='i'>1 < 2</A>",
            "<img src=/i.png alt=\"a > b\"><a href=\"rel\">r</a><form action=\"/f\"></form></body></html>",
        );
        let expected = html
            .replace("'/s.css'", &format!("\"{PREFIX}/s.css\""))
            .replace("\"/j.js\"", &format!("\"{PREFIX}/j.js\""))
            .replace("\"/x?a", &format!("\"{PREFIX}/x?a"))
            .replace("src=/i.png", &format!("src=\"{PREFIX}/i.png\""))
            .replace("\"/f\"", &format!("\"{PREFIX}/f\""));
        assert_eq!(page(&[html]), expected);
        // However it is split.
        for cut in 0..html.len() {
            assert_eq!(page(&[&html[..cut], &html[cut..]]), expected, "{cut}");
        }
        let bytes: Vec<String> = html.chars().map(String::from).collect();
        assert_eq!(page(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), expected);
        let endless = format!("<a {}", "x".repeat(TAG_BYTES_MAX));
        assert_eq!(page(&[&endless]), endless);
    }
}
