//! Reads the files of a directory, and checks what is in them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kinds::validation::{STATIC_SUFFIX, validate_admission_manifest};
use object::decode::{DecodeError, Decoded, StrictError, decode_value};
use object::field::Errors;
use object::{Value, quote, yaml};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::owner::Owner;

const GROUP: &str = "admissionregistration.k8s.io";
const VERSION: &str = "v1";
/// Files whose names end otherwise are ignored.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// The size of all files of a directory together, in bytes.
const BYTES_MAX: u64 = 32 << 20;

/// The content of a directory, in the order of names.
#[derive(Debug, Default)]
pub(in crate::admission) struct Loaded {
    /// Webhook configurations or policies.
    pub(in crate::admission) objects: Vec<Value>,
    /// The bindings of policies.
    pub(in crate::admission) bindings: Vec<Value>,
    /// Of all files; empty if there is nothing in them.
    pub(super) hash: String,
}

/// Why manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The directory cannot be read.
    #[error("cannot read the manifest directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file contains something that is not accepted.
    #[error("error loading {}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<Refusal>,
    },
    /// A binding has no policy.
    #[error(
        "binding {binding:?} references policy {policy:?} which does not exist in the manifest directory"
    )]
    Unbound {
        /// The binding.
        binding: String,
        /// The policy.
        policy: String,
    },
}

/// Why an object of a file is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A line that begins like a separator of documents goes on.
    #[error("invalid Yaml document separator: {0}")]
    Separator(String),
    /// It cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It has unknown fields, or fields twice.
    #[error("strict decoding error: {0}")]
    Strict(String),
    /// It does not say what it is.
    #[error("Object 'Kind' is missing")]
    NoKind,
    /// The plugin does not use such objects.
    #[error("unsupported resource type {kind} of {api_version:?}")]
    Kind {
        /// The kind.
        kind: String,
        /// The version.
        api_version: String,
    },
    /// The API would not accept it either.
    #[error("{kind} {name:?}: {errors}")]
    Invalid {
        /// The kind.
        kind: &'static str,
        /// The object.
        name: String,
        /// What is wrong.
        errors: Errors,
    },
    /// It breaks a rule that is for files only.
    #[error("{0}")]
    Static(String),
}

/// Reads a directory.
///
/// # Errors
/// What is wrong with the first file that cannot be used.
pub(super) fn load(owner: Owner, directory: &Path) -> Result<Loaded, ManifestError> {
    let mut loader = Loader { owner, seen: HashMap::new(), loaded: Loaded::default() };
    let mut digest = None::<Sha256>;
    let mut bytes_left = BYTES_MAX;
    for path in files(directory)? {
        let text = read(&path, bytes_left);
        let text = text.map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        if text.is_empty() {
            continue;
        }
        bytes_left -= text.len() as u64;
        let digest = digest.get_or_insert_default();
        digest.update(&text);
        digest.update([0]);
        let refused = |source| ManifestError::Refused { path: path.clone(), source: Box::new(source) };
        for document in documents(&text).map_err(refused)? {
            loader.document(document, &path).map_err(refused)?;
        }
    }
    let mut loaded = loader.loaded;
    loaded.check_bindings()?;
    for list in [&mut loaded.objects, &mut loaded.bindings] {
        list.sort_by(|a, b| name(a).cmp(name(b)));
    }
    loaded.hash = digest.map(|digest| hash(digest.finalize().as_slice())).unwrap_or_default();
    Ok(loaded)
}

/// A hash as metrics show it.
pub(super) fn hash(digest: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The manifest files of a directory, in the order of their names.
fn files(directory: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let failed = |source| ManifestError::Directory { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let is_manifest = EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
        if is_manifest && !entry.file_type().map_err(failed)?.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads a regular file of at most this size in bytes. Anything else, such as a pipe, might have no end, or wait for one.
fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut text)?;
    match text.len() as u64 > bytes_max {
        true => {
            let why = format!("the files of the directory have more than {BYTES_MAX} bytes together");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, why))
        }
        false => Ok(text),
    }
}

/// The documents of a YAML text that are not empty (`YAMLReader` of apimachinery). Only a comment may stand behind a
/// separator.
fn documents(text: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let (mut documents, mut begin, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if let Some(rest) = line.strip_prefix(b"---") {
            let rest = rest.trim_ascii();
            if !rest.is_empty() && !rest.starts_with(b"#") {
                return Err(Refusal::Separator(String::from_utf8_lossy(rest).into_owned()));
            }
            documents.push(&text[begin..at]);
            begin = at + line.len();
        }
        at += line.len();
    }
    documents.push(&text[begin..]);
    documents.retain(|document| !document.trim_ascii().is_empty());
    Ok(documents)
}

fn name(object: &Value) -> &str {
    object.str_at("metadata.name")
}

impl Loaded {
    /// Checks that each binding has its policy in the same directory: one of the API may change.
    fn check_bindings(&self) -> Result<(), ManifestError> {
        let policies: HashSet<&str> = self.objects.iter().map(name).collect();
        let policy_of = |binding: &Value| binding.str_at("spec.policyName").to_owned();
        match self.bindings.iter().find(|binding| !policies.contains(&*policy_of(binding))) {
            None => Ok(()),
            Some(binding) => {
                Err(ManifestError::Unbound { binding: name(binding).to_owned(), policy: policy_of(binding) })
            }
        }
    }
}

