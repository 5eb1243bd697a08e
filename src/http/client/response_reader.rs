//! Reads responses as they arrive.

use super::response_error::{MAX_INTERIM, ResponseError};
use crate::http::body::BodyReader;
use crate::http::framing::{Framing, has_no_body};
use crate::http::head::{HeaderFields, MAX_HEADERS, find_end};

/// Reads one response to a GET request (RFC 9112, sections 4 to 8) and produces its parts.
///
/// Call [`data_received`](Self::data_received) until [`is_complete`](Self::is_complete), and
/// [`eof_received`](Self::eof_received) at the end of the connection. After an error the reader and
/// its connection must not be used again.
#[derive(Debug, Default)]
pub struct ResponseReader {
    state: State,
    begun: bool,
    /// Interim responses received.
    interim: usize,
}

#[derive(Debug)]
enum State {
    /// `searched`: see [`find_end`].
    Head {
        searched: usize,
    },
    Body(BodyReader),
    Complete,
}

impl Default for State {
    fn default() -> Self {
        State::Head { searched: 0 }
    }
}

/// A part of a response: one head, then the body in any number of parts, then one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseEvent<'a> {
    /// The head of the final response. Interim responses (1xx) are skipped.
    Head(ResponseHead<'a>),
    /// A part of the body, not empty, without its framing.
    Body(&'a [u8]),
    /// The end of the response. It is missing if the end of the connection completes the response:
    /// then [`ResponseReader::eof_received`] returns `Ok`.
    End,
}

/// The head of a final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// The status code: three digits, not necessarily one that RFC 9110 defines.
    pub status: u16,
    /// All fields.
    pub fields: HeaderFields<'a>,
    /// The framing of the body.
    pub framing: Framing,
    /// Whether the connection persists after this response (RFC 9112, section 9.3). If unused bytes
    /// follow the response, it must not be used again all the same.
    pub keep_alive: bool,
}

impl ResponseReader {
    /// A reader for a response of which nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads from the front of `data`. Returns how many bytes are used, and the next event.
    ///
    /// `None`: the response is complete, or the unused rest, at most [`MAX_HEAD`](crate::http::MAX_HEAD)
    /// bytes, must be offered again together with what arrives after it. Bytes after the end of the
    /// response are not used.
    ///
    /// # Errors
    ///
    /// When the response is malformed or exceeds a limit, at the same byte however it is split.
    pub fn data_received<'a>(
        &mut self,
        data: &'a [u8],
    ) -> Result<(usize, Option<ResponseEvent<'a>>), ResponseError> {
        self.begun |= !data.is_empty();
        let mut used = 0;
        loop {
            let rest = &data[used..];
            match &mut self.state {
                State::Head { searched } => {
                    if rest.iter().zip(b"HTTP/1.").any(|(got, expected)| got != expected) {
                        return Err(ResponseError::NotHttp);
                    }
                    match find_end(rest, searched) {
                        Ok(None) => return Ok((used, None)),
                        Ok(Some(end)) => {
                            used += end;
                            if let Some(head) = self.head_received(&rest[..end])? {
                                return Ok((used, Some(ResponseEvent::Head(head))));
                            }
                        }
                        Err(_) => return Err(ResponseError::HeadTooLarge),
                    }
                }
                State::Body(body) => {
                    let (step, part) = body.data_received(rest).map_err(ResponseError::Chunked)?;
                    used += step;
                    if !part.is_empty() {
                        return Ok((used, Some(ResponseEvent::Body(part))));
                    }
                    if !body.is_complete() {
                        return Ok((used, None));
                    }
                    self.state = State::Complete;
                    return Ok((used, Some(ResponseEvent::End)));
                }
                State::Complete => return Ok((used, None)),
            }
        }
    }

    /// Handles the end of the connection, which ends a body that is framed by it.
    ///
    /// # Errors
    ///
    /// When the response is not complete: one that is cut off is never taken for a shorter one.
    pub fn eof_received(&mut self) -> Result<(), ResponseError> {
        let complete = match &mut self.state {
            State::Head { .. } => false,
            State::Body(body) => body.eof_received(),
            State::Complete => true,
        };
        if complete {
            self.state = State::Complete;
            Ok(())
        } else if self.begun {
            Err(ResponseError::ClosedWithinResponse)
        } else {
            Err(ResponseError::ClosedBeforeResponse)
        }
    }

    /// Whether the end of the response has been read.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Whether any byte of the response has arrived. If a server closes a kept connection before
    /// that, it has most likely closed it as idle, and a GET can be retried (RFC 9112, section 9.3.1).
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// See [`BodyReader::announced`].
    pub fn announced(&self) -> u64 {
        if let State::Body(body) = &self.state { body.announced() } else { 0 }
    }

    /// Returns the head if it is not an interim one.
    fn head_received<'a>(&mut self, head: &'a [u8]) -> Result<Option<ResponseHead<'a>>, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        // RFC 9112, section 5.2: a folded line counts as white space. Section 5.1: white space before the colon is
        // for the recipient of a response to remove.
        let mut lenient = httparse::ParserConfig::default();
        lenient
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true);
        match lenient.parse_response(&mut parsed, head) {
            Ok(httparse::Status::Complete(_)) => {}
            // `head` ends with its empty line, so more input would not help.
            Ok(httparse::Status::Partial) => return Err(ResponseError::BadHead(httparse::Error::NewLine)),
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooManyHeaders),
            Err(why) => return Err(ResponseError::BadHead(why)),
        }
        let (Some(minor_version), Some(status)) = (parsed.version, parsed.code) else {
            return Err(ResponseError::BadHead(httparse::Error::Status));
        };
        match status {
            101 => return Err(ResponseError::Upgrade),
            100..=199 if self.interim == MAX_INTERIM => return Err(ResponseError::TooManyInterim),
            100..=199 => {
                self.interim += 1;
                self.state = State::default();
                return Ok(None);
            }
            _ => {}
        }
        let fields = HeaderFields::new(parsed.headers);
        let framing = if has_no_body(status) {
            Framing::Length(0)
        } else {
            let declared = Framing::declared(minor_version, &fields).map_err(ResponseError::Framing)?;
            declared.unwrap_or(Framing::UntilClose)
        };
        // The body of another answer is not used, and its status says more than its coding.
        if (200..300).contains(&status)
            && let Some(coding) = content_coding(&fields)
        {
            return Err(ResponseError::Encoded(coding));
        }
        let keep_alive = framing != Framing::UntilClose && fields.keep_alive(minor_version);
        self.state = State::Body(BodyReader::new(framing));
        Ok(Some(ResponseHead { status, fields, framing, keep_alive }))
    }
}

