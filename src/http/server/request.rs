//! Reads requests.

use std::fmt;

use crate::http::framing::Framing;
use crate::http::head::{MAX_HEADERS, find_end, keep_alive};

/// What a request without a body asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, … as it was sent.
    pub method: String,
    /// The request target as it was sent, percent-encoded: usually path and query.
    pub target: String,
    /// Whether the connection may stay open after the answer.
    pub keep_alive: bool,
}

/// Reads the request at the front of `data`: it and its length, or `None` if it has not ended. Then
/// the same bytes are to be offered again with more behind them. Nothing is kept in between: a head
/// is small, and searching it again costs less than a memory for each connection.
///
/// # Errors
///
/// After an error the connection is of no use; [`RequestError::status`] is what to answer before it
/// is closed.
pub fn read_request(data: &[u8]) -> Result<Option<(Request, usize)>, RequestError> {
    // Empty lines before a request are ignored (RFC 9112, section 2.2) but count towards its length.
    let mut searched = data.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(data.len());
    match find_end(data, &mut searched) {
        Ok(None) => Ok(None),
        Ok(Some(end)) => parse(&data[..end]).map(|request| Some((request, end))),
        Err(_) => Err(RequestError::HeadTooLarge),
    }
}

fn parse(head: &[u8]) -> Result<Request, RequestError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(RequestError::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(RequestError::UnknownVersion),
        Ok(httparse::Status::Partial) | Err(_) => return Err(RequestError::Malformed),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(RequestError::Malformed);
    };
    let hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("Host")).count();
    if hosts > 1 || (hosts == 0 && version >= 1) {
        return Err(RequestError::Malformed);
    }
    match Framing::of(version, request.headers) {
        Ok(Framing::Unsaid | Framing::Length(0)) => {}
        Ok(Framing::Length(_)) => return Err(RequestError::HasBody),
        Ok(Framing::Chunked) => return Err(RequestError::HasChunkedBody),
        Err(_) => return Err(RequestError::Malformed),
    }
    Ok(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        keep_alive: keep_alive(version, request.headers),
    })
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Not HTTP, no Host (RFC 9112, section 3.2), or unclear where the body ends.
    Malformed,
    /// It has a Content-Length above 0: nothing here takes a body.
    HasBody,
    /// It has a chunked body: nothing here takes a body.
    HasChunkedBody,
    /// The head is longer than [`MAX_HEAD`](crate::http::MAX_HEAD) bytes or has more than [`MAX_HEADERS`]
    /// fields.
    HeadTooLarge,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    UnknownVersion,
}

impl RequestError {
    /// Status and reason phrase of the answer to such a request (RFC 9110, section 15; RFC 6585).
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
            RequestError::Malformed => "the request is not HTTP/1.1",
            RequestError::HasBody | RequestError::HasChunkedBody => "the request has a body; ask with GET",
            RequestError::HeadTooLarge => "the head of the request is too large",
            RequestError::UnknownVersion => "only HTTP/1.1 and HTTP/1.0 are spoken here",
        })
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::MAX_HEAD;
    use proptest::prelude::*;

    fn request(method: &str, target: &str, keep_alive: bool) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), keep_alive }
    }

    #[test]
    fn requests_are_read() {
        for (data, method, target, keep_alive, used) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next", "GET", "/", true, 27),
            ("\r\n\nGET /a?b HTTP/1.1\nhost: a\n\n", "GET", "/a?b", true, 30),
            ("HEAD * HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", "HEAD", "*", false, 47),
            ("GET / HTTP/1.0\r\n\r\n", "GET", "/", false, 18),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET", "/", true, 42),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "PUT", "/", true, 46),
        ] {
            let expected = Ok(Some((request(method, target, keep_alive), used)));
            assert_eq!(read_request(data.as_bytes()), expected, "{data:?}");
            for end in 0..used {
                assert_eq!(read_request(&data.as_bytes()[..end]), Ok(None), "{:?}", &data[..end]);
            }
        }
    }

    #[test]
    fn bad_requests_are_refused() {
        for (data, status) in [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET /\r\n\r\n", 400),
            ("IAMAT kiwi +34-118 1\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ] {
            let got = read_request(data.as_bytes()).map_err(|why| why.status().0);
            assert_eq!(got, Err(status), "{data:?}");
        }
    }

    #[test]
    fn heads_of_requests_are_bounded() {
        let of_size = |size: usize| {
            let rest = " HTTP/1.1\r\nHost: a\r\n\r\n";
            format!("GET /{}{rest}", "a".repeat(size - 5 - rest.len()))
        };
        assert!(read_request(of_size(MAX_HEAD).as_bytes()).unwrap().is_some());
        for data in [of_size(MAX_HEAD + 1), "\r\n".repeat(MAX_HEAD / 2)] {
            assert_eq!(read_request(data.as_bytes()), Err(RequestError::HeadTooLarge));
        }
        let fields = |n| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(read_request(fields(MAX_HEADERS - 1).as_bytes()).unwrap().is_some());
        assert_eq!(read_request(fields(MAX_HEADERS).as_bytes()), Err(RequestError::HeadTooLarge));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data: Vec<u8>, head in "[A-Z]{1,4} /[ -~\r\n]{0,40} HTTP/1.[0-3]\r?\n[ -~\r\n]{0,60}") {
            let _ = read_request(&data);
            if let Ok(Some((_, used))) = read_request(head.as_bytes()) {
                prop_assert!(used <= head.len());
            }
        }
    }
}
