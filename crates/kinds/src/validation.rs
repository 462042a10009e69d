//! What is wrong with objects: the rules of upstream's `pkg/apis/*/validation`.

mod metadata;

pub use metadata::{validate_metadata, validate_metadata_update};
