//! Files of one volume that are in each other's way.

use std::collections::HashSet;

use object::quote;

use super::WARNINGS_MAX;
use crate::validation::field::Field;

/// How long a path may be for a file to be there, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// A path, and the source that it comes from.
type File = (String, String);

/// Warns about each pair of files, of which one has the place of the other or of one of its folders.
pub(super) fn of_volume(warnings: &mut Vec<String>, volume: &Field<'_, '_>) {
    let name = quote(volume.value.str_at("name"));
    let mut check = |files: &[File], what: &str, shows_sources: bool| {
        let mut seen = Places::default();
        for (index, (path, source)) in files.iter().enumerate() {
            // Most files are in nobody's way, and need not be compared with all others.
            if !seen.add(path) || warnings.len() > WARNINGS_MAX {
                continue;
            }
            for (other, other_source) in files[..index].iter().filter(|(other, _)| overlap(other, path)) {
                let [mut path, mut other] = [path, other].map(|path| quote(path));
                if shows_sources {
                    path = format!("{path} ({source})");
                    other = format!("{other} ({other_source})");
                }
                warnings.push(format!("volume {name} ({what}): overlapping paths: {path} with {other}"));
            }
        }
    };
    for (source, title, named) in [
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "secretName"),
        ("downwardAPI", "DownwardAPI", ""),
    ] {
        let source = volume.child(source);
        let what = match named {
            "" => title.to_owned(),
            named => format!("{title} {}", quote(source.value.str_at(named))),
        };
        check(&items(&source, ""), &what, false);
    }
    let sources = volume.child("projected");
    let files: Vec<File> = sources.child("sources").items().flat_map(|source| projected(&source)).collect();
    check(&files, "Projected", true);
    let is_empty = |source: &Field<'_, '_>| source.value.entries().all(|(_, value)| value.is_null());
    for _ in sources.child("sources").items().filter(is_empty) {
        warnings.push(format!("volume {name} (Projected) has no sources provided"));
    }
}

/// The files that a source lists.
fn items(source: &Field<'_, '_>, name: &str) -> Vec<File> {
    if !source.is_set() {
        return Vec::new();
    }
    source.child("items").items().map(|item| file(&item, name)).collect()
}

fn file(source: &Field<'_, '_>, name: &str) -> File {
    (source.value.str_at("path").trim_end_matches('/').to_owned(), name.to_owned())
}

/// The files of a source of a projected volume.
fn projected(source: &Field<'_, '_>) -> Vec<File> {
    for (member, title) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        let source = source.child(member);
        if !source.value.get("items").is_null() {
            return items(&source, &format!("{title} {}", quote(source.value.str_at("name"))));
        }
    }
    let downward = source.child("downwardAPI");
    if !downward.value.get("items").is_null() {
        return items(&downward, "DownwardAPI");
    }
    let token = source.child("serviceAccountToken");
    if token.is_set() {
        return vec![file(&token, "ServiceAccountToken")];
    }
    let bundle = source.child("clusterTrustBundle");
    if bundle.is_set() {
        let name = bundle.value.get("name").as_str().unwrap_or_else(|| bundle.value.str_at("signerName"));
        return vec![file(&bundle, &format!("ClusterTrustBundle {}", quote(name)))];
    }
    Vec::new()
}

/// The places that are taken, and the folders that they are in.
#[derive(Default)]
struct Places<'f> {
    files: HashSet<&'f str>,
    folders: HashSet<&'f str>,
}

impl<'f> Places<'f> {
    /// Adds a place; whether one before is in its way.
    fn add(&mut self, path: &'f str) -> bool {
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return false;
        }
        let folders = || path.match_indices('/').map(|(at, _)| &path[..at]);
        let is_taken = self.files.contains(path)
            || self.folders.contains(path)
            || folders().any(|folder| self.files.contains(folder));
        self.files.insert(path);
        self.folders.extend(folders());
        is_taken
    }
}

fn overlap(a: &str, b: &str) -> bool {
    let is_within =
        |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    !a.is_empty() && !b.is_empty() && (a == b || is_within(a, b) || is_within(b, a))
}
