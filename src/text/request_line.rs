//! A line longer than `limits.max_line`, tracked while its rest is discarded.
//!
//! It answers one question: does the line look like the first line of an HTTP request?

use super::command::{is_http_method, is_http_version};
use super::fields::is_white_space;

/// The first and the last field of the part of a line that was read so far.
#[derive(Clone, Debug, Default)]
pub struct RequestLine {
    first: Field,
    last: Field,
}

/// One field.
#[derive(Clone, Debug, Default)]
struct Field {
    /// The first bytes of the field.
    bytes: [u8; FIELD_LENGTH],
    /// The length of the field; [`FIELD_LENGTH`] + 1 for any longer one.
    length: u8,
    /// Whether white space follows the field.
    ended: bool,
}

impl RequestLine {
    /// The fields of `line`.
    pub fn of(line: &[u8]) -> RequestLine {
        let mut fields = RequestLine::default();
        fields.push(line);
        fields
    }

    /// Takes the next bytes of the line.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if !self.first.ended {
                self.first.push(byte);
            }
            if self.last.ended && !is_white_space(byte) {
                self.last = Field::default();
            }
            self.last.push(byte);
        }
    }

    /// Whether the first field is an HTTP method, or the last one an HTTP version.
    pub fn is_http_request(&self) -> bool {
        is_http_method(self.first.text()) || is_http_version(self.last.text())
    }
}

impl Field {
    fn push(&mut self, byte: u8) {
        if is_white_space(byte) {
            self.ended = self.length > 0;
        } else if let Some(slot) = self.bytes.get_mut(usize::from(self.length)) {
            *slot = byte;
            self.length += 1;
        } else {
            self.length = FIELD_LENGTH as u8 + 1;
        }
    }

    /// The field; empty if it is longer than [`FIELD_LENGTH`].
    fn text(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// The bytes of `HTTP/1.1`. Methods are shorter.
const FIELD_LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_however_the_line_is_split() {
        for (line, is_http) in [
            ("GEX /xxx HTTP/1.1", true),
            ("x /xxx HTTP/1.0 \r", true),
            ("x /xxx HTTP/1.1x", false),
            ("x /xxx HTTP/1.", false),
            ("x HTTP/1.1 /xxx", false),
            ("GET /xxx yyy", true),
            (" \t OPTIONS *", true),
            ("DELETE", true),
            ("DELETED x", false),
            ("x GET", false),
            ("", false),
            ("  ", false),
        ] {
            for cut in 0..=line.len() {
                let mut fields = RequestLine::of(&line.as_bytes()[..cut]);
                fields.push(&line.as_bytes()[cut..]);
                assert_eq!(fields.is_http_request(), is_http, "{line} cut at {cut}");
            }
        }
    }
}
