//! The settings of extenders.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tls::Identity;

use super::ConfigurationError;
use super::document::{ExtenderDocument, ExtenderTls};
use crate::extender::{Extender, TIMEOUT};

/// Why the settings of an extender cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExtenderSettingsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Certificates or a key cannot be used.
    #[error("tlsConfig cannot be used")]
    Tls(#[from] rustls::Error),
    /// Data is not base64, or not text.
    #[error("tlsConfig.{0} is not PEM text in base64")]
    Data(&'static str),
    /// The certificate of the extender would be both verified and not.
    #[error("specifying a root certificates file with the insecure flag is not allowed")]
    Insecure,
    /// A certificate needs its key, and the other way round.
    #[error("tlsConfig has a certificate without its key, or a key without its certificate")]
    HalfIdentity,
    /// The name of the server is neither a DNS name nor an address.
    #[error("tlsConfig.serverName {0:?} is not a name")]
    ServerName(String),
    /// The time is not a duration, or negative.
    #[error("httpTimeout {0:?} is not a duration")]
    Timeout(String),
}

/// The resources that plugins do not check, because extenders manage them.
pub(super) fn not_checked(extenders: &[ExtenderDocument]) -> Vec<String> {
    let managed = extenders.iter().flat_map(|extender| &extender.managed_resources);
    managed.filter(|resource| resource.ignored_by_scheduler).map(|resource| resource.name.clone()).collect()
}

pub(super) fn read(extenders: &[ExtenderDocument]) -> Result<Vec<Arc<Extender>>, ConfigurationError> {
    let read = extenders.iter().enumerate().map(|(index, extender)| {
        extender_of(extender).map(Arc::new).map_err(|source| ConfigurationError::Extender { index, source })
    });
    read.collect()
}

fn extender_of(from: &ExtenderDocument) -> Result<Extender, ExtenderSettingsError> {
    let uses_tls = from.enable_https || from.url_prefix.starts_with("https:");
    let tls = uses_tls.then(|| client_config(from.tls_config.as_ref())).transpose()?;
    Ok(Extender {
        url: from.url_prefix.clone(),
        filter: from.filter_verb.clone(),
        prioritize: from.prioritize_verb.clone(),
        preempt: from.preempt_verb.clone(),
        bind: from.bind_verb.clone(),
        weight: from.weight,
        timeout: timeout(from.http_timeout.as_deref())?,
        tls: tls.map(Arc::new),
        server_name: server_name(from.tls_config.as_ref())?,
        knows_nodes: from.node_cache_capable,
        resources: from.managed_resources.iter().map(|resource| resource.name.clone()).collect(),
        ignorable: from.ignorable,
    })
}

fn server_name(from: Option<&ExtenderTls>) -> Result<Option<ServerName<'static>>, ExtenderSettingsError> {
    let name = from.map(|tls| tls.server_name.clone()).filter(|name| !name.is_empty());
    let read = |name: String| {
        ServerName::try_from(name.clone()).map_err(|_| ExtenderSettingsError::ServerName(name))
    };
    name.map(read).transpose()
}

/// 0 means the default, as in upstream.
fn timeout(text: Option<&str>) -> Result<Duration, ExtenderSettingsError> {
    let Some(text) = text else { return Ok(TIMEOUT) };
    let wrong = || ExtenderSettingsError::Timeout(text.to_owned());
    let nanos = object::duration::parse(text).map_err(|_| wrong())?;
    match u64::try_from(nanos).map_err(|_| wrong())? {
        0 => Ok(TIMEOUT),
        nanos => Ok(Duration::from_nanos(nanos)),
    }
}

/// Without a CA, those that this host trusts are trusted: unlike upstream, servers are verified unless `insecure` says
/// otherwise.
fn client_config(from: Option<&ExtenderTls>) -> Result<ClientConfig, ExtenderSettingsError> {
    let Some(from) = from else { return Ok(tls::client_of_system()?) };
    let authority = pem(&from.ca_data, "caData", &from.ca_file)?;
    let certificate = pem(&from.cert_data, "certData", &from.cert_file)?;
    let key = pem(&from.key_data, "keyData", &from.key_file)?;
    let mut config = match (authority, from.insecure) {
        (Some(_), true) => return Err(ExtenderSettingsError::Insecure),
        (Some(authority), false) => tls::client_of_bundle(&authority)?,
        (None, true) => tls::unverified_client(),
        (None, false) => tls::client_of_system()?,
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            config.client_auth_cert_resolver = Identity::from_pem(&certificate, &key)?;
        }
        (None, None) => {}
        _ => return Err(ExtenderSettingsError::HalfIdentity),
    }
    Ok(config)
}

/// PEM text: data in base64 takes precedence over a file.
fn pem(data: &str, field: &'static str, file: &str) -> Result<Option<String>, ExtenderSettingsError> {
    if !data.is_empty() {
        let bytes = BASE64.decode(data).map_err(|_| ExtenderSettingsError::Data(field))?;
        return String::from_utf8(bytes).map(Some).map_err(|_| ExtenderSettingsError::Data(field));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let read = std::fs::read_to_string(file);
    read.map(Some).map_err(|source| ExtenderSettingsError::Read { path: file.into(), source })
}
