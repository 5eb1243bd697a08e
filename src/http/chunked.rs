//! The chunked transfer coding (RFC 9112, section 7.1). Extensions and trailer fields are ignored.

use std::fmt;

use memchr::memchr;

use super::framing::take;
use super::head::MAX_HEAD;

/// Reads a chunked body as it arrives: chunks of a size line, that many bytes and CR LF; after the
/// chunk of size 0 a trailer of lines, the last one empty.
#[derive(Debug, Default)]
pub(super) struct ChunkedReader {
    state: State,
    /// Bytes at the front of the next line that hold no LF. They are offered again.
    searched: usize,
    /// Bytes of extensions received.
    extensions: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    /// `left`: bytes of the chunk that have not arrived.
    Data {
        left: u64,
    },
    DataEnd,
    /// `used`: bytes of the trailer received.
    Trailer {
        used: usize,
    },
    Complete,
}

impl ChunkedReader {
    /// See [`BodyReader::data_received`](super::BodyReader::data_received). A line is used when its
    /// end has arrived.
    pub(super) fn data_received<'a>(&mut self, data: &'a [u8]) -> Result<(usize, &'a [u8]), ChunkedError> {
        let mut used = 0;
        loop {
            let rest = &data[used..];
            if let State::Data { left } = &mut self.state {
                let part = take(rest, left);
                if *left == 0 {
                    self.state = State::DataEnd;
                }
                return Ok((used + part.len(), part));
            }
            match self.framing_received(rest)? {
                0 => return Ok((used, &[])),
                step => used += step,
            }
        }
    }

    /// Whether the end of the trailer has been read.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Returns how many bytes of the current chunk have not arrived.
    pub(super) fn announced(&self) -> u64 {
        if let State::Data { left } = self.state { left } else { 0 }
    }

    /// Reads one line or line end between the data; returns how many bytes it has, or 0 while its end
    /// has not arrived.
    fn framing_received(&mut self, data: &[u8]) -> Result<usize, ChunkedError> {
        match self.state {
            State::Size => self.size_received(data),
            State::DataEnd => match data {
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(CRLF.len())
                }
                [] | [b'\r'] => Ok(0),
                _ => Err(ChunkedError::BadEnd),
            },
            State::Trailer { used } => {
                let errors = (ChunkedError::TrailerTooLarge, ChunkedError::BadTrailer);
                let Some(line) = self.line(data, MAX_HEAD - used, errors)? else {
                    return Ok(0);
                };
                let length = line.len() + CRLF.len();
                self.state =
                    if line.is_empty() { State::Complete } else { State::Trailer { used: used + length } };
                Ok(length)
            }
            State::Data { .. } | State::Complete => Ok(0),
        }
    }

    fn size_received(&mut self, data: &[u8]) -> Result<usize, ChunkedError> {
        let errors = (ChunkedError::ExtensionsTooLarge, ChunkedError::BadSize);
        let Some(line) = self.line(data, MAX_SIZE_LINE, errors)? else {
            return Ok(0);
        };
        let (size, extensions) = match memchr(b';', line) {
            Some(at) => line.split_at(at),
            None => (line, &[][..]),
        };
        self.extensions += extensions.len();
        if self.extensions > MAX_EXTENSIONS {
            return Err(ChunkedError::ExtensionsTooLarge);
        }
        self.state = match parse_size(size).ok_or(ChunkedError::BadSize)? {
            0 => State::Trailer { used: 0 },
            left => State::Data { left },
        };
        Ok(line.len() + CRLF.len())
    }

    /// Returns the line at the front of `data` without its CR LF, or `None` while its end has not
    /// arrived.
    ///
    /// # Errors
    ///
    /// `too_long`: the line has more than `bound` bytes, CR LF included. `bad`: it has a CR or an LF
    /// other than the CR LF at its end.
    fn line<'a>(
        &mut self,
        data: &'a [u8],
        bound: usize,
        (too_long, bad): (ChunkedError, ChunkedError),
    ) -> Result<Option<&'a [u8]>, ChunkedError> {
        let window = &data[..data.len().min(bound)];
        match memchr(b'\n', window.get(self.searched..).unwrap_or_default()) {
            Some(at) => {
                let line = window[..self.searched + at].strip_suffix(b"\r");
                self.searched = 0;
                line.filter(|line| memchr(b'\r', line).is_none()).map(Some).ok_or(bad)
            }
            None if window.len() == bound => Err(too_long),
            None => {
                self.searched = window.len();
                Ok(None)
            }
        }
    }
}

