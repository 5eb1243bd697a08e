//! The reasons why a response cannot be used.

use std::fmt;

use crate::http::chunked::ChunkedError;
use crate::http::framing::FramingError;
use crate::http::head::{MAX_HEAD, MAX_HEADERS};

/// The reason why a response was given up. The text fits after a colon (`Places: …`) and holds
/// nothing of what was sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The first bytes are not `HTTP/1.`.
    NotHttp,
    /// The head breaks the grammar of RFC 9112.
    BadHead(httparse::Error),
    /// The head is longer than [`MAX_HEAD`] bytes.
    HeadTooLarge,
    /// The head has more than [`MAX_HEADERS`] fields.
    TooManyHeaders,
    /// More than [`MAX_INTERIM`] interim responses (1xx) came before the final one.
    TooManyInterim,
    /// Status 101 (Switching Protocols), which no request asks for.
    Upgrade,
    /// The body has this content coding, though none was accepted.
    Encoded(&'static str),
    /// The head does not say for certain where the body ends.
    Framing(FramingError),
    /// The chunks of the body are malformed.
    Chunked(ChunkedError),
    /// The body is longer than `max_bytes`, the limit of the caller, or announces that it will be.
    BodyTooLarge {
        /// The limit in bytes.
        max_bytes: usize,
    },
    /// The connection ended before the first byte of a response.
    ClosedBeforeResponse,
    /// The connection ended within a response.
    ClosedWithinResponse,
}

/// Speaks of an answer, as all messages about Places do.
impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseError::NotHttp => {
                f.write_str("the server does not speak HTTP/1.1; are the address and the port right?")
            }
            ResponseError::BadHead(why) => write!(f, "the head of the answer is not HTTP/1.1: {why}"),
            ResponseError::HeadTooLarge => {
                write!(f, "the head of the answer is larger than {} KiB", MAX_HEAD / 1024)
            }
            ResponseError::TooManyHeaders => {
                write!(f, "the head of the answer has more than {MAX_HEADERS} fields")
            }
            ResponseError::TooManyInterim => {
                write!(
                    f,
                    "more than {MAX_INTERIM} interim answers (HTTP status 1xx) came before the final one"
                )
            }
            ResponseError::Upgrade => f.write_str(
                "the answer switches to another protocol (HTTP status 101), which was not requested",
            ),
            ResponseError::Encoded(coding) => {
                write!(
                    f,
                    "the answer is compressed ({coding}), although it was requested without compression"
                )
            }
            ResponseError::Framing(why) => write!(f, "the answer does not say clearly where it ends: {why}"),
            ResponseError::Chunked(why) => write!(f, "the body of the answer is malformed: {why}"),
            ResponseError::BodyTooLarge { max_bytes } if max_bytes % MIB == 0 => {
                write!(f, "the answer is larger than {} MiB", max_bytes / MIB)
            }
            ResponseError::BodyTooLarge { max_bytes } => {
                write!(f, "the answer is larger than {max_bytes} bytes")
            }
            ResponseError::ClosedBeforeResponse => f.write_str("the connection was closed without an answer"),
            ResponseError::ClosedWithinResponse => {
                f.write_str("the connection was closed in the middle of the answer")
            }
        }
    }
}

impl std::error::Error for ResponseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ResponseError::BadHead(why) => Some(why),
            ResponseError::Framing(why) => Some(why),
            ResponseError::Chunked(why) => Some(why),
            _ => None,
        }
    }
}

const MIB: usize = 1024 * 1024;

/// The maximum number of interim responses (1xx) before the final one. One or two are usual (100,
/// 103).
pub const MAX_INTERIM: usize = 16;
