//! The cluster's state on disk: its location, its consistency checks, and the recovery from damage.
//!
//! - `<data-dir>/db` holds the database, `<data-dir>/db.high-water-mark` the revision that it must have reached:
//!   separately, so that an older copy of the whole directory is noticed too.
//! - The database contains a digest of the cluster's keys. It is not used with other keys, and no database is created
//!   if there are keys.
//! - `ironhull backup` and `ironhull restore` copy it, while no server is using it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clock::Clock;
use sha2::{Digest, Sha256};
use store::{Embedded, Expect, OpenError, Options, RangeRequest, Store, StoreError, Write};

use crate::flags::{BackupFlags, RestoreFlags};

/// The key of the digest of the cluster's keys in the store, outside the API's prefix.
const KEYS_KEY: &str = "/ironhull/keys";
/// The value of `--accept-data-loss` if the cluster's keys are gone.
const NEW_KEYS: &str = "new-keys";
/// The same of the key that is made after the first start.
const RSA_KEY_KEY: &str = "/ironhull/rsa-key";
/// Each identifies a cluster, and its holders recognize the cluster by it.
const KEY_FILES: [&str; 5] =
    ["server-ca.key", "client-ca.key", "kubelet-serving-ca.key", "request-header-ca.key", "service.key"];
/// The key that verifies most tokens of service accounts. Clusters of older versions have none until it is made.
const RSA_KEY_FILES: [&str; 1] = ["service-rsa.key"];
/// Which digest in the store covers which files.
const DIGESTS: [(&str, &[&str]); 2] = [(KEYS_KEY, &KEY_FILES), (RSA_KEY_KEY, &RSA_KEY_FILES)];

