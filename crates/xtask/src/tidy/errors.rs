//! An error names its own step, and does not repeat its source's text.
//!
//! Code that shows an error shows the chain of its sources; a text that is in both the message and the chain would
//! appear twice. Errors that did so when this check was introduced are listed in `tidy-allow.txt` as `error FILE:
//! NAME`.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use super::source::{Source, is_for_tests};

pub(super) fn check(allowed: &str, sources: &[Source], findings: &mut Vec<String>) {
    let allowed: BTreeSet<&str> = allowed.lines().filter_map(|line| line.strip_prefix("error ")).collect();
    let mut found = BTreeSet::new();
    for source in sources {
        let mut reader = Reader::default();
        reader.visit_file(&source.file);
        found.extend(reader.found.into_iter().map(|name| format!("{}: {name}", source.name)));
    }
    for error in found.iter().filter(|error| !allowed.contains(error.as_str())) {
        findings.push(format!("error {error} repeats its source's text"));
    }
    for error in allowed.into_iter().filter(|error| !found.contains(*error)) {
        findings.push(format!("error {error} no longer repeats its source: remove it from tidy-allow.txt"));
    }
}

#[derive(Default)]
struct Reader {
    found: Vec<String>,
}

impl Reader {
    fn look(&mut self, name: &syn::Ident, attributes: &[syn::Attribute], fields: &syn::Fields) {
        let Some(text) = attributes.iter().find_map(message) else { return };
        for (index, field) in fields.iter().enumerate() {
            let named = field.ident.as_ref().map_or_else(|| index.to_string(), ToString::to_string);
            let marked = |attribute: &syn::Attribute| {
                attribute.path().is_ident("source") || attribute.path().is_ident("from")
            };
            let is_source = named == "source" || field.attrs.iter().any(marked);
            if is_source
                && [format!("{{{named}}}"), format!("{{{named}:")].iter().any(|part| text.contains(part))
            {
                self.found.push(name.to_string());
            }
        }
    }
}

/// The text of `#[error("text")]`.
fn message(attribute: &syn::Attribute) -> Option<String> {
    let list = attribute.path().is_ident("error").then(|| attribute.meta.require_list().ok())??;
    let first = list.tokens.clone().into_iter().next()?;
    syn::parse2::<syn::LitStr>(first.into()).ok().map(|text| text.value())
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.look(&item.ident, &item.attrs, &item.fields);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.look(&variant.ident, &variant.attrs, &variant.fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut reader = Reader::default();
        reader.visit_file(&syn::parse_str(text).unwrap());
        reader.found
    }

    #[test]
    fn repeated_texts_are_found() {
        let text = r#"
            enum E {
                #[error("cannot read {0}: {1}")] Named(String, #[source] io::Error),
                #[error("cannot write {path}: {source:?}")] Written { path: String, source: io::Error },
                #[error("cannot open {path}")] Opened { path: String, source: io::Error },
                #[error("{0} is wrong")] Wrong(String),
                #[error(transparent)] Other(#[from] io::Error),
            }
            #[error("no: {0}")] struct S(#[from] io::Error);
        "#;
        assert_eq!(found(text), ["Named", "Written", "S"]);
    }
}
