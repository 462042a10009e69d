//! Manifests, indexes and image configurations: the part of OCI's and Docker's documents that matters here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::PullFailure;
use crate::digest::Digest;
use cri::PullErrorKind;

/// The largest manifest or index. Registries limit them to 4 MiB.
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The largest image configuration.
pub(super) const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// The accepted media types of manifests, for registries.
pub(super) const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Points to content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// The platform of a manifest in an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) architecture: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) variant: String,
}

/// The manifest of an image for one platform.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// An index (in Docker's words a manifest list).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

/// Either of the two.
#[derive(Clone, Debug)]
pub(super) enum Document {
    Manifest(Manifest),
    Index(Index),
}

impl Document {
    /// Reads a manifest or an index; they are distinguished by their content, because the media type inside is
    /// optional.
    pub(super) fn parse(bytes: &[u8]) -> Result<Document, PullFailure> {
        #[derive(Deserialize)]
        struct Probe {
            #[serde(rename = "schemaVersion")]
            schema_version: u32,
            manifests: Option<serde::de::IgnoredAny>,
            config: Option<serde::de::IgnoredAny>,
        }
        let broken =
            |error: serde_json::Error| PullFailure::corrupt(format!("cannot read the manifest: {error}"));
        let probe: Probe = serde_json::from_slice(bytes).map_err(broken)?;
        if probe.schema_version != 2 {
            let reason = format!("manifests of schema version {} are not supported", probe.schema_version);
            return Err(PullFailure::corrupt(reason));
        }
        // A document that is both is how one digest could mean two images.
        match (probe.manifests, probe.config) {
            (Some(_), None) => serde_json::from_slice(bytes).map(Document::Index).map_err(broken),
            (None, Some(_)) => serde_json::from_slice(bytes).map(Document::Manifest).map_err(broken),
            _ => Err(PullFailure::corrupt("the document is neither an image manifest nor an index")),
        }
    }
}

impl Index {
    /// The manifest for this machine.
    pub(super) fn pick(&self, name: &str) -> Result<&Descriptor, PullFailure> {
        let own = Platform::host();
        let candidates = || self.manifests.iter().filter(|entry| entry.platform.is_some());
        let exact = candidates().find(|entry| entry.platform.as_ref() == Some(&own));
        let fitting =
            candidates().find(|entry| entry.platform.as_ref().is_some_and(|platform| own.runs(platform)));
        // Indexes of one image by simple tools name no platform.
        let only = match self.manifests.as_slice() {
            [entry] if entry.platform.is_none() => Some(entry),
            _ => None,
        };
        exact.or(fitting).or(only).ok_or_else(|| {
            let reason = format!(
                "no match for platform {}/{} in manifest of {name}: not found",
                own.os, own.architecture
            );
            PullFailure::new(PullErrorKind::NoMatchingPlatform, reason)
        })
    }
}

impl Platform {
    /// This machine's platform, in Go's terms.
    pub(super) fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
    }

    /// Whether this machine runs images for that platform. Of variants only the basic ones are sure to run:
    /// none, `v1` of amd64 and `v8` of arm64.
    pub(super) fn runs(&self, other: &Platform) -> bool {
        let variant = match (self.architecture.as_str(), other.variant.as_str()) {
            (_, "") | ("amd64", "v1") | ("arm64", "v8") => true,
            ("arm", variant) => matches!(variant, "v7" | "v6" | "v5"),
            _ => false,
        };
        self.os == other.os && self.architecture == other.architecture && variant
    }
}

/// An image's settings for running it, and its layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a container may replace.
    pub cmd: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// The working directory; empty for `/`.
    pub working_dir: String,
    /// `user`, `uid`, `user:group`, `uid:gid` and so on; empty for root. See
    /// [`resolve_user`](super::user::resolve_user).
    pub user: String,
    /// The signal that asks it to stop, such as `SIGTERM` or `15`; empty for SIGTERM.
    pub stop_signal: String,
    /// Ports that it listens on, such as `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Directories declared as volumes.
    pub volumes: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The operating system it is for.
    pub os: String,
    /// The processor architecture, in Go's terms.
    pub architecture: String,
    /// Digests of the uncompressed layers, the lowest first.
    pub diff_ids: Vec<Digest>,
}

impl ImageConfig {
    /// Reads a configuration document (OCI `application/vnd.oci.image.config.v1+json` or Docker's).
    pub fn parse(bytes: &[u8]) -> Result<ImageConfig, serde_json::Error> {
        let document: ConfigDocument = serde_json::from_slice(bytes)?;
        let config = document.config;
        Ok(ImageConfig {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            env: config.env,
            working_dir: config.working_dir,
            user: config.user,
            stop_signal: config.stop_signal,
            exposed_ports: config.exposed_ports.into_keys().collect(),
            volumes: config.volumes.into_keys().collect(),
            labels: config.labels,
            os: document.os,
            architecture: document.architecture,
            diff_ids: document.rootfs.diff_ids,
        })
    }

