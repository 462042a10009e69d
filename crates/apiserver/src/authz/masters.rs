//! The group that may do everything, whatever roles say (upstream: `authorizerfactory.NewPrivilegedGroups`).

use std::sync::Arc;

use super::attributes::Attributes;
use super::authorizer::{Authorizer, Decision, Reply};
use crate::user::GROUP_MASTERS;

/// Allows members of `system:masters` everything. Their rules are not listed here: the role `cluster-admin` has them.
pub struct Masters;

impl Authorizer for Masters {
    fn kind(&self) -> &'static str {
        "PrivilegedGroup"
    }

    fn authorize<'a>(&'a self, what: &'a Attributes<'a>) -> Reply<'a> {
        let decide = if what.user.in_group(GROUP_MASTERS) { Decision::Allow } else { Decision::NoOpinion };
        Reply::Now(decide(Arc::default()))
    }
}
