//! Reads responses whole, with bodies of limited size.

use std::time::Duration;

use super::response_error::ResponseError;
use super::response_reader::{ResponseEvent, ResponseReader};

/// A whole response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code: three digits, not necessarily one that RFC 9110 defines.
    pub status: u16,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// See [`ResponseHead::keep_alive`](super::ResponseHead::keep_alive).
    pub keep_alive: bool,
    /// When the server asks to be asked again, from `Retry-After` in seconds (RFC 9110, section 10.2.3). A date, as
    /// no field, is `None`.
    pub retry_after: Option<Duration>,
}

/// Reads one response after the other with a [`ResponseReader`] and collects each.
#[derive(Debug)]
pub struct ResponseCollector {
    reader: ResponseReader,
    /// The parts of the response received.
    response: Response,
    max_body_bytes: usize,
}

impl ResponseCollector {
    /// A collector of responses whose bodies have at most `max_body_bytes` bytes.
    pub fn new(max_body_bytes: usize) -> Self {
        ResponseCollector { reader: ResponseReader::new(), response: Response::default(), max_body_bytes }
    }

    /// Reads from the front of `data`; returns how many bytes are used. The rest must be offered
    /// again together with what arrives after it. Bytes after the end of the response are not used.
    ///
    /// # Errors
    ///
    /// As [`ResponseReader::data_received`], and [`ResponseError::BodyTooLarge`] as soon as the body
    /// or its announced length exceeds the limit.
    pub fn data_received(&mut self, data: &[u8]) -> Result<usize, ResponseError> {
        let mut used = 0;
        loop {
            let (step, event) = self.reader.data_received(&data[used..])?;
            used += step;
            let (part, more) = match event {
                Some(ResponseEvent::Head(head)) => {
                    self.response.status = head.status;
                    self.response.keep_alive = head.keep_alive;
                    self.response.retry_after = head.fields.get("Retry-After").and_then(seconds);
                    (&[][..], true)
                }
                Some(ResponseEvent::Body(part)) => (part, true),
                Some(ResponseEvent::End) | None => (&[][..], false),
            };
            let room = self.max_body_bytes - self.response.body.len();
            if self.reader.announced().saturating_add(part.len() as u64) > room as u64 {
                return Err(ResponseError::BodyTooLarge { max_bytes: self.max_body_bytes });
            }
            self.response.body.extend_from_slice(part);
            if !more {
                return Ok(used);
            }
        }
    }

    /// See [`ResponseReader::eof_received`].
    ///
    /// # Errors
    ///
    /// When the response is not complete.
    pub fn eof_received(&mut self) -> Result<(), ResponseError> {
        self.reader.eof_received()
    }

    /// Whether the end of the response has been read.
    pub fn is_complete(&self) -> bool {
        self.reader.is_complete()
    }

    /// See [`ResponseReader::has_begun`].
    pub fn has_begun(&self) -> bool {
        self.reader.has_begun()
    }

    /// Takes the response out if it is complete. The collector then reads the next one.
    pub fn finish(&mut self) -> Option<Response> {
        if !self.is_complete() {
            return None;
        }
        self.reader = ResponseReader::new();
        Some(std::mem::take(&mut self.response))
    }
}

/// Reads `D+`; a greater number than any waiting time stays one.
fn seconds(text: &[u8]) -> Option<Duration> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let digit = |seconds: u64, byte: &u8| seconds.saturating_mul(10).saturating_add((byte - b'0').into());
    is_number.then(|| Duration::from_secs(text.iter().fold(0, digit)))
}

#[cfg(test)]
mod tests;
