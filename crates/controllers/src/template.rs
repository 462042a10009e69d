//! Common code of controllers that create pods from a template.

use client::Object;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::framework::controller_reference;

/// Letters of hashes: no vowels, so that no words form.
const HASH_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The label value of a template: FNV-1a of its JSON and of the count of collisions, written as upstream
/// writes its hashes. Upstream hashes another text, so the values differ; nothing compares them across.
pub(crate) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let json = serde_json::to_vec(template).expect("a pod template has a JSON form");
    let collisions = collisions.map(i32::to_le_bytes);
    let bytes = json.iter().chain(collisions.iter().flatten());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let letter = |digit: u8| char::from(HASH_ALPHABET[usize::from(digit) % HASH_ALPHABET.len()]);
    hash.to_string().bytes().map(letter).collect()
}

/// A pod of the template, owned by `owner` and named after it.
pub(crate) fn pod<O: Object>(owner: &O, template: &PodTemplateSpec) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    let mut pod = Pod { spec: template.spec.clone(), ..Pod::default() };
    pod.metadata.generate_name = Some(name_prefix(owner.metadata().name.as_deref().unwrap_or_default()));
    pod.metadata.namespace.clone_from(&owner.metadata().namespace);
    pod.metadata.labels = meta.labels;
    pod.metadata.annotations = meta.annotations;
    pod.metadata.finalizers = meta.finalizers;
    pod.metadata.owner_references = Some(vec![controller_reference(owner)]);
    pod
}

/// The owner's name with a dash, unless a pod must not be named so: then without.
fn name_prefix(name: &str) -> String {
    let dashed = format!("{name}-");
    // Names of pods are checked without a dash at the end of the prefix, as a suffix follows.
    if object::names::is_dns1123_subdomain(dashed.trim_end_matches('-')).is_empty() {
        dashed
    } else {
        name.into()
    }
}

/// A number, or a percentage of `total`; 0 if it is neither.
pub(crate) fn scaled(value: Option<&IntOrString>, total: i32, round_up: bool) -> i32 {
    match value {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok()).unwrap_or(0);
            let product = percent.saturating_mul(i64::from(total));
            let rounded =
                if round_up { product.saturating_add(99).div_euclid(100) } else { product.div_euclid(100) };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_stable_and_differ_by_collision() {
        let template = |name: &str| {
            let mut template = PodTemplateSpec::default();
            template.spec.get_or_insert_default().hostname = Some(name.into());
            template
        };
        let first = hash(&template("v1"), None);
        assert_eq!(first, hash(&template("v1"), None));
        assert_ne!(first, hash(&template("v2"), None));
        assert_ne!(first, hash(&template("v1"), Some(1)));
        assert!(first.len() <= 10 && first.bytes().all(|letter| HASH_ALPHABET.contains(&letter)), "{first}");
    }

    #[test]
    fn percentages_are_rounded_as_asked() {
        let text = |text: &str| Some(IntOrString::String(text.into()));
        assert_eq!(scaled(text("25%").as_ref(), 10, true), 3);
        assert_eq!(scaled(text("25%").as_ref(), 10, false), 2);
        assert_eq!(scaled(text("nonsense").as_ref(), 10, true), 0);
        assert_eq!(scaled(Some(&IntOrString::Int(7)), 10, true), 7);
        assert_eq!(scaled(None, 10, true), 0);
    }
}
