//! Errors of requests.

use object::{Reason, Status};

/// The source of a transport error.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered, with an error.
    #[error(transparent)]
    Api(Box<Status>),
    /// No answer came, or it broke off; whether the request took effect is unknown.
    #[error("{step}")]
    Transport {
        /// The step that failed.
        step: &'static str,
        /// Why it failed.
        source: Source,
    },
    /// The answer, or the object to send, does not have the expected form.
    #[error("{what} does not have the expected form")]
    Decode {
        /// The object being read or written.
        what: String,
        /// What does not fit.
        source: Source,
    },
    /// The kubeconfig, or a file it refers to, cannot be used.
    #[error("client configuration")]
    Config(#[source] Source),
}

impl ClientError {
    /// A [`ClientError::Transport`].
    pub fn transport(step: &'static str, source: impl Into<Source>) -> ClientError {
        ClientError::Transport { step, source: source.into() }
    }

    /// A [`ClientError::Decode`].
    pub fn decode(what: impl Into<String>, source: impl Into<Source>) -> ClientError {
        ClientError::Decode { what: what.into(), source: source.into() }
    }

    /// The server's answer, if one came.
    pub fn status(&self) -> Option<&Status> {
        if let ClientError::Api(status) = self { Some(status) } else { None }
    }

    fn has_reason(&self, reason: &Reason) -> bool {
        self.status().is_some_and(|status| status.reason == *reason)
    }

    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.has_reason(&Reason::NotFound)
    }

    /// An object of this name exists already.
    pub fn is_already_exists(&self) -> bool {
        self.has_reason(&Reason::AlreadyExists)
    }

    /// The object changed in between, or a precondition failed.
    pub fn is_conflict(&self) -> bool {
        self.has_reason(&Reason::Conflict)
    }

    /// The object is not valid.
    pub fn is_invalid(&self) -> bool {
        self.has_reason(&Reason::Invalid)
    }

    /// The identity is not allowed to do this, or it is not possible for anyone.
    pub fn is_forbidden(&self) -> bool {
        self.has_reason(&Reason::Forbidden)
    }

    /// The resource has no such verb.
    pub fn is_method_not_supported(&self) -> bool {
        self.has_reason(&Reason::MethodNotAllowed)
    }

    /// The resource version or the continue token is too old; the collection must be listed again.
    pub fn is_expired(&self) -> bool {
        self.has_reason(&Reason::Expired) || self.has_reason(&Reason::Gone)
    }

    /// The token with which an expired list can be continued, in another version than it began in.
    pub fn continuation(&self) -> Option<&str> {
        self.status().and_then(|status| status.continue_token.as_deref())
    }

    /// The request may succeed if it is sent again as it is: no answer came, or the server has a problem of its own or is
    /// too busy.
    pub fn is_temporary(&self) -> bool {
        match self {
            ClientError::Transport { .. } => true,
            ClientError::Api(status) => status.code >= 500 || status.code == 429,
            ClientError::Decode { .. } | ClientError::Config(_) => false,
        }
    }

    /// The object could not be created because its namespace is being deleted.
    pub fn is_namespace_terminating(&self) -> bool {
        self.is_forbidden() && self.status().is_some_and(|status| status.has_cause("NamespaceTerminating"))
    }

    /// The server, or something before it, is too busy (429).
    pub fn is_too_many_requests(&self) -> bool {
        self.status().is_some_and(|status| status.code == 429)
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> ClientError {
        ClientError::Api(Box::new(status))
    }
}
