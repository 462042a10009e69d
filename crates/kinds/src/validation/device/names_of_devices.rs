//! How drivers, pools, devices and what they have are named.

use object::Value;
use object::field::{Error, Errors, Path};
use object::names;

use crate::validation::field::Field;

/// How long a domain may be, in bytes: that of a driver, and that before the name of an attribute.
const DOMAIN_BYTES_MAX: usize = 63;
/// How long the name of an attribute may be behind its domain, in bytes.
const ID_BYTES_MAX: usize = 32;
/// How long the name of a pool may be, in bytes.
const POOL_BYTES_MAX: usize = 253;

/// Checks the name of a driver.
pub(super) fn validate_driver(errors: &mut Errors, path: &Path<'_>, name: &str) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name.len() > DOMAIN_BYTES_MAX {
        errors.push_with(|| Error::too_long(path, DOMAIN_BYTES_MAX));
    }
    errors.invalid_each(path, name, names::is_dns1123_subdomain(&name.to_lowercase()));
}

/// Checks the name of a pool: domains, separated by slashes.
pub(super) fn validate_pool(errors: &mut Errors, name: &Field<'_, '_>) {
    if name.is_empty() {
        return name.required(errors, "");
    }
    if name.text().len() > POOL_BYTES_MAX {
        errors.push_with(|| Error::too_long(&name.path, POOL_BYTES_MAX));
    }
    for part in name.text().split('/') {
        errors.invalid_each(&name.path, part, names::is_dns1123_subdomain(part));
    }
}

/// Checks the name of an attribute or a capacity: an identifier, perhaps with a domain.
pub(super) fn validate_qualified(errors: &mut Errors, path: &Path<'_>, name: &str) {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [id] => validate_identifier(errors, path, id),
        [domain, id] => {
            match *domain {
                "" => errors.invalid(path, "", "the domain must not be empty"),
                domain => validate_driver(errors, path, domain),
            }
            match *id {
                "" => errors.invalid(path, "", "the name must not be empty"),
                id => validate_identifier(errors, path, id),
            }
        }
        _ => errors.invalid(path, name, "must not contain more than one slash"),
    }
}

/// Checks the name of an attribute that has to have its domain.
pub(super) fn validate_fully_qualified(errors: &mut Errors, path: &Path<'_>, name: &str) {
    validate_qualified(errors, path, name);
    if !name.contains('/') {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        errors.invalid(path, name, why);
    }
}

fn validate_identifier(errors: &mut Errors, path: &Path<'_>, id: &str) {
    if id.len() > ID_BYTES_MAX {
        errors.push_with(|| Error::too_long(path, ID_BYTES_MAX));
    }
    errors.invalid_each(path, id, names::is_c_identifier(id));
}

/// Checks a UID in its usual form.
pub(super) fn validate_uuid(errors: &mut Errors, uid: &Field<'_, '_>) {
    let text = uid.text();
    let fits = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    if text.len() != 36 || !text.bytes().enumerate().all(fits) {
        let why = "must be a lowercase UUID in 8-4-4-4-12 format";
        errors.invalid(&uid.path, text, why);
    }
}

/// Which device a result or a status is about, as errors show it.
pub(super) fn device_id(device: &Value) -> String {
    let [driver, pool, name] = ["driver", "pool", "device"].map(|member| device.str_at(member));
    match device.str_at("shareID") {
        "" => format!("{driver}/{pool}/{name}"),
        share => format!("{driver}/{pool}/{name}/{share}"),
    }
}
