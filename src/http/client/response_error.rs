//! Why an answer cannot be used, in words that a person can act on.

use std::fmt;

use super::response_reader::{MAX_BODY, MAX_INTERIM};
use crate::http::framing::FramingError;
use crate::http::head::{MAX_HEAD, MAX_HEADERS};

/// Why a response was given up. Its words fit behind a colon (`Places: …`) and hold nothing of what
/// was sent or received.
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
    /// 101 Switching Protocols, which nobody asked for.
    Upgrade,
    /// The head does not say for certain where the body ends.
    Framing(FramingError),
    /// The body is longer than [`MAX_BODY`] bytes, or says that it will be.
    BodyTooLarge,
    /// A chunk's size is not a hexadecimal number, or its line does not end with CR LF.
    BadChunkSize,
    /// A chunk's data is not followed by CR LF.
    BadChunkEnd,
    /// The extensions of a chunk, or of all together, are longer than anybody needs.
    ChunkExtensionsTooLarge,
    /// A line of the trailer does not end with CR LF.
    BadTrailer,
    /// The trailer is longer than [`MAX_HEAD`] bytes.
    TrailerTooLarge,
    /// The connection ended before the first byte of an answer.
    ClosedBeforeAnswer,
    /// The connection ended within an answer.
    ClosedWithinAnswer,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseError::NotHttp => {
                f.write_str("what answers there does not speak HTTP/1.1; are the address and the port right?")
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
                    "more than {MAX_INTERIM} interim answers (HTTP status 1xx) came before the real one"
                )
            }
            ResponseError::Upgrade => f.write_str(
                "the answer switches to another protocol (HTTP status 101), which was not asked for",
            ),
            ResponseError::Framing(why) => write!(f, "the answer does not say clearly where it ends: {why}"),
            ResponseError::BodyTooLarge => write!(f, "the answer is larger than {} MiB", MAX_BODY >> 20),
            ResponseError::BadChunkSize => f.write_str("the size of a chunk of the answer cannot be read"),
            ResponseError::BadChunkEnd => {
                f.write_str("a chunk of the answer does not have the length it says")
            }
            ResponseError::ChunkExtensionsTooLarge => {
                f.write_str("the chunk extensions of the answer are too large")
            }
            ResponseError::BadTrailer => f.write_str("the trailer of the answer cannot be read"),
            ResponseError::TrailerTooLarge => {
                write!(f, "the trailer of the answer is larger than {} KiB", MAX_HEAD / 1024)
            }
            ResponseError::ClosedBeforeAnswer => f.write_str("the connection was closed without an answer"),
            ResponseError::ClosedWithinAnswer => {
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
            _ => None,
        }
    }
}