/// The content coding of a body; `None`: the body is sent as it is.
fn content_coding(fields: &HeaderFields<'_>) -> Option<&'static str> {
    const KNOWN: [&str; 6] = ["gzip", "x-gzip", "deflate", "compress", "br", "zstd"];
    let coding = fields
        .members("Content-Encoding")
        .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))?;
    let known = KNOWN.into_iter().find(|known| coding.eq_ignore_ascii_case(known.as_bytes()));
    Some(known.unwrap_or("an unknown coding"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ResponseEvent::{Body, End, Head};

    fn head<'a>(reader: &mut ResponseReader, data: &'a [u8]) -> ResponseHead<'a> {
        match reader.data_received(data) {
            Ok((used, Some(Head(head)))) if used == data.len() => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_is_handed_out_as_it_arrives() {
        let mut reader = ResponseReader::new();
        head(&mut reader, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(reader.announced(), 5);
        assert_eq!(reader.data_received(b""), Ok((0, None)));
        assert_eq!(reader.data_received(b"abc"), Ok((3, Some(Body(b"abc")))));
        assert_eq!(reader.data_received(b""), Ok((0, None)));
        assert_eq!(reader.data_received(b"deHTTP"), Ok((2, Some(Body(b"de")))));
        assert!(!reader.is_complete());
        assert_eq!(reader.data_received(b"HTTP"), Ok((0, Some(End))));
        assert!(reader.is_complete());
        assert_eq!(reader.data_received(b"HTTP"), Ok((0, None)));
        assert_eq!(reader.eof_received(), Ok(()));
    }

    #[test]
    fn chunks_are_handed_out_one_by_one() {
        let mut reader = ResponseReader::new();
        head(&mut reader, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let data = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(reader.data_received(data), Ok((6, Some(Body(b"abc")))));
        assert_eq!(reader.data_received(&data[6..]), Ok((7, Some(Body(b"de")))));
        assert_eq!(reader.data_received(&data[13..]), Ok((7, Some(End))));
    }

    #[test]
    fn the_end_of_the_connection_ends_a_body_that_it_frames() {
        let mut reader = ResponseReader::new();
        assert_eq!(head(&mut reader, b"HTTP/1.1 200 OK\r\n\r\n").framing, Framing::UntilClose);
        assert_eq!(reader.data_received(b"abc"), Ok((3, Some(Body(b"abc")))));
        assert_eq!(reader.eof_received(), Ok(()));
        assert!(reader.is_complete());
    }

    #[test]
    fn a_head_is_readable() {
        let mut reader = ResponseReader::new();
        let data =
            b"HTTP/1.1 102 P\r\nA: x\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
        let head = head(&mut reader, data);
        assert_eq!((head.status, head.framing, head.keep_alive), (429, Framing::Length(0), true));
        assert_eq!(head.fields.get("retry-after"), Some(&b"7"[..]));
        assert_eq!(head.fields.get("A"), None, "a field of an interim response");
        assert_eq!(reader.data_received(b""), Ok((0, Some(End))));
    }
}
