//! The chunked transfer coding (RFC 9112, section 7.1): chunks to a body. Extensions and trailer
//! fields are thrown away.

use memchr::memchr;

use super::client::MAX_BODY;
use super::client::ResponseError;
use super::head::MAX_HEAD;

/// Reads a chunked body as it arrives: a size line, that many bytes, CR LF, and so on; after the
/// chunk of size 0 a trailer of lines, the last one empty.
#[derive(Debug, Default)]
pub(super) struct ChunkedReader {
    state: State,
    /// Bytes at the front of the line that comes next, as last offered, known to hold no LF.
    searched: usize,
    /// Bytes of extensions so far.
    extensions: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data {
        left: usize,
    },
    DataEnd,
    /// `used`: bytes of the trailer so far.
    Trailer {
        used: usize,
    },
    Complete,
}

impl ChunkedReader {
    /// Appends to `body` what `data` holds of it; returns how many bytes it has used. A line that has
    /// not ended is left unused, to be offered again with more behind it.
    pub(super) fn data_received(&mut self, data: &[u8], body: &mut Vec<u8>) -> Result<usize, ResponseError> {
        let mut used = 0;
        loop {
            let step = self.step(&data[used..], body)?;
            if step == 0 {
                return Ok(used);
            }
            used += step;
        }
    }

    /// Whether the end of the trailer was seen.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    fn step(&mut self, data: &[u8], body: &mut Vec<u8>) -> Result<usize, ResponseError> {
        match self.state {
            State::Size => self.size_received(data, MAX_BODY.saturating_sub(body.len())),
            State::Data { left } => {
                let part = &data[..data.len().min(left)];
                body.extend_from_slice(part);
                let left = left - part.len();
                self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                Ok(part.len())
            }
            State::DataEnd => match data {
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(CRLF)
                }
                [] | [b'\r'] => Ok(0),
                _ => Err(ResponseError::BadChunkEnd),
            },
            State::Trailer { used } => {
                let errors = (ResponseError::TrailerTooLarge, ResponseError::BadTrailer);
                let Some(line) = self.line(data, MAX_HEAD - used, errors)? else {
                    return Ok(0);
                };
                let length = line.len() + CRLF;
                self.state =
                    if line.is_empty() { State::Complete } else { State::Trailer { used: used + length } };
                Ok(length)
            }
            State::Complete => Ok(0),
        }
    }

    fn size_received(&mut self, data: &[u8], room: usize) -> Result<usize, ResponseError> {
        let errors = (ResponseError::ChunkExtensionsTooLarge, ResponseError::BadChunkSize);
        let Some(line) = self.line(data, MAX_CHUNK_LINE, errors)? else {
            return Ok(0);
        };
        let (size, extensions) = match memchr(b';', line) {
            Some(at) => line.split_at(at),
            None => (line, &[][..]),
        };
        self.extensions += extensions.len();
        if self.extensions > MAX_EXTENSIONS {
            return Err(ResponseError::ChunkExtensionsTooLarge);
        }
        let size = usize::try_from(chunk_size(size).ok_or(ResponseError::BadChunkSize)?)
            .ok()
            .filter(|&size| size <= room)
            .ok_or(ResponseError::BodyTooLarge)?;
        self.state = if size == 0 { State::Trailer { used: 0 } } else { State::Data { left: size } };
        Ok(line.len() + CRLF)
    }

    /// The line at the front of `data` without its CR LF, with which it has at most `bound` bytes;
    /// `None` if it has not ended. The errors are for one that is longer, and for one with a CR or an
    /// LF that is not of the CR LF at its end.
    fn line<'a>(
        &mut self,
        data: &'a [u8],
        bound: usize,
        (too_long, bad): (ResponseError, ResponseError),
    ) -> Result<Option<&'a [u8]>, ResponseError> {
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

/// A chunk's size: hexadecimal digits, of which leading zeros are some; white space behind them is
/// old servers' padding.
fn chunk_size(text: &[u8]) -> Option<u64> {
    let mut digits = text;
    while let [front @ .., b' ' | b'\t'] = digits {
        digits = front;
    }
    if digits.is_empty() || digits.len() > MAX_CHUNK_DIGITS {
        return None;
    }
    digits.iter().try_fold(0u64, |size, &digit| Some(size << 4 | u64::from(char::from(digit).to_digit(16)?)))
}

/// Bytes of a CR LF.
const CRLF: usize = 2;

/// Most digits of a chunk's size: as many as a `u64` has.
const MAX_CHUNK_DIGITS: usize = 16;

