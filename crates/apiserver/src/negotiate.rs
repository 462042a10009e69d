//! Content negotiation: the media types of answers and bodies.

use std::str::FromStr;

use object::Status;

/// The media type of JSON.
pub const JSON: &str = "application/json";
/// The media type of YAML.
pub const YAML: &str = "application/yaml";
/// The media type of Kubernetes' protobuf envelope.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The media types of watches; that of protobuf is the last one, as custom resources have none.
pub const STREAMS: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// An encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// JSON
    #[default]
    Json,
    /// YAML
    Yaml,
    /// Protobuf in its envelope
    Protobuf,
}

impl Encoding {
    /// The `Content-Type` of a single answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => JSON,
            Encoding::Yaml => YAML,
            Encoding::Protobuf => PROTOBUF,
        }
    }

    /// The `Content-Type` of a watch.
    pub fn stream_content_type(self) -> &'static str {
        match self {
            Encoding::Json => JSON,
            // Nothing is streamed as YAML.
            Encoding::Yaml => YAML,
            Encoding::Protobuf => STREAMS[1],
        }
    }

    /// The encoding of a body, by its `Content-Type`; JSON if there is none.
    pub fn of_body(content_type: Option<&str>) -> Result<Encoding, Status> {
        match &*media_type(content_type.unwrap_or(JSON)) {
            "" | JSON => Ok(Encoding::Json),
            YAML => Ok(Encoding::Yaml),
            PROTOBUF => Ok(Encoding::Protobuf),
            _ => Err(Status::unsupported_media_type(&[JSON, YAML, PROTOBUF])),
        }
    }
}

/// The media type of a `Content-Type`, without its parameters. Upper and lower case are the same in it.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a client that sends this `Accept-Encoding` takes gzip. As upstream does it, a coding with a weight counts as
/// another one.
pub fn takes_gzip(accept_encoding: Option<&str>) -> bool {
    accept_encoding.is_some_and(|accept| accept.split(',').any(|coding| coding.trim() == "gzip"))
}

/// The view of the object in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum View {
    /// The object itself.
    #[default]
    Object,
    /// `meta.k8s.io` Table, with the version that was asked for.
    Table(MetaVersion),
    /// `PartialObjectMetadata`, of single objects and in watches.
    Metadata(MetaVersion),
    /// `PartialObjectMetadataList`, of lists.
    MetadataList(MetaVersion),
    /// `apidiscovery.k8s.io/v2` APIGroupDiscoveryList.
    AggregatedDiscovery,
}

/// A version of `meta.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1beta1,
}

impl MetaVersion {
    /// The `apiVersion` of objects of it.
    pub fn api_version(self) -> &'static str {
        match self {
            MetaVersion::V1 => "meta.k8s.io/v1",
            MetaVersion::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Format {
    /// How it is encoded.
    pub encoding: Encoding,
    /// What it shows.
    pub view: View,
    /// The client asked for indented JSON.
    pub pretty: bool,
}

/// The forms in which an endpoint can answer.
#[derive(Clone, Copy, Debug)]
pub struct Offers {
    /// Protobuf is possible (built-in kinds).
    pub protobuf: bool,
    /// Tables and metadata are possible.
    pub views: bool,
    /// Aggregated discovery is possible.
    pub discovery: bool,
}

/// One clause of an `Accept` header.
struct Clause<'a> {
    media: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Clause<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| !media.is_empty())?;
        let mut clause = Clause { media, quality: 1.0, parameters: Vec::new() };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match (key.trim(), value.trim().trim_matches('"')) {
                ("q", value) => clause.quality = f32::from_str(value).unwrap_or(1.0),
                pair => clause.parameters.push(pair),
            }
        }
        Some(clause)
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// The format this clause asks for, if the endpoint offers it.
    fn format(&self, offers: Offers) -> Option<Format> {
        let encoding = match self.media {
            JSON | "*/*" | "application/*" => Encoding::Json,
            YAML => Encoding::Yaml,
            PROTOBUF if offers.protobuf => Encoding::Protobuf,
            _ => return None,
        };
        let pretty = matches!(self.parameter("pretty"), Some("1" | "true"));
        let view = match (self.parameter("as"), self.parameter("g"), self.parameter("v")) {
            (None, _, _) => View::Object,
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) if offers.discovery => {
                View::AggregatedDiscovery
            }
            (Some(kind), Some("meta.k8s.io"), Some(version)) if offers.views => {
                let version = match version {
                    "v1" => MetaVersion::V1,
                    "v1beta1" => MetaVersion::V1beta1,
                    _ => return None,
                };
                match kind {
                    "Table" if encoding != Encoding::Protobuf => View::Table(version),
                    "PartialObjectMetadata" => View::Metadata(version),
                    "PartialObjectMetadataList" => View::MetadataList(version),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(Format { encoding, view, pretty })
    }
}

/// The format of the answer: the first of the best clauses of `Accept` that the endpoint offers.
///
/// # Errors
/// 406 if nothing that the client accepts is offered.
pub fn negotiate(accept: Option<&str>, offers: Offers) -> Result<Format, Status> {
    let accept = accept.unwrap_or_default();
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
    if clauses.is_empty() {
        return Ok(Format::default());
    }
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses.iter().filter(|clause| clause.quality > 0.0).find_map(|clause| clause.format(offers)).ok_or_else(
        || {
            let offered: &[&str] = if offers.protobuf { &[JSON, YAML, PROTOBUF] } else { &[JSON, YAML] };
            Status::not_acceptable(offered)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offers = Offers { protobuf: true, views: true, discovery: true };

    #[test]
    fn media_types_have_no_case() {
        for (content_type, expected) in [
            (None, Some(Encoding::Json)),
            (Some("application/json; charset=utf-8"), Some(Encoding::Json)),
            (Some("Application/YAML"), Some(Encoding::Yaml)),
            (Some("text/json"), None),
        ] {
            assert_eq!(Encoding::of_body(content_type).ok(), expected, "{content_type:?}");
        }
    }

    #[test]
    fn accept_headers_pick_a_format() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let table = [
            ("", ALL, Some((Encoding::Json, View::Object))),
            ("*/*", ALL, Some((Encoding::Json, View::Object))),
            (kubectl, ALL, Some((Encoding::Json, View::Table(MetaVersion::V1)))),
            (kubectl, Offers { views: false, ..ALL }, Some((Encoding::Json, View::Object))),
            (PROTOBUF, ALL, Some((Encoding::Protobuf, View::Object))),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Offers { protobuf: false, ..ALL },
                Some((Encoding::Json, View::Object)),
            ),
            (PROTOBUF, Offers { protobuf: false, ..ALL }, None),
            ("application/json;q=0.5,application/yaml", ALL, Some((Encoding::Yaml, View::Object))),
            ("application/json;as=Table;v=v2;g=meta.k8s.io", ALL, None),
            ("text/html", ALL, None),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json;q=0.9",
                ALL,
                Some((Encoding::Json, View::AggregatedDiscovery)),
            ),
        ];
        for (accept, offers, expected) in table {
            let got = negotiate(Some(accept), offers).ok().map(|f| (f.encoding, f.view));
            assert_eq!(got, expected, "{accept}");
        }
    }
}
