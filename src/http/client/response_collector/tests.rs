//! Tests of reading responses, which the collector checks as a whole.

use super::*;
use crate::http::client::MAX_INTERIM;
use crate::http::{ChunkedError, FramingError, MAX_HEAD, MAX_HEADERS};
use ResponseError::*;
use proptest::prelude::*;

/// The response and the number of bytes after it, or the error.
type Outcome = Result<(Response, usize), ResponseError>;

const MAX_BODY: usize = 4 * 1024 * 1024;

const TOO_LARGE: ResponseError = BodyTooLarge { max_bytes: MAX_BODY };

/// Reads `data` and the end of the connection. `arrivals`: the number of bytes that have arrived at
/// each call.
fn read(data: &[u8], arrivals: impl IntoIterator<Item = usize>) -> Outcome {
    read_limited(MAX_BODY, data, arrivals)
}

fn read_limited(max_bytes: usize, data: &[u8], arrivals: impl IntoIterator<Item = usize>) -> Outcome {
    let mut reader = ResponseCollector::new(max_bytes);
    let mut used = 0;
    for end in arrivals.into_iter().chain([data.len()]) {
        assert_eq!(reader.finish(), None, "it is not complete");
        used += reader.data_received(&data[used..end.max(used)])?;
        assert_eq!(reader.has_begun(), end > 0);
        if reader.is_complete() {
            break;
        }
    }
    reader.eof_received()?;
    // The end of the connection completes a response or is an error.
    Ok((reader.finish().unwrap(), data.len() - used))
}

/// Reads `data` at once and byte by byte; the outcome must be the same.
fn read_both_ways(data: &[u8]) -> Outcome {
    let at_once = read(data, []);
    assert_eq!(at_once, read(data, 1..data.len()), "{}", data.escape_ascii());
    at_once
}

fn whole(status: u16, body: &[u8], keep_alive: bool, left: usize) -> Outcome {
    Ok((Response { status, body: body.to_vec(), keep_alive, retry_after: None }, left))
}

#[test]
fn responses_of_every_framing() {
    let table: [(&str, u16, &str, bool, usize); 17] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", true, 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1", 200, "abc", true, 8),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", 200, "abc", true, 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx", 200, "", true, 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", 200, "abc", false, 0),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false, 0),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na", 200, "a", true, 0),
        ("HTTP/1.1 200\r\ncontent-length:3\r\n\r\nabc", 200, "abc", true, 0),
        ("HTTP/1.1 503 Try\tlater\nContent-Length: 3\n\nabc", 503, "abc", true, 0),
        (
            "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nx",
            200,
            "abc",
            true,
            1,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: CLOSE\r\n\r\n0\r\n\r\n",
            200,
            "",
            false,
            0,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", 200, "abc", false, 0),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", 200, "", false, 0),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", 204, "", true, 3),
        ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304, "", true, 0),
        (
            "HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\nHTTP/1.1 301 M\r\nContent-Length: 1\r\n\r\na",
            301,
            "a",
            true,
            0,
        ),
        ("HTTP/1.1 103 Early\r\nConnection: close\r\n\r\nHTTP/1.1 204 N\r\n\r\n", 204, "", true, 0),
    ];
    for (data, status, body, keep_alive, left) in table {
        assert_eq!(
            read_both_ways(data.as_bytes()),
            whole(status, body.as_bytes(), keep_alive, left),
            "{data}"
        );
    }
}

#[test]
fn bad_responses_are_errors() {
    let table: [(&str, ResponseError); 21] = [
        ("", ClosedBeforeResponse),
        ("H", ClosedWithinResponse),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", ClosedWithinResponse),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", ClosedWithinResponse),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", ClosedWithinResponse),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", ClosedWithinResponse),
        ("HTTP/1.1 100 Continue\r\n\r\n", ClosedWithinResponse),
        ("SSH-2.0-OpenSSH_9.9\r\n", NotHttp),
        ("HTTP/2 200\r\n\r\n", NotHttp),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", NotHttp),
        ("\x15\x03\x03\0\x02\x02\x46", NotHttp),
        ("HTTP/1.2 200 OK\r\n\r\n", BadHead(httparse::Error::Version)),
        ("HTTP/1.1 2x0 OK\r\n\r\n", BadHead(httparse::Error::Status)),
        ("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", BadHead(httparse::Error::HeaderName)),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Upgrade),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n", TOO_LARGE),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", TOO_LARGE),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", TOO_LARGE),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", Chunked(ChunkedError::BadSize)),
        ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", Framing(FramingError::BadLength)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            Framing(FramingError::LengthAndCoding),
        ),
    ];
    for (data, expected) in table {
        assert_eq!(read_both_ways(data.as_bytes()), Err(expected), "{data}");
    }
}

#[test]
fn a_response_that_is_cut_off_is_an_error() {
    for data in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        for end in 1..data.len() {
            assert_eq!(read(&data[..end], []), Err(ClosedWithinResponse), "{}", data[..end].escape_ascii());
        }
    }
}

