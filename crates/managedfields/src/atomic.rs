//! The parts of a configuration that are replaced as a whole.

use object::Value;
use schema::TypeDef;

use crate::place::{Parts, Place};

/// How many are named.
const NAMED_MAX: usize = 20;

/// The paths of all lists and objects in a configuration that are managed as one, such as `.spec.args`: setting one drops
/// what others have set in it.
pub fn atomics(config: &Value, def: &TypeDef) -> Vec<String> {
    let mut found = Vec::new();
    visit(config, Place::Object(def), &mut String::new(), &mut found);
    found
}

fn visit(value: &Value, place: Place<'_>, path: &mut String, found: &mut Vec<String>) {
    if found.len() >= NAMED_MAX {
        return;
    }
    let length = path.len();
    match (value, place.parts()) {
        (Value::Map(_) | Value::List(_), Parts::One) => found.push(path.clone()),
        (Value::Map(map), Parts::Fields(_) | Parts::Entries(_)) => {
            for (name, member) in map.iter() {
                if let Some((place, _)) = place.member(name) {
                    path.push('.');
                    path.push_str(name);
                    visit(member, place, path, found);
                    path.truncate(length);
                }
            }
        }
        (Value::List(items), Parts::Items(field)) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                visit(item, Place::Item(field), path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::atomics;

    #[test]
    fn lists_and_maps_that_are_one_are_named() {
        let pod = schema::type_by_gvk("", "v1", "Pod").unwrap();
        let fine = value!({
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]}
        });
        assert_eq!(atomics(&fine, &pod), [""; 0]);
        let whole = value!({
            "spec": {
                "containers": [{"name": "c", "args": ["x"]}],
                "nodeSelector": {"a": "b"}
            }
        });
        assert_eq!(atomics(&whole, &pod), [".spec.containers[0].args", ".spec.nodeSelector"]);
    }
}