struct Loader {
    owner: Owner,
    /// The kinds and names so far, with the file of each.
    seen: HashMap<(&'static str, String), PathBuf>,
    loaded: Loaded,
}

impl Loader {
    fn document(&mut self, text: &[u8], path: &Path) -> Result<(), Refusal> {
        let (document, duplicates) = yaml::parse_reporting(text).map_err(DecodeError::from)?;
        if let Some(keys) = duplicates {
            return Err(Refusal::Strict(keys.to_string()));
        }
        self.accept(document, path)
    }

    /// Accepts an object, or all objects of a list.
    fn accept(&mut self, document: Value, path: &Path) -> Result<(), Refusal> {
        let (kind, api_version) = (document.str_at("kind"), document.str_at("apiVersion"));
        if kind.is_empty() {
            return Err(Refusal::NoKind);
        }
        if kind == "List" {
            return document.get("items").items().try_for_each(|item| self.accept(item.clone(), path));
        }
        let is_known =
            api_version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/')) == Some(VERSION);
        let kinds = [Some(self.owner.kind()), self.owner.binding_kind()];
        for own in kinds.into_iter().flatten().filter(|_| is_known) {
            if kind == own {
                let object = decoded(document, own)?;
                return self.object(object, own, path);
            }
            if kind.strip_suffix("List") == Some(own) {
                let list = decoded(document, &format!("{own}List"))?;
                return list.get("items").items().try_for_each(|item| self.object(item.clone(), own, path));
            }
        }
        Err(Refusal::Kind { kind: kind.to_owned(), api_version: api_version.to_owned() })
    }

    fn object(&mut self, mut object: Value, kind: &'static str, path: &Path) -> Result<(), Refusal> {
        object.set("apiVersion", format!("{GROUP}/{VERSION}"));
        object.set("kind", kind);
        kinds::strategy(GROUP, Owner::plural(kind)).default(&mut object);
        let errors = validate_admission_manifest(&object);
        if !errors.is_empty() {
            return Err(Refusal::Invalid { kind, name: name(&object).to_owned(), errors });
        }
        self.name(&object, kind, path)?;
        let is_binding = self.owner.binding_kind() == Some(kind);
        match self.owner {
            _ if is_binding => check_binding(&object)?,
            Owner::MutatingWebhooks | Owner::ValidatingWebhooks => check_webhooks(&object, path)?,
            Owner::MutatingPolicies | Owner::ValidatingPolicies => check_policy(&object)?,
        }
        let list = if is_binding { &mut self.loaded.bindings } else { &mut self.loaded.objects };
        list.push(object);
        Ok(())
    }

    fn name(&mut self, object: &Value, kind: &'static str, path: &Path) -> Result<(), Refusal> {
        let (name, file) = (name(object), quote(&path.to_string_lossy()));
        let why = if name.is_empty() {
            format!("resource in file {file} must have a name")
        } else if !name.ends_with(STATIC_SUFFIX) {
            let suffix = quote(STATIC_SUFFIX);
            format!("{} in file {file} must have a name ending with {suffix}", quote(name))
        } else if let Some(before) = self.seen.insert((kind, name.to_owned()), path.to_owned()) {
            let before = quote(&before.to_string_lossy());
            format!("duplicate name {} found in file {file} (previously seen in {before})", quote(name))
        } else {
            return Ok(());
        };
        Err(Refusal::Static(why))
    }
}

/// An object of a kind without unknown fields.
fn decoded(document: Value, kind: &str) -> Result<Value, Refusal> {
    let Some(ty) = schema::type_by_gvk(GROUP, VERSION, kind) else {
        return Err(Refusal::Kind { kind: kind.to_owned(), api_version: format!("{GROUP}/{VERSION}") });
    };
    let Decoded { value, strict_errors } = decode_value(document, &ty)?;
    match strict_errors.is_empty() {
        true => Ok(value),
        false => {
            let findings: Vec<String> = strict_errors.iter().map(StrictError::to_string).collect();
            Err(Refusal::Strict(findings.join(", ")))
        }
    }
}

/// A Service is an object of the API, which manifests do not depend on.
fn check_webhooks(configuration: &Value, path: &Path) -> Result<(), Refusal> {
    for hook in configuration.get("webhooks").items() {
        let place = format!(
            "webhook {} in {} (file {})",
            quote(hook.str_at("name")),
            quote(name(configuration)),
            quote(&path.to_string_lossy())
        );
        let client = hook.get("clientConfig");
        if !client.get("service").is_null() {
            let why =
                "clientConfig.service is not supported for static manifests; use clientConfig.url instead";
            return Err(Refusal::Static(format!("{place}: {why}")));
        }
        if client.str_at("url").is_empty() {
            let why = "clientConfig.url is required for static manifests";
            return Err(Refusal::Static(format!("{place}: {why}")));
        }
    }
    Ok(())
}

/// Parameters are objects of the API.
fn check_policy(policy: &Value) -> Result<(), Refusal> {
    if policy.at("spec.paramKind").is_null() {
        return Ok(());
    }
    let (kind, name) = (policy.str_at("kind"), quote(name(policy)));
    Err(Refusal::Static(format!("{kind} {name}: spec.paramKind is not supported for static manifests")))
}

fn check_binding(binding: &Value) -> Result<(), Refusal> {
    let (name, policy) = (quote(name(binding)), binding.str_at("spec.policyName"));
    let why = if policy.is_empty() {
        format!("binding {name} must reference a policy (spec.policyName)")
    } else if !policy.ends_with(STATIC_SUFFIX) {
        let suffix = quote(STATIC_SUFFIX);
        format!("binding {name}: spec.policyName {} must end with {suffix}", quote(policy))
    } else if !binding.at("spec.paramRef").is_null() {
        format!("binding {name}: spec.paramRef is not supported for static manifests")
    } else {
        return Ok(());
    };
    Err(Refusal::Static(why))
}
