//! Reads the heads of requests.

use memchr::{memchr, memchr2_iter};

use super::request_error::RequestError;
use crate::http::framing::Framing;
use crate::http::head::{HeaderFields, MAX_HEAD, MAX_HEADERS, find_end};

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
/// Lines end with CR LF. Two readers that disagree about a bare LF or CR also disagree about where a
/// request ends, so that a head with one is malformed (RFC 9112, sections 2.2 and 11.2).
///
/// # Errors
///
/// When the head is malformed or exceeds a limit; input that is no request line as soon as that is
/// certain. [`RequestError::status`] is the status of the response; after it the connection must be
/// closed.
pub fn read_request_head(data: &[u8]) -> Result<Option<(RequestHead<'_>, usize)>, RequestError> {
    let window = &data[..data.len().min(MAX_HEAD)];
    // Empty lines before a request are ignored (RFC 9112, section 2.2) but count towards its length.
    let mut start = 0;
    while window[start..].starts_with(b"\r\n") {
        start += b"\r\n".len();
    }
    check_first_line(&window[start..])?;
    let mut searched = start;
    match find_end(data, &mut searched) {
        Ok(None) => Ok(None),
        Ok(Some(end)) => parse(&data[start..end]).map(|head| Some((head, end))),
        Err(_) => Err(RequestError::HeadTooLarge),
    }
}

/// Refuses input that begins with no request line: what follows may never have the end of a head.
fn check_first_line(data: &[u8]) -> Result<(), RequestError> {
    let end = data.iter().position(|&byte| !is_token(byte)).unwrap_or(data.len());
    match data.get(end..) {
        Some([]) | None => return Ok(()),
        Some([b' ', ..]) if end > 0 => {}
        // The rest of an empty line may follow.
        Some([b'\r']) if end == 0 => return Ok(()),
        Some(_) => return Err(RequestError::Malformed),
    }
    let Some(line_end) = memchr(b'\n', data) else { return Ok(()) };
    let line = data[..line_end].strip_suffix(b"\r").ok_or(RequestError::Malformed)?;
    match line.rsplit(|&byte| byte == b' ').next() {
        Some(b"HTTP/1.1" | b"HTTP/1.0") => Ok(()),
        Some(version) if is_http_version(version) => Err(RequestError::UnknownVersion),
        _ => Err(RequestError::Malformed),
    }
}

/// Whether a byte can be in a token, such as a method (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether this names a version of HTTP, such as `HTTP/2.0`.
fn is_http_version(text: &[u8]) -> bool {
    text.strip_prefix(b"HTTP/")
        .is_some_and(|number| !number.is_empty() && number.iter().all(|byte| b"0123456789.".contains(byte)))
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
    if has_bare_line_end(head) {
        return Err(RequestError::Malformed);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(RequestError::HeadTooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(RequestError::Malformed),
    }
    let (Some(method), Some(target), Some(minor_version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(RequestError::Malformed);
    };
    if !is_target(target) {
        return Err(RequestError::Malformed);
    }
    let fields = HeaderFields::new(parsed.headers);
    let hosts = fields.values("Host").count();
    if hosts > 1 || (hosts == 0 && minor_version >= 1) {
        return Err(RequestError::Malformed);
    }
    let framing = framing(minor_version, &fields)?;
    let keep_alive = fields.keep_alive(minor_version);
    Ok(RequestHead { method, target, minor_version, fields, framing, keep_alive })
}

/// The framing of the body. Stricter than for a response: of each field there is at most one, with one value.
/// Another reader of the same request may look at the first or the last one only.
fn framing(minor_version: u8, fields: &HeaderFields<'_>) -> Result<Framing, RequestError> {
    let (mut lengths, mut codings) = (fields.members("Content-Length"), fields.values("Transfer-Encoding"));
    let has_several = lengths.nth(1).is_some()
        || codings.next().is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some();
    let declared = Framing::declared(minor_version, fields);
    match declared {
        Ok(declared) if !has_several => Ok(declared.unwrap_or(Framing::Length(0))),
        _ => Err(RequestError::Malformed),
    }
}

/// Whether a CR or an LF stands alone.
fn has_bare_line_end(head: &[u8]) -> bool {
    memchr2_iter(b'\r', b'\n', head).any(|at| match head[at] {
        b'\n' => at == 0 || head[at - 1] != b'\r',
        _ => head.get(at + 1) != Some(&b'\n'),
    })
}

/// Whether a target has one of the forms that a server is asked with: a path, a whole URL, or `*` (RFC 9112,
/// section 3.2).
fn is_target(target: &str) -> bool {
    target.starts_with('/') || target == "*" || after_scheme(target).is_some()
}

/// What follows `http://` or `https://` in a target; `None`: it does not begin so.
fn after_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &target[scheme.len()..])
    })
}

