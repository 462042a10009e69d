//! Impersonation (`Impersonate-*` headers; upstream: `endpoints/filters/impersonation`).
//!
//! Everything that a header names needs the right to `impersonate` it. The only exceptions are groups that the server
//! itself derives from a user name: those of a service account, if no header names a group, and the group of all
//! authenticated users.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use object::Status;

use super::service_account_name;
use crate::authz::{Attributes, Chain, Target};
use crate::request::decode_path;
use crate::user::{GROUP_AUTHENTICATED, GROUP_SERVICE_ACCOUNTS, GROUP_UNAUTHENTICATED, NAME_ANONYMOUS, User};

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
/// The prefix of headers with extra values; the key follows.
const EXTRA: &str = "impersonate-extra-";
/// The API group of the attributes of users other than names and groups.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The user that a request wants to act as, exactly as in its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impersonation {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    /// Reads the headers; `None` if they name no user.
    ///
    /// # Errors
    /// 400 for groups, extras or a UID without a user name, and for values that are not text: ignoring them would mean
    /// acting as a different user than requested.
    pub fn read(headers: &HeaderMap) -> Result<Option<Impersonation>, Status> {
        let mut wanted = Impersonation {
            name: first(headers, &USER)?,
            uid: first(headers, &UID)?,
            groups: all(headers, &GROUP)?,
            extra: BTreeMap::new(),
        };
        let mut names_extra = false;
        for name in headers.keys() {
            let Some(key) = name.as_str().strip_prefix(EXTRA) else { continue };
            names_extra = true;
            let key = decode_path(key).unwrap_or_else(|| key.to_owned());
            wanted.extra.entry(key).or_default().extend(all(headers, name)?);
        }
        if !wanted.name.is_empty() {
            return Ok(Some(wanted));
        }
        if wanted.uid.is_empty() && wanted.groups.is_empty() && !names_extra {
            return Ok(None);
        }
        Err(Status::bad_request(format!(
            "requested impersonation (uid={:?}, groups={:?}, extra={:?}) without impersonating a user name",
            wanted.uid, wanted.groups, wanted.extra
        )))
    }

    /// The user to act as, if `requestor` may.
    ///
    /// # Errors
    /// 403 for the first thing that the requestor may not impersonate.
    pub async fn grant(self, requestor: &User, authorizer: &Chain) -> Result<User, Status> {
        let demand = async |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
            let target = Target::Resource { group, version: "v1", resource, subresource, namespace, name };
            let what = Attributes::new(requestor, "impersonate", target);
            authorizer.authorize(&what).await.forbid(&what)
        };
        let account = service_account_name(&self.name);
        match account {
            Some((namespace, name)) => demand("", "serviceaccounts", "", namespace, name).await?,
            None => demand("", "users", "", "", &self.name).await?,
        }
        if !self.uid.is_empty() {
            demand(AUTHENTICATION, "uids", "", "", &self.uid).await?;
        }
        for group in &self.groups {
            demand("", "groups", "", "", group).await?;
        }
        for (key, values) in &self.extra {
            for value in values {
                demand(AUTHENTICATION, "userextras", key, "", value).await?;
            }
        }
        let mut groups = self.groups;
        if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
            groups = vec![GROUP_SERVICE_ACCOUNTS.to_owned(), format!("{GROUP_SERVICE_ACCOUNTS}:{namespace}")];
        }
        let mut user = User { name: self.name, uid: self.uid, groups, extra: self.extra };
        if user.name == NAME_ANONYMOUS {
            ensure_group(&mut user, GROUP_UNAUTHENTICATED);
        } else if !user.in_group(GROUP_UNAUTHENTICATED) {
            ensure_group(&mut user, GROUP_AUTHENTICATED);
        }
        Ok(user)
    }
}

fn ensure_group(user: &mut User, group: &str) {
    if !user.in_group(group) {
        user.groups.push(group.to_owned());
    }
}

/// The first value of a header, which is the one that counts; empty if there is none.
fn first(headers: &HeaderMap, name: &HeaderName) -> Result<String, Status> {
    Ok(all(headers, name)?.into_iter().next().unwrap_or_default())
}

fn all(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<String>, Status> {
    let text = |value: &http::HeaderValue| {
        let text = std::str::from_utf8(value.as_bytes());
        text.map(str::to_owned)
            .map_err(|_| Status::bad_request(format!("the value of the header {name} is not valid UTF-8")))
    };
    headers.get_all(name).iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn headers_name_whom_to_act_as() {
        let read = |pairs| Impersonation::read(&headers(pairs));
        assert_eq!(read(&[]).unwrap(), None);
        let jane = read(&[
            ("impersonate-user", b"jane"),
            ("impersonate-user", b"joe"),
            ("impersonate-group", b"a"),
            ("impersonate-group", b"b"),
            ("impersonate-uid", b"1"),
            ("impersonate-extra-scopes", b"x"),
            ("impersonate-extra-example.com%2Fscopes+y", b"z"),
            ("impersonate-extra-%zz", b"z"),
            ("impersonate-extra-%73copes", b"y"),
        ]);
        let jane = jane.unwrap().unwrap();
        assert_eq!((jane.name.as_str(), jane.uid.as_str()), ("jane", "1"));
        assert_eq!(jane.groups, ["a", "b"]);
        let keys: Vec<&str> = jane.extra.keys().map(String::as_str).collect();
        assert_eq!(keys, ["%zz", "example.com/scopes+y", "scopes"]);
        assert_eq!(jane.extra["scopes"].len(), 2);
        let refused: [&[(&'static str, &[u8])]; 6] = [
            &[("impersonate-group", b"a")],
            &[("impersonate-uid", b"1")],
            &[("impersonate-extra-scopes", b"x")],
            &[("impersonate-user", b""), ("impersonate-user", b"joe"), ("impersonate-group", b"a")],
            &[("impersonate-user", b"\xff")],
            &[("impersonate-user", b"jane"), ("impersonate-group", b"\xff")],
        ];
        for pairs in refused {
            assert_eq!(read(pairs).unwrap_err().code, 400, "{pairs:?}");
        }
    }
}
