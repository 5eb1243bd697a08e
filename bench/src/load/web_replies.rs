//! Responses of HTTP/1.1 that have a `Content-Length`.

use memchr::memmem;

/// The responses on one connection, in portions as they arrive.
#[derive(Default)]
pub(super) struct WebReplies {
    /// A head of which a part is still to arrive.
    head: Vec<u8>,
    body: Option<Body>,
}

/// A body of which a part is still to arrive.
struct Body {
    missing: usize,
    is_right: bool,
}

impl WebReplies {
    /// Takes the next response from the input. Returns whether it is a 200 with a body as long as a client's JSON;
    /// `None`: the input is used up, and its last response is not complete.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<bool> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let body = self.take_head(input)?;
                self.body.insert(body)
            }
        };
        let taken = body.missing.min(input.len());
        *input = &input[taken..];
        body.missing -= taken;
        if body.missing > 0 {
            return None;
        }
        self.body.take().map(|body| body.is_right)
    }

    fn take_head(&mut self, input: &mut &[u8]) -> Option<Body> {
        // The usual case, without a copy.
        if self.head.is_empty() {
            if let Some(end) = memmem::find(input, HEAD_END) {
                let body = body_of(&input[..end + HEAD_END.len()]);
                *input = &input[end + HEAD_END.len()..];
                return Some(body);
            }
            self.head.extend_from_slice(input);
            *input = &[];
            return None;
        }
        let before = self.head.len();
        self.head.extend_from_slice(input);
        let from = before.saturating_sub(HEAD_END.len() - 1);
        let Some(end) = memmem::find(&self.head[from..], HEAD_END) else {
            *input = &[];
            return None;
        };
        let length = from + end + HEAD_END.len();
        *input = &input[length - before..];
        let body = body_of(&self.head[..length]);
        self.head.clear();
        Some(body)
    }
}

/// The body that a head announces. A head without a length is wrong, and has none.
fn body_of(head: &[u8]) -> Body {
    let length = memmem::find(head, LENGTH).map(|at| {
        let digits = head[at + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits
            .fold(0_usize, |value, digit| value.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
    });
    let is_right = head.starts_with(b"HTTP/1.1 200 ") && length.is_some_and(|length| length >= BODY_MIN);
    Body { missing: length.unwrap_or(0), is_right }
}

const HEAD_END: &[u8] = b"\r\n\r\n";
/// As all measured servers write it.
const LENGTH: &[u8] = b"\r\nContent-Length: ";
/// The least length of the JSON of a client of the bench, in bytes.
const BODY_MIN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: &str, length: usize) -> Vec<u8> {
        let body = "x".repeat(length);
        format!("HTTP/1.1 {status}\r\nServer: x\r\nContent-Length: {length}\r\nDate: y\r\n\r\n{body}")
            .into_bytes()
    }

    fn all(portions: &[&[u8]]) -> Vec<bool> {
        let mut replies = WebReplies::default();
        let mut found = Vec::new();
        for mut portion in portions.iter().copied() {
            while let Some(is_right) = replies.next(&mut portion) {
                found.push(is_right);
            }
            assert!(portion.is_empty());
        }
        found
    }

    #[test]
    fn responses_are_found_however_they_are_split() {
        let text =
            [response("200 OK", 250), response("404 Not Found", 250), response("200 OK", 250)].concat();
        let expected = [true, false, true];
        assert_eq!(all(&[&text]), expected);
        for at in 1..text.len() {
            assert_eq!(all(&[&text[..at], &text[at..]]), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&bytes), expected);
    }

    #[test]
    fn a_short_body_and_a_missing_length_are_wrong() {
        assert_eq!(all(&[&response("200 OK", BODY_MIN - 1)]), [false]);
        assert_eq!(all(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]), [false]);
    }
}
