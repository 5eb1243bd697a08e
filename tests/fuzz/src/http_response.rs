//! Responses, as they come and as they were meant.

use herd::http::MAX_HEAD;
use herd::http::client::{Response, ResponseError, ResponseReader};

use super::pieces::{Chance, Pieces};

/// Whatever comes is read the same however it is cut, and what is a response comes out as it was put
/// in. The first byte chooses pieces, the rest is what the server sends, or the body that it sends.
pub fn http_response(data: &[u8]) {
    let [options, stream @ ..] = data else { return };
    let [whole, bytes, random] =
        Pieces::all(options >> 1).map(|pieces| read(stream, pieces, options & 1 == 1));
    assert_eq!(whole, bytes);
    assert_eq!(whole, random);
    framed(stream, *options);
}

/// The responses of one connection, how many bytes they had, and how it went on after the last of them.
fn read(stream: &[u8], pieces: Pieces, eof: bool) -> (Vec<(Response, usize)>, Result<bool, ResponseError>) {
    let (mut reader, mut input) = (ResponseReader::new(), Vec::new());
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

/// `body` in each of the framings. Cut off anywhere, it is not taken for a shorter one.
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
        let (responses, ended) = read(&message, Pieces::Random(u64::from(seed)), true);
        let response = Response { status: 200, body: body.to_vec(), keep_alive: true };
        assert_eq!(responses, [(response, message.len())]);
        assert_eq!(ended, Err(ResponseError::ClosedBeforeAnswer), "a new reader has read nothing");
        let cut = &message[..chance.below(message.len())];
        let (responses, ended) = read(cut, Pieces::Whole, true);
        assert!(responses.is_empty() && ended.is_err(), "a part of a response is none");
    }
}
