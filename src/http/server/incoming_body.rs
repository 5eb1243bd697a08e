//! Collects the body of a request.

use std::fmt;

use super::request_head::{RequestHead, read_request_head};
use crate::http::{BodyReader, ChunkedError};

/// A request whose head was read and whose body has not ended. It keeps both, so that the input need not be kept.
#[derive(Debug)]
pub struct IncomingBody {
    head: Box<[u8]>,
    reader: BodyReader,
    body: Vec<u8>,
    max: usize,
}

/// The reason why a body is refused. After the response to it the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than the greatest length.
    TooLarge,
    /// A chunk is malformed.
    Chunked(ChunkedError),
}

impl IncomingBody {
    /// The body, of at most `max` bytes, of the request with this head. `bytes` are those of the head.
    ///
    /// # Errors
    ///
    /// When its length is announced and too great.
    pub fn new(head: &RequestHead<'_>, bytes: &[u8], max: usize) -> Result<IncomingBody, BodyError> {
        let body =
            IncomingBody { head: bytes.into(), reader: BodyReader::new(head.framing), body: Vec::new(), max };
        body.check()?;
        Ok(body)
    }

    /// Takes bytes of the body from the front of `data`. Returns their number; the others must be offered again. At
    /// the end of the body they belong to the next request.
    ///
    /// # Errors
    ///
    /// When a chunk is malformed, or as soon as the body is certain to be too long.
    pub fn data_received(&mut self, data: &[u8]) -> Result<usize, BodyError> {
        let mut used = 0;
        while !self.reader.is_complete() {
            let (length, part) = self.reader.data_received(&data[used..]).map_err(BodyError::Chunked)?;
            used += length;
            if self.body.len() + part.len() > self.max {
                return Err(BodyError::TooLarge);
            }
            self.body.extend_from_slice(part);
            self.check()?;
            if length == 0 {
                break;
            }
        }
        Ok(used)
    }

    /// Whether the whole body was received.
    pub fn is_complete(&self) -> bool {
        self.reader.is_complete()
    }

    /// Bytes of the body so far.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether no byte of the body was received.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The head and the body so far.
    pub fn request(&self) -> Option<(RequestHead<'_>, &[u8])> {
        // It was read before, so it is whole and well-formed.
        let (head, _) = read_request_head(&self.head).ok()??;
        Some((head, &self.body))
    }

    fn check(&self) -> Result<(), BodyError> {
        let room = self.max - self.body.len();
        if self.reader.announced() > room as u64 { Err(BodyError::TooLarge) } else { Ok(()) }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::TooLarge => f.write_str("the body is too large"),
            BodyError::Chunked(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn incoming(head: &str, max: usize) -> Result<IncomingBody, BodyError> {
        let (read, length) = read_request_head(head.as_bytes()).unwrap().unwrap();
        IncomingBody::new(&read, &head.as_bytes()[..length], max)
    }

    /// The body, and what is left of the input, for input in pieces of this size.
    fn collect(chunks: &str, size: usize) -> Result<(String, String), BodyError> {
        let (mut body, mut input) = (incoming(HEAD, 10).unwrap(), Vec::new());
        for piece in chunks.as_bytes().chunks(size) {
            input.extend_from_slice(piece);
            let used = body.data_received(&input)?;
            input.drain(..used);
        }
        assert!(body.is_complete());
        let (head, text) = body.request().unwrap();
        assert_eq!(head.method, "PUT");
        Ok((String::from_utf8(text.to_vec()).unwrap(), String::from_utf8(input).unwrap()))
    }

    #[test]
    fn a_body_is_collected_from_any_pieces() {
        for size in 1..40 {
            let text = "4\r\nabcd\r\n00A;x=y\r\n";
            assert_eq!(collect(&format!("{text}123456"), size).err(), Some(BodyError::TooLarge), "{size}");
            let text = "4;x=y\r\nabcd\r\n001\r\ne\r\n00\r\nTrailer: x\r\n\r\nGET /";
            assert_eq!(collect(text, size), Ok(("abcde".to_owned(), "GET /".to_owned())), "{size}");
        }
    }

    /// Chunks that two readers could see the end of at different places.
    #[test]
    fn chunks_with_two_possible_ends_are_refused() {
        for chunks in [
            "x\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhel\r\nlo",
            "-1\r\n\r\n",
            "+5\r\nhello\r\n",
            "5 5\r\nhello\r\n",
            "\r\nhello",
            "0x5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5\nhello\n",
            "5\r\nhello\n0\n\n",
            "5\rhello\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5\0\r\nhello\r\n",
            "10000000000000001\r\nx\r\n",
            "fffffffffffffffff\r\nx\r\n",
            "5,5\r\nhello\r\n",
            "0\r\nX: y\n\r\n",
            "٥\r\nhello\r\n",
        ] {
            for size in [1, 100] {
                let got = collect(chunks, size);
                assert!(matches!(got, Err(BodyError::Chunked(_))), "{chunks:?} {got:?}");
            }
        }
    }

    #[test]
    fn a_body_that_is_certain_to_be_too_large_is_refused_before_it_arrives() {
        let with_length =
            |length: &str| format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        assert!(incoming(&with_length("10"), 10).is_ok());
        for length in ["11", "99999999999999999999999"] {
            assert_eq!(incoming(&with_length(length), 10).err(), Some(BodyError::TooLarge));
        }
        let mut body = incoming(HEAD, 10).unwrap();
        assert_eq!(body.data_received(b"ffffffffffffffff\r\n"), Err(BodyError::TooLarge));
        let mut body = incoming(HEAD, 10).unwrap();
        assert_eq!(body.data_received(b"6\r\nabcdef\r\n"), Ok(11));
        assert_eq!(body.data_received(b"5\r\n"), Err(BodyError::TooLarge));
    }
}
