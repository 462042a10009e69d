//! Continue tokens. They have upstream's form with one additional entry, the number of remaining objects, so that a
//! page need not count them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use object::{Status, Value, value};

/// The end of a page, and the version of the collection.
pub(super) struct Token {
    pub(super) revision: u64,
    /// The key of the page's last object.
    pub(super) after: Arc<str>,
    /// How many objects follow, where that is known.
    pub(super) left: Option<usize>,
}

impl Token {
    pub(super) fn read(text: &str) -> Result<Token, Status> {
        let invalid =
            || Status::bad_request("continue key is not valid: this server did not issue the token");
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| invalid())?;
        let token = object::json::parse(&bytes).map_err(|_| invalid())?;
        let revision = token.get("rv").as_i64().and_then(|rv| u64::try_from(rv).ok()).ok_or_else(invalid)?;
        let after =
            token.get("start").as_str().and_then(|start| start.strip_suffix('\0')).ok_or_else(invalid)?;
        if token.str_at("v") != "meta.k8s.io/v1" {
            return Err(invalid());
        }
        let left = token.get("left").as_i64().and_then(|left| usize::try_from(left).ok());
        Ok(Token { revision, after: after.into(), left })
    }

    pub(super) fn write(&self) -> String {
        let start = format!("{}\0", self.after);
        let revision = i64::try_from(self.revision).unwrap_or(i64::MAX);
        let mut token: Value = value!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
        if let Some(left) = self.left {
            token.set("left", i64::try_from(left).unwrap_or(i64::MAX));
        }
        URL_SAFE_NO_PAD.encode(object::json::to_bytes(&token))
    }
}
