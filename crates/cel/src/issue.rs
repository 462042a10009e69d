//! What is wrong with an expression.

use std::fmt;

/// One mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where, in characters from the begin of the text; a line and a column when it is shown.
    pub place: u32,
    pub message: String,
}

/// The mistakes of an expression, in the order of their places, shown as cel-go shows them:
///
/// ```text
/// ERROR: <input>:1:6: undeclared reference to 'b' (in container '')
///  | a + b
///  | ....^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    pub text: Box<str>,
    pub issues: Vec<Issue>,
}

impl std::error::Error for Issues {}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, issue) in self.issues.iter().enumerate() {
            let before: Vec<&str> = self.lines_until(issue.place);
            let line = before.len();
            let column = before.last().map_or(0, |text| text.chars().count());
            let whole = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            let newline = if number == 0 { "" } else { "\n" };
            let dots: String =
                whole.chars().take(column).map(|c| if c.is_ascii() { '.' } else { '．' }).collect();
            write!(
                f,
                "{newline}ERROR: <input>:{line}:{}: {}\n | {whole}\n | {dots}^",
                column + 1,
                issue.message
            )?;
        }
        Ok(())
    }
}

impl Issues {
    /// The lines up to a place, of which the last ends there.
    fn lines_until(&self, place: u32) -> Vec<&str> {
        let end = self.text.char_indices().nth(place as usize).map_or(self.text.len(), |(at, _)| at);
        self.text[..end].split('\n').collect()
    }
}
