//! The description texts of the API's types and fields.
//!
//! They are upstream's own, read at build time from the sources of `k8s-openapi` and stored compressed in the program
//! (about 250 KB): none of them is in this repository. [`Descriptions::load`] unpacks them while an OpenAPI document is
//! being made. This crate does not know the schema table or the documents.

use std::io::Read;
use std::ops::Range;

use flate2::read::GzDecoder;

/// Records of type, field and text, sorted by type and field; `U+001F` between the parts of a record, `U+001E`
/// behind each.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.gz"));

/// All texts, unpacked (about 1.5 MB).
pub struct Descriptions {
    text: String,
    /// Where type, field and text of each record stand.
    records: Vec<[Range<u32>; 3]>,
}

impl Descriptions {
    /// Unpacks the texts.
    ///
    /// ```
    /// let descriptions = openapi::Descriptions::load();
    /// let text = descriptions.of_field("io.k8s.api.core.v1.PodSpec", "containers").unwrap();
    /// assert!(text.contains("containers belonging to the pod"));
    /// assert!(descriptions.of_field("io.k8s.api.core.v1.PodSpec", "container").is_none());
    /// ```
    pub fn load() -> Descriptions {
        let mut text = String::new();
        GzDecoder::new(PACKED)
            .read_to_string(&mut text)
            .expect("the build script packed this text, and it is part of the program");
        let mut records = Vec::new();
        for record in text.split_terminator('\u{1e}') {
            let parts = record.splitn(3, '\u{1f}').map(|part| {
                let begin = (part.as_ptr() as usize - text.as_ptr() as usize) as u32;
                begin..begin + part.len() as u32
            });
            if let Ok(parts) = <[Range<u32>; 3]>::try_from(parts.collect::<Vec<_>>()) {
                records.push(parts);
            }
        }
        Descriptions { text, records }
    }

    /// The description of a type, by its name in OpenAPI.
    pub fn of_type(&self, ty: &str) -> Option<&str> {
        self.of_field(ty, "")
    }

    /// The description of a field, by its JSON name.
    pub fn of_field(&self, ty: &str, field: &str) -> Option<&str> {
        let part = |range: &Range<u32>| &self.text[range.start as usize..range.end as usize];
        let key = |record: &[Range<u32>; 3]| (part(&record[0]), part(&record[1]));
        let index = self.records.binary_search_by(|record| key(record).cmp(&(ty, field))).ok()?;
        Some(part(&self.records[index][2]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_description_is_found() {
        let descriptions = Descriptions::load();
        let table = [
            ("io.k8s.api.core.v1.Pod", "", "collection of containers"),
            ("io.k8s.api.core.v1.Pod", "metadata", "object's metadata"),
            ("io.k8s.api.apps.v1.DeploymentSpec", "replicas", "Number of desired pods"),
            ("io.k8s.api.apps.v1.DeploymentSpec", "template", "\"Always\""),
            ("io.k8s.apimachinery.pkg.apis.meta.v1.Status", "code", "HTTP return code"),
        ];
        for (ty, field, part) in table {
            let text = descriptions.of_field(ty, field);
            assert!(text.is_some_and(|text| text.contains(part)), "{ty}.{field}: {text:?}");
        }
        assert!(descriptions.records.len() > 3000);
    }
}
