//! Building small images from files, without a container and without a network.
//!
//! Intended for images with a single static program and similar. The result is reproducible: the same files and the
//! same configuration give the same digests (times are the epoch, owners are root unless set).
//!
//! ```no_run
//! # fn example() -> Result<(), runtime::images::build::BuildError> {
//! let mut builder = runtime::images::build::ImageBuilder::new();
//! builder.add_host_file("/bin/web", "target/release/web", 0o755)?;
//! builder.add_file("/etc/passwd", "web:x:1000:1000::/:\n", 0o644);
//! builder.config().entrypoint = vec!["/bin/web".to_owned()];
//! builder.config().user = "web".to_owned();
//! builder.build().write_docker_archive("web.tar", &["example.org/web:1"])?;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use oci_client::{Reference, RegistryOperation};

use super::error::{ImageError, PullFailure};
use super::import::CONTAINERD_NAME;
use super::manifest::{Descriptor, ImageConfig, Index, MANIFEST_TYPES, Manifest, Platform};
use super::reference;
use super::registry::Registry;
use crate::digest::Digest;
use cri::AuthConfig;

/// Errors of building or writing an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image's name cannot be parsed.
    #[error(transparent)]
    Name(#[from] ImageError),
}

/// How layers are compressed for a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, which every engine reads.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Collects files and a configuration.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    layers: Vec<BTreeMap<String, Node>>,
    config: ImageConfig,
}

#[derive(Clone, Debug)]
struct Node {
    content: Content,
    mode: u32,
    owner: (u32, u32),
}

#[derive(Clone, Debug)]
enum Content {
    File(Vec<u8>),
    Directory,
    Symlink(String),
}

impl Default for ImageBuilder {
    fn default() -> ImageBuilder {
        ImageBuilder::new()
    }
}

impl ImageBuilder {
    /// An empty image for this machine's platform.
    pub fn new() -> ImageBuilder {
        let platform = Platform::host();
        let config = ImageConfig {
            os: platform.os,
            architecture: platform.architecture,
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            ..ImageConfig::default()
        };
        ImageBuilder { layers: vec![BTreeMap::new()], config }
    }

    /// Entry point, environment, user and so on; `diff_ids` are filled in by [`build`](Self::build).
    pub fn config(&mut self) -> &mut ImageConfig {
        &mut self.config
    }

    /// Adds a file; `mode` is its permission bits. Parent directories are created with mode 755.
    pub fn add_file(&mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> &mut ImageBuilder {
        self.add(path, Content::File(content.into()), mode)
    }

    /// Adds a copy of a file of this machine.
    pub fn add_host_file(
        &mut self,
        path: &str,
        source: impl AsRef<Path>,
        mode: u32,
    ) -> Result<&mut ImageBuilder, BuildError> {
        let source = source.as_ref();
        let content = std::fs::read(source).map_err(io_error(source))?;
        Ok(self.add_file(path, content, mode))
    }

    /// Adds everything below a directory of this machine: files, directories and symbolic links with
    /// their modes.
    pub fn add_host_dir(
        &mut self,
        path: &str,
        source: impl AsRef<Path>,
    ) -> Result<&mut ImageBuilder, BuildError> {
        use std::os::unix::fs::PermissionsExt;
        let mut pending = vec![(clean(path), source.as_ref().to_owned())];
        while let Some((path, source)) = pending.pop() {
            let metadata = std::fs::symlink_metadata(&source).map_err(io_error(&source))?;
            let mode = metadata.permissions().mode() & 0o7777;
            if metadata.is_symlink() {
                let target = std::fs::read_link(&source).map_err(io_error(&source))?;
                self.symlink(&path, &target.to_string_lossy());
            } else if metadata.is_dir() {
                if !path.is_empty() {
                    self.add_dir(&path, mode);
                }
                for child in std::fs::read_dir(&source).map_err(io_error(&source))? {
                    let child = child.map_err(io_error(&source))?;
                    let name = child.file_name().to_string_lossy().into_owned();
                    pending.push((format!("{path}/{name}"), child.path()));
                }
            } else {
                self.add_host_file(&path, &source, mode)?;
            }
        }
        Ok(self)
    }

    /// Adds a directory, or sets the mode of an existing one.
    pub fn add_dir(&mut self, path: &str, mode: u32) -> &mut ImageBuilder {
        self.add(path, Content::Directory, mode)
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut ImageBuilder {
        self.add(path, Content::Symlink(target.to_owned()), 0o777)
    }

    /// Sets the owner of the entry added under this path.
    pub fn chown(&mut self, path: &str, uid: u32, gid: u32) -> &mut ImageBuilder {
        let path = clean(path);
        if let Some(node) = self.top().get_mut(&path) {
            node.owner = (uid, gid);
        }
        self
    }

    /// Begins another layer on top, which receives all further entries.
    pub fn next_layer(&mut self) -> &mut ImageBuilder {
        self.layers.push(BTreeMap::new());
        self
    }

    /// Removes a file or directory of the layers below.
    pub fn whiteout(&mut self, path: &str) -> &mut ImageBuilder {
        let path = clean(path);
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let marker = if parent.is_empty() { format!(".wh.{name}") } else { format!("{parent}/.wh.{name}") };
        self.add(&marker, Content::File(Vec::new()), 0o644)
    }

    fn add(&mut self, path: &str, content: Content, mode: u32) -> &mut ImageBuilder {
        let path = clean(path);
        for (slash, _) in path.match_indices('/') {
            let parent = Node { content: Content::Directory, mode: 0o755, owner: (0, 0) };
            self.top().entry(path[..slash].to_owned()).or_insert(parent);
        }
        self.top().insert(path, Node { content, mode, owner: (0, 0) });
        self
    }

    fn top(&mut self) -> &mut BTreeMap<String, Node> {
        self.layers.last_mut().expect("a builder begins with one layer and loses none")
    }

    /// The image.
    pub fn build(&self) -> BuiltImage {
        let layers: Vec<Vec<u8>> = self.layers.iter().map(pack).collect();
        let mut config = self.config.clone();
        config.diff_ids = layers.iter().map(|layer| Digest::of(layer)).collect();
        BuiltImage { document: config.to_document(), layers }
    }
}

/// An image in memory.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    document: Vec<u8>,
    /// Uncompressed archives, the lowest first.
    layers: Vec<Vec<u8>>,
}

impl BuiltImage {
    /// The id: the digest of the configuration.
    pub fn id(&self) -> Digest {
        Digest::of(&self.document)
    }