/// Most bytes of a size line with its extensions and CR LF. Extensions are hardly ever used; a
/// signature for each chunk has about 100 bytes.
const MAX_CHUNK_LINE: usize = 1024;

/// Most bytes of the extensions of all chunks together: nobody reads them, so they may not be what an
/// answer mostly consists of.
const MAX_EXTENSIONS: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use ResponseError::*;

    /// The body and the bytes used, or `None` while incomplete, of `data` at once and byte by byte.
    fn read(data: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ResponseError> {
        let mut whole = (ChunkedReader::default(), Vec::new());
        let at_once =
            whole.0.data_received(data, &mut whole.1).map(|n| whole.0.is_complete().then_some((whole.1, n)));
        let (mut reader, mut body, mut used) = (ChunkedReader::default(), Vec::new(), 0);
        let mut slowly = Ok(());
        for end in 0..=data.len() {
            match reader.data_received(&data[used..end], &mut body) {
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
    fn every_beginning_is_incomplete() {
        let data = b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n";
        for end in 0..data.len() {
            assert_eq!(read(&data[..end]), Ok(None), "{}", data[..end].escape_ascii());
        }
    }

    #[test]
    fn bad_chunks_are_errors() {
        let table: [(&[u8], ResponseError); 19] = [
            (b"3\x0c\r\nabc\r\n", BadChunkSize),
            (b"\r\nabc", BadChunkSize),
            (b";x\r\n", BadChunkSize),
            (b"x\r\n", BadChunkSize),
            (b"+3\r\nabc\r\n", BadChunkSize),
            (b"-1\r\n", BadChunkSize),
            (b"0x3\r\nabc\r\n", BadChunkSize),
            (b" 3\r\nabc\r\n", BadChunkSize),
            (b"3 3\r\nabc\r\n", BadChunkSize),
            (b"3\nabc\r\n", BadChunkSize),
            (b"3\rx\r\nabc\r\n", BadChunkSize),
            (b"3;a\rb\r\nabc\r\n", BadChunkSize),
            (b"00000000000000003\r\nabc\r\n", BadChunkSize),
            (b"ffffffffffffffff\r\n", BodyTooLarge),
            (b"400001\r\n", BodyTooLarge),
            (b"1\r\nab\r\n", BadChunkEnd),
            (b"1\r\na\n", BadChunkEnd),
            (b"1\r\na\r\r\n", BadChunkEnd),
            (b"0\r\nA: b\n\r\n", BadTrailer),
        ];
        for (data, expected) in table {
            assert_eq!(read(data), Err(expected), "{}", data.escape_ascii());
        }
    }

    #[test]
    fn lines_are_bounded() {
        let line = |length: usize| [b"1;", &vec![b'x'; length - 4][..], b"\r\na\r\n0\r\n\r\n"].concat();
        assert!(read(&line(MAX_CHUNK_LINE)).unwrap().is_some());
        assert_eq!(read(&line(MAX_CHUNK_LINE + 1)), Err(ChunkExtensionsTooLarge));

        let trailer = |length: usize| [b"0\r\nA: b\r\n", &vec![b'x'; length - 10][..], b"\r\n\r\n"].concat();
        assert!(read(&trailer(MAX_HEAD)).unwrap().is_some());
        assert_eq!(read(&trailer(MAX_HEAD + 1)), Err(TrailerTooLarge));
        assert_eq!(read(&[b"0\r\n", &b"a\r\n".repeat(MAX_HEAD)[..]].concat()), Err(TrailerTooLarge));
    }

    #[test]
    fn all_extensions_together_are_bounded() {
        let chunk = [b"1;", &[b'x'; 1000][..], b"\r\na\r\n"].concat();
        let mut body = Vec::new();
        let many = chunk.repeat(MAX_EXTENSIONS / 1001);
        assert_eq!(ChunkedReader::default().data_received(&many, &mut body), Ok(many.len()));
        let more = chunk.repeat(MAX_EXTENSIONS / 1001 + 1);
        assert_eq!(ChunkedReader::default().data_received(&more, &mut body), Err(ChunkExtensionsTooLarge));
    }

    #[test]
    fn the_body_of_all_chunks_is_bounded() {
        let mut full = vec![0; MAX_BODY - 1];
        assert_eq!(ChunkedReader::default().data_received(b"1\r\na\r\n0\r\n\r\n", &mut full), Ok(11));
        assert_eq!(ChunkedReader::default().data_received(b"1\r\n", &mut full), Err(BodyTooLarge));
    }
}