    /// The document for this configuration; the same configuration gives the same bytes.
    pub(super) fn to_document(&self) -> Vec<u8> {
        let empty = |names: &BTreeSet<String>| {
            names.iter().map(|name| (name.clone(), Empty {})).collect::<BTreeMap<_, _>>()
        };
        let document = ConfigDocument {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            config: ConfigSection {
                user: self.user.clone(),
                exposed_ports: empty(&self.exposed_ports),
                env: self.env.clone(),
                entrypoint: self.entrypoint.clone(),
                cmd: self.cmd.clone(),
                volumes: empty(&self.volumes),
                working_dir: self.working_dir.clone(),
                labels: self.labels.clone(),
                stop_signal: self.stop_signal.clone(),
            },
            rootfs: RootfsSection { kind: "layers".to_owned(), diff_ids: self.diff_ids.clone() },
        };
        serde_json::to_vec(&document).expect("a document of strings can be written as JSON")
    }

    /// The chain ids of the layers, the lowest first.
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain: Vec<Digest> = Vec::with_capacity(self.diff_ids.len());
        for diff_id in &self.diff_ids {
            chain.push(Digest::chain(chain.last(), diff_id));
        }
        chain
    }
}

#[derive(Serialize, Deserialize)]
struct ConfigDocument {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default, deserialize_with = "null_as_default")]
    config: ConfigSection,
    rootfs: RootfsSection,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConfigSection {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    exposed_ports: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    cmd: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    volumes: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    stop_signal: String,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Empty {}

#[derive(Serialize, Deserialize)]
struct RootfsSection {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(deserialize_with = "null_as_default", default)]
    diff_ids: Vec<Digest>,
}

/// Go writes empty lists and maps as `null`.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_its_document() {
        let text = br#"{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","history":[],
            "config":{"User":"app:staff","ExposedPorts":{"80/tcp":{}},"Env":["PATH=/bin"],"Cmd":null,
            "Entrypoint":["/app"],"Volumes":{"/data":{}},"WorkingDir":"/srv","Labels":null,
            "StopSignal":"SIGQUIT","OnBuild":null},"rootfs":{"type":"layers","diff_ids":
            ["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!((config.entrypoint.as_slice(), config.cmd.len()), (&["/app".to_owned()][..], 0));
        assert_eq!((config.user.as_str(), config.stop_signal.as_str()), ("app:staff", "SIGQUIT"));
        assert!(config.exposed_ports.contains("80/tcp") && config.volumes.contains("/data"));
        assert_eq!(ImageConfig::parse(&config.to_document()).unwrap(), config);
        assert!(ImageConfig::parse(br#"{"rootfs":{"diff_ids":["../../x"]}}"#).is_err());
        assert!(ImageConfig::parse(br#"{}"#).is_err(), "not an image");
    }

    #[test]
    fn an_index_gives_this_platform() {
        let entry = |number: u8, os: &str, architecture: &str, variant: &str| Descriptor {
            media_type: MANIFEST_TYPES[0].to_owned(),
            digest: Digest::of(&[number]),
            size: 1,
            platform: Some(Platform {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
                variant: variant.to_owned(),
            }),
            annotations: BTreeMap::new(),
        };
        let own = Platform::host().architecture;
        let index = |manifests| Index { schema_version: 2, media_type: String::new(), manifests };
        let list = vec![
            entry(1, "windows", &own, ""),
            entry(2, "linux", "s390x-none", ""),
            entry(3, "unknown", "unknown", ""),
            entry(4, "linux", &own, ""),
        ];
        assert_eq!(index(list.clone()).pick("x").unwrap().digest, Digest::of(&[4]));
        let failure = index(list[..3].to_vec()).pick("x").unwrap_err();
        assert_eq!(failure.kind, PullErrorKind::NoMatchingPlatform);
        let mut single = entry(5, "", "", "");
        single.platform = None;
        assert_eq!(index(vec![single]).pick("x").unwrap().digest, Digest::of(&[5]));
    }

    #[test]
    fn documents_are_told_apart() {
        let descriptor = format!(r#"{{"mediaType":"m","digest":"{}","size":1}}"#, Digest::of(b""));
        let manifest = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#);
        assert!(matches!(Document::parse(manifest.as_bytes()), Ok(Document::Manifest(_))));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#);
        assert!(matches!(Document::parse(index.as_bytes()), Ok(Document::Index(_))));
        let both =
            format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"manifests":[{descriptor}]}}"#);
        for bad in [both.as_str(), "{}", r#"{"schemaVersion":1,"config":{}}"#, "[]", ""] {
            assert!(Document::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
