//! Host names of pods, and their DNS settings.

use std::collections::HashSet;

use object::field::{Error, Errors};
use object::names;

use crate::validation::field::Field;

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;
/// The longest host name that Linux has.
const HOST_NAME_MAX: usize = 64;

pub(super) fn validate_dns_config(errors: &mut Errors, spec: &Field<'_, '_>) {
    let config = spec.child("dnsConfig");
    let (servers, searches) = (config.child("nameservers"), config.child("searches"));
    if spec.child("dnsPolicy").text() == "None" {
        if !config.is_set() {
            return config.required(errors, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            return servers
                .required(errors, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        servers.invalid(errors, format!("must not have more than {NAMESERVERS_MAX} nameservers"));
    }
    for server in servers.items() {
        errors.append(names::is_valid_ip_for_legacy_field(&server.path, server.text(), &HashSet::new()));
    }
    if searches.len() > SEARCHES_MAX {
        searches.invalid(errors, format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let characters: usize = searches.items().map(|search| search.text().len() + 1).sum();
    if characters.saturating_sub(1) > SEARCH_CHARACTERS_MAX {
        let why = format!(
            "must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        );
        searches.invalid(errors, why);
    }
    for search in searches.items().filter(|search| search.text() != ".") {
        let domain = search.text().strip_suffix('.').unwrap_or(search.text());
        errors.invalid_each(&search.path, domain, names::is_dns1123_subdomain_with_underscore(domain));
    }
    for option in config.child("options").items() {
        if option.child("name").is_empty() {
            option.required(errors, "must not be empty");
        }
    }
}

pub(super) fn validate_host_aliases(errors: &mut Errors, aliases: &Field<'_, '_>) {
    for alias in aliases.items() {
        let ip = alias.child("ip");
        errors.append(names::is_valid_ip_for_legacy_field(&ip.path, ip.text(), &HashSet::new()));
        alias.child("hostnames").items().for_each(|name| name.check(errors, names::is_dns1123_subdomain));
    }
}

/// Checks `hostname`, `subdomain` and `hostnameOverride`, which excludes the others.
pub(super) fn validate_host_names(errors: &mut Errors, spec: &Field<'_, '_>) {
    let name = spec.child("hostname");
    name.check_set(errors, names::is_dns1123_label);
    spec.child("subdomain").check_set(errors, names::is_dns1123_label);
    let whole = spec.child("hostnameOverride");
    if !whole.is_set() {
        return;
    }
    if whole.text().len() > HOST_NAME_MAX {
        errors.push(Error::too_long(&whole.path, HOST_NAME_MAX));
    }
    whole.check(errors, names::is_dns1123_subdomain);
    if spec.child("hostNetwork").is_true() {
        whole.forbidden(errors, "may not be set when `hostNetwork` is true");
    }
    if spec.child("setHostnameAsFQDN").is_true() {
        whole.forbidden(errors, "may not be set when `setHostnameAsFQDN` is true");
    }
}
