//! Tells the program what it is built from, for `/version`.

use std::path::Path;

#[path = "build/facts.rs"]
mod facts;

use facts::{Facts, output};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/facts.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(Path::new("."), &rustc, &["--version"]).unwrap_or_default();
    set("IRONHULL_TOOLCHAIN", &facts::toolchain(&version));
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let facts = Facts::of(Path::new("."), is_release, epoch.as_deref());
    facts.sources.iter().for_each(|file| println!("cargo::rerun-if-changed={file}"));
    set("IRONHULL_TREE_STATE", facts.tree_state);
    set("IRONHULL_BUILD_DATE", &facts.date);
    set("IRONHULL_COMMIT", &facts.commit);
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}
