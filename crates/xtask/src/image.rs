//! Packs a program, linked statically, into an image archive as `docker save` writes it.
//!
//! With the tools of every Debian: the engine's own builder would have to be compiled a second time, as a program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::command::{output, run};

/// Packs a program as the only file, and the entrypoint, of an image of this name.
pub(crate) fn pack(program: &Path, name: &str, archive: &Path) -> Result<()> {
    let folder = archive.with_extension("parts");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let file = program.file_name().and_then(|file| file.to_str()).context("the program has no name")?;
    fs::copy(program, folder.join(file)).with_context(|| format!("cannot read {}", program.display()))?;
    fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o755))?;
    run(tar(&folder, "layer.tar").arg(file))?;
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": [format!("/{file}")]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&folder.join("layer.tar"))?)]},
    });
    fs::write(folder.join("config"), config.to_string())?;
    let config = format!("{}.json", sha256(&folder.join("config"))?);
    fs::rename(folder.join("config"), folder.join(&config))?;
    let manifest = json!([{"Config": config, "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(folder.join("manifest.json"), manifest.to_string())?;
    run(tar(&folder, "image.tar").args(["manifest.json", &config, "layer.tar"]))?;
    fs::rename(folder.join("image.tar"), archive)?;
    fs::remove_dir_all(&folder)?;
    println!("packed {name} into {}", archive.display());
    Ok(())
}

/// A command that writes an archive of files in a folder. The same files make the same archive.
fn tar(folder: &Path, archive: &str) -> Command {
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--directory").arg(folder).arg("--file").arg(folder.join(archive));
    tar.args(["--format=ustar", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
    tar
}

fn sha256(file: &Path) -> Result<String> {
    let sum = output(Command::new("sha256sum").arg(file))?;
    Ok(sum.split_whitespace().next().context("sha256sum said nothing")?.to_owned())
}

/// The machine's architecture, in the names of image configurations.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
