//! Errors of the interface and their gRPC codes.

use std::error::Error;

/// gRPC's status codes, as far as engines answer with them and callers act on them; every other code is [`Code::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The caller gave up.
    Cancelled,
    /// The engine gives no further details.
    Unknown,
    /// The request makes no sense.
    InvalidArgument,
    /// It took too long.
    DeadlineExceeded,
    /// There is no such thing.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The caller may not do that.
    PermissionDenied,
    /// Something is used up.
    ResourceExhausted,
    /// The request makes no sense in the current state.
    FailedPrecondition,
    /// The engine does not implement this call. Callers do not retry, and work without it.
    Unimplemented,
    /// The engine failed.
    Internal,
    /// The engine cannot be reached. Asking again may help.
    Unavailable,
}

impl Code {
    const ALL: [(Code, i32); 12] = [
        (Code::Cancelled, 1),
        (Code::Unknown, 2),
        (Code::InvalidArgument, 3),
        (Code::DeadlineExceeded, 4),
        (Code::NotFound, 5),
        (Code::AlreadyExists, 6),
        (Code::PermissionDenied, 7),
        (Code::ResourceExhausted, 8),
        (Code::FailedPrecondition, 9),
        (Code::Unimplemented, 12),
        (Code::Internal, 13),
        (Code::Unavailable, 14),
    ];

    /// The code of a gRPC status that is not OK.
    pub fn from_grpc(number: i32) -> Code {
        let known = Code::ALL.iter().find(|(_, known)| *known == number);
        known.map_or(Code::Unknown, |(code, _)| *code)
    }

    /// The number in a gRPC status.
    pub fn grpc(self) -> i32 {
        let known = Code::ALL.iter().find(|(code, _)| *code == self);
        known.map(|(_, number)| *number).expect("the table has every code")
    }
}

/// Why an image could not be pulled, as far as a caller treats the cases differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullErrorKind {
    /// The reference cannot be parsed (the node agent's `InvalidImageName`).
    InvalidName,
    /// The registry does not have it.
    NotFound,
    /// The registry requires other credentials.
    Unauthorized,
    /// The registry cannot be reached or fails.
    RegistryUnavailable,
    /// The registry asks to slow down.
    TooManyRequests,
    /// The image has nothing for this machine's platform.
    NoMatchingPlatform,
    /// The received data do not match their digest, cannot be read or exceed a limit.
    Corrupt,
    /// This machine failed: disk, permissions, mounts.
    Local,
}

/// An error of [`RuntimeService`](super::RuntimeService) or [`ImageService`](super::ImageService). [`CriError::code`]
/// returns the gRPC code of each variant; callers act on that, because an engine behind a socket answers only with a
/// code and a message.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// There is no such sandbox, container or image.
    #[error("{kind} {id:?} not found")]
    NotFound {
        /// `sandbox`, `container` or `image`.
        kind: &'static str,
        /// The requested object.
        id: String,
    },
    /// The name is taken.
    #[error("{kind} {name:?} already exists")]
    AlreadyExists {
        /// `sandbox` or `container`.
        kind: &'static str,
        /// The name that is taken.
        name: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    InvalidArgument(String),
    /// The request makes no sense in the current state, such as exec in an ended container.
    #[error("{0}")]
    FailedPrecondition(String),
    /// The operation took longer than it was allowed to.
    #[error("{0}")]
    DeadlineExceeded(String),
    /// The engine cannot be reached, or the requested object has ended in the meantime.
    #[error("{0}")]
    Unavailable(String),
    /// The engine does not have this call.
    #[error("the engine does not implement {0}")]
    Unimplemented(&'static str),
    /// The answer of an engine behind a socket.
    #[error("{message}")]
    Remote {
        /// The code of its status.
        code: Code,
        /// The message of its status.
        message: String,
    },
    /// An image could not be pulled.
    #[error("{message}")]
    ImagePull {
        /// How callers should handle it.
        kind: PullErrorKind,
        /// A message for people, with the image's name.
        message: String,
    },
    /// Everything else.
    #[error("{context}")]
    Internal {
        /// The step that failed.
        context: String,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl CriError {
    /// A [`CriError::Internal`] from the step and its cause (an error or a text).
    pub fn internal(context: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> CriError {
        CriError::Internal { context: context.into(), source: source.into() }
    }

    /// The container does not exist.
    pub fn container_not_found(id: impl Into<String>) -> CriError {
        CriError::NotFound { kind: "container", id: id.into() }
    }

    /// The sandbox does not exist.
    pub fn sandbox_not_found(id: impl Into<String>) -> CriError {
        CriError::NotFound { kind: "sandbox", id: id.into() }
    }

    /// The gRPC code of the error.
    pub fn code(&self) -> Code {
        match self {
            CriError::NotFound { .. } => Code::NotFound,
            CriError::AlreadyExists { .. } => Code::AlreadyExists,
            CriError::InvalidArgument(_) => Code::InvalidArgument,
            CriError::FailedPrecondition(_) => Code::FailedPrecondition,
            CriError::DeadlineExceeded(_) => Code::DeadlineExceeded,
            CriError::Unavailable(_) => Code::Unavailable,
            CriError::Unimplemented(_) => Code::Unimplemented,
            CriError::Remote { code, .. } => *code,
            CriError::ImagePull { .. } => Code::Unknown,
            CriError::Internal { .. } => Code::Internal,
        }
    }

    /// Whether the requested object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Code::NotFound
    }

    /// Whether the engine does not have this call, so that the caller must do without.
    pub fn is_unimplemented(&self) -> bool {
        self.code() == Code::Unimplemented
    }

    /// The message with all its causes, as an event or a status should show it.
    pub fn full_message(&self) -> String {
        causes::chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_number_and_comes_back_from_it() {
        for (code, number) in Code::ALL {
            assert_eq!((Code::from_grpc(number), code.grpc()), (code, number));
        }
        for other in [0, 10, 11, 15, 16, 17, -1] {
            assert_eq!(Code::from_grpc(other), Code::Unknown);
        }
    }

    #[test]
    fn what_an_engine_behind_a_socket_says_counts_like_what_the_own_one_says() {
        let remote = |number| CriError::Remote { code: Code::from_grpc(number), message: "no".to_owned() };
        assert!(remote(5).is_not_found() && CriError::container_not_found("c").is_not_found());
        assert!(remote(12).is_unimplemented() && CriError::Unimplemented("events").is_unimplemented());
        assert!(!remote(14).is_unimplemented() && !remote(14).is_not_found());
        assert_eq!(remote(4).code(), CriError::DeadlineExceeded(String::new()).code());
    }
}