/// Parses the size of a chunk: hexadecimal digits. Spaces and tabs after them are accepted, because
/// old servers pad sizes with them.
fn parse_size(text: &[u8]) -> Option<u64> {
    let mut digits = text;
    while let [front @ .., b' ' | b'\t'] = digits {
        digits = front;
    }
    if digits.is_empty() || digits.len() > MAX_SIZE_DIGITS {
        return None;
    }
    digits.iter().try_fold(0u64, |size, &digit| Some(size << 4 | u64::from(char::from(digit).to_digit(16)?)))
}

/// Appends `data` as one chunk. Empty data is no chunk, since a chunk of size 0 is the last one.
pub fn write_chunk(output: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    output.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    output.extend_from_slice(data);
    output.extend_from_slice(CRLF);
}

/// Appends the end of a chunked body, without a trailer.
pub fn write_last_chunk(output: &mut Vec<u8>) {
    output.extend_from_slice(b"0\r\n\r\n");
}

/// The reason why a chunked body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedError {
    /// The size of a chunk is not a hexadecimal number, or its line does not end with CR LF.
    BadSize,
    /// The data of a chunk are not followed by CR LF.
    BadEnd,
    /// A size line with its extensions, or the extensions of all chunks, are longer than their
    /// limits.
    ExtensionsTooLarge,
    /// A line of the trailer does not end with CR LF.
    BadTrailer,
    /// The trailer is longer than [`MAX_HEAD`] bytes.
    TrailerTooLarge,
}

impl fmt::Display for ChunkedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChunkedError::BadSize => f.write_str("the size of a chunk is not a hexadecimal number"),
            ChunkedError::BadEnd => f.write_str("a chunk does not have the length that it announces"),
            ChunkedError::ExtensionsTooLarge => f.write_str("the chunk extensions are too large"),
            ChunkedError::BadTrailer => f.write_str("a line of the trailer does not end with CR LF"),
            ChunkedError::TrailerTooLarge => write!(f, "the trailer is larger than {} KiB", MAX_HEAD / 1024),
        }
    }
}

impl std::error::Error for ChunkedError {}

const CRLF: &[u8] = b"\r\n";

/// The maximum number of digits of a chunk's size: those of a `u64`.
const MAX_SIZE_DIGITS: usize = 16;

/// The maximum length of a size line in bytes, with extensions and CR LF. Extensions are rare; a
/// signature of each chunk has about 100 bytes.
const MAX_SIZE_LINE: usize = 1024;

