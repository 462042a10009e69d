//! An error with its causes, as one line for people.
//!
//! An error's `Display` names only its own step. Where an error is shown (in an event, a status, a log line), [`chain`]
//! adds the errors behind it, so that no cause is lost. This crate knows no error by name.
#![deny(missing_docs)]

use std::error::Error;

/// The error's message and those of its sources, joined by colons.
///
/// A message that the text contains already is left out: errors of other crates often repeat their source.
///
/// ```
/// #[derive(Debug)]
/// struct Unreadable(std::io::Error);
///
/// impl std::fmt::Display for Unreadable {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         f.write_str("cannot read the file")
///     }
/// }
///
/// impl std::error::Error for Unreadable {
///     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
///         Some(&self.0)
///     }
/// }
///
/// let error = Unreadable(std::io::Error::other("the disk is gone"));
/// assert_eq!(causes::chain(&error), "cannot read the file: the disk is gone");
/// ```
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}
