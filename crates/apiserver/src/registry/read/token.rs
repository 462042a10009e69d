//! Continue tokens. They have upstream's form with one additional entry, the number of remaining objects, so that a
//! page need not count them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use object::{Status, Value, value};

/// The end of a page, and the version of the collection.
pub(super) struct Token {
    /// The version of the list; `None` for one that goes on with the newest state.
    pub(super) revision: Option<u64>,
    /// The key of the page's last object.
    pub(super) after: Arc<str>,
    /// How many objects follow, where that is known.
    pub(super) left: Option<usize>,
}

/// The version in a token that goes on with the newest state.
const NEWEST: i64 = -1;

impl Token {
    /// # Errors
    /// 400 for what no server issues.
    pub(super) fn read(text: &str) -> Result<Token, Status> {
        let refuse = |why: &str| {
            Status::bad_request(format!("invalid continue token: continue key is not valid{why}"))
        };
        let invalid = |error: &dyn std::fmt::Display| refuse(&format!(": {error}"));
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| invalid(&error))?;
        let token = object::json::parse(&bytes).map_err(|error| invalid(&error))?;
        let version = token.str_at("v");
        if version != "meta.k8s.io/v1" {
            return Err(refuse(&format!(": server does not recognize this encoded version {version}")));
        }
        let revision = match token.get("rv").as_i64() {
            None | Some(0) => {
                return Err(refuse(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
            }
            Some(revision) => u64::try_from(revision).ok(),
        };
        let start = token.str_at("start");
        if start.is_empty() {
            return Err(refuse(": encoded start key empty (version meta.k8s.io/v1)"));
        }
        let after = start.strip_suffix('\0').filter(|key| is_within(key)).ok_or_else(|| invalid(&start))?;
        let left = token.get("left").as_i64().and_then(|left| usize::try_from(left).ok());
        Ok(Token { revision, after: after.into(), left })
    }

    pub(super) fn write(&self) -> String {
        let start = format!("{}\0", self.after);
        let revision = self.revision.map_or(NEWEST, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        let mut token: Value = value!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
        if let Some(left) = self.left {
            token.set("left", i64::try_from(left).unwrap_or(i64::MAX));
        }
        URL_SAFE_NO_PAD.encode(object::json::to_bytes(&token))
    }
}

/// Whether a key leads nowhere else than below the collection's prefix. One with an empty name is that of a token that
/// begins with a namespace.
fn is_within(key: &str) -> bool {
    let key = key.strip_prefix('/').unwrap_or(key);
    let parts: Vec<&str> = key.split('/').collect();
    let inner = parts.len().saturating_sub(1);
    parts.iter().take(inner).all(|part| !part.is_empty())
        && parts.iter().all(|part| !matches!(*part, "." | ".."))
}
