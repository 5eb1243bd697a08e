//! Reads the heads of requests.

use super::request_error::RequestError;
use crate::http::framing::Framing;
use crate::http::head::{HeaderFields, MAX_HEADERS, find_end};

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method as it was sent: `GET`, `HEAD`, …
    pub method: &'a str,
    /// The request target as it was sent (RFC 9112, section 3.2), percent-encoded: usually path and
    /// query.
    pub target: &'a str,
    /// 1 for HTTP/1.1, 0 for HTTP/1.0, which does not know chunked bodies.
    pub minor_version: u8,
    /// All fields.
    pub fields: HeaderFields<'a>,
    /// The framing of the body that follows, for a [`BodyReader`](crate::http::BodyReader). A request
    /// without a body has length 0.
    pub framing: Framing,
    /// Whether the client lets the connection persist after the response (RFC 9112, section 9.3).
    pub keep_alive: bool,
}

/// Reads the head of the request at the front of `data`. Returns the head and its length in bytes, or
/// `None` while its end has not arrived; then the same bytes must be offered again together with what
/// arrives after them. No state is kept in between: a head is small, and a second search costs less
/// than memory for each connection.
///
/// # Errors
///
/// When the head is malformed or exceeds a limit. [`RequestError::status`] is the status of the
/// response; after it the connection must be closed.
pub fn read_request_head(data: &[u8]) -> Result<Option<(RequestHead<'_>, usize)>, RequestError> {
    // Empty lines before a request are ignored (RFC 9112, section 2.2) but count towards its length.
    let mut searched = data.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(data.len());
    match find_end(data, &mut searched) {
        Ok(None) => Ok(None),
        Ok(Some(end)) => parse(&data[..end]).map(|head| Some((head, end))),
        Err(_) => Err(RequestError::HeadTooLarge),
    }
}

/// Reads the head of a request as [`read_request_head`] does, for a service that accepts no bodies.
///
/// # Errors
///
/// As [`read_request_head`], and when the request has a body.
pub fn read_bodiless_request(data: &[u8]) -> Result<Option<(RequestHead<'_>, usize)>, RequestError> {
    let read = read_request_head(data)?;
    match read.as_ref().map(|(head, _)| head.framing) {
        None | Some(Framing::Length(0)) => Ok(read),
        Some(Framing::Chunked) => Err(RequestError::HasChunkedBody),
        Some(Framing::Length(_) | Framing::UntilClose) => Err(RequestError::HasBody),
    }
}

fn parse(head: &[u8]) -> Result<RequestHead<'_>, RequestError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(RequestError::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(RequestError::UnknownVersion),
        Ok(httparse::Status::Partial) | Err(_) => return Err(RequestError::Malformed),
    }
    let (Some(method), Some(target), Some(minor_version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(RequestError::Malformed);
    };
    let fields = HeaderFields::new(parsed.headers);
    let hosts = fields.values("Host").count();
    if hosts > 1 || (hosts == 0 && minor_version >= 1) {
        return Err(RequestError::Malformed);
    }
    let declared = Framing::declared(minor_version, &fields).map_err(|_| RequestError::Malformed)?;
    let keep_alive = fields.keep_alive(minor_version);
    let framing = declared.unwrap_or(Framing::Length(0));
    Ok(RequestHead { method, target, minor_version, fields, framing, keep_alive })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{BodyReader, MAX_HEAD};
    use proptest::prelude::*;

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
            let (head, length) = read_bodiless_request(data.as_bytes()).unwrap().unwrap();
            assert_eq!((head.method, head.target, head.keep_alive), (method, target, keep_alive), "{data:?}");
            assert_eq!(length, used, "{data:?}");
            for end in 0..used {
                assert_eq!(read_bodiless_request(&data.as_bytes()[..end]), Ok(None), "{:?}", &data[..end]);
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
            let got = read_bodiless_request(data.as_bytes()).map_err(|why| why.status().0);
            assert_eq!(got, Err(status), "{data:?}");
        }
    }

    #[test]
    fn a_head_is_readable() {
        let data = b"PUT /a HTTP/1.0\r\nAccept: x, y\r\nETag: 1\r\nContent-Length: 7\r\naccept: z\r\n\r\nabc";
        let (head, length) = read_request_head(data).unwrap().unwrap();
        assert_eq!(&data[length..], b"abc");
        assert_eq!((head.minor_version, head.framing), (0, Framing::Length(7)));
        assert_eq!(head.fields.get("etag"), Some(&b"1"[..]));
        assert_eq!(head.fields.members("ACCEPT").collect::<Vec<_>>(), [b"x", b"y", b"z"]);
    }

    #[test]
    fn a_body_streams_after_its_head() {
        let data = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET";
        let (head, length) = read_request_head(data).unwrap().unwrap();
        let mut body = BodyReader::new(head.framing);
        let (used, part) = body.data_received(&data[length..]).unwrap();
        assert_eq!(part, b"abc");
        let (end, part) = body.data_received(&data[length + used..]).unwrap();
        assert!(part.is_empty() && body.is_complete());
        assert_eq!(&data[length + used + end..], b"GET");
    }

    #[test]
    fn heads_of_requests_are_bounded() {
        let of_size = |size: usize| {
            let rest = " HTTP/1.1\r\nHost: a\r\n\r\n";
            format!("GET /{}{rest}", "a".repeat(size - 5 - rest.len()))
        };
        assert!(read_request_head(of_size(MAX_HEAD).as_bytes()).unwrap().is_some());
        for data in [of_size(MAX_HEAD + 1), "\r\n".repeat(MAX_HEAD / 2)] {
            assert_eq!(read_request_head(data.as_bytes()), Err(RequestError::HeadTooLarge));
        }
        let fields = |n| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(read_request_head(fields(MAX_HEADERS - 1).as_bytes()).unwrap().is_some());
        assert_eq!(read_request_head(fields(MAX_HEADERS).as_bytes()), Err(RequestError::HeadTooLarge));
    }

    proptest! {
        #[test]
        fn no_input_makes_the_parser_panic(data: Vec<u8>, head in "[A-Z]{1,4} /[ -~\r\n]{0,40} HTTP/1.[0-3]\r?\n[ -~\r\n]{0,60}") {
            let _ = read_request_head(&data);
            if let Ok(Some((_, used))) = read_request_head(head.as_bytes()) {
                prop_assert!(used <= head.len());
            }
        }
    }
}
