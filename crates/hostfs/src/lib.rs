//! Files and trees of this host that somebody else controls: a container, an image, a volume.
//!
//! Whoever controls a path may put a FIFO, a device, a link or a terabyte there, and may change it at any time. So
//! nothing here opens a file before it has seen that the file is regular, follows a link out of the directory that
//! was given, reads without a limit, or recurses as deep as a tree happens to be.
//!
//! | module | for |
//! | --- | --- |
//! | `open` | regular files, by path below a directory |
//! | `usage` | what a tree takes on its disk |
//! | `usages` | the same, remembered, for those who ask again and again |
//! | `remove` | taking a tree away |
//! | `lane` | threads for what blocks, a few at a time |
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
