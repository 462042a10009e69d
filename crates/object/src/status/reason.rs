//! Reasons of a Status.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:literal;)*) => {
        /// Why a request failed: upstream's `metav1.StatusReason`.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// A reason that only its sender knows (webhooks and extension servers send such); never empty.
            Other(Box<str>),
        }

        impl Reason {
            /// The text on the wire; empty for [`Reason::Unknown`].
            pub fn as_str(&self) -> &str {
                match self {
                    $(Reason::$name => $text,)*
                    Reason::Other(text) => text,
                }
            }

            /// The HTTP status code that belongs to the reason.
            pub fn code(&self) -> u16 {
                match self {
                    $(Reason::$name => $code,)*
                    Reason::Other(_) => 500,
                }
            }
        }

        impl From<&str> for Reason {
            fn from(text: &str) -> Reason {
                match text {
                    $($text => Reason::$name,)*
                    other => Reason::Other(other.into()),
                }
            }
        }

        #[cfg(test)]
        pub(super) const KNOWN: &[Reason] = &[$(Reason::$name,)*];
    };
}

reasons! {
    /// The sender gave none.
    Unknown = "", 500;
    /// The request carries no valid identity.
    Unauthorized = "Unauthorized", 401;
    /// The identity may not do this, or policy forbids it to all.
    Forbidden = "Forbidden", 403;
    /// The object or the resource does not exist.
    NotFound = "NotFound", 404;
    /// An object of that name exists already.
    AlreadyExists = "AlreadyExists", 409;
    /// The object has changed in the meantime, or its state does not allow the operation.
    Conflict = "Conflict", 409;
    /// The resource existed and is gone permanently.
    Gone = "Gone", 410;
    /// The object is not valid.
    Invalid = "Invalid", 422;
    /// The server could not finish in time; trying again is safe.
    ServerTimeout = "ServerTimeout", 500;
    /// The stored value cannot be read.
    StorageReadError = "StorageReadError", 500;
    /// The request's time ran out; its effect is not known.
    Timeout = "Timeout", 504;
    /// The client must wait.
    TooManyRequests = "TooManyRequests", 429;
    /// The request makes no sense.
    BadRequest = "BadRequest", 400;
    /// The resource knows no such action.
    MethodNotAllowed = "MethodNotAllowed", 405;
    /// None of the media types that the client accepts can be served.
    NotAcceptable = "NotAcceptable", 406;
    /// The body is too large.
    RequestEntityTooLarge = "RequestEntityTooLarge", 413;
    /// The body's media type is not understood.
    UnsupportedMediaType = "UnsupportedMediaType", 415;
    /// The server is broken.
    InternalError = "InternalError", 500;
    /// The requested revision is compacted; a list must start again.
    Expired = "Expired", 410;
    /// The server cannot serve this now.
    ServiceUnavailable = "ServiceUnavailable", 503;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
