//! The transactions that bring the kernel to the index's desired state.

use hostnet::nft::{self, NftError};

use super::index::Index;
use super::rules;

/// The table in the kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    table: String,
    /// The kernel's state is unknown: write everything.
    rebuild: bool,
}

impl Kernel {
    /// A table of this name. The first [`Kernel::sync`] replaces one that a former run left.
    pub(crate) fn new(table: &str) -> Kernel {
        Kernel { table: table.to_owned(), rebuild: true }
    }

    /// Makes the next [`Kernel::sync`] write everything.
    pub(crate) fn rebuild(&mut self) {
        self.rebuild = true;
    }

    /// Brings the kernel up to date, in one transaction.
    ///
    /// # Errors
    /// If it was refused; the kernel then has the previous rules, and the next call rewrites everything.
    pub(crate) async fn sync(&mut self, index: &mut Index) -> Result<(), NftError> {
        let text = self.transaction(index);
        if !text.is_empty()
            && let Err(error) = nft::apply(&text).await
        {
            self.rebuild = true;
            return Err(error);
        }
        self.rebuild = false;
        index.chains.commit();
        index.sets.commit();
        index.elements.commit();
        Ok(())
    }

    /// The text that brings the kernel to the desired state; empty if it is there already.
    pub(crate) fn transaction(&self, index: &Index) -> String {
        let mut text = String::new();
        if self.rebuild {
            self.write_everything(&mut text, index);
        } else {
            self.write_changes(&mut text, index);
        }
        text
    }

    fn write_everything(&self, text: &mut String, index: &Index) {
        let table = &self.table;
        rules::write_table(text, table);
        rules::write_sets(text, "add", table, index.sets.all().map(|(set, ())| set));
        // All are created first, because they refer to each other.
        rules::write_chains(text, "add", table, index.chains.all().map(|(chain, _)| chain));
        for (chain, content) in index.chains.all() {
            rules::write_rules(text, table, chain, content);
        }
        rules::write_elements(text, "add", table, &index.elements.all());
    }

    fn write_changes(&self, text: &mut String, index: &Index) {
        let table = &self.table;
        rules::write_sets(text, "add", table, index.sets.added());
        rules::write_chains(text, "add", table, index.chains.added());
        rules::write_chains(text, "flush", table, index.chains.changed());
        for (chain, content) in index.chains.contents() {
            rules::write_rules(text, table, chain, content);
        }
        let mut delta = index.elements.delta();
        // The elements of a deleted set are deleted with it.
        delta.delete.retain(|(slot, _)| slot.set().is_none_or(|set| index.sets.contains(&set)));
        rules::write_delta(text, table, &delta);
        // Nothing refers to these any more; they may still refer to each other, and to the sets.
        rules::write_chains(text, "flush", table, index.chains.gone());
        rules::write_chains(text, "delete", table, index.chains.gone());
        rules::write_sets(text, "delete", table, index.sets.gone());
    }
}
