//! Bodies, handed out as they arrive.

use super::chunked::{ChunkedError, ChunkedReader};
use super::framing::{Framing, take};

/// Reads one body (RFC 9112, section 6).
///
/// Call [`data_received`](Self::data_received) until [`is_complete`](Self::is_complete), and
/// [`eof_received`](Self::eof_received) at the end of the connection. After an error the reader and
/// its connection must not be used again.
#[derive(Debug)]
pub struct BodyReader(State);

#[derive(Debug)]
enum State {
    /// `left`: bytes of the body that have not arrived.
    Length {
        left: u64,
    },
    Chunked(ChunkedReader),
    UntilClose,
    /// The connection ended, and the body with it.
    Closed,
}

impl BodyReader {
    /// A reader of a body with this framing.
    pub fn new(framing: Framing) -> Self {
        BodyReader(match framing {
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Chunked(ChunkedReader::default()),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Reads from the front of `data`. Returns how many bytes are used, and those of them that are
    /// body.
    ///
    /// If none are body, the body is complete or the unused rest, at most
    /// [`MAX_HEAD`](super::MAX_HEAD) bytes, must be offered again together with what arrives after
    /// it. Otherwise the unused rest may hold more of the body, and can be offered at once.
    ///
    /// # Errors
    ///
    /// When a chunk is malformed, at the same byte however the body is split.
    pub fn data_received<'a>(&mut self, data: &'a [u8]) -> Result<(usize, &'a [u8]), ChunkedError> {
        match &mut self.0 {
            State::Length { left } => {
                let part = take(data, left);
                Ok((part.len(), part))
            }
            State::Chunked(reader) => reader.data_received(data),
            State::UntilClose => Ok((data.len(), data)),
            State::Closed => Ok((0, &[])),
        }
    }

    /// Handles the end of the connection. Returns whether the body is complete; if not, it was cut
    /// off.
    #[must_use]
    pub fn eof_received(&mut self) -> bool {
        if matches!(self.0, State::UntilClose) {
            self.0 = State::Closed;
        }
        self.is_complete()
    }

    /// Whether the end of the body has been read.
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            State::Length { left } => *left == 0,
            State::Chunked(reader) => reader.is_complete(),
            State::UntilClose => false,
            State::Closed => true,
        }
    }

    /// Returns how many bytes of the body are announced and have not arrived: those of the whole body
    /// by Content-Length, those of the current chunk by its size. Allows a caller with a limit to
    /// give up before the bytes arrive.
    pub fn announced(&self) -> u64 {
        match &self.0 {
            State::Length { left } => *left,
            State::Chunked(reader) => reader.announced(),
            State::UntilClose | State::Closed => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{write_chunk, write_last_chunk};

    #[test]
    fn each_part_is_handed_out_as_it_arrives() {
        let mut reader = BodyReader::new(Framing::Length(5));
        assert_eq!(reader.data_received(b""), Ok((0, &b""[..])));
        assert_eq!(reader.data_received(b"abc"), Ok((3, &b"abc"[..])));
        assert_eq!((reader.announced(), reader.is_complete()), (2, false));
        assert_eq!(reader.data_received(b"defg"), Ok((2, &b"de"[..])));
        assert_eq!((reader.announced(), reader.is_complete()), (0, true));
        assert_eq!(reader.data_received(b"fg"), Ok((0, &b""[..])));

        let mut reader = BodyReader::new(Framing::Chunked);
        assert_eq!(reader.data_received(b"6\r\nab"), Ok((5, &b"ab"[..])));
        assert_eq!(reader.announced(), 4);
        assert_eq!(reader.data_received(b"c"), Ok((1, &b"c"[..])));
        assert_eq!(reader.data_received(b"def\r\n1\r\ng\r\n"), Ok((3, &b"def"[..])));
        assert_eq!(reader.data_received(b"\r\n1\r\ng\r\n0"), Ok((6, &b"g"[..])));
        assert_eq!(reader.data_received(b"\r\n0"), Ok((2, &b""[..])));
        assert_eq!(reader.data_received(b"0\r\n\r\nh"), Ok((5, &b""[..])));
        assert!(reader.is_complete());

        let mut reader = BodyReader::new(Framing::UntilClose);
        assert_eq!(reader.data_received(b"abc"), Ok((3, &b"abc"[..])));
        assert_eq!((reader.announced(), reader.is_complete()), (0, false));
        assert!(reader.eof_received() && reader.is_complete());
        assert_eq!(reader.data_received(b"d"), Ok((0, &b""[..])));
    }

    #[test]
    fn a_body_that_is_cut_off_is_not_complete() {
        for (framing, data) in [(Framing::Length(3), "ab"), (Framing::Chunked, "2\r\nab\r\n")] {
            let mut reader = BodyReader::new(framing);
            reader.data_received(data.as_bytes()).unwrap();
            assert!(!reader.eof_received(), "{framing:?}");
        }
        assert!(BodyReader::new(Framing::Length(0)).eof_received());
    }

    #[test]
    fn memory_does_not_grow_with_the_body() {
        const PARTS: usize = 1000;
        let part = [b'x'; 64 * 1024];
        let mut chunk = Vec::new();
        write_chunk(&mut chunk, &part);
        let length = Framing::Length((PARTS * part.len()) as u64);
        for (framing, arrival) in
            [(length, &part[..]), (Framing::Chunked, &chunk), (Framing::UntilClose, &part)]
        {
            let (mut reader, mut received) = (BodyReader::new(framing), 0);
            for _ in 0..PARTS {
                let mut rest = arrival;
                loop {
                    let (used, body) = reader.data_received(rest).unwrap();
                    assert!(body.is_empty() || rest.as_ptr_range().contains(&body.as_ptr()), "copied");
                    received += body.len();
                    rest = &rest[used..];
                    if body.is_empty() {
                        break;
                    }
                }
                assert!(rest.is_empty(), "{} bytes must be offered again", rest.len());
            }
            let mut end = Vec::new();
            write_last_chunk(&mut end);
            if framing == Framing::Chunked {
                assert_eq!(reader.data_received(&end), Ok((end.len(), &b""[..])));
            }
            assert!(reader.eof_received());
            assert_eq!(received, PARTS * part.len(), "{framing:?}");
        }
    }
}