impl<'a> RequestHead<'a> {
    /// The authority that the target names (RFC 9112, section 3.2.2): it takes the place of Host. `None`: the target
    /// is a path.
    pub fn authority(&self) -> Option<&'a str> {
        let rest = after_scheme(self.target)?;
        Some(&rest[..rest.find(['/', '?']).unwrap_or(rest.len())])
    }

    /// The path and the query of the target.
    pub fn path_and_query(&self) -> (&'a str, &'a str) {
        let target = match after_scheme(self.target) {
            Some(rest) => &rest[rest.find(['/', '?']).unwrap_or(rest.len())..],
            None => self.target,
        };
        target.split_once('?').unwrap_or((target, ""))
    }

    /// Whether the client waits for a response before it sends the body (RFC 9110, section 10.1.1). HTTP/1.0 does not
    /// know that.
    pub fn expects_continue(&self) -> bool {
        let expects = |member: &[u8]| member.eq_ignore_ascii_case(b"100-continue");
        self.minor_version >= 1 && self.fields.members("Expect").any(expects)
    }

    /// Whether the client expects something that is not known here: the response is 417.
    pub fn expects_unknown(&self) -> bool {
        let is_other = |member: &[u8]| !member.eq_ignore_ascii_case(b"100-continue");
        self.minor_version >= 1 && self.fields.members("Expect").any(is_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::BodyReader;
    use proptest::prelude::*;

    #[test]
    fn requests_are_read() {
        for (data, method, target, keep_alive, used) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next", "GET", "/", true, 27),
            ("\r\n\r\nGET /a?b HTTP/1.1\r\nhost: a\r\n\r\n", "GET", "/a?b", true, 34),
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
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ] {
            let got = read_bodiless_request(data.as_bytes()).map_err(|why| why.status().0);
            assert_eq!(got, Err(status), "{data:?}");
        }
    }

    /// Nothing after the first line is needed, and no end of a head.
    #[test]
    fn input_that_is_no_request_is_refused_at_once() {
        for data in [
            "IAMAT kiwi +34-118 1\n",
            "IAMAT kiwi +34-118 1\r\n",
            "HELLO herd/1 bruins Jaquez 0123456789abcdef\n",
            "\0\u{1}",
            "\u{16}\u{3}\u{1}",
            "*1\r\n$4",
            "{",
            "GET /\n",
            "GET /\r\n",
            " GET",
            "\n",
            "\rG",
            "GET\t",
        ] {
            assert_eq!(read_request_head(data.as_bytes()), Err(RequestError::Malformed), "{data:?}");
        }
        for data in ["", "\r", "\r\n", "\r\n\r", "G", "GET ", "GET / HTTP/1.1", "GET / HTTP/1.1\r"] {
            assert_eq!(read_request_head(data.as_bytes()), Ok(None), "{data:?}");
        }
    }

    /// Attempts at request smuggling: each is a request whose end two readers could see at different places.
    #[test]
    fn requests_with_two_possible_ends_are_refused() {
        for fields in [
            // CL.TE and TE.CL.
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "transfer-encoding: CHUNKED\r\ncontent-length: 0",
            // TE.TE: one reader does not recognize the coding.
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding:",
            "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding: chunked\u{c}",
            "Transfer-Encoding: chun\0ked",
            "Transfer-Encoding\u{b}: chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding\t: chunked",
            " Transfer-Encoding: chunked",
            "X: a\r\n Transfer-Encoding: chunked",
            "X: a\r\n\tTransfer-Encoding: chunked",
            "X: a\rTransfer-Encoding: chunked",
            "X: a\nTransfer-Encoding: chunked",
            "X: a\n\rTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r",
            "Transfer-Encoding: chunked\r\r",
            "Transfer-\0Encoding: chunked",
            "\0Transfer-Encoding: chunked",
            // Lengths.
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 5",
            "Content-Length: 5, 6",
            "Content-Length: 5,",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 0x5",
            "Content-Length: 5e0",
            "Content-Length: 5.0",
            "Content-Length: 5 5",
            "Content-Length: 5;5",
            "Content-Length: 5\0",
            "Content-Length: \u{b}5",
            "Content-Length: ٥",
            "Content-Length: \"5\"",
            "Content-Length:",
            "Content-Length : 5",
            "Content-Length\t: 5",
            " Content-Length: 5",
            "Content-Length: 5\r\n 6",
            "Content-Length: 5\nX: y",
            "Content-Length: 5\rX: y",
            // The end of the head.
            "X: y\n",
            "X: y\r\n\n",
            "X\r\nContent-Length: 5",
            ": 5",
            "X: y\r\n\rContent-Length: 5",
            // Two hosts.
            "Host: b",
            "host: a",
        ] {
            let data = format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"
            );
            let got = read_request_head(data.as_bytes());
            assert_eq!(got, Err(RequestError::Malformed), "{fields:?}");
        }
        for head in [
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\r\n",
            "POST\0/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "POST / x HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "P(ST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\n Host: a\r\n\r\n",
            "POST / http/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(read_request_head(head.as_bytes()), Err(RequestError::Malformed), "{head:?}");
        }
        // Another name, which says nothing about the body.
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(read_request_head(head).unwrap().unwrap().0.framing, Framing::Length(3));
    }

    #[test]
    fn a_target_is_a_path_or_a_whole_url() {
        let parts = |target: &str| {
            let data = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (head, _) = read_request_head(data.as_bytes()).unwrap().unwrap();
            let (path, query) = head.path_and_query();
            (head.authority().map(str::to_owned), path.to_owned(), query.to_owned())
        };
        let of = |authority: Option<&str>, path: &str, query: &str| {
            (authority.map(str::to_owned), path.to_owned(), query.to_owned())
        };
        for (target, expected) in [
            ("/b?a?c", of(None, "/b", "a?c")),
            ("//x/b", of(None, "//x/b", "")),
            ("*", of(None, "*", "")),
            ("http://x", of(Some("x"), "", "")),
            ("http://x?a", of(Some("x"), "", "a")),
            ("HTTPS://x:1/b?c", of(Some("x:1"), "/b", "c")),
        ] {
            assert_eq!(parts(target), expected, "{target}");
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
