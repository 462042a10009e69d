//! The user of a request.

use std::collections::BTreeMap;

/// An authenticated user, or the anonymous one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name, for example `system:node:web-1`.
    pub name: String,
    /// The UID, where the authenticator knows one.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Additional attributes from the authenticator.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Who brings no credentials.
pub const NAME_ANONYMOUS: &str = "system:anonymous";
/// The server itself.
pub const NAME_SERVER: &str = "system:apiserver";
/// Every authenticated user's group.
pub const GROUP_AUTHENTICATED: &str = "system:authenticated";
/// The anonymous user's group.
pub const GROUP_UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that may do everything, whatever the rules say.
pub const GROUP_MASTERS: &str = "system:masters";
/// The group of all service accounts; a namespace's own has `:NAMESPACE` behind it.
pub const GROUP_SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// The group of all nodes.
pub const GROUP_NODES: &str = "system:nodes";
/// The group of the network parts of all nodes (`ironhull:network:<node>`): service proxy, DNS, network policy.
pub const GROUP_NETWORKS: &str = "ironhull:networks";
/// The group of all who show a bootstrap token.
pub const GROUP_BOOTSTRAPPERS: &str = "system:bootstrappers";

impl User {
    /// A user with groups, in addition to those that all authenticated users have.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> User {
        let groups = groups.iter().copied().chain([GROUP_AUTHENTICATED]).map(str::to_owned).collect();
        User { name: name.into(), groups, ..User::default() }
    }

    /// Who brings no credentials.
    pub fn anonymous() -> User {
        User { name: NAME_ANONYMOUS.into(), groups: vec![GROUP_UNAUTHENTICATED.into()], ..User::default() }
    }

    /// The server itself, for its own writes.
    pub fn server() -> User {
        User::new(NAME_SERVER, &[GROUP_MASTERS])
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> User {
        let namespace_group = format!("{GROUP_SERVICE_ACCOUNTS}:{namespace}");
        User {
            uid: uid.into(),
            ..User::new(
                format!("system:serviceaccount:{namespace}:{name}"),
                &[GROUP_SERVICE_ACCOUNTS, &namespace_group],
            )
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}
