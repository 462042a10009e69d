//! `ironhull image`: the images of this machine, whether a server runs or not.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clock::Clock;
use runtime::images::{ImageError, ImageStore, ImageStoreConfig, ProgressFn, PullPhase, PullProgress};

use crate::flags::{ImageCommand, ImageFlags};

/// The image store below a data directory.
///
/// # Errors
/// If it cannot be opened.
pub fn open_store(data_dir: &Path, clock: Clock) -> anyhow::Result<ImageStore> {
    let config = ImageStoreConfig { data_dir: data_dir.join("runtime"), ..ImageStoreConfig::default() };
    ImageStore::open(&config, clock)
        .with_context(|| format!("cannot open the images below {}", data_dir.display()))
}

/// Carries out a command.
///
/// # Errors
/// Why it failed.
pub async fn run(flags: ImageFlags) -> anyhow::Result<()> {
    let store = open_store(&flags.data_dir, Clock::system())?;
    match flags.command {
        ImageCommand::Pull { name } => {
            let image = store.pull(&name, None, Some(Arc::new(show_progress))).await;
            println!("pulled {}", image.with_context(|| format!("cannot pull {name}"))?);
        }
        ImageCommand::Import { file } => {
            let progress: ProgressFn = Arc::new(show_progress);
            let images = match file.to_str() {
                Some("-") => store.import_reader(std::io::stdin(), Some(progress)).await,
                _ => store.import(&file, Some(progress)).await,
            };
            let images = images.map_err(|error| match error {
                // One sentence: what it says is about the file.
                ImageError::Import(why) => anyhow::Error::new(why),
                other => other.into(),
            });
            for image in images.with_context(|| format!("cannot import {}", file.display()))? {
                println!("imported {image}");
            }
        }
        ImageCommand::List => list(&store)?,
        ImageCommand::Rm { names } => {
            for name in names {
                // The engine's removal is content where there is nothing; a person who misspelt a name is not.
                let is_there = store.status(&name).context("cannot read the images")?.is_some();
                ensure!(
                    is_there,
                    "there is no image {name} on this machine (`ironhull image list` shows them)"
                );
                store.remove(&name).await.with_context(|| format!("cannot remove {name}"))?;
                println!("removed {name}");
            }
        }
    }
    Ok(())
}

/// Shows the progress, if standard error is a terminal.
fn show_progress(progress: PullProgress) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let line = match progress.phase {
        PullPhase::Resolving => "contacting the registry".to_owned(),
        PullPhase::Downloading => format!(
            "layers {}/{}, {:.1} of {:.1} MiB",
            progress.layers_done,
            progress.layers,
            mib(progress.bytes_done),
            mib(progress.bytes)
        ),
        PullPhase::Unpacking { layer, layers } => format!("unpacking layer {layer} of {layers}"),
        PullPhase::Done => "done\n".to_owned(),
    };
    // The line is written over by the next one.
    eprint!("\r\x1b[K{line}");
}

fn list(store: &ImageStore) -> anyhow::Result<()> {
    println!("{:<60} {:<20} {:>12}", "IMAGE", "ID", "SIZE");
    for image in store.list().context("cannot read the images")? {
        let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
        let size = format!("{:.1}MB", image.size as f64 / 1e6);
        let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
        for name in names {
            println!("{name:<60} {id:<20} {size:>12}");
        }
    }
    Ok(())
}