    /// Writes what `docker save` would write, for `docker load`, `ctr image import` and
    /// [`ImageStore::import`](super::ImageStore::import).
    pub fn write_docker_archive(&self, path: impl AsRef<Path>, tags: &[&str]) -> Result<(), BuildError> {
        let config_name = format!("{}.json", self.id().hex());
        let layer_names: Vec<String> =
            self.layers.iter().map(|layer| format!("{}/layer.tar", Digest::of(layer).hex())).collect();
        let manifest = serde_json::json!([{
            "Config": config_name,
            "RepoTags": tags,
            "Layers": layer_names,
        }]);
        let manifest = manifest.to_string().into_bytes();
        let mut files: Vec<(&str, &[u8])> = vec![(&config_name, &self.document)];
        files.extend(layer_names.iter().zip(&self.layers).map(|(name, layer)| (name.as_str(), &layer[..])));
        files.push(("manifest.json", &manifest));
        write_archive(path.as_ref(), &files)
    }

    /// Writes an OCI image layout with this compression.
    pub fn write_oci_archive(
        &self,
        path: impl AsRef<Path>,
        name: &str,
        compression: Compression,
    ) -> Result<(), BuildError> {
        let name = reference::parse(name)?.whole();
        let (manifest, blobs) = self.manifest(compression);
        let manifest = to_json(&manifest);
        let mut entry = descriptor(MANIFEST_TYPES[0], &manifest);
        entry.annotations.insert(CONTAINERD_NAME.to_owned(), name);
        let index = to_json(&index_of(entry));
        let named: Vec<(String, &[u8])> = blobs
            .iter()
            .map(|blob| &blob[..])
            .chain([&self.document[..], &manifest[..]])
            .map(|blob| (format!("blobs/sha256/{}", Digest::of(blob).hex()), blob))
            .collect();
        let mut files: Vec<(&str, &[u8])> = vec![("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)];
        files.extend(named.iter().map(|(name, blob)| (name.as_str(), *blob)));
        files.push(("index.json", &index));
        write_archive(path.as_ref(), &files)
    }

    /// Pushes the image to a registry and returns the digest that the name then refers to: the manifest's, or with
    /// `index` that of an index which lists the manifest for this machine's platform. Registries on the loopback
    /// interface and those in `insecure` are accessed without TLS.
    pub async fn push(
        &self,
        name: &str,
        auth: Option<&AuthConfig>,
        insecure: &[String],
        compression: Compression,
        index: bool,
    ) -> Result<Digest, ImageError> {
        let name = reference::parse(name)?;
        self.push_parts(&name, auth, insecure, compression, index)
            .await
            .map_err(|failure| ImageError::Push { image: name.whole(), failure })
    }

    async fn push_parts(
        &self,
        name: &Reference,
        auth: Option<&AuthConfig>,
        insecure: &[String],
        compression: Compression,
        index: bool,
    ) -> Result<Digest, PullFailure> {
        let registry = Registry::new(name, auth, insecure)?;
        registry.log_in(RegistryOperation::Push).await?;
        let (manifest, blobs) = self.manifest(compression);
        for blob in blobs.into_iter().chain([self.document.clone()]) {
            let digest = Digest::of(&blob);
            registry.push_blob(blob.into(), &digest).await?;
        }
        let manifest = to_json(&manifest);
        let mut entry = descriptor(MANIFEST_TYPES[0], &manifest);
        if !index {
            registry.push_manifest(name, manifest, MANIFEST_TYPES[0]).await?;
            return Ok(entry.digest);
        }
        let by_digest = name.clone_with_digest(entry.digest.to_string());
        registry.push_manifest(&by_digest, manifest, MANIFEST_TYPES[0]).await?;
        entry.platform = Some(Platform::host());
        let index = to_json(&index_of(entry));
        let digest = Digest::of(&index);
        registry.push_manifest(name, index, MANIFEST_TYPES[1]).await?;
        Ok(digest)
    }

    fn manifest(&self, compression: Compression) -> (Manifest, Vec<Vec<u8>>) {
        let media_type = match compression {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        let blobs: Vec<Vec<u8>> = self.layers.iter().map(|layer| compress(layer, compression)).collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST_TYPES[0].to_owned(),
            config: descriptor("application/vnd.oci.image.config.v1+json", &self.document),
            layers: blobs.iter().map(|blob| descriptor(media_type, blob)).collect(),
        };
        (manifest, blobs)
    }
}

fn index_of(entry: Descriptor) -> Index {
    Index { schema_version: 2, media_type: MANIFEST_TYPES[1].to_owned(), manifests: vec![entry] }
}

fn descriptor(media_type: &str, content: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(content),
        size: content.len() as u64,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

fn to_json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document of strings and numbers can be written as JSON")
}

/// A path without its slashes at both ends.
fn clean(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

/// Packs a layer. Parents sort before their content.
fn pack(nodes: &BTreeMap<String, Node>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, node) in nodes {
        append(&mut builder, path, node).expect("memory takes any archive");
    }
    builder.into_inner().expect("memory takes any archive")
}

fn append(builder: &mut tar::Builder<impl Write>, path: &str, node: &Node) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.owner.0.into());
    header.set_gid(node.owner.1.into());
    header.set_mtime(0);
    match &node.content {
        Content::File(content) => {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, &content[..])
        }
        Content::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            builder.append_data(&mut header, format!("{path}/"), io::empty())
        }
        Content::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, path, target)
        }
    }
}