/// Where certificates and keys are.
pub fn keys_directory(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

/// Opens the cluster's state, or creates one for a new cluster. `accept_loss` names the loss that is accepted.
///
/// # Errors
/// Why it cannot be used, and what to do.
pub async fn open(
    data_dir: &Path,
    accept_loss: Option<&str>,
    clock: Clock,
    metrics: store::Metrics,
) -> anyhow::Result<Arc<dyn Store>> {
    let keys = keys_directory(data_dir);
    let has_keys = KEY_FILES.iter().any(|name| keys.join(name).exists());
    let options = Options {
        must_exist: has_keys.then(|| format!("the keys of a cluster are in {}", keys.display())),
        accept_loss: accept_loss.filter(|loss| *loss != NEW_KEYS).map(str::to_owned),
        metrics,
        ..options(data_dir, clock)
    };
    let store: Arc<dyn Store> =
        Arc::new(Embedded::open(options).await.map_err(|error| refusal(error, data_dir))?);
    check_keys(store.as_ref(), data_dir, accept_loss).await?;
    Ok(store)
}

fn options(data_dir: &Path, clock: Clock) -> Options {
    Options { mark: Some(data_dir.join("db.high-water-mark")), ..Options::new(data_dir.join("db"), clock) }
}

/// The error, with the possible remedies.
fn refusal(error: OpenError, data_dir: &Path) -> anyhow::Error {
    let OpenError::Damaged { damage, .. } = &error else {
        let what = format!("cannot open the cluster's state in {}", data_dir.join("db").display());
        return anyhow::Error::from(error).context(what);
    };
    let (token, data_dir) = (damage.token(), data_dir.display());
    anyhow::anyhow!(
        "{error}\n\
         Nothing was changed. There are two ways to continue:\n  \
         - restore a backup: ironhull restore --data-dir {data_dir} FILE\n  \
         - continue without the lost data: start once with --accept-data-loss={token}\n\
         In both cases the current files are kept in a separate directory in {data_dir}/db."
    )
}

/// Refuses a database of a cluster with other keys than this machine's.
async fn check_keys(store: &dyn Store, data_dir: &Path, accept_loss: Option<&str>) -> anyhow::Result<()> {
    let mut wrong = None;
    for (key, files) in DIGESTS {
        if let Some(known) = store.range(RangeRequest::exact(key)).await?.kvs.first() {
            wrong = wrong.or(wrong_keys(data_dir, files, &known.value.to_cow())?);
        }
    }
    let Some(wrong) = wrong else { return Ok(()) };
    if accept_loss == Some(NEW_KEYS) {
        tracing::warn!("{wrong}; continuing with new keys");
        return Ok(());
    }
    bail!(
        "{wrong}.\nNothing was changed. There are two ways to continue:\n  \
         - put the cluster's keys, or its database, back in place\n  \
         - continue with new keys: start once with --accept-data-loss={NEW_KEYS}. Existing nodes, clients \
         and service accounts are then refused: nodes must join again."
    )
}

/// What is wrong with these keys, if they are not those whose digest is known.
fn wrong_keys(data_dir: &Path, files: &[&str], known: &[u8]) -> anyhow::Result<Option<String>> {
    let directory = keys_directory(data_dir);
    let directory_text = directory.display();
    if let Some(missing) = files.iter().find(|name| !directory.join(name).exists()) {
        return Ok(Some(format!("{directory_text}/{missing}, a key of the cluster, is missing")));
    }
    match digest(&directory, files) {
        Ok(digest) if digest.as_bytes() == known => Ok(None),
        Ok(_) => Ok(Some(format!(
            "the keys in {directory_text} ({}) belong to another cluster than the database in {}",
            files.join(", "),
            data_dir.join("db").display()
        ))),
        Err(error) => bail!("cannot read the cluster's keys in {directory_text}: {error}"),
    }
}

/// Records in the store which keys the cluster has; to be called once they were opened, and once the RSA key was made.
///
/// # Errors
/// The store's errors.
pub async fn note_keys(store: &dyn Store, data_dir: &Path) -> anyhow::Result<()> {
    let directory = keys_directory(data_dir);
    for (key, files) in DIGESTS {
        let known = store.range(RangeRequest::exact(key)).await?.kvs;
        let write = match digest(&directory, files) {
            Ok(digest) if known.first().is_some_and(|known| known.value == digest.as_bytes()) => continue,
            Ok(digest) => Write::put(key, digest, Expect::Any),
            // It is not made yet. If there was one, its loss was accepted.
            Err(error) if key == RSA_KEY_KEY && error.kind() == std::io::ErrorKind::NotFound => {
                if known.is_empty() {
                    continue;
                }
                Write::delete(key, Expect::Any)
            }
            Err(error) => return Err(error).context("cannot read the cluster's keys"),
        };
        match store.write(write).await {
            // The next start will do it.
            Err(StoreError::Full) => {}
            written => drop(written.context("cannot record the cluster's keys")?),
        }
    }
    Ok(())
}

/// The digest that distinguishes the keys of clusters.
fn digest(directory: &Path, files: &[&str]) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    for name in files {
        hash.update(std::fs::read(directory.join(name))?);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `ironhull backup`
///
/// # Errors
/// Why it cannot be written.
pub async fn backup(flags: BackupFlags) -> anyhow::Result<()> {
    let must_exist = Some("a backup was asked for".to_owned());
    let options = Options { must_exist, ..options(&flags.data_dir, Clock::system()) };
    let store = match Embedded::open(options).await {
        Err(OpenError::InUse { process, .. }) => {
            bail!("stop the server that uses {} (process {process}) first", flags.data_dir.display())
        }
        opened => opened.map_err(|error| refusal(error, &flags.data_dir))?,
    };
    store.backup(&flags.file).await.with_context(|| format!("cannot write {}", flags.file.display()))?;
    println!("wrote {}", flags.file.display());
    println!(
        "the backup does not contain the cluster's keys: keep a copy of {} too",
        keys_directory(&flags.data_dir).display()
    );
    Ok(())
}

/// `ironhull restore`
///
/// # Errors
/// Why the backup cannot be used.
pub async fn restore(flags: RestoreFlags) -> anyhow::Result<()> {
    let (file, options) = (flags.file.clone(), options(&flags.data_dir, Clock::system()));
    let kept = tokio::task::spawn_blocking(move || store::restore(&file, &options)).await?;
    let kept = kept.with_context(|| format!("cannot restore {}", flags.file.display()))?;
    println!("restored {}; start the server now", flags.file.display());
    if let Some(kept) = kept {
        println!("the previous state is kept in {}", kept.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use apiserver::pki::Pki;

    use super::*;

    const TLS: &str = "tls";

    async fn opened(data_dir: &Path, accept: Option<&str>) -> Result<Arc<dyn Store>, String> {
        open(data_dir, accept, Clock::system(), store::Metrics::default())
            .await
            .map_err(|error| format!("{error:#}"))
    }

    /// A cluster with keys, stopped.
    async fn cluster() -> tempfile::TempDir {
        let data_dir = tempfile::tempdir().unwrap();
        let store = opened(data_dir.path(), None).await.unwrap();
        Pki::open(&keys_directory(data_dir.path()), &Clock::system()).unwrap();
        note_keys(store.as_ref(), data_dir.path()).await.unwrap();
        store.write(Write::put("/registry/a", "x", Expect::Any)).await.unwrap();
        data_dir
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    #[tokio::test]
    async fn no_new_cluster_beside_keys() {
        let cluster = cluster().await;
        let path = cluster.path();
        for remove in [&["db"][..], &["db.high-water-mark"], &["db", "db.high-water-mark"]] {
            let damaged = tempfile::tempdir().unwrap();
            for part in ["db", TLS] {
                copy(&path.join(part), &damaged.path().join(part));
            }
            std::fs::copy(path.join("db.high-water-mark"), damaged.path().join("db.high-water-mark"))
                .unwrap();
            for name in remove {
                let name = damaged.path().join(name);
                if name.is_dir() {
                    std::fs::remove_dir_all(name).unwrap()
                } else {
                    std::fs::remove_file(name).unwrap()
                }
            }
            let refused = opened(damaged.path(), None).await.err().unwrap_or_else(|| panic!("{remove:?}"));
            assert!(refused.contains("missing") && refused.contains("ironhull restore"), "{refused}");
            let accept = refused.split("--accept-data-loss=").nth(1).unwrap().lines().next().unwrap();
            opened(damaged.path(), Some(accept)).await.unwrap_or_else(|error| panic!("{remove:?}: {error}"));
            opened(damaged.path(), None).await.unwrap();
        }
        opened(path, None).await.unwrap();
    }

    #[tokio::test]
    async fn the_keys_and_the_database_are_of_one_cluster() {
        let (one, two) = (cluster().await, cluster().await);
        // The whole state of another cluster.
        std::fs::remove_dir_all(one.path().join("db")).unwrap();
        copy(&two.path().join("db"), &one.path().join("db"));
        std::fs::copy(two.path().join("db.high-water-mark"), one.path().join("db.high-water-mark")).unwrap();
        let refused = opened(one.path(), None).await.err().unwrap();
        assert!(refused.contains("belong to another cluster than the database"), "{refused}");
        // Without one of the keys.
        std::fs::remove_file(two.path().join(TLS).join("service.key")).unwrap();
        let refused = opened(two.path(), None).await.err().unwrap();
        assert!(refused.contains("service.key, a key of the cluster, is missing"), "{refused}");
        let store = opened(two.path(), Some(NEW_KEYS)).await.unwrap();
        Pki::open(&keys_directory(two.path()), &Clock::system()).unwrap();
        note_keys(store.as_ref(), two.path()).await.unwrap();
        drop(store);
        opened(two.path(), None).await.unwrap();
    }

    #[tokio::test]
    async fn the_rsa_key_is_the_clusters_once_it_was_made() {
        let cluster = cluster().await;
        let path = cluster.path();
        let file = path.join(TLS).join(RSA_KEY_FILES[0]);
        let noted = async |accept: Option<&str>| {
            let store = opened(path, accept).await?;
            note_keys(store.as_ref(), path).await.map_err(|error| format!("{error:#}"))
        };
        noted(None).await.unwrap();
        std::fs::write(&file, "one").unwrap();
        noted(None).await.unwrap();
        std::fs::write(&file, "two").unwrap();
        let refused = noted(None).await.unwrap_err();
        assert!(refused.contains("(service-rsa.key) belong to another cluster"), "{refused}");
        std::fs::remove_file(&file).unwrap();
        let refused = noted(None).await.unwrap_err();
        assert!(refused.contains("service-rsa.key, a key of the cluster, is missing"), "{refused}");
        assert!(refused.contains("--accept-data-loss=new-keys"), "{refused}");
        // As if it were to be made again; it may take more than one start.
        noted(Some(NEW_KEYS)).await.unwrap();
        noted(None).await.unwrap();
    }

    #[tokio::test]
    async fn a_backup_is_restored_beside_its_keys() {
        let cluster = cluster().await;
        let data_dir = cluster.path().to_owned();
        let file = cluster.path().join("backup");
        backup(BackupFlags { data_dir: data_dir.clone(), file: file.clone() }).await.unwrap();
        std::fs::write(data_dir.join("db/state.db"), "").unwrap();
        assert!(opened(&data_dir, None).await.is_err());
        restore(RestoreFlags { data_dir: data_dir.clone(), file }).await.unwrap();
        let store = opened(&data_dir, None).await.unwrap();
        assert_eq!(store.range(RangeRequest::exact("/registry/a")).await.unwrap().kvs.len(), 1);
    }
}
