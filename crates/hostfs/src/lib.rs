//! Files and trees of this host that somebody else controls: a container, an image, a volume.
//!
//! Whatever controls a path may put a FIFO, a device, a link or a terabyte there, and may change it at any time. So
//! nothing here opens a file before checking that the file is regular, follows a link out of the given directory, reads
//! without a limit, or recurses to the depth of a tree.
//!
//! | module | for |
//! | --- | --- |
//! | `open` | regular files, by path below a directory |
//! | `usage` | the disk usage of a tree |
//! | `usages` | the same, cached for repeated queries |
//! | `remove` | removal of a tree |
//! | `lane` | threads for blocking calls, a few at a time |
//!
//! This crate must not know containers or Kubernetes.

mod lane;
mod open;
mod remove;
mod usage;
mod usages;

pub use lane::Lane;
pub use open::{
    append_regular, c_string, open, open_directory, open_regular, open_root, open_subdirectory, read_file,
    read_regular, read_tail, tail_of,
};
pub use remove::remove_tree;
pub use usage::{Limits, Measured, Usage, measure};
pub use usages::Usages;
