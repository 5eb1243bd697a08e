//! The last field of a line longer than `limits.max_line`, tracked while the rest of the line is discarded.
//!
//! It answers one question: does the line end like an HTTP request?

use super::command::is_http_version;
use super::fields::is_white_space;

/// The last field of the part of a line that was read so far.
#[derive(Clone, Debug, Default)]
pub struct LastField {
    /// The first bytes of the field.
    bytes: [u8; HTTP_VERSION_LENGTH],
    /// The length of the field; [`HTTP_VERSION_LENGTH`] + 1 for any longer one.
    length: u8,
    /// Whether white space follows the field.
    ended: bool,
}

impl LastField {
    /// The last field of `line`.
    pub fn of(line: &[u8]) -> LastField {
        let mut last = LastField::default();
        last.push(line);
        last
    }

    /// Takes the next bytes of the line.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if is_white_space(byte) {
                self.ended = true;
                continue;
            }
            if self.ended {
                *self = LastField::default();
            }
            if let Some(slot) = self.bytes.get_mut(usize::from(self.length)) {
                *slot = byte;
                self.length += 1;
            } else {
                self.length = HTTP_VERSION_LENGTH as u8 + 1;
            }
        }
    }

    /// Whether the field is an HTTP version, as at the end of a request line.
    pub fn is_http_version(&self) -> bool {
        self.bytes.get(..usize::from(self.length)).is_some_and(is_http_version)
    }
}

/// The bytes of `HTTP/1.1`.
const HTTP_VERSION_LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_field_does_not_depend_on_how_the_line_is_split() {
        for (line, is_http) in [
            ("GET /xxx HTTP/1.1", true),
            ("GET /xxx HTTP/1.0 \r", true),
            ("GET /xxx HTTP/1.1x", false),
            ("GET /xxx HTTP/1.", false),
            ("GET HTTP/1.1 /xxx", false),
            ("", false),
        ] {
            for cut in 0..=line.len() {
                let mut last = LastField::of(&line.as_bytes()[..cut]);
                last.push(&line.as_bytes()[cut..]);
                assert_eq!(last.is_http_version(), is_http, "{line} cut at {cut}");
            }
        }
    }
}
