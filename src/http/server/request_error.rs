//! The reasons why a request is refused.

use std::fmt;

/// The reason why a request is refused. After the response to it the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The request is not HTTP, does not have one Host (RFC 9112, section 3.2), or does not say for
    /// certain where its body ends.
    Malformed,
    /// A body with a Content-Length, where none is accepted.
    HasBody,
    /// A chunked body, where none is accepted.
    HasChunkedBody,
    /// The head is longer than [`MAX_HEAD`](crate::http::MAX_HEAD) bytes or has more than
    /// [`MAX_HEADERS`](crate::http::MAX_HEADERS) fields.
    HeadTooLarge,
    /// The version is neither HTTP/1.1 nor HTTP/1.0.
    UnknownVersion,
}

impl RequestError {
    /// Returns the status and the reason phrase of the response to such a request (RFC 9110, section
    /// 15; RFC 6585, section 5).
    pub const fn status(self) -> (u16, &'static str) {
        match self {
            RequestError::Malformed | RequestError::HasBody => (400, "Bad Request"),
            RequestError::HasChunkedBody => (411, "Length Required"),
            RequestError::HeadTooLarge => (431, "Request Header Fields Too Large"),
            RequestError::UnknownVersion => (505, "HTTP Version Not Supported"),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestError::Malformed => "the request is malformed, or does not say for certain where it ends",
            RequestError::HasBody | RequestError::HasChunkedBody => "the request has a body; ask with GET",
            RequestError::HeadTooLarge => "the head of the request is too large",
            RequestError::UnknownVersion => "only HTTP/1.1 and HTTP/1.0 are spoken here",
        })
    }
}

impl std::error::Error for RequestError {}
