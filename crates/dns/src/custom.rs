//! The ConfigMap `kube-system/kube-dns`: upstream servers and stub domains of the whole cluster.
//!
//! ```yaml
//! data:
//!   upstreamNameservers: '["9.9.9.9", "149.112.112.112:53"]'
//!   stubDomains: '{"corp.example": ["192.0.2.53"], "lab.example": ["[2001:db8::53]:5353"]}'
//! ```
//!
//! The keys and their format are those of kube-dns. Without `upstreamNameservers`, other names go to each node's own
//! servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;

/// The names of the ConfigMap.
pub(crate) const NAMESPACE: &str = "kube-system";
/// As [`NAMESPACE`].
pub(crate) const NAME: &str = "kube-dns";

const UPSTREAMS: &str = "upstreamNameservers";
const STUBS: &str = "stubDomains";

/// The maximum number of servers in one list, as with kube-dns.
const SERVERS_MAX: usize = 3;
/// The maximum number of stub domains.
const STUBS_MAX: usize = 100;
/// If a server listens whose port is not named.
const PORT: u16 = 53;

/// The content of the ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomServers {
    /// The servers of names that are in no stub domain; empty means the node's own.
    pub(crate) upstreams: Vec<SocketAddr>,
    /// Domains with their own servers.
    pub(crate) stubs: Vec<(Name, Vec<SocketAddr>)>,
}

/// Errors of the ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomError {
    /// A value is not a JSON of the right form.
    #[error("{key} is not a JSON {form}: {why}")]
    Json {
        /// Which one.
        key: &'static str,
        /// The expected form.
        form: &'static str,
        /// The parser's error.
        why: String,
    },
    /// A server is not an address.
    #[error("{key}: {server:?} is not an address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53")]
    Server {
        /// Its position.
        key: String,
        /// The text.
        server: String,
    },
    /// A list of servers is empty or too long.
    #[error("{key} names {count} servers; one to {SERVERS_MAX} are allowed")]
    Count {
        /// Its position.
        key: String,
        /// How many it has.
        count: usize,
    },
    /// A domain is not a name, or is the cluster's own.
    #[error("stubDomains: {domain:?} {why}")]
    Domain {
        /// The text.
        domain: String,
        /// The reason.
        why: &'static str,
    },
    /// There are too many stub domains.
    #[error("stubDomains names {0} domains; {STUBS_MAX} are allowed")]
    TooMany(usize),
}

impl CustomServers {
    /// Parses the data of the ConfigMap, all of it or nothing. `cluster` is the cluster's own domain. Other keys are
    /// ignored.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(data: &BTreeMap<String, String>, cluster: &Name) -> Result<CustomServers, CustomError> {
        let mut custom = CustomServers::default();
        if let Some(text) = data.get(UPSTREAMS).filter(|text| !text.trim().is_empty()) {
            let texts: Vec<String> = json(UPSTREAMS, "list of texts", text)?;
            if !texts.is_empty() {
                custom.upstreams = servers(UPSTREAMS, &texts)?;
            }
        }
        if let Some(text) = data.get(STUBS).filter(|text| !text.trim().is_empty()) {
            let stubs: BTreeMap<String, Vec<String>> = json(STUBS, "map of lists of texts", text)?;
            if stubs.len() > STUBS_MAX {
                return Err(CustomError::TooMany(stubs.len()));
            }
            for (domain, texts) in stubs {
                let name = stub(&domain, cluster)?;
                custom.stubs.push((name, servers(&format!("{STUBS}: {domain}"), &texts)?));
            }
        }
        Ok(custom)
    }
}

fn json<T: serde::de::DeserializeOwned>(
    key: &'static str,
    form: &'static str,
    text: &str,
) -> Result<T, CustomError> {
    serde_json::from_str(text).map_err(|error| CustomError::Json { key, form, why: error.to_string() })
}

fn stub(domain: &str, cluster: &Name) -> Result<Name, CustomError> {
    let wrong = |why| CustomError::Domain { domain: domain.to_owned(), why };
    let absolute = format!("{}.", domain.trim_end_matches('.'));
    let name = Name::from_ascii(absolute).map_err(|_| wrong("is not a domain name"))?.to_lowercase();
    match name {
        name if name.is_root() => Err(wrong("is not a domain name")),
        name if cluster.zone_of(&name) => Err(wrong("is within the cluster's own domain")),
        name => Ok(name),
    }
}

fn servers(key: &str, texts: &[String]) -> Result<Vec<SocketAddr>, CustomError> {
    if texts.is_empty() || texts.len() > SERVERS_MAX {
        return Err(CustomError::Count { key: key.to_owned(), count: texts.len() });
    }
    let server = |text: &String| {
        let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        let address =
            address.or_else(|_| text.parse::<SocketAddr>()).ok().filter(|address| address.port() != 0);
        address.ok_or_else(|| CustomError::Server { key: key.to_owned(), server: text.clone() })
    };
    texts.iter().map(server).collect()
}

#[cfg(test)]
mod tests;
