//! Responses: read as they arrive, in whatever pieces.

use super::response_error::ResponseError;
use crate::http::chunked::ChunkedReader;
use crate::http::framing::Framing;
use crate::http::head::{MAX_HEADERS, find_end, keep_alive};

/// A whole response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The final status code; three digits, not necessarily one that RFC 9110 knows.
    pub status: u16,
    /// The body without its framing, at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
    /// Whether the server lets the connection be used again. Bytes behind the response mean that it
    /// must not be.
    pub keep_alive: bool,
}

/// Reads one response to a GET request (RFC 9112, sections 4 to 8).
///
/// Call [`data_received`](Self::data_received) until [`is_complete`](Self::is_complete), or
/// [`eof_received`](Self::eof_received) at the end of input; then [`finish`](Self::finish). After an
/// error the reader and its connection are of no more use.
#[derive(Debug, Default)]
pub struct ResponseReader {
    state: State,
    /// What is known of the response so far.
    response: Response,
    begun: bool,
    /// Interim responses so far.
    interim: usize,
}

#[derive(Debug)]
enum State {
    /// `searched`: see [`find_end`].
    Head {
        searched: usize,
    },
    Length {
        left: usize,
    },
    Chunked(ChunkedReader),
    UntilClose,
    Complete,
}

impl Default for State {
    fn default() -> Self {
        State::Head { searched: 0 }
    }
}

impl ResponseReader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses what it can from the front of `data`; returns how many bytes. The rest, an unfinished head
    /// or line, is to be offered again with more behind it; after the end of the response nothing is
    /// used any more.
    ///
    /// # Errors
    ///
    /// As soon as the response cannot become a good one; the same error however it was split.
    pub fn data_received(&mut self, data: &[u8]) -> Result<usize, ResponseError> {
        self.begun |= !data.is_empty();
        let mut used = 0;
        loop {
            let step = self.step(&data[used..])?;
            if step == 0 {
                return Ok(used);
            }
            used += step;
        }
    }

    /// The server has closed its side.
    ///
    /// # Errors
    ///
    /// When that is not how this response ends: one that is cut off is never taken for a short one.
    pub fn eof_received(&mut self) -> Result<(), ResponseError> {
        match self.state {
            State::Complete => Ok(()),
            State::UntilClose => {
                self.state = State::Complete;
                Ok(())
            }
            _ if !self.begun => Err(ResponseError::ClosedBeforeAnswer),
            _ => Err(ResponseError::ClosedWithinAnswer),
        }
    }

    /// Whether all of the response was seen.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Whether any byte of an answer was seen. A server that closes a kept connection before that has
    /// most likely closed an idle one, and GET may be sent again (RFC 9112, section 9.3.1).
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Takes the response out when it is complete; the reader is then as new, for the next one.
    pub fn finish(&mut self) -> Option<Response> {
        self.is_complete().then(|| std::mem::take(self).response)
    }

    fn step(&mut self, data: &[u8]) -> Result<usize, ResponseError> {
        let body = &mut self.response.body;
        match &mut self.state {
            State::Head { searched } => {
                if data.iter().zip(b"HTTP/1.").any(|(got, expected)| got != expected) {
                    return Err(ResponseError::NotHttp);
                }
                match find_end(data, searched) {
                    Ok(None) => Ok(0),
                    Ok(Some(end)) => self.head_received(&data[..end]).map(|()| end),
                    Err(_) => Err(ResponseError::HeadTooLarge),
                }
            }
            State::Length { left } => {
                let part = &data[..data.len().min(*left)];
                body.extend_from_slice(part);
                *left -= part.len();
                if *left == 0 {
                    self.state = State::Complete;
                }
                Ok(part.len())
            }
            State::Chunked(reader) => {
                let used = reader.data_received(data, body)?;
                if reader.is_complete() {
                    self.state = State::Complete;
                }
                Ok(used)
            }
            State::UntilClose => {
                if data.len() > MAX_BODY - body.len() {
                    return Err(ResponseError::BodyTooLarge);
                }
                body.extend_from_slice(data);
                Ok(data.len())
            }
            State::Complete => Ok(0),
        }
    }

    fn head_received(&mut self, head: &[u8]) -> Result<(), ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            // The empty line was found, so there is nothing to wait for.
            Ok(httparse::Status::Partial) => return Err(ResponseError::BadHead(httparse::Error::NewLine)),
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooManyHeaders),
            Err(why) => return Err(ResponseError::BadHead(why)),
        }
        let (Some(version), Some(status)) = (parsed.version, parsed.code) else {
            return Err(ResponseError::BadHead(httparse::Error::Status));
        };
        self.state = match status {
            101 => return Err(ResponseError::Upgrade),
            100..=199 if self.interim == MAX_INTERIM => return Err(ResponseError::TooManyInterim),
            100..=199 => {
                self.interim += 1;
                State::default()
            }
            // Whatever their fields say (RFC 9112, section 6.3).
            204 | 304 => State::Complete,
            _ => match Framing::of(version, parsed.headers).map_err(ResponseError::Framing)? {
                Framing::Length(0) => State::Complete,
                Framing::Length(length) => match usize::try_from(length) {
                    Ok(left) if left <= MAX_BODY => State::Length { left },
                    _ => return Err(ResponseError::BodyTooLarge),
                },
                Framing::Chunked => State::Chunked(ChunkedReader::default()),
                Framing::Unsaid => State::UntilClose,
            },
        };
        self.response.status = status;
        self.response.keep_alive =
            keep_alive(version, parsed.headers) && !matches!(self.state, State::UntilClose);
        Ok(())
    }
}

/// Most bytes of a body. Twenty results of Google's with photographs have some tens of KiB.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// Most interim responses (1xx) before the final one. One or two are usual (100, 103).
pub const MAX_INTERIM: usize = 16;

#[cfg(test)]
mod tests;
