//! What is kept of a line that is too long to be kept: how it ends.

use super::command::is_http_version;
use super::fields::is_white_space;

/// The last field of a line that is too long to be kept.
#[derive(Clone, Debug, Default)]
pub struct LastField {
    /// Its first bytes.
    bytes: [u8; HTTP_VERSION_LENGTH],
    /// Its length, counted up to one more than is kept.
    length: u8,
    /// Whether white space followed it.
    ended: bool,
}

impl LastField {
    /// That of a line.
    pub fn of(line: &[u8]) -> LastField {
        let mut last = LastField::default();
        last.push(line);
        last
    }

    /// Goes on with the line.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if is_white_space(byte) {
                self.ended = true;
                continue;
            }
            if self.ended {
                *self = LastField::default();
            }
            if let Some(place) = self.bytes.get_mut(usize::from(self.length)) {
                *place = byte;
                self.length += 1;
            } else {
                self.length = HTTP_VERSION_LENGTH as u8 + 1;
            }
        }
    }

    /// Whether a line that ends here looks like the first one of an HTTP request.
    pub fn is_http_version(&self) -> bool {
        self.bytes.get(..usize::from(self.length)).is_some_and(is_http_version)
    }
}

/// `HTTP/1.1`
const HTTP_VERSION_LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_matter_how_the_line_is_cut() {
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