/// The maximum length of the extensions of all chunks together, in bytes: they are ignored, so they
/// must not be most of a message.
const MAX_EXTENSIONS: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use ChunkedError::*;

    /// Reads until `data` has no more body; returns the bytes used.
    fn read_into(reader: &mut ChunkedReader, data: &[u8], body: &mut Vec<u8>) -> Result<usize, ChunkedError> {
        let mut used = 0;
        loop {
            let (step, part) = reader.data_received(&data[used..])?;
            used += step;
            body.extend_from_slice(part);
            if part.is_empty() {
                return Ok(used);
            }
        }
    }

    /// Reads `data` at once and byte by byte. Returns the body and the bytes used, or `None` while the
    /// body is incomplete.
    fn read(data: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ChunkedError> {
        let mut whole = (ChunkedReader::default(), Vec::new());
        let at_once = read_into(&mut whole.0, data, &mut whole.1)
            .map(|n| whole.0.is_complete().then_some((whole.1, n)));
        let (mut reader, mut body, mut used) = (ChunkedReader::default(), Vec::new(), 0);
        let mut slowly = Ok(());
        for end in 0..=data.len() {
            match read_into(&mut reader, &data[used..end], &mut body) {
                Ok(n) => used += n,
                Err(why) => {
                    slowly = Err(why);
                    break;
                }
            }
        }
        assert_eq!(at_once, slowly.map(|()| reader.is_complete().then_some((body, used))));
        at_once
    }

    #[test]
    fn chunks_become_a_body() {
        let table: [(&[u8], &[u8], usize); 8] = [
            (b"0\r\n\r\n", b"", 5),
            (b"3\r\nabc\r\n0\r\n\r\nmore", b"abc", 13),
            (b"1\r\na\r\n2\r\n\r\n\r\n0\r\n\r\n", b"a\r\n", 18),
            (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789", 35),
            (b"0000000000000003\r\nabc\r\n000\r\n\r\n", b"abc", 30),
            (b"3;name=\"va lue\";x\r\nabc\r\n0;last\r\n\r\n", b"abc", 34),
            (b"3 \t\r\nabc\r\n0 ;x\r\n\r\n", b"abc", 18),
            (b"1\r\na\r\n0\r\nExpires: never\r\nno colon\r\n\r\n", b"a", 37),
        ];
        for (data, body, used) in table {
            assert_eq!(read(data), Ok(Some((body.to_vec(), used))), "{}", data.escape_ascii());
        }
    }

    #[test]
    fn a_body_is_incomplete_before_its_last_byte() {
        let data = b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n";
        for end in 0..data.len() {
            assert_eq!(read(&data[..end]), Ok(None), "{}", data[..end].escape_ascii());
        }
    }

    #[test]
    fn bad_chunks_are_errors() {
        let table: [(&[u8], ChunkedError); 17] = [
            (b"3\x0c\r\nabc\r\n", BadSize),
            (b"\r\nabc", BadSize),
            (b";x\r\n", BadSize),
            (b"x\r\n", BadSize),
            (b"+3\r\nabc\r\n", BadSize),
            (b"-1\r\n", BadSize),
            (b"0x3\r\nabc\r\n", BadSize),
            (b" 3\r\nabc\r\n", BadSize),
            (b"3 3\r\nabc\r\n", BadSize),
            (b"3\nabc\r\n", BadSize),
            (b"3\rx\r\nabc\r\n", BadSize),
            (b"3;a\rb\r\nabc\r\n", BadSize),
            (b"00000000000000003\r\nabc\r\n", BadSize),
            (b"1\r\nab\r\n", BadEnd),
            (b"1\r\na\n", BadEnd),
            (b"1\r\na\r\r\n", BadEnd),
            (b"0\r\nA: b\n\r\n", BadTrailer),
        ];
        for (data, expected) in table {
            assert_eq!(read(data), Err(expected), "{}", data.escape_ascii());
        }
    }

    #[test]
    fn lines_are_bounded() {
        let line = |length: usize| [b"1;", &vec![b'x'; length - 4][..], b"\r\na\r\n0\r\n\r\n"].concat();
        assert!(read(&line(MAX_SIZE_LINE)).unwrap().is_some());
        assert_eq!(read(&line(MAX_SIZE_LINE + 1)), Err(ExtensionsTooLarge));

        let trailer = |length: usize| [b"0\r\nA: b\r\n", &vec![b'x'; length - 10][..], b"\r\n\r\n"].concat();
        assert!(read(&trailer(MAX_HEAD)).unwrap().is_some());
        assert_eq!(read(&trailer(MAX_HEAD + 1)), Err(TrailerTooLarge));
        assert_eq!(read(&[b"0\r\n", &b"a\r\n".repeat(MAX_HEAD)[..]].concat()), Err(TrailerTooLarge));
    }

    #[test]
    fn all_extensions_together_are_bounded() {
        let chunk = [b"1;", &[b'x'; 1000][..], b"\r\na\r\n"].concat();
        let read = |data: &[u8]| read_into(&mut ChunkedReader::default(), data, &mut Vec::new());
        let many = chunk.repeat(MAX_EXTENSIONS / 1001);
        assert_eq!(read(&many), Ok(many.len()));
        assert_eq!(read(&chunk.repeat(MAX_EXTENSIONS / 1001 + 1)), Err(ExtensionsTooLarge));
    }

    #[test]
    fn the_bytes_of_a_chunk_are_announced() {
        for (data, announced) in
            [("ffffffffffffffff\r\n", u64::MAX), ("3\r\nab", 1), ("1\r\na", 0), ("0\r\n", 0)]
        {
            let mut reader = ChunkedReader::default();
            read_into(&mut reader, data.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(reader.announced(), announced, "{data:?}");
        }
    }

    #[test]
    fn written_chunks_are_read() {
        let mut output = Vec::new();
        for part in ["a", "", "0123456789abcdef", "b"] {
            write_chunk(&mut output, part.as_bytes());
        }
        write_last_chunk(&mut output);
        assert_eq!(output, b"1\r\na\r\n10\r\n0123456789abcdef\r\n1\r\nb\r\n0\r\n\r\n");
        assert_eq!(read(&output), Ok(Some((b"a0123456789abcdefb".to_vec(), output.len()))));
    }
}