fn compress(content: &[u8], compression: Compression) -> Vec<u8> {
    const NEVER: &str = "compressing in memory does not fail";
    match compression {
        Compression::None => content.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).expect(NEVER);
            encoder.finish().expect(NEVER)
        }
        Compression::Zstd => zstd::encode_all(content, 0).expect(NEVER),
    }
}

fn write_archive(path: &Path, files: &[(&str, &[u8])]) -> Result<(), BuildError> {
    let write = || {
        let mut builder = tar::Builder::new(BufWriter::new(File::create(path)?));
        for (name, content) in files {
            let node = Node { content: Content::File(content.to_vec()), mode: 0o644, owner: (0, 0) };
            append(&mut builder, name, &node)?;
        }
        builder.into_inner()?.flush()
    };
    write().map_err(io_error(path))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_reproducible_and_complete() {
        let build = || {
            let mut builder = ImageBuilder::new();
            builder
                .add_file("/usr/bin/program", "x", 0o755)
                .symlink("/bin", "usr/bin")
                .add_dir("tmp", 0o1777);
            builder.chown("/usr/bin/program", 3, 4).config().entrypoint = vec!["/bin/program".to_owned()];
            builder.next_layer().whiteout("/tmp");
            builder.build()
        };
        let image = build();
        assert_eq!(image.id(), build().id());
        let config = ImageConfig::parse(&image.document).unwrap();
        assert_eq!(config.diff_ids.len(), 2);
        let names = |layer: &[u8]| {
            let mut archive = tar::Archive::new(layer);
            let entries = archive.entries().unwrap();
            entries
                .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&image.layers[0]), ["bin", "tmp/", "usr/", "usr/bin/", "usr/bin/program"]);
        assert_eq!(names(&image.layers[1]), [".wh.tmp"]);
    }
}