#[test]
fn every_part_is_bounded() {
    let padded = |size: usize| {
        let (front, back) = ("HTTP/1.1 200 OK\r\nA: ", "\r\nContent-Length: 0\r\n\r\n");
        format!("{front}{}{back}", "a".repeat(size - front.len() - back.len()))
    };
    assert_eq!(read(padded(MAX_HEAD).as_bytes(), []), whole(200, b"", true, 0));
    assert_eq!(read(padded(MAX_HEAD + 1).as_bytes(), []), Err(HeadTooLarge));
    assert_eq!(read(padded(MAX_HEAD + 1).as_bytes(), [MAX_HEAD - 1, MAX_HEAD]), Err(HeadTooLarge));

    let fields = |n| format!("HTTP/1.1 204 N\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert_eq!(read(fields(MAX_HEADERS).as_bytes(), []), whole(204, b"", true, 0));
    assert_eq!(read(fields(MAX_HEADERS + 1).as_bytes(), []), Err(TooManyHeaders));

    let interim = |n| format!("{}HTTP/1.1 204 N\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n".repeat(n));
    assert_eq!(read_both_ways(interim(MAX_INTERIM).as_bytes()), whole(204, b"", true, 0));
    assert_eq!(read_both_ways(interim(MAX_INTERIM + 1).as_bytes()), Err(TooManyInterim));

    let body = vec![b'x'; MAX_BODY + 1];
    for (head, result) in [("", Err(TOO_LARGE)), ("Content-Length: 4194304\r\n", Ok(1))] {
        let data = [b"HTTP/1.1 200 OK\r\n", head.as_bytes(), b"\r\n", &body].concat();
        assert_eq!(read(&data, [1000, MAX_BODY]).map(|(_, left)| left), result);
        assert_eq!(read(&data[..data.len() - 1], [70_000]).map(|(got, _)| got.body.len()), Ok(MAX_BODY));
    }
}

#[test]
fn the_limit_of_a_body_is_the_callers() {
    for (framing, body) in [
        ("Content-Length: 5\r\n", "abcde"),
        ("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        ("", "abcde"),
    ] {
        let data = format!("HTTP/1.1 200 OK\r\n{framing}\r\n{body}");
        let outcomes = [5, 4].map(|max| read_limited(max, data.as_bytes(), []).map(|(got, _)| got.body));
        assert_eq!(outcomes, [Ok(b"abcde".to_vec()), Err(BodyTooLarge { max_bytes: 4 })], "{framing}");
        for (max, outcome) in [5, 4].into_iter().zip(outcomes) {
            let slowly = read_limited(max, data.as_bytes(), 1..data.len());
            assert_eq!(slowly.map(|(got, _)| got.body), outcome, "{framing}");
        }
    }
}

#[test]
fn a_body_that_announces_too_much_is_refused_before_it_arrives() {
    for (framing, most) in
        [("Content-Length: 5\r\n\r", ""), ("Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n5\r", "a")]
    {
        let data = format!("HTTP/1.1 200 OK\r\n{framing}\n");
        let mut collector = ResponseCollector::new(4);
        let used = collector.data_received(&data.as_bytes()[..data.len() - 1]).unwrap();
        assert_eq!(collector.response.body, most.as_bytes());
        let error = BodyTooLarge { max_bytes: 4 };
        assert_eq!(collector.data_received(&data.as_bytes()[used..]), Err(error), "{framing}");
    }
}

#[test]
fn a_collector_reads_one_response_after_the_other() {
    let one = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na";
    let two = b"HTTP/1.1 201 OK\r\nContent-Length: 1\r\n\r\nb";
    let mut reader = ResponseCollector::new(1);
    assert_eq!(reader.data_received(one), Ok(one.len()));
    assert_eq!(reader.data_received(two), Ok(0), "bytes after the end are not used");
    assert_eq!(reader.finish().map(|response| response.status), Some(200));
    assert!(!reader.has_begun() && !reader.is_complete());
    assert_eq!(reader.data_received(two), Ok(two.len()));
    let second = Response { status: 201, body: b"b".to_vec(), keep_alive: true, retry_after: None };
    assert_eq!(reader.finish(), Some(second));
    assert_eq!(reader.finish(), None);
}

#[test]
fn an_error_names_the_limit() {
    let too_large = |max_bytes| BodyTooLarge { max_bytes }.to_string();
    assert_eq!(too_large(MAX_BODY), "the answer is larger than 4 MiB");
    assert_eq!(too_large(1000), "the answer is larger than 1000 bytes");
    assert_eq!(HeadTooLarge.to_string(), "the head of the answer is larger than 16 KiB");
}

/// A response of any framing, and its outcome.
fn any_response() -> impl Strategy<Value = (Vec<u8>, Outcome)> {
    let chunk = (1..20usize, "(;[ -~]{0,12})?");
    let trailer = prop::collection::vec("[A-Za-z]{1,5}: [ -~]{0,10}\r\n", 0..3);
    (
        (0..3usize, 200..600u16, any::<Vec<u8>>(), prop::collection::vec(chunk, 1..8), trailer),
        (any::<bool>(), prop::sample::select(vec!["\r\n", "\n"]), 0..3u8, any::<[u8; 3]>()),
    )
        .prop_map(|((interim, status, mut body, chunks, trailer), (close, newline, framing, excess))| {
            let mut data = format!("HTTP/1.1 100 C{newline}{newline}").repeat(interim);
            data += &format!("HTTP/1.1 {status} Some reason{newline}");
            if close {
                data += &format!("cOnnection: x, Close{newline}");
            }
            let framing = if matches!(status, 204 | 304) { 3 } else { framing };
            data += &match framing {
                0 => format!("Content-Length: {}{newline}", body.len()),
                1 => format!("Transfer-Encoding: chunked{newline}"),
                _ => String::new(),
            };
            let mut data = (data + newline).into_bytes();
            match framing {
                0 | 2 => data.extend(&body),
                1 => {
                    let mut rest = &body[..];
                    for (size, extension) in chunks.iter().cycle() {
                        let (part, after) = rest.split_at(rest.len().min(*size));
                        data.extend(format!("{:X}{extension}\r\n", part.len()).bytes());
                        data.extend(part);
                        if part.is_empty() {
                            break;
                        }
                        data.extend(b"\r\n");
                        rest = after;
                    }
                    data.extend(trailer.concat().bytes());
                    data.extend(b"\r\n");
                }
                _ => body.clear(),
            }
            let until_close = framing == 2;
            if !until_close {
                data.extend(excess);
            }
            let left = if until_close { 0 } else { excess.len() };
            (data, whole(status, &body, !close && !until_close, left))
        })
}

/// Arrivals in ascending order.
fn arrivals(cuts: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    ends.sort_unstable();
    ends
}

proptest! {
    #[test]
    fn any_split_has_the_same_outcome(
        (data, expected) in any_response(), cuts: Vec<prop::sample::Index>
    ) {
        prop_assert_eq!(&read(&data, []), &expected);
        prop_assert_eq!(&read(&data, 1..data.len()), &expected);
        prop_assert_eq!(&read(&data, arrivals(&cuts, data.len())), &expected);
    }

    #[test]
    fn a_damaged_response_has_the_same_outcome_in_any_split(
        (mut data, _) in any_response(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"\r\n:;, 0159aF\0\xff".to_vec())), 1..4),
        cuts: Vec<prop::sample::Index>,
        max_bytes in prop_oneof![Just(MAX_BODY), 0..40usize],
    ) {
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let at_once = read_limited(max_bytes, &data, []);
        prop_assert_eq!(&read_limited(max_bytes, &data, 1..data.len()), &at_once);
        prop_assert_eq!(&read_limited(max_bytes, &data, arrivals(&cuts, data.len())), &at_once);
    }

    #[test]
    fn garbage_has_the_same_outcome_in_any_split(front in "(HTTP/1.1 200 \r\n)?", garbage: Vec<u8>) {
        let data = [front.as_bytes(), &garbage].concat();
        prop_assert_eq!(read(&data, []), read(&data, 1..data.len()));
    }
}

