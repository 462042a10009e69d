//! `cargo xtask gen`: writes the table of API facts (`crates/schema/src/generated.rs` and `generated/`).
//!
//! Facts come from the API definitions of Kubernetes: the Go types (JSON names, pointers, list types, merge keys,
//! defaults) and the proto files next to them (field numbers). The source of `k8s-openapi` determines the content of
//! the release: only group versions that it contains are used, and the command fails if a field is missing on one of
//! the two sides. Only names, numbers and flags are written, no text.
//!
//! To run it, check out the repositories `kubernetes/api`, `kubernetes/apimachinery`,
//! `kubernetes/apiextensions-apiserver`, `kubernetes/kube-aggregator` and `kubernetes/metrics` of the release side by side:
//!
//! ```text
//! cargo xtask gen --api-definitions DIR [--k8s-openapi DIR]
//! ```
//!
//! The first folder can also come from the environment, as `API_DEFINITIONS`. Without the second flag the
//! source of `k8s-openapi` is found by `cargo metadata`.

mod emit;
mod go;
mod openapi;
mod proto;
mod sources;
mod supplement;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use openapi::Release;
use sources::Sources;
use table::{Table, Type, Value};

/// Packages of the API machinery that hold kinds.
const MACHINERY_KINDS: &[&str] =
    &["k8s.io/apimachinery/pkg/apis/meta/v1", "k8s.io/apimachinery/pkg/apis/meta/v1beta1"];

/// Packages of the API machinery that fields refer to.
const MACHINERY: &[&str] = &[
    "k8s.io/apimachinery/pkg/api/resource",
    "k8s.io/apimachinery/pkg/runtime",
    "k8s.io/apimachinery/pkg/types",
    "k8s.io/apimachinery/pkg/util/intstr",
    "k8s.io/apimachinery/pkg/version",
    "k8s.io/apimachinery/pkg/watch",
];

/// Where repositories of several API groups keep them.
const APIS: &str = "/pkg/apis";

/// Group versions that `k8s-openapi` leaves out: bodies of webhooks and of discovery, which have no URLs, and the metrics
/// of nodes and pods, which upstream serves by a program of its own.
const UNLISTED: &[&str] = &[
    "k8s.io/api/admission/v1",
    "k8s.io/api/admission/v1beta1",
    "k8s.io/api/apidiscovery/v2",
    "k8s.io/api/imagepolicy/v1alpha1",
    "k8s.io/metrics/pkg/apis/metrics/v1beta1",
];

/// Runs the command with the arguments behind its name.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let release = Release::read(&options.k8s_openapi)?;
    let root = &options.api_definitions;
    let mut kinds = Vec::new();
    for (repository, folder) in
        [("api", ""), ("apiextensions-apiserver", APIS), ("kube-aggregator", APIS), ("metrics", APIS)]
    {
        let found = sources::group_versions(root, repository, folder)?;
        kinds.extend(
            found.into_iter().filter(|path| release.serves(path) || UNLISTED.contains(&path.as_str())),
        );
    }
    kinds.extend(MACHINERY_KINDS.iter().map(ToString::to_string));
    let support = MACHINERY.iter().map(ToString::to_string);
    let sources = Sources::read(root, kinds.iter().cloned().chain(support))?;
    let table = table::build(&sources, &kinds)?;
    check(&table)?;
    release.compare(&table)?;
    emit::write(&table, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/src"))?;
    let fields: usize = table.types.values().map(|ty| ty.fields.len()).sum();
    println!("{} types, {} kinds, {fields} fields", table.types.len(), table.kinds.len());
    Ok(())
}

/// How deep the table's readers expect types to embed others (`schema::EMBEDDING_MAX`).
const EMBEDDING_MAX: usize = 2;

/// Checks what the table's readers rely on: unique numbers, and no deeper embedding than they expect.
fn check(table: &Table) -> Result<()> {
    for (name, ty) in &table.types {
        for pair in ty.fields.windows(2) {
            if pair[0].number == pair[1].number && pair[0].number != 0 {
                bail!("{name}: {} and {} have one number", pair[0].name, pair[1].name);
            }
        }
        if embedding_depth(table, ty) > EMBEDDING_MAX {
            bail!("{name} embeds deeper than {EMBEDDING_MAX} levels");
        }
    }
    Ok(())
}

fn embedding_depth(table: &Table, ty: &Type) -> usize {
    let embedded = ty.fields.iter().filter(|field| field.inline).filter_map(|field| match &field.ty {
        Value::Over(_, name) => table.types.get(&name.open_api()),
        Value::Plain(_) => None,
    });
    embedded.map(|ty| 1 + embedding_depth(table, ty)).max().unwrap_or(0)
}

struct Options {
    api_definitions: PathBuf,
    k8s_openapi: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Options> {
        let mut api_definitions = std::env::var_os("API_DEFINITIONS").map(PathBuf::from);
        let mut k8s_openapi = None;
        for pair in arguments.chunks(2) {
            match pair {
                [flag, dir] if flag == "--api-definitions" => api_definitions = Some(dir.into()),
                [flag, dir] if flag == "--k8s-openapi" => k8s_openapi = Some(dir.into()),
                _ => bail!("usage: cargo xtask gen --api-definitions DIR [--k8s-openapi DIR]"),
            }
        }
        Ok(Options {
            api_definitions: api_definitions.context("--api-definitions DIR is missing")?,
            k8s_openapi: match k8s_openapi {
                Some(dir) => dir,
                None => openapi::locate()?,
            },
        })
    }
}
