//! Files that survive a crash of the machine, and errors of writing them.

use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::Revision;

/// Makes the name of a file or directory survive a crash of the machine.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Why the log failed. After a failed append the content of the disk is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is no space left; nothing was written.
    #[error("there is no space left on the disk")]
    Full(#[source] Box<dyn Error + Send + Sync>),
    /// The operating system refused.
    #[error("input or output failed")]
    Io(#[from] io::Error),
    /// The database engine refused.
    #[error("the database failed")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// A newer program wrote the database.
    #[error("it has version {0}, written by a newer program")]
    Newer(i64),
    /// The file is not a store's database.
    #[error("not a database of this program's store: {0}")]
    Foreign(String),
    /// Records are missing or contradict each other.
    #[error("the log is damaged at revision {revision}: {reason}")]
    Damaged {
        /// The record at which it shows.
        revision: Revision,
        /// The damage.
        reason: &'static str,
    },
}
