//! Responses, in any pieces and framings.

use herd::http::MAX_HEAD;
use herd::http::client::{Response, ResponseCollector, ResponseError, ResponseEvent, ResponseReader};

use super::pieces::{Chance, Pieces};

/// Any input is read the same in any pieces, and the reader returns a response as it was sent. The first
/// byte chooses pieces, the rest is what the server sends, or the body that it sends.
pub fn http_response(data: &[u8]) {
    let [options, stream @ ..] = data else { return };
    for max_body_bytes in [SMALL_BODY, LARGE_BODY] {
        let [whole, bytes, random] =
            Pieces::all(options >> 1).map(|pieces| read(max_body_bytes, stream, pieces, options & 1 == 1));
        assert_eq!(whole, bytes);
        assert_eq!(whole, random);
    }
    framed(stream, *options);
}

/// Returns the responses of one connection, each with the bytes used until its end, and then: whether a
/// further response has begun, or the error.
fn read(
    max_body_bytes: usize,
    stream: &[u8],
    pieces: Pieces,
    eof: bool,
) -> (Vec<(Response, usize)>, Result<bool, ResponseError>) {
    let (mut reader, mut input) = (ResponseCollector::new(max_body_bytes), Vec::new());
    let (mut responses, mut used_up) = (Vec::new(), 0);
    for piece in pieces.of(stream) {
        input.extend_from_slice(piece);
        loop {
            let used = match reader.data_received(&input) {
                Ok(used) => used,
                Err(error) => return (responses, Err(error)),
            };
            used_up += used;
            input.drain(..used);
            let Some(response) = reader.finish() else { break };
            responses.push((response, used_up));
            if input.is_empty() {
                break;
            }
        }
        assert!(input.len() <= MAX_HEAD, "{} bytes are kept", input.len());
    }
    let ended = match eof.then(|| reader.eof_received()) {
        None => Ok(reader.has_begun()),
        Some(Err(error)) => Err(error),
        Some(Ok(())) => {
            responses.extend(reader.finish().map(|response| (response, used_up)));
            Ok(false)
        }
    };
    (responses, ended)
}

/// Reads the body of a whole response from the events, which hand it out without copying it.
fn stream_body(message: &[u8]) -> Vec<u8> {
    let (mut reader, mut rest, mut body) = (ResponseReader::new(), message, Vec::new());
    loop {
        let (used, event) = reader.data_received(rest).expect("the response is well-formed");
        match event.expect("the response is whole") {
            ResponseEvent::Head(head) => assert_eq!((head.status, body.len()), (200, 0)),
            ResponseEvent::Body(part) => {
                assert!(!part.is_empty() && rest[..used].as_ptr_range().contains(&part.as_ptr()));
                body.extend_from_slice(part);
            }
            ResponseEvent::End => return body,
        }
        rest = &rest[used..];
    }
}

/// Sends `body` in each of the framings. A response that is cut off anywhere is not taken for a shorter
/// one.
fn framed(body: &[u8], seed: u8) {
    let mut chance = Chance::new(u64::from(seed));
    let mut chunks = Vec::new();
    for chunk in Pieces::Random(u64::from(seed)).of(body) {
        let padding = ["", "0", " ", ";a=\"b\"", "\t"][chance.below(5)];
        let size = if padding == "0" {
            format!("0{:X}", chunk.len())
        } else {
            format!("{:x}{padding}", chunk.len())
        };
        chunks.extend_from_slice(format!("{size}\r\n").as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(["0\r\n\r\n", "0000;x\r\nA: b\r\n\r\n"][chance.below(2)].as_bytes());
    let head = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n";
    for message in [
        [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(),
        [format!("{head}Transfer-Encoding: Chunked\r\n\r\n").as_bytes(), &chunks].concat(),
    ] {
        let (responses, ended) = read(LARGE_BODY, &message, Pieces::Random(u64::from(seed)), true);
        let response = Response { status: 200, body: body.to_vec(), keep_alive: true, retry_after: None };
        assert_eq!(responses, [(response, message.len())]);
        assert_eq!(stream_body(&message), body);
        assert_eq!(ended, Err(ResponseError::ClosedBeforeResponse), "a new reader has read nothing");
        let cut = &message[..chance.below(message.len())];
        let (responses, ended) = read(LARGE_BODY, cut, Pieces::Whole, true);
        assert!(responses.is_empty() && ended.is_err(), "a part of a response is none");
    }
}

/// Limits of a body in bytes: one that many inputs exceed, and one that none does.
const SMALL_BODY: usize = 8;
const LARGE_BODY: usize = 4 * 1024 * 1024;
