//! Tables of facts for tests. An entry is a text, each line after `> `, and what holds of it; a blank line ends it.

/// An entry: the text, and the lines after it.
pub(crate) type Fact<'t> = (String, Vec<&'t str>);

/// The entries of a table. Lines that begin with `#` say where they are from.
pub(crate) fn entries(table: &str) -> Vec<Fact<'_>> {
    let blocks = table.split("\n\n").filter(|block| block.contains("> "));
    blocks
        .map(|block| {
            let lines = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let (text, facts): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("> "));
            let text: Vec<&str> = text.iter().map(|line| &line[2..]).collect();
            (text.join("\n"), facts)
        })
        .collect()
}
