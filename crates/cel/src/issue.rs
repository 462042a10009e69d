//! What is wrong with an expression.

use std::fmt;

/// One mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where, in characters from the begin of the text; a line and a column when it is shown.
    pub place: u32,
    /// What is wrong, as cel-go says it.
    pub message: String,
}

/// The mistakes of an expression, shown in the order of their places and as cel-go shows them:
///
/// ```text
/// ERROR: <input>:1:6: undeclared reference to 'b' (in container '')
///  | a + b
///  | ....^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    /// The text of the expression.
    pub text: Box<str>,
    /// The mistakes, in any order.
    pub issues: Vec<Issue>,
}

impl std::error::Error for Issues {}

impl Issue {
    /// The place of what concerns the text as a whole, such as its size. It is shown as line -1.
    pub const NOWHERE: u32 = u32::MAX;
}

/// The most issues that are shown, and the most characters of a line of text shown with them. As in cel-go.
const SHOWN_MAX: usize = 100;
const LINE_MAX: usize = 16384;

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Issue> = self.issues.iter().collect();
        // What is nowhere comes first.
        sorted.sort_by_key(|issue| issue.place.wrapping_add(1));
        for (number, issue) in sorted.iter().take(SHOWN_MAX).enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            write!(f, "{newline}ERROR: <input>:")?;
            match self.location(issue.place) {
                Some(location) => location.show(&issue.message, f)?,
                None => write!(f, "-1:0: {}", issue.message)?,
            }
        }
        match sorted.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n{more} more errors were truncated"),
        }
    }
}

/// A place as it is shown.
struct Location<'t> {
    /// From 1.
    line: usize,
    /// Characters before it in its line.
    column: usize,
    /// The whole line.
    text: &'t str,
}

impl Issues {
    fn location(&self, place: u32) -> Option<Location<'_>> {
        if place == Issue::NOWHERE {
            return None;
        }
        let end = self.text.char_indices().nth(place as usize).map_or(self.text.len(), |(at, _)| at);
        let begin = self.text[..end].rfind('\n').map_or(0, |newline| newline + 1);
        let text = self.text[begin..].split('\n').next().unwrap_or_default();
        let line = self.text[..begin].matches('\n').count() + 1;
        Some(Location { line, column: self.text[begin..end].chars().count(), text })
    }
}

impl Location<'_> {
    fn show(&self, message: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {message}", self.line, self.column + 1)?;
        if self.text.len() > LINE_MAX {
            return Ok(());
        }
        let line = self.text.replace('\t', " ");
        let mut chars = line.chars();
        let under = |c: char| if c.is_ascii() { '.' } else { '．' };
        let dots: String = chars.by_ref().take(self.column).map(under).collect();
        let mark = if chars.next().is_none_or(|c| c.is_ascii()) { '^' } else { '＾' };
        write!(f, "\n | {line}\n | {dots}{mark}")
    }
}