#[test]
fn folded_lines_and_white_space_before_a_colon_are_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Security-Policy:\r\n  default-src x;\r\n\timg-src y\r\n\
                Transfer-Encoding:\r\n chunked\r\nConnection : close\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    for cut in 0..head.len() {
        let mut collector = ResponseCollector::new(100);
        let used = collector.data_received(&head.as_bytes()[..cut]).unwrap();
        assert_eq!(collector.data_received(&head.as_bytes()[used..]), Ok(head.len() - used));
        let response = collector.finish().unwrap();
        assert_eq!((response.status, response.body, response.keep_alive), (200, b"ab".to_vec(), false));
    }
}

#[test]
fn a_compressed_answer_is_named() {
    for (coding, named) in [("gzip", "gzip"), ("identity, BR", "br"), ("x", "an unknown coding")] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 2\r\n\r\nab");
        let error = ResponseCollector::new(100).data_received(head.as_bytes()).unwrap_err();
        assert_eq!(error, ResponseError::Encoded(named));
    }
    let failed = b"HTTP/1.1 403 No\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab";
    let mut collector = ResponseCollector::new(100);
    assert_eq!(collector.data_received(failed), Ok(failed.len()), "its status says what failed");
    assert_eq!(collector.finish().unwrap().status, 403);
    let plain = b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(ResponseCollector::new(100).data_received(plain), Ok(plain.len()));
}

#[test]
fn only_seconds_are_read_as_the_time_to_retry() {
    for (field, expected) in [
        ("Retry-After: 7", Some(7)),
        ("retry-after:  007 ", Some(7)),
        ("Retry-After: 0", Some(0)),
        ("Retry-After: 99999999999999999999999", Some(u64::MAX)),
        ("Retry-After: 1.5", None),
        ("Retry-After: +1", None),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("Retry-After:", None),
        ("X: 7", None),
    ] {
        let mut collector = ResponseCollector::new(100);
        let response = format!("HTTP/1.1 429 Slow\r\n{field}\r\nContent-Length: 0\r\n\r\n");
        collector.data_received(response.as_bytes()).unwrap();
        assert_eq!(collector.finish().unwrap().retry_after, expected.map(Duration::from_secs), "{field}");
    }
}
